#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nestgate/base/conversation_id.hpp"
#include "nestgate/nested/configuration.hpp"
#include "nestgate/net/net.hpp"
#include "nestgate/upstream/failure.hpp"

namespace nestgate::conversation {

// `[credentials]`.
struct CredentialSettings {
  // By provider: a URL that answers 2xx to `Authorization: Bearer <token>` and 401 or 403 to a token that it does not
  // know ("https://api.github.com/user"). A provider that is not here is not checked.
  std::map<std::string, std::string> check_urls;
  // Gets `?provider=&sid=` and the session key as header, answers {"token": "…", "expires_at"?: RFC 3339}
  // (nested_server.md 2.4). "": nothing is refreshed.
  std::string refresh_url;
  std::chrono::milliseconds call_time_max{10'000};
  std::chrono::milliseconds refresh_before{600'000};  // so long before a token expires
  std::chrono::milliseconds lifetime{3'600'000};      // of a token whose end nobody told
};

struct RefreshedTokens {
  std::vector<nested::GitToken> tokens;
  std::optional<std::chrono::system_clock::time_point> next_at;  // when they are to be refreshed again; nothing: never
};

// Validates and refreshes the git providers' tokens. On the control core.
class Credentials {
 public:
  virtual ~Credentials() = default;
  // Faults: bad_input (a provider does not know its token; named), upstream, timed_out (it could not be asked).
  virtual Task<upstream::Outcome<>> check(std::vector<nested::GitToken> const& tokens, Deadline by) = 0;
  // New tokens for those of `held`; one that cannot be refreshed stays as it is. Faults: upstream, timed_out, when none
  // could be had.
  virtual Task<upstream::Outcome<RefreshedTokens>> refresh(ConversationId id, std::vector<nested::GitToken> const& held,
                                                           Secret const& session_key, Deadline by) = 0;
  // When tokens that were just given are first to be refreshed; nothing: never.
  virtual std::optional<std::chrono::system_clock::time_point> first_refresh_at(
      std::vector<nested::GitToken> const& tokens) const = 0;
};

std::unique_ptr<Credentials> make_credentials(CredentialSettings settings);

}  // namespace nestgate::conversation
