#include "cgroup_layout.hpp"

#include <algorithm>
#include <optional>

namespace nestgate::runtime {
namespace {

std::string_view take_until(std::string_view& text, char separator) {
  auto const end = std::min(text.find(separator), text.size());
  auto const piece = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return piece;
}

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  auto const is_octal = [](char c) { return c >= '0' && c <= '7'; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && std::all_of(text.begin() + i + 1, text.begin() + i + 4, is_octal)) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

struct Mount {
  std::string root;  // the group that is mounted
  std::string point;
  std::string type;
  std::string_view options;
};

// `36 35 98:0 /root /point rw,noatime shared:1 - type source options`
std::optional<Mount> parse_mount(std::string_view line) {
  auto const dash = line.find(" - ");
  if (dash == line.npos) return std::nullopt;
  auto rest = line.substr(dash + 3);
  Mount mount;
  mount.type = take_until(rest, ' ');
  take_until(rest, ' ');
  mount.options = rest;
  for (int skipped = 0; skipped < 3; ++skipped) take_until(line, ' ');
  mount.root = unescape(take_until(line, ' '));
  mount.point = unescape(take_until(line, ' '));
  return mount;
}

bool is_listed(std::string_view list, std::string_view name) {
  while (!list.empty())
    if (take_until(list, ',') == name) return true;
  return false;
}

// This process's group in the hierarchy of a controller ("" for version 2), from the lines `id:controllers:path`.
std::optional<std::string_view> own_path(std::string_view cgroup, std::string_view controller) {
  while (!cgroup.empty()) {
    auto line = take_until(cgroup, '\n');
    take_until(line, ':');
    auto const names = take_until(line, ':');
    bool const is_it = controller.empty() ? names.empty() : is_listed(names, controller);
    if (is_it && line.starts_with('/')) return line;
  }
  return std::nullopt;
}

// Where a group is to be found below a mount.
std::optional<std::filesystem::path> locate(Mount const& mount, std::string_view group) {
  std::string_view const root = mount.root == "/" ? std::string_view{} : std::string_view(mount.root);
  if (!group.starts_with(root)) return std::nullopt;
  group.remove_prefix(root.size());
  if (!group.empty() && group.front() != '/') return std::nullopt;
  if (group.find("/..") != group.npos) return std::nullopt;  // outside of the namespace of groups
  if (group.empty() || group == "/") return std::filesystem::path(mount.point);
  return std::filesystem::path(mount.point + std::string(group));
}

std::string_view name_of(Controller controller) {
  switch (controller) {
    case Controller::memory: return "memory";
    case Controller::cpu: return "cpu";
    case Controller::pids: return "pids";
    case Controller::freezer: return "freezer";
  }
  return "";
}

constexpr Controller all_controllers[] = {Controller::memory, Controller::cpu, Controller::pids, Controller::freezer};

std::optional<Hierarchy> hierarchy_of(Mount const& mount, std::string_view cgroup) {
  Hierarchy out{};
  std::string_view key;
  if (mount.type == "cgroup2") {
    out.version = Hierarchy::Version::v2;
    out.controllers.add(Controller::freezer);
  } else if (mount.type == "cgroup") {
    out.version = Hierarchy::Version::v1;
    out.controllers = parse_controllers(mount.options, ',');
    for (auto const controller : all_controllers)
      if (out.controllers.has(controller)) key = name_of(controller);
    if (key.empty()) return std::nullopt;
  } else {
    return std::nullopt;
  }
  auto const group = own_path(cgroup, key);
  if (!group) return std::nullopt;
  auto own = locate(mount, *group);
  if (!own) return std::nullopt;
  out.own = std::move(*own);
  return out;
}

}  // namespace

Controllers parse_controllers(std::string_view names, char separator) {
  Controllers out;
  while (!names.empty()) {
    auto name = take_until(names, separator);
    if (name.ends_with('\n')) name.remove_suffix(1);
    for (auto const controller : all_controllers)
      if (name == name_of(controller)) out.add(controller);
  }
  return out;
}

std::vector<Hierarchy> parse_hierarchies(std::string_view mountinfo, std::string_view cgroup) {
  std::vector<Hierarchy> out;
  while (!mountinfo.empty()) {
    auto const mount = parse_mount(take_until(mountinfo, '\n'));
    auto found = mount ? hierarchy_of(*mount, cgroup) : std::nullopt;
    auto const is_same = [&found](Hierarchy const& other) {
      return other.version == found->version && other.controllers == found->controllers;
    };
    if (!found || std::any_of(out.begin(), out.end(), is_same)) continue;
    auto const later = [&found](Hierarchy const& other) { return other.version > found->version; };
    out.insert(std::find_if(out.begin(), out.end(), later), std::move(*found));
  }
  return out;
}

}  // namespace nestgate::runtime
