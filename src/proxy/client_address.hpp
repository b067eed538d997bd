#pragma once

#include <string_view>

#include "nestgate/http/head.hpp"
#include "nestgate/proxy/config.hpp"

namespace nestgate::proxy {

// Whether the peer's forwarding fields are believed (setting `routing.trusted_proxies`).
bool is_trusted_proxy(Config const& config, std::string_view address);

// Who a trusted proxy says that it speaks for: the nearest address of X-Forwarded-For that is no trusted proxy's, or the
// farthest where all are. Without port and brackets; empty where none is given.
std::string_view forwarded_client(Config const& config, http::RequestHead const& head);

}  // namespace nestgate::proxy
