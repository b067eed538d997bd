#pragma once

#include <memory>

#include "nestgate/proxy/proxy_core.hpp"

namespace nestgate::proxy {

// One client connection, from accept to close, or until a websocket takes it over. Lives on its core; ended by the peer,
// by its deadlines, or by the drain.
Task<> serve_client(ProxyCore& proxy, TcpSocket client);
Task<> serve_client(ProxyCore& proxy, UnixSocket client);
// `tls` is kept until the connection ends, so that a reload drops nobody.
Task<> serve_client(ProxyCore& proxy, TcpSocket client, std::shared_ptr<TlsServer const> tls);

}  // namespace nestgate::proxy
