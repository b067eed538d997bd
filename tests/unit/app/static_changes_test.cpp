#include "app/static_changes.hpp"

#include <gtest/gtest.h>

namespace nestgate::app {
namespace {

using List = std::vector<StaticRuntimeSettings>;

StaticRuntimeSettings runtime(std::string id, std::string url = "http://127.0.0.1:1") {
  StaticRuntimeSettings out;
  out.id = std::move(id);
  out.url = std::move(url);
  return out;
}

template <class... Runtimes>
List list(Runtimes... runtimes) {
  List out;
  (out.push_back(std::move(runtimes)), ...);
  return out;
}

List many(std::size_t count, std::string const& url) {
  List out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(runtime("s" + std::to_string(i), url));
  return out;
}

std::vector<std::string> ids(std::vector<StaticRuntimeSettings const*> const& all) {
  std::vector<std::string> out;
  for (auto const* const one : all) out.push_back(one->id);
  return out;
}

using Ids = std::vector<std::string>;

TEST(StaticChanges, AreWhatWentWhatCameAndWhatIsAnother) {
  auto keyed = runtime("keyed"), keyed_anew = runtime("keyed"), ported = runtime("ported");
  keyed.session_api_key = Secret("a");
  keyed_anew.session_api_key = Secret("b");
  ported.ports = {{"editor", std::uint16_t{8001}}};
  auto const running =
      list(runtime("gone"), runtime("same"), runtime("moved"), std::move(keyed), runtime("ported"), runtime("last"));
  auto const next = list(runtime("last"), std::move(ported), runtime("new"), std::move(keyed_anew),
                         runtime("moved", "http://127.0.0.1:2"), runtime("same"));
  auto const changes = static_changes(running, next);
  EXPECT_EQ(ids(changes.removed), Ids{"gone"});
  EXPECT_EQ(ids(changes.put), (Ids{"ported", "new", "keyed", "moved"}));
}

TEST(StaticChanges, AreNoneOfTheSameInAnotherOrder) {
  auto const changes = static_changes(list(runtime("a"), runtime("b")), list(runtime("b"), runtime("a")));
  EXPECT_TRUE(changes.removed.empty());
  EXPECT_TRUE(changes.put.empty());
}

// Pair by pair these would be billions of comparisons.
TEST(StaticChanges, AreFoundAtOnceAmongFiftyThousand) {
  constexpr std::size_t count = 50'000;
  auto const running = many(count, "http://127.0.0.1:1");
  EXPECT_TRUE(static_changes(running, many(count, "http://127.0.0.1:1")).put.empty());
  EXPECT_EQ(static_changes(running, many(count, "http://127.0.0.1:2")).put.size(), count);
  EXPECT_EQ(static_changes(running, {}).removed.size(), count);
}

}  // namespace
}  // namespace nestgate::app
