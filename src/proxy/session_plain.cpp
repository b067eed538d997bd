#include "session.hpp"
#include "session_forward.hpp"
#include "session_own.hpp"
#include "session_request.hpp"
#include "session_wake.hpp"
#include "session_websocket.hpp"
#include "tunnel_impl.hpp"

namespace nestgate::proxy {

Task<> serve_client(ProxyCore& proxy, TcpSocket client) {
  error_code ec;
  client.native_non_blocking(true, ec);
  client.set_option(asio::ip::tcp::no_delay(true), ec);
  auto const peer = client.remote_endpoint(ec);
  if (ec) co_return;  // gone before it was looked at
  Session<TcpSocket> session(proxy, std::move(client), peer.address().to_string(), "http");
  co_await session.run();
}

Task<> serve_client(ProxyCore& proxy, UnixSocket client) {
  error_code ec;
  client.native_non_blocking(true, ec);
  Session<UnixSocket> session(proxy, std::move(client), "127.0.0.1", "http");  // only this machine gets here
  co_await session.run();
}

}  // namespace nestgate::proxy
