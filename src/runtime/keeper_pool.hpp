#pragma once

#include <deque>
#include <optional>
#include <string>

#include "cgroup.hpp"
#include "child_process.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/runtime/process_settings.hpp"

namespace nestgate::runtime {

// A keeper that waits for what it is to run, and the group that it will run in.
struct Place {
  ChildProcess child;
  std::optional<Cgroup> group;
};

// Keepers of one provider. A process takes its place in control groups of version 1 in some ten milliseconds, since the
// kernel waits for all cores; so two keepers are made before they are wanted. Lives on the control core; must be closed
// before it is destroyed.
class KeeperPool {
 public:
  KeeperPool(Executor control, Grouping grouping);

  // `keeper` is the program. May be cancelled. Faults: unavailable, cancelled.
  Task<Result<Place>> take(std::string keeper);
  // One more keeper, for processes in a group that is another's. Not to be cancelled.
  Task<Result<ChildProcess>> join(std::string keeper, Cgroup const* group);
  // Ends what is in it, keeper and group.
  void give_up(Place place);
  // Whether a limit of this kind can be set on a place's group.
  bool limits(Controller controller) const noexcept { return groups_ && groups_->has(controller); }
  Task<> close();

 private:
  void prepare(std::string const& keeper);
  Task<> fill(std::string keeper);
  Task<Result<Place>> make(std::string keeper);
  Task<> end(Place place);
  Task<> clear(Cgroup leftover);

  Grouping grouping_;
  std::optional<CgroupParent> groups_;
  bool is_open_ = false;
  bool is_closing_ = false;
  std::deque<Place> spares_;
  std::size_t filling_ = 0;
  std::size_t waiting_ = 0;
  std::size_t failures_ = 0;
  Fault failure_{};
  Timer changed_;  // cancelled with each spare and each failure
  TaskGroup tasks_;
};

}  // namespace nestgate::runtime
