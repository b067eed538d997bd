#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nestgate/base/secret.hpp"

namespace nestgate::nested {

// Which configuration routes a nested server has (src/nested/README.md).
enum class Dialect : std::uint8_t { unknown, older, agent_server };

struct GitToken {
  std::string provider;  // "github", "gitlab", …
  Secret token;
  std::string user_id;  // empty: null
  std::string host;     // empty: null
};

struct CustomSecret {
  std::string name;
  Secret value;
  std::string description;
};

// What a nested server is told before it takes traffic (nested_server.md 1.4 and 6).
struct Configuration {
  Secret settings_json;  // an object, as the client sent it: it holds keys of models; empty: none
  std::vector<GitToken> git_tokens;
  std::vector<CustomSecret> secrets;
  // What `POST /api/conversations` is told beside the id, as an object (initial_user_msg, image_urls, repository, …);
  // empty: an older server gets the bare call, an agent server none.
  Secret conversation_json;

  bool empty() const noexcept {
    return settings_json.empty() && git_tokens.empty() && secrets.empty() && conversation_json.empty();
  }
  Configuration clone() const;
};

// One JSON object that holds all of it, for the store; parse_configuration reads it back: nothing for text that is none,
// and beyond these bounds.
inline constexpr std::size_t configuration_bytes_max = 64 * 1024 * 1024;
inline constexpr std::size_t configuration_entries_max = 10'000;  // of each list
Secret configuration_json(Configuration const& configuration);
std::optional<Configuration> parse_configuration(Secret const& json);

// What a dormant server is told (agent_server.md 3.4); empty members are left out.
struct Initialisation {
  Secret session_key;
  std::string conversations_path, bash_events_dir;
  std::string web_url;
  std::string webhook_base_url;  // gets the session key as its header
  std::vector<std::pair<std::string, std::string>> environment;
};

// What a nested server says of itself.
struct Status {
  std::string conversation;  // "RUNNING", "STOPPED" (older), "idle", "running", "paused", "finished", "error" (agent server)
  std::string runtime;       // "STATUS$READY"; older servers only
  std::optional<std::chrono::seconds> idle_for;
};

}  // namespace nestgate::nested
