#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/base/secret.hpp"
#include "nestgate/runtime/provider.hpp"
#include "nestgate/runtime/remote_settings.hpp"

// What a remote runtime API says and is told, as owned values. Pure.
namespace nestgate::runtime::remote {

// A runtime as the API shows it; answers to a start lack the states.
struct Session {
  std::string runtime_id;
  std::string session_id;  // "": not said
  std::string url;
  std::string status;      // "running"
  std::string pod_status;  // lower case: "ready"
  Secret session_key;      // empty: not said
  std::vector<std::pair<std::string, std::uint16_t>> work_hosts;
  std::uint64_t restarts = 0;
  std::vector<std::string> restart_reasons;
  std::optional<std::string> pod_log;
};
// Nothing for what names no runtime.
std::optional<Session> parse_session(std::string_view answer);
// Of {"runtimes": [..]} and of a bare list; entries that name no runtime are left out. Nothing when it is no list.
std::optional<std::vector<Session>> parse_sessions(std::string_view answer);
// Empty: the answer has none.
Secret parse_session_key(std::string_view answer);
std::optional<std::string> parse_registry_prefix(std::string_view answer);
std::optional<bool> parse_image_exists(std::string_view answer);
// The API's own words in a refusal, whole; "" when there are none.
std::string message_in(std::string_view answer);

enum class Readiness : std::uint8_t { ready, not_yet, failed };
// By pod_status; by status where there is none.
Readiness readiness_of(Session const& session);
Presence presence_of(Session const& session);
// By its status alone: whether the API says that it runs, or is about to.
bool is_up(Session const& session);
// "running, crashloopbackoff, restarted 3 times: OOMKilled"
std::string state_text(Session const& session);

// What POST /start is told. `image` as the API knows it; empty: none is named.
Secret start_body(RemoteSettings const& settings, Spec const& spec, std::string_view image);
std::string runtime_body(std::string_view runtime_id);

}  // namespace nestgate::runtime::remote
