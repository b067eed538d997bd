#include "run_request.hpp"

#include <array>

#include "nestgate/automation/command_text.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/upstream/http_client.hpp"
#include "nestgate/upstream/public_address.hpp"

namespace nestgate::automation {
namespace {

// The kernel refuses an exec with a variable of 128 KiB (MAX_ARG_STRLEN), name and end included.
constexpr std::size_t variable_bytes_max = 128 * 1024 - 1;
constexpr std::size_t environment_bytes_max = 512 * 1024;

bool is_reserved(std::string_view name) {
  constexpr std::array<std::string_view, 6> names = {"SANDBOX_ID", "SESSION_API_KEY", "WORKSPACE_BASE", "HOME", "PATH",
                                                     "ENV"};
  if (name.starts_with("AUTOMATION_") || name.starts_with("AGENT_SERVER_")) return true;
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::optional<std::string> why_bad_environment(RunRequest const& request) {
  std::size_t total = 0;
  for (auto const& [name, value] : request.environment) {
    if (!is_variable_name(name)) return "env: a name must match [A-Za-z_][A-Za-z0-9_]*";
    if (is_reserved(name)) return "env." + name + ": is set by the gateway";
    if (name.size() + value.size() + 2 > variable_bytes_max)
      return "env." + name + ": must not exceed " + std::to_string(variable_bytes_max) + " bytes with its name";
    if (value.reveal().find('\0') != std::string_view::npos) return "env." + name + ": must not contain NUL";
    total += name.size() + value.size() + 2;
  }
  if (total > environment_bytes_max)
    return "env: must not exceed " + std::to_string(environment_bytes_max) + " bytes in all";
  return std::nullopt;
}

std::optional<std::string> why_bad_callback(RunRequest const& request, PrivateCallbacks private_callbacks) {
  if (request.callback_url.empty()) return std::nullopt;
  auto const url = upstream::parse_url(request.callback_url);
  if (!url) return "callback_url: must be an absolute http or https URL without user info and fragment";
  error_code not_numeric;
  auto const address = asio::ip::make_address(url->host, not_numeric);
  // Names are looked at when they are resolved, at each delivery.
  if (private_callbacks == PrivateCallbacks::refuse && !not_numeric && !upstream::is_public(address))
    return "callback_url: its address is not a public one (automation.allow_private_callbacks)";
  return std::nullopt;
}

std::optional<std::string> why_bad_time(RunRequest const& request, Settings const& settings) {
  if (!request.time_max_s) return std::nullopt;
  auto const max = settings.run_time_max.count();
  if (*request.time_max_s <= 0) return "timeout must be a positive number";
  if (*request.time_max_s > max)
    return "timeout must not exceed " + std::to_string(max) + " seconds (" + std::to_string(max / 60) + " minutes)";
  return std::nullopt;
}

std::optional<std::string> why_bad_input(RunRequest const& request, Settings const& settings) {
  if (!request.conversation) return "conversation_id: is missing, or not 1 to 128 of A-Za-z0-9._-";
  if (request.tarball.empty()) return "tarball: is missing or empty";
  if (!request.tarball.starts_with("\x1f\x8b")) return "tarball: must be a gzipped tar";
  if (auto why = why_not_a_command("entrypoint", request.entrypoint)) return why;
  if (!request.setup_script.empty())
    if (auto why = why_not_a_command("setup_script", request.setup_script)) return why;
  if (auto why = why_bad_time(request, settings)) return why;
  if (auto why = why_bad_callback(request, settings.private_callbacks)) return why;
  return why_bad_environment(request);
}

}  // namespace

std::optional<Failure> why_refused(RunRequest const& request, Settings const& settings) {
  if (request.tarball.size() > settings.tarball_bytes_max)
    return upstream::fail(FaultKind::too_large, "automation.submit",
                          "tarball: must not exceed " + std::to_string(settings.tarball_bytes_max) + " bytes");
  if (auto why = why_bad_input(request, settings))
    return upstream::fail(FaultKind::bad_input, "automation.submit", std::move(*why));
  return std::nullopt;
}

}  // namespace nestgate::automation
