#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "answers.hpp"
#include "nestgate/conversation/directory.hpp"
#include "nestgate/http/head.hpp"
#include "nestgate/http/route.hpp"
#include "nestgate/proxy/config.hpp"
#include "nestgate/proxy/own_routes.hpp"
#include "nestgate/proxy/stats.hpp"

namespace nestgate::proxy {

// Which runtime a Socket.IO session id belongs to (nested_server.md 3.4, proxy duty 2).
class SidTable {
 public:
  virtual ~SidTable() = default;
  virtual conversation::EntryPtr find_sid(std::string_view sid) const = 0;
};

// A session key longer than this is not found percent-encoded in a query.
inline constexpr std::size_t shown_key_bytes_max = 4096;

// Everything in a request's head that could be a credential, for the access log to leave out.
class ShownCredentials {
 public:
  explicit ShownCredentials(http::RequestHead const& head) noexcept;
  std::span<std::string_view const> texts() const noexcept { return {texts_.data(), count_}; }

 private:
  void add(std::string_view text) noexcept {
    if (!text.empty() && count_ < texts_.size()) texts_[count_++] = text;
  }
  std::array<std::string_view, 5> texts_;
  std::size_t count_ = 0;
};

// Why a runtime that does not run is not asked, for whom it is told. The texts are literals.
struct NotRunning {
  unsigned status;
  std::string_view code;
  std::string_view message;
};
NotRunning why_not_running(conversation::RuntimeRecord const& record) noexcept;

// What is to be done with a request, before a single body byte is read. Views point into the request's head, but for the
// key.
struct Decision {
  enum class Kind : std::uint8_t {
    forward,           // to `target` of `entry`
    own,               // one of the gateway's own routes
    probe,             // a health probe without credentials: the gateway answers for itself
    first_frame,       // accept the websocket; its first text frame names the key
    wake,              // a user's act for a conversation that sleeps; what `refuse` would say holds if it does not wake
    refuse,            // an HTTP answer (for a websocket too: before the upgrade, so that a client retries)
    refuse_websocket,  // accept and close with `close_code`: final for an SDK client
  };
  Kind kind = Kind::refuse;
  http::RouteKind route = http::RouteKind::none;
  conversation::EntryPtr entry;
  upstream::TargetPtr target;
  identity::Principal const* principal = nullptr;  // who the API key is; lives as long as the config's keys
  http::OwnRoute own = http::OwnRoute::none;
  std::string_view target_text;  // what goes upstream: the request's target, or what is behind `prefix`
  std::string_view prefix;
  std::string_view wanted_id;       // first_frame: the id the URL named, or empty
  std::string_view presented_key;   // the session key that opened the door, of `entry`; empty with an API key
  bool inject_key = true;           // the nested server gets the runtime's key; further ports do not
  bool drop_authorization = false;  // it carried the gateway's own API key
  bool drop_api_key = false;        // the same of X-API-Key
  bool act = false;                 // of a user who may (WakeRules)
  unsigned status = 0;              // refuse
  std::uint16_t close_code = 0;     // refuse_websocket
  Reject reject = Reject::not_found;
  std::string_view code;  // refuse: the error's code and sentence, literals
  std::string_view message;
  std::string_view fields;  // refuse: further fields of the answer, whole lines
  RuntimeInAnswer runtime;  // refuse: of `entry`, which does not run
};

// The rules in their order (ARCHITECTURE.md "Routing"), pure but for what the directory knows. A known and an unknown id
// get the same answer unless a credential opens the known one.
Decision decide(http::RequestHead const& head, Config const& config, conversation::Directory const& directory,
                SidTable const& sids, OwnRoutes const& own_routes);

// A websocket's first frame named `key`: where it goes. `wanted_id` as in Decision.
Decision decide_first_frame(std::string_view key, std::string_view wanted_id, conversation::Directory const& directory);
// A decision to refuse becomes one to wake where it is an act and the runtime wakes.
void take_for_act(Decision& decision);

}  // namespace nestgate::proxy
