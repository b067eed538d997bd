#include "nestgate/api/output_stream.hpp"

#include <gtest/gtest.h>

#include "nestgate/net/task_group.hpp"
#include "support/backing.hpp"

namespace nestgate::api {
namespace {

using namespace std::chrono_literals;
using Said = upstream::Outcome<std::optional<automation::OutputPiece>>;

// Says nothing until it is cancelled, and then, where it is to, what came at this very moment. Once it spoke it ends.
class LateFeed final : public automation::OutputFeed {
 public:
  explicit LateFeed(int silences) : silences_(silences) {}

  Task<Said> next() override {
    if (silences_ < 0) co_return std::optional<automation::OutputPiece>();
    auto waited = co_await pause_for(1h);
    if (!waited && silences_-- > 0) co_return upstream::failed("output", waited.error());
    automation::OutputPiece piece{false, "late"};
    co_return std::optional(std::move(piece));
  }

 private:
  int silences_;
};

class Output : public testing::Test {
 protected:
  std::shared_ptr<proxy::ApiStream> stream_of(int silences) {
    return make_output_stream(backing_.store->automations(), "r1", std::make_unique<LateFeed>(silences), 1ms);
  }
  std::string next(proxy::ApiStream& stream) { return control_.run(stream.next()); }

  test::Control control_;
  test::Backing backing_{control_};
};

TEST_F(Output, ThatComesInTheTurnInWhichTheSilenceIsOverIsNotLost) {
  auto const stream = stream_of(0);
  EXPECT_EQ(next(*stream), "event: stdout\ndata: \"late\"\n\n");
  EXPECT_EQ(next(*stream), "");
}

TEST_F(Output, ThatIsSilentIsSaidToBeStillThere) {
  auto const stream = stream_of(2);
  EXPECT_EQ(next(*stream), ": still here\n\n");
  EXPECT_EQ(next(*stream), ": still here\n\n");
  EXPECT_EQ(next(*stream), "event: stdout\ndata: \"late\"\n\n");
}

}  // namespace
}  // namespace nestgate::api
