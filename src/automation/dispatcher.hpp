#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fair_queue.hpp"
#include "nestgate/automation/settings.hpp"
#include "nestgate/automation/stats.hpp"
#include "nestgate/net/task_group.hpp"

namespace nestgate::automation {

// Hands waiting runs over as soon as they may start: claims them in the store under this gateway's lease. What it is told
// of is claimed at once; a slow scan finds what nobody told it. Takes over what dead gateways held. Lives on the control
// core.
class Dispatcher {
 public:
  struct With {
    store::AutomationStore& rows;
    Settings const& settings;
    Stats& stats;
    std::string gateway;  // its name in the store
  };
  struct Listeners {
    std::function<void(store::ClaimedRun claimed, bool is_taken_over)> begin;
    std::function<void(store::RunRow const&)> ended_elsewhere;  // a run that this gateway holds
  };

  Dispatcher(Executor control, With around, Listeners listeners);

  // Reads what waits and takes over what nobody holds; then goes on by itself.
  void start();
  void put(store::RunRow const& run);
  // Makes a run. Where nothing waits before it, it is claimed in the same transaction. Faults: those of the store.
  Task<upstream::Outcome<store::Enqueued>> enqueue_of(std::string automation_id, store::RunOfAutomation make);
  // A run of that user is in flight no more: what a cap kept back may go on.
  void note_ended(store::RunRow const& run);
  // Another gateway may have made runs, or be dead.
  void wake_scan();
  // Claims nothing any more.
  Task<> stop();

 private:
  Task<> claim_loop();
  Task<> scan_loop();
  Task<bool> claim_some();
  Task<> read_waiting();
  Task<> take_over();
  Task<> read_ended();
  std::vector<store::WaitingRun> next_ones();
  // Counts it as a start of its user's in this minute.
  bool may_start(store::WaitingRun const& run);
  void note_not_started(store::WaitingRun const& run);
  store::RunCaps caps() const;
  void begin(store::ClaimedRun claimed);

  With with_;
  Listeners listeners_;
  FairQueue queue_;
  std::uint64_t seen_version_ = 0;
  std::size_t running_ = 0;  // of this gateway
  // Starts of each user in the current minute, where they are limited.
  std::map<std::string, std::uint32_t> starts_;
  Clock::time_point minute_begin_ = Clock::now();
  Timer wake_, scan_;
  bool is_woken_ = false;
  bool is_scan_woken_ = false;
  bool is_stopped_ = true;  // it claims nothing: before its start, and behind its stop
  TaskGroup tasks_;
};

}  // namespace nestgate::automation
