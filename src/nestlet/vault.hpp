#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/base/secret.hpp"
#include "nestlet/json.hpp"

namespace nestgate::nestlet {

// What a gateway configures: settings, git providers, secrets (nested_server.md 3.2 and 6). In memory only; values never
// come out again but by secret_value() and command_environment().
class Vault {
 public:
  struct NotReady {
    std::string_view message;
    std::string_view id;
  };
  // Why the older server would not start a conversation: no settings, or no key for the model.
  std::optional<NotReady> why_not_ready() const;

  // Unknown keys are ignored, null secrets keep what is stored. 422 for a wrong type, and then nothing is stored.
  Checked<> store_settings(JsonObject const& body);
  // Nothing was stored yet: none.
  std::optional<std::string> settings_json() const;

  // The map is replaced as a whole; an empty token keeps the stored one.
  Checked<> set_providers(JsonObject const& tokens);
  void clear_providers() { providers_.clear(); }

  struct CustomSecret {
    Secret value;
    std::string description;
  };
  using Secrets = std::map<std::string, CustomSecret, std::less<>>;
  Secrets const& secrets() const noexcept { return secrets_; }
  void put_secret(std::string name, Secret value, std::string description);
  enum class Done : bool { no, yes };
  Done describe_secret(std::string_view name, std::string description);
  Done remove_secret(std::string_view name);
  std::string_view secret_value(std::string_view name) const;  // "": there is none

  // GITHUB_TOKEN=... and the custom secrets, upper-cased; a secret hides a provider's token of the same name. Names that
  // are none for an environment are left out.
  std::vector<std::string> command_environment() const;

 private:
  struct Provider {
    Secret token;
    std::string user_id;
    std::string host;
  };
  bool has_settings_ = false;
  JsonObject settings_;
  std::map<std::string, Secret, std::less<>> setting_secrets_;
  std::map<std::string, Provider, std::less<>> providers_;
  Secrets secrets_;
};

}  // namespace nestgate::nestlet
