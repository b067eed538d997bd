#include <algorithm>

#include "nestgate/runtime/factory.hpp"
#include "nestgate/upstream/http_client.hpp"

namespace nestgate::runtime {

RemoteSettings RemoteSettings::clone() const {
  RemoteSettings out;
  out.url = url;
  out.api_key_file = api_key_file;
  out.api_key = api_key.clone();
  out.image = image;
  out.command = command;
  out.working_dir = working_dir;
  out.environment = environment;
  out.resource_factor = resource_factor;
  out.runtime_class = runtime_class;
  out.run_as_user = run_as_user;
  out.run_as_group = run_as_group;
  out.fs_group = fs_group;
  out.image_pull_policy = image_pull_policy;
  out.nested_tls = nested_tls;
  out.call_time_max = call_time_max;
  out.ready_pause = ready_pause;
  out.list_pause = list_pause;
  out.rate_limit_tries_max = rate_limit_tries_max;
  out.rate_limit_pause_min = rate_limit_pause_min;
  out.rate_limit_pause_max = rate_limit_pause_max;
  return out;
}

std::optional<SettingProblem> problem_with(RemoteSettings const& settings) {
  if (!upstream::parse_url(settings.url))
    return SettingProblem{"runtime.remote.url", "must be an http:// or https:// URL without query"};
  if (settings.api_key.empty()) return SettingProblem{"runtime.remote.api_key_file", "there is no key of the API"};
  auto const key = settings.api_key.reveal();
  if (!std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c <= '~'; }))
    return SettingProblem{"runtime.remote.api_key_file", "the key has bytes that no header field can carry"};
  if (auto const f = settings.resource_factor; f != 1 && f != 2 && f != 4 && f != 8)
    return SettingProblem{"runtime.remote.resource_factor", "must be 1, 2, 4 or 8"};
  return std::nullopt;
}

}  // namespace nestgate::runtime
