#include "cgroup.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <iterator>
#include <string_view>

#include "nestgate/net/task_group.hpp"

namespace nestgate::runtime {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Version = Hierarchy::Version;

constexpr std::string_view parent_prefix = "nestgate-";
constexpr std::string_view aside_name = "gateway";
constexpr Controllers all_four{Controller::memory, Controller::cpu, Controller::pids, Controller::freezer};
constexpr std::uint64_t cpu_period_us = 100'000;
constexpr int removals_max = 200;  // a second; what is dying leaves its group within milliseconds
constexpr auto removal_pause = 5ms;

std::string read_text(fs::path const& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// errno, 0 when the kernel took it.
int write_text(fs::path const& path, std::string_view text) {
  Fd const file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.get() < 0) return errno;
  return ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : errno;
}

// The number behind `name ` at the start of a line; 0 when there is none.
std::uint64_t field_of(std::string const& text, std::string_view name) {
  for (std::size_t at = 0; at < text.size();) {
    auto const end = std::min(text.find('\n', at), text.size());
    auto const line = std::string_view(text).substr(at, end - at);
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == ' ')
      return std::strtoull(std::string(line.substr(name.size() + 1)).c_str(), nullptr, 10);
    at = end + 1;
  }
  return 0;
}

std::optional<std::uint64_t> number_in(fs::path const& path) {
  std::ifstream file(path, std::ios::binary);
  std::uint64_t number = 0;
  return file >> number ? std::optional(number) : std::nullopt;
}

struct Setting {
  Controller controller;
  std::string_view file_v1;
  std::string value_v1;
  std::string_view file_v2;
  std::string value_v2;
};

