#pragma once

#include <functional>
#include <optional>
#include <string>

#include "nestgate/automation/run_machine.hpp"
#include "nestgate/automation/stats.hpp"
#include "nestgate/store/automation_store.hpp"

namespace nestgate::automation {

using upstream::Failure;
using upstream::Outcome;

// What ends a run that is still open because a later moment of its schedule has come.
store::RunJudge cancelling_for_successor(store::Time now);

// The one place through which runs change once they are made: what the run machine decides is written, and who has to know
// is told. Lives on the control core.
class RunBook {
 public:
  // After a change is durable.
  struct Listeners {
    std::function<void(store::RunRow const&)> settled;  // to its end, also corrected
    std::function<void(store::RunRow const&)> again;    // waits for another attempt
    std::function<void()> told;                         // there are new deliveries
  };

  // Both outlive it.
  RunBook(store::AutomationStore& rows, Stats& stats) : rows_(rows), stats_(stats) {}
  void listen(Listeners listeners) { listeners_ = std::move(listeners); }

  struct Applied {
    Effect effect = Effect::refused;
    store::RunRow run;
  };
  // With a fence: only while the run has it; refused otherwise. Faults: not_found, those of the store.
  Task<Outcome<Applied>> apply(std::string id, std::optional<std::uint64_t> fence, RunEvent event);
  // Changes of a run under a fence that decide nothing. False: it has the fence no more.
  using Edit = std::function<void(store::RunRow&)>;
  Task<Outcome<bool>> note(std::string id, std::uint64_t fence, Edit edit);

 private:
  void count(Applied const& applied);

  store::AutomationStore& rows_;
  Stats& stats_;
  Listeners listeners_;
};

// Of a run or an upload: what is made later sorts behind.
std::string timed_id();

}  // namespace nestgate::automation
