#pragma once

#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nestgate/base/conversation_id.hpp"
#include "nestgate/base/limits.hpp"
#include "nestgate/http/route.hpp"
#include "nestgate/identity/api_key.hpp"

namespace nestgate::proxy {

enum class AccessLog : bool { off, on };

// Which requests are a user's act: an act counts as use of its conversation, and wakes one that sleeps. Reads (GET, HEAD,
// OPTIONS) are none, nor are health probes, Socket.IO's polling and its pongs, and websockets that come back by themselves.
// Paths are as the nested server sees them, decoded once; a prefix ends where a segment does.
struct WakeRules {
  bool requests = true;    // whatever does not only read
  bool websockets = true;  // an upgrade that does not look like a reconnect
  // A browser sends Origin with each upgrade. A program that does not comes back by itself after each close, with nothing
  // in its URL that would say so (agent_server.md 2.8): its calls wake, not its websocket.
  bool websockets_without_origin = false;
  std::vector<std::string> never = {"/api/v1/webhooks"};  // prefixes of paths that are no act, whatever the rest says
  std::vector<std::string> always;                        // that are one, but for health probes
};

// What a proxy core works by. Replaced as a whole on reload; a request reads it where it needs it and keeps no reference
// over an await.
struct Config {
  Limits limits;
  Timeouts timeouts;
  http::RouteRules rules;
  WakeRules wake;
  std::optional<ConversationId> fallback;  // setting `routing.default`
  // Peers whose X-Forwarded-* are believed; anybody else's are replaced.
  std::vector<boost::asio::ip::network_v4> trusted_proxies_v4;
  std::vector<boost::asio::ip::network_v6> trusted_proxies_v6;
  std::string public_url;  // origin in the gateway's own answers; empty: as the client wrote it
  std::shared_ptr<identity::ApiKeys const> api_keys;
  // What stands before "/api/automation" in the automation API's public URL ("/acme"); it answers there and without.
  std::string automation_mount;
  AccessLog access_log = AccessLog::on;
};

}  // namespace nestgate::proxy