std::vector<Setting> settings_of(GroupLimits const& limits) {
  std::vector<Setting> out;
  if (auto const bytes = limits.memory_bytes) {
    auto const text = std::to_string(*bytes);
    out.push_back({Controller::memory, "memory.limit_in_bytes", text, "memory.max", text});
  }
  if (limits.cpus) {
    auto const quota = std::to_string(std::max<long long>(1'000, std::llround(*limits.cpus * cpu_period_us)));
    out.push_back({Controller::cpu, "cpu.cfs_quota_us", quota, "cpu.max", quota + " " + std::to_string(cpu_period_us)});
  }
  if (limits.pids) {
    auto const text = std::to_string(*limits.pids);
    out.push_back({Controller::pids, "pids.max", text, "pids.max", text});
  }
  return out;
}

// What memory is moved to when it is full counts as well; kernels without swap accounting lack the file.
void limit_swap(Hierarchy const& folder, std::uint64_t memory_bytes) {
  if (folder.version == Version::v1) {
    write_text(folder.own / "memory.memsw.limit_in_bytes", std::to_string(memory_bytes));
  } else {
    write_text(folder.own / "memory.swap.max", "0");
  }
}

// When a process began, in the kernel's ticks: with its id it names the process for good. Nothing: there is none such.
std::optional<std::string> start_time(std::string const& pid) {
  auto const stat = read_text("/proc/" + pid + "/stat");
  auto const name_end = stat.rfind(')');
  if (name_end == stat.npos) return std::nullopt;
  std::string_view rest = std::string_view(stat).substr(name_end + 1);
  for (int field = 2; field < 22; ++field) {
    auto const space = rest.find(' ');
    if (space == rest.npos) return std::nullopt;
    rest.remove_prefix(space + 1);
  }
  return std::string(rest.substr(0, rest.find(' ')));
}

// Process ids mean something within their namespace only.
std::string own_prefix() {
  std::error_code ec;
  auto const name = fs::read_symlink("/proc/self/ns/pid", ec).string();  // pid:[4026531836]
  std::string digits;
  std::copy_if(name.begin(), name.end(), std::back_inserter(digits), [](char c) { return c >= '0' && c <= '9'; });
  return std::string(parent_prefix) + digits + "-";
}

// nestgate-NAMESPACE-PID-START-NUMBER
std::string own_name() {
  static std::atomic<unsigned> number = 0;
  auto const pid = std::to_string(::getpid());
  return own_prefix() + pid + "-" + start_time(pid).value_or("0") + "-" + std::to_string(++number);
}

bool is_left_over(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  auto const pid_end = name.find('-');
  auto const start_end = name.find('-', pid_end + 1);
  if (pid_end == name.npos || start_end == name.npos) return false;
  return start_time(std::string(name.substr(0, pid_end))) != name.substr(pid_end + 1, start_end - pid_end - 1);
}

int hand_down(fs::path const& group, Controllers wanted) {
  int error = 0;
  constexpr std::pair<Controller, std::string_view> names[] = {
      {Controller::memory, "+memory"}, {Controller::cpu, "+cpu"}, {Controller::pids, "+pids"}};
  for (auto const& [controller, name] : names)
    if (wanted.has(controller))
      if (int const refused = write_text(group / "cgroup.subtree_control", name); refused != 0) error = refused;
  return error;
}

// Version 2 hands controllers down only from a group without processes: ours makes room when it is there alone, as it is
// under systemd with Delegate=yes.
bool step_aside(fs::path const& group) {
  if (read_text(group / "cgroup.procs") != std::to_string(::getpid()) + "\n") return false;
  auto const aside = group / aside_name;
  return (::mkdir(aside.c_str(), 0755) == 0 || errno == EEXIST) && write_text(aside / "cgroup.procs", "0") == 0;
}

// The controllers that groups below `own` can have.
Controllers open_v2(fs::path const& own) {
  auto const available = parse_controllers(read_text(own / "cgroup.controllers"), ' ');
  if (!available.empty() && hand_down(own, available) == EBUSY && step_aside(own)) hand_down(own, available);
  return parse_controllers(read_text(own / "cgroup.subtree_control"), ' ');
}

std::vector<Hierarchy> hierarchies_of_this_process() {
  auto out = parse_hierarchies(read_text("/proc/self/mountinfo"), read_text("/proc/self/cgroup"));
  for (auto& hierarchy : out)
    if (hierarchy.version == Version::v2 && hierarchy.own.filename() == aside_name)
      hierarchy.own = hierarchy.own.parent_path();
  return out;
}

}  // namespace

Result<Cgroup> Cgroup::make(std::vector<Hierarchy> const& parents, std::string const& name) {
  Cgroup made({});
  for (auto const& parent : parents) {
    auto const folder = parent.own / name;
    if (::mkdir(folder.c_str(), 0755) != 0) {
      int const error = errno;
      made.remove();
      return system_fault(error, "runtime.cgroup");
    }
    made.folders_.push_back({parent.version, folder, parent.controllers});
  }
  return made;
}

Hierarchy const* Cgroup::with(Controller controller) const noexcept {
  auto const found = std::find_if(folders_.begin(), folders_.end(),
                                  [controller](Hierarchy const& folder) { return folder.controllers.has(controller); });
  return found == folders_.end() ? nullptr : &*found;
}

Result<> Cgroup::limit(GroupLimits const& limits) const {
  for (auto const& setting : settings_of(limits)) {
    auto const* folder = with(setting.controller);
    if (!folder) return system_fault(ENOTSUP, "runtime.cgroup");
    bool const is_v1 = folder->version == Version::v1;
    int const error = is_v1 ? write_text(folder->own / setting.file_v1, setting.value_v1)
                            : write_text(folder->own / setting.file_v2, setting.value_v2);
    if (error != 0) return system_fault(error, "runtime.cgroup");
  }
  if (limits.memory_bytes) limit_swap(*with(Controller::memory), *limits.memory_bytes);
  return Result<>{};
}

Result<Seat> Cgroup::seat() const {
  Seat out;
  auto const* freezer = with(Controller::freezer);
  auto const open_folder = [&out](Hierarchy const& folder) {
    out.folders.emplace_back(::open(folder.own.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return out.folders.back().get() >= 0;
  };
  for (auto const& folder : folders_)
    if (&folder != freezer && !open_folder(folder)) return system_fault(errno, "runtime.cgroup");
  if (freezer) {
    if (!open_folder(*freezer)) return system_fault(errno, "runtime.cgroup");
    out.freezer = freezer->version == Version::v1 ? Freezer::v1 : Freezer::v2;
  }
  return out;
}

bool Cgroup::had_out_of_memory() const {
  auto const* folder = with(Controller::memory);
  if (!folder) return false;
  auto const* file = folder->version == Version::v1 ? "memory.oom_control" : "memory.events";
  return field_of(read_text(folder->own / file), "oom_kill") > 0;
}

Usage Cgroup::usage() const {
  Usage out;
  if (auto const* folder = with(Controller::memory)) {
    bool const is_v1 = folder->version == Version::v1;
    auto const used = number_in(folder->own / (is_v1 ? "memory.usage_in_bytes" : "memory.current"));
    auto const idle = field_of(read_text(folder->own / "memory.stat"), is_v1 ? "total_inactive_file" : "inactive_file");
    if (used) out.memory_bytes = *used - std::min(*used, idle);
  }
  for (auto const& folder : folders_) {
    bool const is_v1 = folder.version == Version::v1;
    if (auto const ns = is_v1 ? number_in(folder.own / "cpuacct.usage") : std::nullopt)
      out.cpu_time = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::nanoseconds(*ns));
    auto const counted = is_v1 ? std::string() : read_text(folder.own / "cpu.stat");
    if (!counted.empty()) out.cpu_time = std::chrono::microseconds(field_of(counted, "usage_usec"));
  }
  return out;
}

// No fork succeeds any more, so that what is listed is all that there will be.
void Cgroup::kill() const {
  if (auto const* folder = with(Controller::pids)) write_text(folder->own / "pids.max", "0");
  for (auto const& folder : folders_) {
    if (folder.version == Version::v2 && write_text(folder.own / "cgroup.kill", "1") == 0) continue;
    std::ifstream list(folder.own / "cgroup.procs");
    for (pid_t pid = 0; list >> pid;)
      if (pid > 0) ::kill(pid, SIGKILL);  // 0 is one of another namespace
  }
  if (auto const* folder = with(Controller::freezer); folder && folder->version == Version::v1)
    write_text(folder->own / "freezer.state", "THAWED");
}

bool Cgroup::remove() {
  std::erase_if(folders_, [](Hierarchy const& folder) { return ::rmdir(folder.own.c_str()) == 0 || errno == ENOENT; });
  return folders_.empty();
}

Task<> Cgroup::clear() {
  for (int left = removals_max; !remove() && left > 0; --left) {
    kill();
    if (!co_await pause_for(removal_pause)) break;
  }
}

Task<> Cgroup::clear_all() {
  for (auto const& folder : folders_) {
    std::error_code ec;
    for (fs::directory_iterator entry(folder.own, ec), end; !ec && entry != end; entry.increment(ec)) {
      std::error_code ignored;
      if (!entry->is_directory(ignored)) continue;
      std::vector<Hierarchy> below{{folder.version, entry->path(), folder.controllers}};
      Cgroup group(std::move(below));
      co_await group.clear();
    }
  }
  co_await clear();
}

std::optional<CgroupParent> CgroupParent::make(std::vector<Hierarchy> const& hierarchies) {
  Cgroup group({});
  auto const name = own_name();
  Controllers missing = all_four;
  for (auto const& hierarchy : hierarchies) {
    auto served = hierarchy.controllers;
    if (hierarchy.version == Version::v2) served.add(open_v2(hierarchy.own));
    auto const wanted = served.and_also(missing);
    if (wanted.empty()) continue;
    auto const folder = hierarchy.own / name;
    if (::mkdir(folder.c_str(), 0755) != 0) continue;
    if (hierarchy.version == Version::v2) hand_down(folder, wanted);
    group.folders_.push_back({hierarchy.version, folder, wanted});
    missing.remove(wanted);
  }
  if (group.folders_.empty()) return std::nullopt;
  return CgroupParent(std::move(group));
}

std::optional<CgroupParent> CgroupParent::make() { return make(hierarchies_of_this_process()); }

Result<Cgroup> CgroupParent::add() { return Cgroup::make(group_.folders_, std::to_string(++added_)); }

std::vector<Cgroup> CgroupParent::leftovers(std::vector<Hierarchy> const& hierarchies) {
  std::vector<Cgroup> out;
  auto const prefix = own_prefix();
  for (auto const& hierarchy : hierarchies) {
    std::error_code ec;
    for (fs::directory_iterator entry(hierarchy.own, ec), end; !ec && entry != end; entry.increment(ec))
      if (is_left_over(entry->path().filename().string(), prefix))
        out.push_back(Cgroup({{hierarchy.version, entry->path(), hierarchy.controllers}}));
  }
  return out;
}

std::vector<Cgroup> CgroupParent::leftovers() { return leftovers(hierarchies_of_this_process()); }

}  // namespace nestgate::runtime
