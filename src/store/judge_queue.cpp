#include "judge_queue.hpp"

#include <algorithm>
#include <iterator>

namespace nestgate::store {
namespace {

constexpr std::size_t together_max = 512;  // a transaction that others wait for stays short

}  // namespace

struct JudgeQueue::Waiting {
  Waiting(Executor executor, ToJudge o) : one(std::move(o)), woken(executor, Clock::time_point::max()) {}

  ToJudge one;
  Timer woken;  // cancelled when one of those below is set
  std::optional<Outcome<JudgedRun>> answer;
  bool is_next = false;   // to write the first ones, itself among them
  bool is_alone = false;  // those that it went with failed
};

// It is kept for another try.
ToJudge JudgeQueue::to_judge(WaitingPtr const& waiting) {
  return {waiting->one.id, waiting->one.fence, [waiting](RunRow const& row) { return waiting->one.judge(row); }};
}

Task<Outcome<JudgedRun>> JudgeQueue::judge(ToJudge one) {
  Executor const home = co_await asio::this_coro::executor;
  auto const mine = std::make_shared<Waiting>(home, std::move(one));
  waiting_.push_back(mine);
  if (!std::exchange(is_writing_, true)) mine->is_next = true;
  // What was asked for is done, whether or not the caller is cancelled.
  while (!mine->is_next && !mine->is_alone && !mine->answer) (void)co_await mine->woken.async_wait(no_throw);
  if (mine->is_next) {
    co_await write_first_ones();
    hand_over();
  }
  if (mine->is_alone) {
    std::vector<ToJudge> only(1, to_judge(mine));
    auto judged = co_await write_(std::move(only));
    if (!judged) co_return judged.error();
    co_return std::move(judged->front());
  }
  co_return std::move(*mine->answer);
}

Task<> JudgeQueue::write_first_ones() {
  auto const count = std::min(waiting_.size(), together_max);
  auto const end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<WaitingPtr> const some(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  std::vector<ToJudge> all;
  all.reserve(count);
  for (auto const& each : some) all.push_back(to_judge(each));
  auto judged = co_await write_(std::move(all));
  for (std::size_t i = 0; i < count; ++i) {
    if (judged) {
      some[i]->answer = std::move((*judged)[i]);
    } else if (count == 1) {
      some[i]->answer = judged.error();
    } else {
      some[i]->is_alone = true;
    }
    some[i]->woken.cancel();
  }
}

void JudgeQueue::hand_over() {
  is_writing_ = !waiting_.empty();
  if (!is_writing_) return;
  waiting_.front()->is_next = true;
  waiting_.front()->woken.cancel();
}

}  // namespace nestgate::store
