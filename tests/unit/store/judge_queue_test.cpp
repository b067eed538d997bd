#include "store/judge_queue.hpp"

#include <gtest/gtest.h>

#include <map>

#include "support/control.hpp"

namespace nestgate::store {
namespace {

using Answers = Outcome<std::vector<Outcome<JudgedRun>>>;

RunDecision nothing(RunRow const&) { return {}; }

// Writes each transaction when it is let through, and notes which runs were in it.
class Judgements : public testing::Test {
 protected:
  void ask(std::string const& id) {
    group.spawn("ask", ask_for(id));
    control.loop().restart();
    control.loop().poll();
  }
  void let_through() { control.run(open_gate()); }

  test::Control control;
  std::vector<std::vector<std::string>> transactions;
  std::map<std::string, Outcome<JudgedRun>> answers;
  std::string poison;  // a transaction of several fails that has it
  TaskGroup group{control.executor()};
  Timer gate{control.executor(), Clock::time_point::max()};
  bool is_open = false;
  JudgeQueue queue{[this](std::vector<ToJudge> runs) { return write(std::move(runs)); }};

 private:
  Task<> ask_for(std::string id) {
    ToJudge asked{id, std::nullopt, nothing};
    auto answer = co_await queue.judge(std::move(asked));
    answers.emplace(id, std::move(answer));
  }
  Task<> open_gate() {
    is_open = true;
    gate.cancel();
    [[maybe_unused]] auto joined = co_await group.join();
  }
  Task<Answers> write(std::vector<ToJudge> runs) {
    auto& ids = transactions.emplace_back();
    for (auto const& run : runs) ids.push_back(run.id);
    bool const has_poison = std::find(ids.begin(), ids.end(), poison) != ids.end();
    auto const mine = ids;
    while (!is_open) [[maybe_unused]]
      auto [woken] = co_await gate.async_wait(no_throw);
    if (has_poison) co_return upstream::fail(FaultKind::unavailable, "test", "refused");
    std::vector<Outcome<JudgedRun>> judged;
    for (auto const& id : mine) {
      JudgedRun one;
      one.run.id = id;
      judged.emplace_back(std::move(one));
    }
    co_return std::move(judged);
  }
};

TEST_F(Judgements, ThatComeWhileOthersAreWrittenAreWrittenTogether) {
  ask("a");
  ask("b");
  ask("c");
  let_through();
  EXPECT_EQ(transactions, (std::vector<std::vector<std::string>>{{"a"}, {"b", "c"}}));
  for (auto const* const id : {"a", "b", "c"}) EXPECT_EQ(answers.at(id).value().run.id, id);
}

TEST_F(Judgements, AreWrittenOneByOneWhereTheyFailTogether) {
  poison = "c";
  ask("a");
  ask("b");
  ask("c");
  ask("d");
  let_through();
  EXPECT_EQ(transactions.size(), 5U);
  EXPECT_TRUE(answers.at("b"));
  EXPECT_TRUE(answers.at("d"));
  ASSERT_FALSE(answers.at("c"));
  EXPECT_EQ(answers.at("c").error().fault.kind, FaultKind::unavailable);
}

TEST_F(Judgements, GoOnAfterAPause) {
  ask("a");
  let_through();
  ask("b");
  let_through();
  EXPECT_EQ(transactions, (std::vector<std::vector<std::string>>{{"a"}, {"b"}}));
  EXPECT_TRUE(answers.at("b"));
}

}  // namespace
}  // namespace nestgate::store
