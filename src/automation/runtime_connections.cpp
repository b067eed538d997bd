#include "runtime_connections.hpp"

namespace nestgate::automation {

std::shared_ptr<upstream::KeptConnections> RuntimeConnections::to(Life const& life, upstream::Place const& place) {
  if (kept_.empty()) tasks_.spawn("automation.connections", close_idle());
  auto& kept = kept_[{life, place.at}];
  if (!kept) kept = std::make_shared<upstream::KeptConnections>(count_max_, idle_max_);
  return kept;
}

// Ends with the last of them, and is begun with the first.
Task<> RuntimeConnections::close_idle() {
  do {
    auto const waited = co_await pause_for(idle_max_);
    if (!waited) break;
    std::erase_if(kept_, [](auto const& one) {
      one.second->close_idle();
      bool const is_used = one.second.use_count() > 1;
      return !is_used && one.second->empty();
    });
  } while (!kept_.empty());
  kept_.clear();
}

}  // namespace nestgate::automation
