#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nestgate/conversation/manager.hpp"

// Answers of the remote runtime API (nested_server.md 2.6, agent_server.md 6.1). Pure. `origin` and `domain` as in urls.hpp.
namespace nestgate::api {

// "running", "paused", "stopped", "starting", "error".
std::string_view runtime_status(conversation::RuntimeState state) noexcept;
// "ready", "pending", "not found", "failed".
std::string_view pod_status(conversation::RuntimeState state) noexcept;

// `pod_log`: the newest of what a failed runtime said; empty: none.
std::string runtime_json(conversation::View const& view, std::string_view origin, std::string_view domain,
                         std::string_view pod_log = {});
// An array; with a `name` an object that has it as its only member.
std::string runtimes_json(std::string_view name, std::vector<conversation::View> const& views, std::string_view origin,
                          std::string_view domain);
// Of GET /runtime/{runtime_id}.
std::string readiness_json(conversation::View const& view);

std::string registry_prefix_json(std::string_view prefix);
// Clients compute with the size and print the time, so both are there; nobody here knows them.
std::string image_json(bool exists);

}  // namespace nestgate::api
