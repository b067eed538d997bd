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

// What a proxy core works by. Replaced as a whole on reload; a request reads it where it needs it and keeps no reference
// over an await.
struct Config {
  Limits limits;
  Timeouts timeouts;
  http::RouteRules rules;
  std::optional<ConversationId> fallback;  // setting `routing.default`
  // Peers whose X-Forwarded-* are believed; anybody else's are replaced.
  std::vector<boost::asio::ip::network_v4> trusted_proxies_v4;
  std::vector<boost::asio::ip::network_v6> trusted_proxies_v6;
  std::string public_url;  // origin in the gateway's own answers; empty: as the client wrote it
  std::shared_ptr<identity::ApiKeys const> api_keys;
  AccessLog access_log = AccessLog::on;
};

}  // namespace nestgate::proxy
