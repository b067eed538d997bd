#include "nestgate/net/task_group.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace nestgate {
namespace {

using namespace std::chrono_literals;

constexpr auto never = 24h;  // beyond any test

// Runs `work` on a loop of its own until nothing is left to do.
void run(asio::io_context& loop, Task<> work) {
  asio::co_spawn(loop.get_executor(), quiet(std::move(work)), [](std::exception_ptr bug) {
    if (bug) std::rethrow_exception(bug);
  });
  loop.run();
}

Task<> note_after(Clock::duration time, int& ended, std::optional<Fault>& fault) {
  auto waited = co_await pause_for(time);
  if (!waited) fault = waited.error();
  ++ended;
}

Task<> join_into(TaskGroup& group, std::optional<Result<>>& joined) { joined = co_await group.join(); }

TEST(TaskGroup, JoinReturnsAtOnceWhenItIsEmpty) {
  asio::io_context loop(1);
  TaskGroup group(loop.get_executor());
  std::optional<Result<>> joined;
  run(loop, join_into(group, joined));
  ASSERT_TRUE(joined);
  EXPECT_TRUE(*joined);
}

TEST(TaskGroup, JoinWaitsForTheLastChild) {
  asio::io_context loop(1);
  TaskGroup group(loop.get_executor());
  int ended = 0;
  std::optional<Fault> fault;
  for (int i = 0; i < 3; ++i) group.spawn("child", note_after(std::chrono::milliseconds(i), ended, fault));
  EXPECT_EQ(group.size(), 3u);
  std::optional<Result<>> joined;
  run(loop, join_into(group, joined));
  EXPECT_EQ(ended, 3);
  EXPECT_EQ(group.size(), 0u);
  EXPECT_FALSE(fault);
  ASSERT_TRUE(joined);
}

TEST(TaskGroup, StopIsAFaultInEveryChildAndNoException) {
  asio::io_context loop(1);
  TaskGroup group(loop.get_executor());
  int ended = 0;
  std::optional<Fault> fault;
  for (int i = 0; i < 3; ++i) group.spawn("child", note_after(never, ended, fault));
  asio::post(loop, [&] { group.stop(); });
  std::optional<Result<>> joined;
  run(loop, join_into(group, joined));
  EXPECT_EQ(ended, 3);
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->kind, FaultKind::cancelled);
}

Task<> stop_own_group_and_go_on(TaskGroup& group, int& pauses) {
  group.stop();  // while it runs: no await of it is there to be cancelled
  for (;;) {
    auto waited = co_await pause_for(never);
    ++pauses;
    if (!waited) co_return;
  }
}

TEST(TaskGroup, AChildThatIsStoppedBetweenTwoAwaitsMeetsItAtItsNextPause) {
  asio::io_context loop(1);
  TaskGroup group(loop.get_executor());
  int pauses = 0;
  group.spawn("child", stop_own_group_and_go_on(group, pauses));
  std::optional<Result<>> joined;
  run(loop, join_into(group, joined));
  EXPECT_EQ(pauses, 1);
  EXPECT_TRUE(joined);
}

Task<> wait_until_woken(Timer& timer, std::optional<Result<>>& out) { out = co_await until_woken(timer); }

TEST(UntilWoken, EndsWithoutAFaultWhenItIsWoken) {
  asio::io_context loop(1);
  Timer timer(loop.get_executor(), Clock::time_point::max());
  std::optional<Result<>> woken;
  asio::post(loop, [&] { asio::post(loop, [&] { timer.cancel(); }); });
  run(loop, wait_until_woken(timer, woken));
  ASSERT_TRUE(woken);
  EXPECT_TRUE(*woken);
}

TEST(UntilWoken, TellsACancelThatCameBeforeIt) {
  asio::io_context loop(1);
  TaskGroup group(loop.get_executor());
  Timer timer(loop.get_executor(), Clock::time_point::max());
  std::optional<Result<>> woken, joined;
  struct Stopped {
    static Task<> by_itself(TaskGroup& group, Timer& timer, std::optional<Result<>>& out) {
      group.stop();
      co_await wait_until_woken(timer, out);
    }
  };
  group.spawn("child", Stopped::by_itself(group, timer, woken));
  run(loop, join_into(group, joined));
  ASSERT_TRUE(woken);
  ASSERT_FALSE(*woken);
  EXPECT_EQ(woken->error().kind, FaultKind::cancelled);
}

Task<> ends_at_once() { co_return; }

TEST(TaskGroup, AChildThatEndsBeforeItsFirstAwaitIsStoppedWithoutHarm) {
  asio::io_context loop(1);
  TaskGroup group(loop.get_executor());
  group.spawn("child", ends_at_once());
  group.stop();
  std::optional<Result<>> joined;
  run(loop, join_into(group, joined));
  EXPECT_TRUE(joined);
}

TEST(TaskGroup, AChildMayStartAnother) {
  asio::io_context loop(1);
  TaskGroup group(loop.get_executor());
  int ended = 0;
  std::optional<Fault> fault;
  struct Starter {
    static Task<> start(TaskGroup& group, int& ended, std::optional<Fault>& fault) {
      group.spawn("grandchild", note_after(1ms, ended, fault));
      co_return;
    }
  };
  group.spawn("child", Starter::start(group, ended, fault));
  std::optional<Result<>> joined;
  run(loop, join_into(group, joined));
  EXPECT_EQ(ended, 1);
}

