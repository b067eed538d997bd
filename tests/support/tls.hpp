#pragma once

// Certificates made on the spot, and a blocking TLS client whose every choice is the test's.

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/time.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/net/tls.hpp"
#include "support/loopback.hpp"

namespace nestgate::test {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    auto name = (std::filesystem::temp_directory_path() / "nestgate-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  TemporaryFolder(TemporaryFolder const&) = delete;
  TemporaryFolder& operator=(TemporaryFolder const&) = delete;
  ~TemporaryFolder() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
  }
  std::filesystem::path const& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

namespace detail {
template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Freed<X509_free>>;
using FilePtr = std::unique_ptr<std::FILE, Freed<std::fclose>>;
}  // namespace detail

// A self-signed certificate for `names` (the first one also as its common name) with its key, as PEM files in `folder`.
inline TlsCertificate make_certificate(std::filesystem::path const& folder, std::string const& file,
                                       std::vector<std::string> const& names) {
  detail::Key const key(EVP_EC_gen("P-256"));
  detail::X509Ptr const certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  static long serial = 1;
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3'600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86'400);
  X509_set_pubkey(certificate.get(), key.get());
  auto* const subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<unsigned char const*>(names.front().c_str()), -1,
                             -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  std::string all;
  for (auto const& name : names) all += (all.empty() ? "DNS:" : ",DNS:") + name;
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, all.c_str());
  X509_add_ext(certificate.get(), extension, -1);
  X509_EXTENSION_free(extension);
  X509_sign(certificate.get(), key.get(), EVP_sha256());

  TlsCertificate out{{}, folder / (file + ".crt"), folder / (file + ".key")};
  detail::FilePtr const cert_file(std::fopen(out.cert_file.c_str(), "w")), key_file(std::fopen(out.key_file.c_str(), "w"));
  PEM_write_X509(cert_file.get(), certificate.get());
  PEM_write_PrivateKey(key_file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return out;
}

struct TlsChoice {
  std::string server_name = {};
  std::vector<std::string> alpn = {};
  int version = 0;                 // the only one offered; 0: the library's own choice
  SSL_SESSION* session = nullptr;  // to resume
};

struct HandshakeFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// One end of a TLS connection, blocking.
class TlsEnd {
 public:
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      std::size_t sent = 0;
      if (SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &sent) != 1) return false;
      bytes.remove_prefix(sent);
    }
    return true;
  }
  // Shorter only at the end.
  std::string read_exactly(std::size_t n) {
    std::string out(n, '\0');
    std::size_t have = 0;
    while (have < n) {
      std::size_t got = 0;
      if (SSL_read_ex(ssl_.get(), out.data() + have, n - have, &got) != 1) break;
      have += got;
    }
    out.resize(have);
    return out;
  }
  std::string read_until(std::string_view mark) {
    std::string out;
    while (!out.ends_with(mark)) {
      auto const next = read_exactly(1);
      if (next.empty()) break;
      out += next;
    }
    return out;
  }
  // Reads to the end; whether it was said by close_notify, so that nothing was cut off.
  std::pair<std::string, bool> read_to_end() {
    std::string out;
    for (;;) {
      auto const piece = read_exactly(1);
      if (piece.empty()) return {out, (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0};
      out += piece;
    }
  }
  void say_goodbye() { SSL_shutdown(ssl_.get()); }

 protected:
  // A read or a write on `fd` gives up when patience is over. The file is the caller's.
  TlsEnd(int fd, SSL_CTX* context) : ssl_(SSL_new(context)) {
    timeval const patience{patience_ms / 1000, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    SSL_set_fd(ssl_.get(), fd);
  }
  static std::string last_reason() {
    char text[256] = {};
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    ERR_clear_error();
    return text;
  }
  std::unique_ptr<SSL, detail::Freed<SSL_free>> ssl_;
};

namespace detail {
struct ClientParts {
  explicit ClientParts(std::uint16_t port, int version)
      : connection(Connection::to(port)), context(SSL_CTX_new(TLS_client_method())) {
    if (version == 0) return;
    SSL_CTX_set_min_proto_version(context.get(), version);
    SSL_CTX_set_max_proto_version(context.get(), version);
  }
  Connection connection;
  std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> context;
};
}  // namespace detail

class TlsClient : private detail::ClientParts, public TlsEnd {
 public:
  TlsClient(std::uint16_t port, TlsChoice const& choice = {})
      : ClientParts(port, choice.version), TlsEnd(connection.fd(), context.get()) {
    if (!choice.server_name.empty()) SSL_set_tlsext_host_name(ssl_.get(), choice.server_name.c_str());
    std::string wire;
    for (auto const& name : choice.alpn) wire += static_cast<char>(name.size()) + name;
    if (!wire.empty()) {
      SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<unsigned char const*>(wire.data()),
                          static_cast<unsigned>(wire.size()));
    }
    if (choice.session) SSL_set_session(ssl_.get(), choice.session);
    if (SSL_connect(ssl_.get()) != 1) throw HandshakeFailed(last_reason());
  }

  void close() { connection.close(); }

  std::string version() const { return SSL_get_version(ssl_.get()); }
  std::string alpn() const {
    unsigned char const* chosen = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_.get(), &chosen, &length);
    return length == 0 ? std::string() : std::string(reinterpret_cast<char const*>(chosen), length);
  }
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  // With TLS 1.3 the ticket comes behind the handshake: after an answer was read.
  std::shared_ptr<SSL_SESSION> session() const { return {SSL_get1_session(ssl_.get()), SSL_SESSION_free}; }
  std::string common_name() const {
    detail::X509Ptr const certificate(SSL_get1_peer_certificate(ssl_.get()));
    char text[256] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, text, sizeof text);
    return text;
  }
};

// A head, and a body by Content-Length.
inline Answer read_answer(TlsClient& from) {
  Answer out;
  out.head = from.read_until("\r\n\r\n");
  if (out.head.size() > 12) out.status = static_cast<unsigned>(std::stoul(out.head.substr(9, 3)));
  if (auto const length = out.value("content-length"); !length.empty()) out.body = from.read_exactly(std::stoul(length));
  return out;
}

}  // namespace nestgate::test
