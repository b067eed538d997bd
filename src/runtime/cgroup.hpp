#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cgroup_layout.hpp"
#include "fd.hpp"
#include "keeper_line.hpp"
#include "nestgate/net/net.hpp"
#include "nestgate/runtime/provider.hpp"

namespace nestgate::runtime {

// What all processes of one runtime may use together.
struct GroupLimits {
  std::optional<std::uint64_t> memory_bytes;
  std::optional<double> cpus;
  std::optional<std::uint64_t> pids;  // threads count, as the kernel counts them
};

// The folders of a runtime's groups, open for a keeper to take its place in them.
struct Seat {
  std::vector<Fd> folders;  // that of the freezer last
  Freezer freezer = Freezer::none;
};

// A folder of groups in each of several hierarchies. Lives on the control core; its calls are a few writes to the kernel's
// files each, tens of microseconds.
class Cgroup {
 public:
  // Makes a folder of that name in each of `parents`. Fault: unavailable.
  static Result<Cgroup> make(std::vector<Hierarchy> const& parents, std::string const& name);

  bool has(Controller controller) const noexcept { return with(controller) != nullptr; }
  // Fault: unavailable, also where a limit is asked that no hierarchy has a controller for.
  Result<> limit(GroupLimits const& limits) const;
  Result<Seat> seat() const;
  // Whether the kernel killed a process in it because its memory was used up.
  bool had_out_of_memory() const;
  // As far as its hierarchies count it: one of version 1 that holds the CPU need not count its time.
  Usage usage() const;
  // Thaws it, kills what is in it, also what forks meanwhile, and removes it. What a signal does not reach is left, folder
  // and all. A cancel skips the waiting for what is dying.
  Task<> clear();
  // The same for a group with groups in it.
  Task<> clear_all();

  std::vector<Hierarchy> const& folders() const noexcept { return folders_; }

 private:
  friend class CgroupParent;
  explicit Cgroup(std::vector<Hierarchy> folders) : folders_(std::move(folders)) {}
  Hierarchy const* with(Controller controller) const noexcept;
  void kill() const;
  bool remove();

  std::vector<Hierarchy> folders_;
};

// The groups of one provider, in a folder of their own below this process's group in each hierarchy that can be written.
// Its name says whose it is, so that a later gateway can tell that nobody's is left.
class CgroupParent {
 public:
  // Nothing: there is no hierarchy that a runtime could be put in.
  static std::optional<CgroupParent> make(std::vector<Hierarchy> const& hierarchies);
  // As this process is placed.
  static std::optional<CgroupParent> make();

  Result<Cgroup> add();
  // Whether a limit of this kind can be set on what `add` makes.
  bool has(Controller controller) const noexcept { return group_.has(controller); }
  // What gateways of this machine left that are no more.
  static std::vector<Cgroup> leftovers(std::vector<Hierarchy> const& hierarchies);
  static std::vector<Cgroup> leftovers();
  // Removes the folder; what `add` made is gone by then.
  void remove() { group_.remove(); }

 private:
  explicit CgroupParent(Cgroup group) : group_(std::move(group)) {}
  Cgroup group_;
  std::uint64_t added_ = 0;
};

}  // namespace nestgate::runtime
