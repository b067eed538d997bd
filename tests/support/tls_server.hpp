#pragma once

// A nested server over TLS whose every connection is in the hands of the test.

#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/tls.hpp"

namespace nestgate::test {

// The server's end of one connection.
class TlsPeer : public TlsEnd {
 public:
  TlsPeer(Connection& connection, SSL_CTX* context) : TlsEnd(connection.fd(), context), connection_(connection) {}
  bool accept() { return SSL_accept(ssl_.get()) == 1; }
  std::string server_name() const {
    char const* const name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
    return name ? name : "";
  }
  std::string alpn() const {
    unsigned char const* chosen = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_.get(), &chosen, &length);
    return length == 0 ? std::string() : std::string(reinterpret_cast<char const*>(chosen), length);
  }
  // What follows at least a byte, or nothing at the end.
  std::string read_some() {
    std::string out(16 * 1024, '\0');
    std::size_t got = 0;
    if (SSL_read_ex(ssl_.get(), out.data(), out.size(), &got) != 1) got = 0;
    out.resize(got);
    return out;
  }
  // Without the announcement that TLS wants.
  void cut() { connection_.end_sending(); }

 private:
  Connection& connection_;
};

class TlsServerOnLoopback {
 public:
  using Handle = std::function<void(TlsPeer&)>;
  TlsServerOnLoopback(TlsCertificate const& certificate, Handle handle)
      : context_(SSL_CTX_new(TLS_server_method())), handle_(std::move(handle)) {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes as it likes
    SSL_CTX_use_certificate_chain_file(context_.get(), certificate.cert_file.c_str());
    SSL_CTX_use_PrivateKey_file(context_.get(), certificate.key_file.c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_set_alpn_select_cb(context_.get(), take_first, nullptr);
    server_.emplace([this](Connection& connection) { serve(connection); });
  }
  std::uint16_t port() const { return server_->port(); }
  std::size_t accepted() const { return server_->accepted(); }
  std::size_t handshakes() const { return handshakes_; }
  void stop() { server_->stop(); }

 private:
  static int take_first(SSL*, unsigned char const** out, unsigned char* length, unsigned char const* offered, unsigned,
                        void*) {
    *length = offered[0];
    *out = offered + 1;
    return SSL_TLSEXT_ERR_OK;
  }
  void serve(Connection& connection) {
    TlsPeer peer(connection, context_.get());
    if (!peer.accept()) return;
    ++handshakes_;
    handle_(peer);
  }

  std::unique_ptr<SSL_CTX, detail::Freed<SSL_CTX_free>> context_;
  Handle handle_;
  std::atomic<std::size_t> handshakes_{0};
  std::optional<Server> server_;  // last: its threads use the rest
};

// What vouches for a certificate of `make_certificate`.
inline std::shared_ptr<ClientTls const> trusting(TlsCertificate const& certificate) {
  std::string problem;
  auto trusted = ClientTls::load({certificate.cert_file, {}, {}}, problem);
  if (!trusted) throw std::runtime_error(problem);
  return trusted;
}

}  // namespace nestgate::test
