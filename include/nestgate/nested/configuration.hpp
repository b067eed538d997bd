#pragma once

#include <cstdint>
#include <string>
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

  bool empty() const noexcept { return settings_json.empty() && git_tokens.empty() && secrets.empty(); }
};

}  // namespace nestgate::nested
