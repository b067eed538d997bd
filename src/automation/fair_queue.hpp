#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/store/automation_store.hpp"

namespace nestgate::automation {

// Runs that wait for their turn: users in turn, each user's by priority, then age. Pure; looks at what it hands out, not at
// what waits.
class FairQueue {
 public:
  using Time = store::Time;

  // One that is known already is put where it belongs now.
  void put(store::WaitingRun run);
  void remove(std::string_view id);
  // One that was taken and is not to be tried again before `unpark` of its user: a cap is full.
  void park(store::WaitingRun run);
  // `count` parked ones of that user wait for their turn again: the best of each automation and target, which caps keep
  // back together, then the next of each. One whose cap is full for long holds up no other.
  void unpark(std::string_view user_id, std::size_t count);
  void unpark_of_each(std::size_t count);

  std::size_t size() const noexcept { return known_.size(); }
  // As it is now, or as it became since.
  bool knows(store::WaitingRun const& run) const noexcept;
  // At most `count` that may start by now, the next of each user in turn; they are out of the queue.
  std::vector<store::WaitingRun> take(std::size_t count, Time now);
  bool has_ready(Time now) const noexcept;
  // When the next one that waits for its time may start.
  std::optional<Time> next_not_before() const;

 private:
  struct Place {
    std::int32_t priority;
    Time created_at;
    std::string id;
    bool operator<(Place const& other) const noexcept;
  };
  using Waiting = std::map<std::string, std::set<Place>, std::less<>>;  // by user
  struct Parked {
    Waiting by_kin;
    std::string last_kin;  // whose turn was last
  };
  enum class Where : std::uint8_t { ready, parked, delayed };
  struct Known {
    store::WaitingRun run;
    Where where = Where::ready;
  };
  static Place place_of(store::WaitingRun const& run) { return {run.priority, run.created_at, run.id}; }
  static std::string kin_of(store::WaitingRun const& run) { return run.automation_id + ' ' + run.target; }
  static void take_out(Waiting& waiting, std::string const& from, store::WaitingRun const& run);
  void insert(store::WaitingRun run, Where where);
  void wake_due(Time now);

  std::map<std::string, Known, std::less<>> known_;  // by id
  Waiting ready_;
  std::map<std::string, Parked, std::less<>> parked_;  // by user
  std::set<std::pair<Time, std::string>> delayed_;     // not_before and id
  std::string last_user_;                              // whose turn was last
};

}  // namespace nestgate::automation
