#pragma once

#include <list>
#include <string>

#include "nestgate/automation/run_store.hpp"
#include "nestgate/automation/settings.hpp"
#include "nestgate/automation/stats.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/upstream/failure.hpp"

namespace nestgate::automation {

// Tells completions to their callbacks: one task for each, of which a few post at once and the others wait in line.
// Writes down in the store what became of each attempt. Lives on the control core.
class Deliveries {
 public:
  // All three outlive it.
  Deliveries(Executor control, RunStore& store, Settings const& settings, Stats& stats);

  // Tells the end of a run that has a callback. Given up at once when too many wait, and once a later verdict is told.
  void tell(Run const& run);
  // Nobody waits for a next attempt any more: it is made now and is the last.
  void begin_closing();
  // begin_closing, then returns when all is told, at the latest at `by`.
  Task<> stop(Deadline by);

 private:
  struct Completion {
    std::string run_id, url, message_id, body;
    RunStatus status;
  };
  struct Turn {
    explicit Turn(Executor executor) : timer(executor, Clock::time_point::max()) {}
    Timer timer;  // cancelled when it has come
    bool has_come = false;
  };

  Task<> deliver(Completion completion);
  Task<bool> is_overtaken(Completion const& completion);
  Task<upstream::Outcome<>> post(Completion const& completion);
  Task<> note(std::string run_id, std::uint32_t attempt, std::string error);
  Task<bool> take_turn();
  void give_turn();

  RunStore& store_;
  Settings const& settings_;
  Stats& stats_;
  bool is_closing_ = false;
  std::uint32_t free_turns_;
  std::list<Turn> line_;     // who waits for a turn, in its order
  std::list<Timer> pauses_;  // between two attempts
  TaskGroup tasks_;
};

}  // namespace nestgate::automation
