#include "nestgate/upstream/tls_connect.hpp"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "nestgate/base/invariant.hpp"

namespace nestgate::upstream {
namespace {

constexpr unsigned char http_1_1_alpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

}  // namespace

std::shared_ptr<ClientTls const> const& systems_authorities() {
  std::string ignored;
  static std::shared_ptr<ClientTls const> const made = ClientTls::load({}, ignored);
  return made;
}

TlsStream tls_client(TcpSocket socket, ClientTls const& trusted, std::string const& host_name) {
  TlsStream stream(std::move(socket), trusted.context());
  SSL* const ssl = stream.native_handle();
  NESTGATE_INVARIANT(SSL_set1_host(ssl, host_name.c_str()) == 1, "a URL's host can be compared with a certificate's names");
  error_code is_a_name;
  asio::ip::make_address(host_name, is_a_name);
  if (is_a_name) SSL_set_tlsext_host_name(ssl, host_name.c_str());  // an address may not stand there (RFC 6066 section 3)
  SSL_set_alpn_protos(ssl, http_1_1_alpn, sizeof http_1_1_alpn);
  // An idle connection gives its record buffers back.
  SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
  return stream;
}

std::string why_refused(TlsStream& stream, error_code handshake) {
  auto const verified = SSL_get_verify_result(stream.native_handle());
  return verified == X509_V_OK ? handshake.message() : X509_verify_cert_error_string(verified);
}

}  // namespace nestgate::upstream
