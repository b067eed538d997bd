#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nestgate/automation/settings.hpp"
#include "nestgate/automation/stats.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/schedule/zones.hpp"

namespace nestgate::automation {

// Makes runs of schedules when their moments come. Next moments are computed once and stored; all gateways on a store plan
// all of them, and the store lets one of them fire. Lives on the control core.
class Planner {
 public:
  struct With {
    store::AutomationStore& rows;
    Settings const& settings;
    Stats& stats;
  };
  struct Listeners {
    std::function<void(store::RunRow const&)> made;
    std::function<void(std::string const& run_id)> cancelled;  // by an overlap policy
  };

  Planner(Executor control, With around, Listeners listeners);

  void start();
  Task<> stop();
  // The first moment after `after`; nothing: never, or no schedule.
  std::optional<store::Time> next_of(Trigger const& trigger, store::Time after);
  std::vector<store::Time> next_ones(Trigger const& trigger, store::Time after, std::size_t count);
  // It was written by this gateway.
  void note(store::AutomationRow const& row);
  schedule::Zones& zones() noexcept { return zones_; }

 private:
  using Planned = store::AutomationStore::Planned;
  struct Plan {
    CronTrigger trigger;
    Policy policy;
    std::optional<schedule::Rule> rule;     // nothing: it cannot be evaluated
    std::string trigger_json, policy_json;  // that it was read from
    store::Tenant tenant;                   // whose its runs are, too
    std::string owner, organisation;
    std::optional<store::Time> next_at;
    store::Time due;      // with its jitter
    store::Time fire_at;  // ahead of that, where no open run matters
  };
  using Plans = std::unordered_map<std::string, Plan>;
  using Due = std::set<std::pair<store::Time, Plans::value_type*>>;
  // Firings for the store.
  struct Batch {
    std::vector<std::string> ids;
    std::vector<store::Firing> firings;
    std::uint64_t changes = 0;  // that plans had seen
  };

  Task<> loop();
  Task<> read_changes();
  Task<> follow_zones();
  Task<> move_plans(std::vector<std::string> ids);
  std::vector<store::Firing> moves_of(std::vector<std::string> const& ids) const;
  Task<> fire_due();
  Task<Batch> fire(Batch batch, std::size_t next_count);
  void tell(store::Fired fired);
  Task<> hand_over_held();
  void hand_over(store::RunRow const& run);
  Batch batch_of(Due::const_iterator from, store::Time now, std::size_t count) const;
  Task<Batch> batch_behind(Due::value_type last, std::size_t count) const;
  store::Firing firing_of(std::string const& id, Plan const& plan, store::Time now) const;
  Task<> reread(std::string id);
  void put(Planned planned);
  void remove(std::string const& id);
  void schedule_next(Plans::value_type& planned, std::optional<store::Time> next_at);
  void set_due(Plans::value_type& planned, store::Time due);
  std::optional<schedule::Rule> rule_of(CronTrigger const& trigger);

  With with_;
  Listeners listeners_;
  schedule::Zones zones_;
  Plans plans_;
  Due due_;
  std::multimap<store::Time, store::RunRow> held_;  // made ahead of their not_before, until then
  Timer held_until_;
  std::uint64_t changes_ = 0;  // of plans, but for what their own firings move
  std::uint64_t seen_version_ = 0;
  bool is_read_ = false;  // all that was stored before
  Clock::time_point zones_looked_at_{};
  Clock::time_point changes_read_at_{};
  Timer wake_;
  TaskGroup tasks_;
};

}  // namespace nestgate::automation
