#include "session.hpp"
#include "session_forward.hpp"
#include "session_own.hpp"
#include "session_request.hpp"
#include "session_wake.hpp"
#include "session_websocket.hpp"
#include "tunnel_impl.hpp"

namespace nestgate::proxy {

Task<> serve_client(ProxyCore& proxy, TcpSocket client, std::shared_ptr<TlsServer const> tls) {
  error_code ec;
  client.set_option(asio::ip::tcp::no_delay(true), ec);
  auto const peer = client.remote_endpoint(ec);
  if (ec) co_return;
  Session<TlsStream> session(proxy, TlsStream(std::move(client), tls->entry_context()), peer.address().to_string(), "https");
  co_await session.run();
}

}  // namespace nestgate::proxy
