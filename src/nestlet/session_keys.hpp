#pragma once

#include <boost/system/result.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/base/secret.hpp"

namespace nestgate::nestlet {

// The accepted session keys (agent_server.md 1.2). None at all: everything is open.
class SessionKeys {
 public:
  SessionKeys() = default;
  explicit SessionKeys(std::vector<Secret> keys) : keys_(std::move(keys)) {}

  bool open() const noexcept { return keys_.empty(); }
  // True for any accepted key, and for anything when open. Looks at every key, so that time tells nothing.
  bool accept(std::string_view key) const noexcept;
  // What the server shows of itself; "" when open.
  std::string_view first() const noexcept { return keys_.empty() ? std::string_view() : keys_.front().reveal(); }

 private:
  std::vector<Secret> keys_;
};

// OH_SESSION_API_KEYS_<number> and the JSON list in OH_SESSION_API_KEYS or, without those, SESSION_API_KEY. A variable named
// OH_SESSION_API_KEYS... that gives no key is a fault: whoever set it did not want an open server. The text says which.
struct KeyFault {
  std::string message;
};
boost::system::result<SessionKeys, KeyFault> keys_from(std::vector<std::string_view> const& environment);
std::vector<std::string_view> own_environment();
// One key a line. The file is removed: the keys shall not lie about where a command can read them.
boost::system::result<SessionKeys, KeyFault> keys_from_file(std::string const& path);

// Whether a variable of that name holds a key.
bool is_secret_name(std::string_view name);

// Removes the keys and OH_SECRET_KEY from this process's environment and overwrites the text where it stood, so that
// neither children nor /proc/PID/environ show them.
void scrub_environment();

}  // namespace nestgate::nestlet