TEST(TaskGroup, ACancelledJoinIsAFaultAndTheChildrenGoOn) {
  asio::io_context loop(1);
  TaskGroup inner(loop.get_executor()), outer(loop.get_executor());
  int ended = 0;
  std::optional<Fault> fault;
  inner.spawn("child", note_after(never, ended, fault));
  std::optional<Result<>> joined;
  outer.spawn("joiner", join_into(inner, joined));
  asio::post(loop, [&] { outer.stop(); });
  asio::post(loop, [&] {
    asio::post(loop, [&] {
      EXPECT_EQ(ended, 0);
      inner.stop();
    });
  });
  std::optional<Result<>> all;
  run(loop, join_into(outer, all));
  ASSERT_TRUE(joined);
  ASSERT_FALSE(*joined);
  EXPECT_EQ(joined->error().kind, FaultKind::cancelled);
  EXPECT_EQ(ended, 1);
}

std::string reported;

TEST(TaskGroup, AnExceptionIsReportedWithTheTasksName) {
  asio::io_context loop(1);
  TaskGroup group(loop.get_executor());
  auto* const usual = std::exchange(TaskGroup::report_bug, [](std::string_view task, std::exception_ptr bug) {
    try {
      std::rethrow_exception(bug);
    } catch (std::exception const& e) {
      reported = std::string(task) + ": " + e.what();
    }
  });
  struct Broken {
    static Task<> body() {
      co_await pause_for(1ms);
      throw std::runtime_error("broken");
    }
  };
  group.spawn("accept", Broken::body());
  std::optional<Result<>> joined;
  run(loop, join_into(group, joined));
  TaskGroup::report_bug = usual;
  EXPECT_EQ(reported, "accept: broken");
}

// --- with_deadline

enum class Outcome : std::uint8_t { value, fault };

Task<Result<int>> work_for(Clock::duration time, Outcome outcome, bool& ended) {
  auto waited = co_await pause_for(time);
  ended = true;
  if (!waited) co_return waited.error();
  if (outcome == Outcome::fault) co_return Fault{FaultKind::upstream, {}, "work"};
  co_return 7;
}

struct Timed {
  std::optional<Result<int>> result;
  bool work_ended = false;
};
Task<> run_timed(Deadline deadline, Clock::duration time, Outcome outcome, Timed& out) {
  out.result = co_await with_deadline(deadline, work_for(time, outcome, out.work_ended));
}

TEST(WithDeadline, BeginsNothingForACallerThatWasCancelledBefore) {
  asio::io_context loop(1);
  TaskGroup group(loop.get_executor());
  Timed timed;
  struct Stopped {
    static Task<> by_itself(TaskGroup& group, Timed& out) {
      group.stop();
      co_await run_timed(Deadline::in(never), never, Outcome::value, out);
    }
  };
  group.spawn("child", Stopped::by_itself(group, timed));
  std::optional<Result<>> joined;
  run(loop, join_into(group, joined));
  ASSERT_TRUE(timed.result);
  ASSERT_FALSE(*timed.result);
  EXPECT_EQ(timed.result->error().kind, FaultKind::cancelled);
  EXPECT_FALSE(timed.work_ended);
}

TEST(WithDeadline, HandsOnTheValueOfWorkThatEndsInTime) {
  asio::io_context loop(1);
  Timed timed;
  run(loop, run_timed(Deadline::in(never), 0ms, Outcome::value, timed));
  ASSERT_TRUE(timed.result && *timed.result);
  EXPECT_EQ(**timed.result, 7);
}

TEST(WithDeadline, HandsOnAFaultAtOnce) {
  asio::io_context loop(1);
  Timed timed;
  run(loop, run_timed(Deadline::in(never), 0ms, Outcome::fault, timed));
  ASSERT_TRUE(timed.result && !*timed.result);
  EXPECT_EQ(timed.result->error().kind, FaultKind::upstream);
}

TEST(WithDeadline, CancelsWorkAtTheDeadlineAndWaitsForItsEnd) {
  asio::io_context loop(1);
  Timed timed;
  run(loop, run_timed(Deadline::in(1ms), never, Outcome::value, timed));
  ASSERT_TRUE(timed.result && !*timed.result);
  EXPECT_EQ(timed.result->error().kind, FaultKind::timed_out);
  EXPECT_TRUE(timed.work_ended);
}

TEST(WithDeadline, ACancelledCallerIsCancelledAndNotTimedOut) {
  asio::io_context loop(1);
  TaskGroup group(loop.get_executor());
  Timed timed;
  group.spawn("timed", run_timed(Deadline::in(never), never, Outcome::value, timed));
  asio::post(loop, [&] { asio::post(loop, [&] { group.stop(); }); });
  std::optional<Result<>> joined;
  run(loop, join_into(group, joined));
  ASSERT_TRUE(timed.result && !*timed.result);
  EXPECT_EQ(timed.result->error().kind, FaultKind::cancelled);
  EXPECT_TRUE(timed.work_ended);
}

Task<Result<int>> nested_deadlines(bool& ended) {
  co_return co_await with_deadline(Deadline::in(1ms), work_for(never, Outcome::value, ended));
}
Task<> run_nested(Timed& out) { out.result = co_await with_deadline(Deadline::in(never), nested_deadlines(out.work_ended)); }

TEST(WithDeadline, TheNarrowerOfTwoEndsTheWork) {
  asio::io_context loop(1);
  Timed timed;
  run(loop, run_nested(timed));
  ASSERT_TRUE(timed.result && !*timed.result);
  EXPECT_EQ(timed.result->error().kind, FaultKind::timed_out);
}

}  // namespace
}  // namespace nestgate
