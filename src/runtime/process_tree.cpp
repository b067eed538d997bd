#include "process_tree.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace nestgate::runtime {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t processes_max = 4096;

struct Figures {
  long long ticks = 0;  // of the clock that /proc counts in, its ended children's too
  std::uint64_t pages = 0;
};

// All zero for a process that is no more.
Figures figures_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat", std::ios::binary);
  // The name may hold anything; 11 fields lie between it and the times, 6 between those and the pages.
  std::string text{std::istreambuf_iterator<char>(file), {}};
  std::istringstream rest(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  std::string skipped;
  for (int i = 0; i < 11; ++i) rest >> skipped;
  Figures out;
  for (int i = 0; i < 4; ++i) {
    long long ticks = 0;
    if (rest >> ticks) out.ticks += ticks;
  }
  for (int i = 0; i < 6; ++i) rest >> skipped;
  rest >> out.pages;
  return out;
}

void add_children(pid_t pid, std::vector<pid_t>& out) {
  std::error_code ec;
  for (fs::directory_iterator thread("/proc/" + std::to_string(pid) + "/task", ec), end; !ec && thread != end;
       thread.increment(ec)) {
    std::ifstream children(thread->path() / "children");
    for (pid_t child = 0; out.size() < processes_max && children >> child;) out.push_back(child);
  }
}

}  // namespace

Usage usage_below(std::vector<pid_t> const& roots) {
  auto all = roots;
  for (std::size_t i = 0; i < all.size(); ++i) add_children(all[i], all);
  if (all.size() == roots.size()) return {};
  Figures sum;
  for (std::size_t i = 0; i < all.size(); ++i) {
    auto const one = figures_of(all[i]);
    sum.ticks += one.ticks;  // a root has waited for what lost its parent
    if (i >= roots.size()) sum.pages += one.pages;
  }
  static auto const page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  static long long const ticks_per_second = ::sysconf(_SC_CLK_TCK);
  Usage out;
  out.memory_bytes = sum.pages * page_bytes;
  out.cpu_time = std::chrono::microseconds(sum.ticks * 1'000'000 / ticks_per_second);
  return out;
}

}  // namespace nestgate::runtime
