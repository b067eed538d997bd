#pragma once

#include <vector>

#include "nestgate/app/settings.hpp"

// What a reload does to the static runtimes. Pure; settings may have tens of thousands of them.
namespace nestgate::app {

// Pointers into the two lists.
struct StaticChanges {
  std::vector<StaticRuntimeSettings const*> removed;
  std::vector<StaticRuntimeSettings const*> put;  // new, or with another URL, key or ports; in their order
};
StaticChanges static_changes(std::vector<StaticRuntimeSettings> const& running,
                             std::vector<StaticRuntimeSettings> const& next);

}  // namespace nestgate::app
