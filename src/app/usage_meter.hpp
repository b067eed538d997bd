#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "nestgate/conversation/manager.hpp"
#include "nestgate/nested/resources.hpp"

namespace nestgate::app {

// What runtimes use, as their provider sees it, else as their servers tell. CPU is what was used between two looks: whose
// last one is too long ago is looked at twice. On the control core; outlived by the manager.
class UsageMeter {
 public:
  using ById = std::unordered_map<std::string, nested::Resources>;  // by canonical id

  explicit UsageMeter(conversation::Manager& manager) : manager_(manager) {}

  // Of those that run or are paused. At most 64 are asked at once, a second each, 10 s for all: what is not known by then is
  // left out. `views` outlives the call.
  Task<ById> look(std::vector<conversation::View> const& views);

 private:
  struct Look {
    Epoch epoch{0};
    Clock::time_point at{};
    std::chrono::microseconds cpu_time{};
    std::optional<double> percent;
  };
  struct Round;
  Task<> ask(Round& round);
  Task<> ask_next_ones(Round& round);
  Task<> ask_one(conversation::View const& view, Round& round);
  std::optional<double> percent_of(conversation::View const& view, std::chrono::microseconds cpu_time);
  void forget_old_ones();

  conversation::Manager& manager_;
  std::unordered_map<std::string, Look> looks_;  // by canonical id
};

}  // namespace nestgate::app
