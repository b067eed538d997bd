// How often runs are looked at.

#include "service_fixture.hpp"

namespace nestgate::automation {
namespace {

class Watching : public Automations {
 protected:
  void dispatch_many(std::size_t count) {
    auto const automation = create();
    std::vector<std::string> ids;
    for (std::size_t i = 0; i < count; ++i) ids.push_back(dispatch(automation).id);
    for (auto const& id : ids) until_dispatched(id);
  }
};

TEST_F(Watching, ManyInOneRuntimeAskItsServerNoMoreThanTwoHundredTimesASecond) {
  std::size_t const runs = 50, looks = 200;
  dispatch_many(runs);
  auto const seen = agent.count(search_line);
  auto const begin = Clock::now();
  // Each run may have one look ahead of its turn.
  control.run_until([&] { return agent.count(search_line) >= seen + runs + looks; });
  EXPECT_GE(Clock::now() - begin, 5ms * looks);
}

}  // namespace
}  // namespace nestgate::automation
