#pragma once

#include <exception>
#include <list>
#include <vector>

#include "nestlet/net.hpp"

namespace nestgate::nestlet {

// Every background coroutine belongs to a group, and a group is joined before it dies. One thread uses it.
class TaskGroup {
 public:
  explicit TaskGroup(Executor executor) : executor_(executor) {}
  TaskGroup(TaskGroup const&) = delete;
  TaskGroup& operator=(TaskGroup const&) = delete;
  ~TaskGroup();

  // An exception that leaves `body` is our bug and ends the process.
  void spawn(Task<> body);
  // Cancels every child (terminal); join() waits until they have ended.
  void stop();
  Task<> join() { return join_by(Deadline::at(Clock::time_point::max())); }
  // Returns at the deadline at the latest; `empty()` says whether all have ended.
  Task<> join_by(Deadline deadline);
  bool empty() const noexcept { return children_.empty(); }

 private:
  Executor executor_;
  std::list<asio::cancellation_signal> children_;
  std::vector<Timer*> waiters_;
};

}  // namespace nestgate::nestlet
