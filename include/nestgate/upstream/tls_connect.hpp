#pragma once

#include <memory>
#include <string>

#include "nestgate/net/stream_io.hpp"
#include "nestgate/net/tls.hpp"

namespace nestgate::upstream {

// Made once, on any core: loading the system's certificates takes milliseconds.
std::shared_ptr<ClientTls const> const& systems_authorities();

// Over a connected socket: asks for HTTP/1.1 from `host_name`, a name or an address, which the server's certificate has to
// be for. Nothing was sent yet.
TlsStream tls_client(TcpSocket socket, ClientTls const& trusted, std::string const& host_name);

// Why a handshake of such a stream failed, in a few words: for a certificate that was refused, what is wrong with it.
std::string why_refused(TlsStream& stream, error_code handshake);

}  // namespace nestgate::upstream
