#pragma once

#include <boost/asio/ssl/context.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/base/result.hpp"

namespace nestgate {

// One certificate and the host names that it serves. An empty list takes the names in the certificate.
struct TlsCertificate {
  std::vector<std::string> names;   // "example.org", "*.example.org"; lower case
  std::filesystem::path cert_file;  // PEM chain, leaf first
  std::filesystem::path key_file;
};

enum class TlsVersionMin : std::uint8_t { tls_1_2, tls_1_3 };

// The server side of TLS 1.2 and 1.3: certificates by SNI (the first one when no name matches), ALPN http/1.1, session
// tickets. Immutable and shared by the cores: a reload makes a new one, and connections keep the one they began with.
class TlsServer {
 public:
  // What is wrong with a certificate or key is said in `problem`: file and reason.
  static std::shared_ptr<TlsServer const> load(std::vector<TlsCertificate> const& certificates, TlsVersionMin version_min,
                                               std::string& problem);

  // The context that a handshake starts with; it switches to the certificate that SNI asks for.
  boost::asio::ssl::context& entry_context() const noexcept { return *contexts_.front().context; }

 private:
  struct Named {
    std::vector<std::string> names;
    std::shared_ptr<boost::asio::ssl::context> context;
  };
  static int choose_certificate(SSL* ssl, int* alert, void* self) noexcept;

  std::vector<Named> contexts_;
};

// PEM files of a client of TLS. Empty: the system's authorities, no certificate of its own.
struct ClientTlsFiles {
  std::filesystem::path ca_file;
  std::filesystem::path cert_file;  // with its key, or neither
  std::filesystem::path key_file;
};

// The client side of TLS 1.2 and 1.3, which verifies the peer. Immutable, shared by the connections that it began.
class ClientTls {
 public:
  // What is wrong with a file is said in `problem`: file and reason.
  static std::shared_ptr<ClientTls const> load(ClientTlsFiles const& files, std::string& problem);

  boost::asio::ssl::context& context() const noexcept { return *context_; }

 private:
  std::unique_ptr<boost::asio::ssl::context> context_;
};

}  // namespace nestgate
