#include "gateway_name.hpp"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <optional>

namespace nestgate::conversation {
namespace {

std::string first_line(std::string const& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Of this boot of this machine, in this process's pid namespace: where a pid means the same.
std::string place() {
  std::error_code ec;
  auto const pid_namespace = std::filesystem::read_symlink("/proc/self/ns/pid", ec).string();  // "pid:[4026531836]"
  std::string digits;
  for (char const c : pid_namespace)
    if (c >= '0' && c <= '9') digits += c;
  return first_line("/proc/sys/kernel/random/boot_id").substr(0, 8) + "-" + digits;
}

// Field 22 of /proc/PID/stat (proc(5)); the name in field 2 may hold anything, so it is counted from behind it. Nothing for
// a process that is gone, also when nobody has reaped it yet.
std::optional<std::string> start_time_of(std::string const& pid) {
  auto const line = first_line("/proc/" + pid + "/stat");
  auto at = line.rfind(')');
  if (at == line.npos || at + 2 >= line.size()) return std::nullopt;
  char const state = line[at + 2];
  if (state == 'Z' || state == 'X') return std::nullopt;
  constexpr int fields_between = 20;
  for (int i = 0; i < fields_between && at != line.npos; ++i) at = line.find(' ', at + 1);
  if (at == line.npos) return std::nullopt;
  return line.substr(at + 1, line.find(' ', at + 1) - at - 1);
}

}  // namespace

std::string make_gateway_name() {
  static std::atomic<unsigned> made{0};
  auto const pid = std::to_string(::getpid());
  return place() + "-" + pid + "-" + start_time_of(pid).value_or("0") + "-" + std::to_string(++made);
}

bool is_known_dead(std::string_view name) {
  auto const here = place() + "-";
  if (!name.starts_with(here)) return false;
  name.remove_prefix(here.size());
  auto const pid_end = name.find('-');
  auto const start_end = name.find('-', pid_end + 1);
  if (pid_end == name.npos || start_end == name.npos) return false;
  auto const started = name.substr(pid_end + 1, start_end - pid_end - 1);
  return start_time_of(std::string(name.substr(0, pid_end))) != started;
}

}  // namespace nestgate::conversation
