#pragma once

#include <optional>
#include <string>
#include <utility>

#include "nestgate/automation/run_store.hpp"
#include "nestgate/upstream/failure.hpp"

namespace nestgate::automation {

inline upstream::Failure unknown_run() { return upstream::fail(FaultKind::not_found, "automation.find", "Run not found"); }

// Changes a kept run; again with what is kept then when somebody else wrote first. Faults: not_found, and the store's.
template <class Change>
Task<upstream::Outcome<Run>> edit_run(RunStore& store, std::string id, Change change) {
  for (;;) {
    auto found = co_await store.find(id);
    if (!found) co_return upstream::failed("run", found.error());
    if (!*found) co_return unknown_run();
    Run run = std::move(**found);
    change(run);
    auto written = co_await store.replace(run);
    if (!written) co_return upstream::failed("run", written.error());
    if (!*written) continue;
    ++run.version;
    co_return std::move(run);
  }
}

inline Task<bool> is_cancelled() {
  auto const state = co_await asio::this_coro::cancellation_state;
  co_return state.cancelled() != asio::cancellation_type::none;
}

}  // namespace nestgate::automation
