#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace nestgate::runtime {

// The four that a runtime needs, as bits.
enum class Controller : std::uint8_t { memory = 1, cpu = 2, pids = 4, freezer = 8 };

class Controllers {
 public:
  constexpr Controllers() = default;
  constexpr Controllers(std::initializer_list<Controller> all) noexcept {
    for (auto const c : all) add(c);
  }
  constexpr bool has(Controller c) const noexcept { return (bits_ & static_cast<unsigned>(c)) != 0; }
  constexpr void add(Controller c) noexcept { bits_ |= static_cast<unsigned>(c); }
  constexpr void add(Controllers others) noexcept { bits_ |= others.bits_; }
  constexpr void remove(Controllers others) noexcept { bits_ &= ~others.bits_; }
  constexpr Controllers and_also(Controllers others) const noexcept {
    Controllers out;
    out.bits_ = bits_ & others.bits_;
    return out;
  }
  constexpr bool empty() const noexcept { return bits_ == 0; }
  friend constexpr bool operator==(Controllers, Controllers) = default;

 private:
  unsigned bits_ = 0;
};

// One mounted hierarchy of control groups, as this process sees it.
struct Hierarchy {
  enum class Version : std::uint8_t { v1, v2 } version;
  std::filesystem::path own;  // the folder of the group that this process is in
  Controllers controllers;    // v1: those it carries. v2: the freezer, which each group has; the rest is in its files
};

// The controllers that a list of names holds; `separator` is ',' in mounts and ' ' in a group's own files.
Controllers parse_controllers(std::string_view names, char separator);

// The hierarchies that a runtime can be held in, from the texts of /proc/self/mountinfo and /proc/self/cgroup: version 1
// first. One whose own folder lies outside of what is mounted is left out. Pure.
std::vector<Hierarchy> parse_hierarchies(std::string_view mountinfo, std::string_view cgroup);

}  // namespace nestgate::runtime
