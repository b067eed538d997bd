#include "launch_plan.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <map>
#include <system_error>

#include "nestgate/base/text.hpp"

namespace nestgate::runtime {
namespace {

namespace fs = std::filesystem;
using upstream::fail;

constexpr std::array<std::string_view, 3> own_names = {"SESSION_API_KEY", "OH_SESSION_API_KEYS_0", "OH_DEFERRED_INIT"};

bool is_own(std::string_view name) { return std::find(own_names.begin(), own_names.end(), name) != own_names.end(); }

Secret variable(std::string_view name, std::string_view value) {
  std::string text;
  text.reserve(name.size() + 1 + value.size());  // so that no part of it is left behind by growing
  text.append(name).append("=").append(value);
  return Secret(std::move(text));
}

// Taken in place of what the settings say, but for the key that seals the server's own files, which has to stay the same.
std::vector<Secret> take_keys(Spec const& spec, std::map<std::string, std::string>& plain) {
  std::vector<Secret> out;
  auto const key = spec.session_key.reveal();
  if (key.empty()) return out;
  bool const is_dormant = spec.wakefulness == Spec::Wakefulness::dormant;
  std::string const name = is_dormant ? "OH_SESSION_API_KEYS_0" : "SESSION_API_KEY";
  plain.erase(name);
  out.push_back(variable(name, key));
  if (is_dormant && !plain.contains("OH_SECRET_KEY")) out.push_back(variable("OH_SECRET_KEY", key));
  return out;
}

bool is_within(fs::path const& path, fs::path const& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

}  // namespace

Outcome<Variables> plan_variables(ProcessSettings const& settings, Spec const& spec, std::string const& search_path,
                                  std::string const& home) {
  std::map<std::string, std::string> plain = {
      {"PATH", search_path}, {"HOME", home}, {"LANG", "C.UTF-8"}, {"LOG_JSON", "true"}};
  for (auto const& [name, value] : settings.environment) plain.insert_or_assign(name, value);
  Variables out;
  for (auto const& [name, value] : spec.wish.environment) {
    if (!is_variable_name(name) || value.reveal().find('\0') != std::string_view::npos)
      return fail(FaultKind::bad_input, "runtime.create", "create: environment: a variable's name or value is malformed");
    if (is_own(name)) continue;  // clients send these along, and the server shall have one key
    plain.erase(name);
    out.wished.push_back(variable(name, value.reveal()));
  }
  if (spec.wakefulness == Spec::Wakefulness::dormant) plain.insert_or_assign("OH_DEFERRED_INIT", "true");
  out.keys = take_keys(spec, plain);
  for (auto const& [name, value] : plain) out.plain.push_back(name + "=" + value);
  return out;
}

std::optional<std::string_view> value_of(Variables const& variables, std::string_view name) {
  auto const value = [name](std::string_view variable) -> std::optional<std::string_view> {
    if (!variable.starts_with(name) || variable.substr(name.size(), 1) != "=") return std::nullopt;
    return variable.substr(name.size() + 1);
  };
  for (auto const& variable : variables.plain)
    if (auto const found = value(variable)) return found;
  for (auto const& variable : variables.wished)
    if (auto const found = value(variable.reveal())) return found;
  return std::nullopt;
}

fs::path place_below(fs::path const& workspace, std::string const& wished) {
  fs::path const path = fs::path(wished).lexically_normal();
  return is_within(path, workspace) ? path : (workspace / path.relative_path()).lexically_normal();
}

Outcome<fs::path> make_working_directory(fs::path const& workspace, std::string const& wished) {
  auto const refused = [&wished](std::string_view why) {
    return fail(FaultKind::bad_input, "runtime.create",
                "create: working directory: " + wished.substr(0, 200) + " " + std::string(why));
  };
  if (wished.find('\0') != wished.npos) return refused("is malformed");
  fs::path at = place_below(workspace, wished);
  std::error_code ec;
  fs::path const real_workspace = fs::canonical(workspace, ec);
  // Before anything is made: a link in the workspace may lead anywhere.
  if (ec || !is_within(at, workspace) || !is_within(fs::weakly_canonical(at, ec), real_workspace) || ec)
    return refused("is not in the workspace");
  fs::create_directories(at, ec);
  if (ec) return refused("cannot be made");
  return at;
}

std::vector<std::pair<int, std::uint64_t>> plan_limits(ResourceLimits const& limits, std::uint32_t factor,
                                                       std::optional<std::uint64_t> memory_bytes) {
  std::vector<std::pair<int, std::uint64_t>> out;
  auto const add = [&out](int resource, std::optional<std::uint64_t> value) {
    if (value) out.emplace_back(resource, *value);
  };
  auto const times = [factor](std::optional<std::uint64_t> value) {
    return value ? std::optional(*value * factor) : std::nullopt;
  };
  add(RLIMIT_AS, times(limits.address_space_bytes));
  add(RLIMIT_DATA, memory_bytes);
  add(RLIMIT_NOFILE, limits.open_files);
  add(RLIMIT_NPROC, limits.processes);
  add(RLIMIT_CPU, limits.cpu_seconds);
  add(RLIMIT_FSIZE, limits.file_bytes);
  return out;
}

}  // namespace nestgate::runtime
