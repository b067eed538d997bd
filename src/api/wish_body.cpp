#include "wish_body.hpp"

#include <algorithm>

#include "body_values.hpp"
#include "nestgate/base/result.hpp"
#include "nestgate/base/text.hpp"

namespace nestgate::api {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t name_bytes_max = 128;
constexpr std::size_t image_bytes_max = 512;
constexpr std::size_t words_max = 256;
constexpr std::size_t path_bytes_max = 4096;
constexpr std::size_t variables_max = 256;

// What servers read their session key from (agent_server.md 3.2).
bool is_ours(std::string_view variable) {
  return variable == "SESSION_API_KEY" || variable.starts_with("OH_SESSION_API_KEYS") || variable == "OH_SECRET_KEY";
}

Checked<std::vector<std::string>> command_of(dom::element value) {
  NESTGATE_TRY(words, array_of(value, "command", words_max));
  std::vector<std::string> out;
  for (auto const word : words) {
    NESTGATE_TRY(text, text_of(word, "command"));
    if (text.find('\0') != text.npos) return Invalid("string_pattern_mismatch", "command", "must not have NUL bytes");
    out.push_back(std::move(text));
  }
  if (out.empty() || out.front().empty()) return Invalid("too_short", "command", "must begin with a program");
  return out;
}

Checked<std::string> working_dir_of(dom::element value) {
  NESTGATE_TRY(path, line_of(value, "working_dir", path_bytes_max));
  if (!path.starts_with('/')) return Invalid("string_pattern_mismatch", "working_dir", "must be an absolute path");
  return std::move(path);
}

Checked<std::vector<std::pair<std::string, Secret>>> environment_of(dom::element value) {
  NESTGATE_TRY(members, object_of(value, "environment"));
  if (members.size() > variables_max)
    return Invalid("too_long", "environment", "must not have more than " + std::to_string(variables_max) + " entries");
  std::vector<std::pair<std::string, Secret>> out;
  for (auto const [name, member] : members) {
    if (!is_variable_name(name) || name.size() > name_bytes_max)
      return Invalid("string_pattern_mismatch", "environment",
                     "a name must be 1 to " + std::to_string(name_bytes_max) + " of A-Za-z0-9_ and not begin with a digit");
    if (is_ours(name)) continue;
    std::string const at = "environment." + std::string(name);
    NESTGATE_TRY(text, text_of(member, at));
    if (text.find('\0') != text.npos) return Invalid("string_pattern_mismatch", at, "must not have NUL bytes");
    out.emplace_back(name, Secret(std::move(text)));
  }
  return out;
}

Checked<std::uint32_t> resource_factor_of(dom::element value) {
  std::int64_t factor = 0;
  bool const allowed = !value.get_int64().get(factor) && (factor == 1 || factor == 2 || factor == 4 || factor == 8);
  if (!allowed) return Invalid("enum", "resource_factor", "must be 1, 2, 4 or 8");
  return static_cast<std::uint32_t>(factor);
}

}  // namespace

// The same for what the client asks of the runtime.
Checked<bool> take_wish(runtime::Wish& into, std::string_view key, dom::element value) {
  if (key == "image") {
    NESTGATE_TRY(image, line_of(value, "image", image_bytes_max));
    into.image = std::move(image);
  } else if (key == "command") {
    NESTGATE_TRY(command, command_of(value));
    into.command = std::move(command);
  } else if (key == "working_dir") {
    NESTGATE_TRY(path, working_dir_of(value));
    into.working_dir = std::move(path);
  } else if (key == "environment") {
    NESTGATE_TRY(environment, environment_of(value));
    into.environment = std::move(environment);
  } else if (key == "resource_factor") {
    NESTGATE_TRY(factor, resource_factor_of(value));
    into.resource_factor = factor;
  } else {
    return false;
  }
  return true;
}

}  // namespace nestgate::api
