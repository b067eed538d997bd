#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "run_judgements.hpp"

namespace nestgate::store {

// Judgements that come while others are written wait, and are written together: one transaction, and each statement that
// they have in common once for all of them. Lives on the control core.
class JudgeQueue {
 public:
  // All in one transaction; their answers in their order.
  using Write = std::function<Task<Outcome<std::vector<Outcome<JudgedRun>>>>(std::vector<ToJudge>)>;

  explicit JudgeQueue(Write write) : write_(std::move(write)) {}
  // As AutomationStore::judge. Where those that went together fail, each is written again by itself.
  Task<Outcome<JudgedRun>> judge(ToJudge one);

 private:
  struct Waiting;
  using WaitingPtr = std::shared_ptr<Waiting>;

  static ToJudge to_judge(WaitingPtr const& waiting);
  Task<> write_first_ones();
  void hand_over();

  Write write_;
  std::deque<WaitingPtr> waiting_;
  bool is_writing_ = false;  // one of those that wait, or waited, sees to the next ones
};

}  // namespace nestgate::store
