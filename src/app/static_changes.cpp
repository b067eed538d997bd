#include "app/static_changes.hpp"

#include <string_view>
#include <unordered_map>

namespace nestgate::app {
namespace {

using ById = std::unordered_map<std::string_view, StaticRuntimeSettings const*>;

ById by_id(std::vector<StaticRuntimeSettings> const& all) {
  ById out;
  out.reserve(all.size());
  for (auto const& fixed : all) out.emplace(fixed.id, &fixed);
  return out;
}

bool same(StaticRuntimeSettings const& a, StaticRuntimeSettings const& b) {
  return a.url == b.url && a.ports == b.ports && a.session_api_key == b.session_api_key;
}

}  // namespace

StaticChanges static_changes(std::vector<StaticRuntimeSettings> const& running,
                             std::vector<StaticRuntimeSettings> const& next) {
  auto const before = by_id(running);
  auto const after = by_id(next);
  StaticChanges out;
  for (auto const& old : running)
    if (!after.contains(old.id)) out.removed.push_back(&old);
  for (auto const& fixed : next) {
    auto const known = before.find(fixed.id);
    if (known == before.end() || !same(*known->second, fixed)) out.put.push_back(&fixed);
  }
  return out;
}

}  // namespace nestgate::app
