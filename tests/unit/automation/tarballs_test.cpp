#include "automation/tarballs.hpp"

#include <gtest/gtest.h>

#include "support/backing.hpp"
#include "support/control.hpp"

namespace nestgate::automation {
namespace {

class TarballsInMemory : public testing::Test {
 protected:
  void add(std::string id, std::string bytes) {
    store::UploadRow upload;
    upload.id = std::move(id);
    upload.status = "COMPLETED";
    ASSERT_TRUE(control.run(rows.add_upload(std::move(upload), std::move(bytes))));
  }
  Tarballs::Bytes get(Tarballs& tarballs, std::string id) { return control.run(tarballs.bytes_of(std::move(id))).value(); }

  test::Control control;
  test::Backing backing{control};
  store::AutomationStore& rows = backing.store->automations();
};

TEST_F(TarballsInMemory, AreReadOnceAndTheLongestUnusedGoes) {
  for (auto const* const id : {"a", "b", "c"}) add(id, std::string(10, 'x'));
  Tarballs tarballs(control.executor(), rows, 25);
  for (auto const* const id : {"a", "b", "a", "c"}) EXPECT_EQ(get(tarballs, id)->size(), 10U);
  for (auto const* const id : {"a", "b", "c"}) ASSERT_TRUE(control.run(rows.remove_upload(id)));
  EXPECT_TRUE(get(tarballs, "a"));
  EXPECT_TRUE(get(tarballs, "c"));
  EXPECT_FALSE(get(tarballs, "b"));
}

TEST_F(TarballsInMemory, WaitForRoomUntilOthersHaveGotToTheirRuntimes) {
  add("first", std::string(100, 'x'));
  add("second", std::string(100, 'y'));
  Tarballs tarballs(control.executor(), rows, 100);
  auto on_its_way = get(tarballs, "first");
  bool has_arrived = false, came_too_early = false;
  auto const next = [&]() -> Task<> {
    auto const bytes = co_await tarballs.bytes_of("second");
    came_too_early = !has_arrived;
    EXPECT_EQ((*bytes)->front(), 'y');
  };
  // Reads are answered in their order: these behind the one that must not be made yet.
  auto const arrive = [&]() -> Task<> {
    for (int i = 0; i < 10; ++i) (void)co_await rows.find_upload("first");
    has_arrived = true;
    on_its_way.reset();
  };
  TaskGroup both(control.executor());
  both.spawn("next", next());
  both.spawn("arrive", arrive());
  ASSERT_TRUE(control.run(both.join()));
  EXPECT_FALSE(came_too_early);
}

TEST_F(TarballsInMemory, LargerThanAllRoomGoOneAtATime) {
  add("large", std::string(100, 'x'));
  Tarballs tarballs(control.executor(), rows, 10);
  EXPECT_EQ(get(tarballs, "large")->size(), 100U);
  EXPECT_EQ(get(tarballs, "large")->size(), 100U);
}

}  // namespace
}  // namespace nestgate::automation
