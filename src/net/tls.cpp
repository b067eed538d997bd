#include "nestgate/net/tls.hpp"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>

namespace nestgate {
namespace {

namespace ssl = boost::asio::ssl;

constexpr unsigned char http_1_1_alpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

int choose_alpn(SSL*, unsigned char const** out, unsigned char* out_length, unsigned char const* offered,
                unsigned offered_length, void*) {
  unsigned char* chosen = nullptr;
  auto const found =
      SSL_select_next_proto(&chosen, out_length, http_1_1_alpn, sizeof http_1_1_alpn, offered, offered_length);
  if (found != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301 section 3.2
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

// The DNS names in a certificate (RFC 6125: subjectAltName only).
std::vector<std::string> names_in(X509* certificate) {
  std::vector<std::string> names;
  auto* const all = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    auto const* const name = sk_GENERAL_NAME_value(all, i);
    if (name->type != GEN_DNS) continue;
    auto const* const text = reinterpret_cast<char const*>(ASN1_STRING_get0_data(name->d.dNSName));
    names.push_back(lower({text, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))}));
  }
  GENERAL_NAMES_free(all);
  return names;
}

bool name_matches(std::string_view pattern, std::string_view name) {
  if (!pattern.starts_with("*.")) return pattern == name;
  auto const dot = name.find('.');
  return dot != name.npos && dot > 0 && name.substr(dot) == pattern.substr(1);
}

// "" when the context took both.
std::string use_certificate(ssl::context& context, std::filesystem::path const& cert_file,
                            std::filesystem::path const& key_file) {
  boost::system::error_code ec;
  context.use_certificate_chain_file(cert_file.string(), ec);
  if (ec) return cert_file.string() + ": " + ec.message();
  context.use_private_key_file(key_file.string(), ssl::context::pem, ec);
  if (ec) return key_file.string() + ": " + ec.message();
  if (SSL_CTX_check_private_key(context.native_handle()) != 1)
    return key_file.string() + ": does not belong to " + cert_file.string();
  return {};
}

}  // namespace

std::shared_ptr<TlsServer const> TlsServer::load(std::vector<TlsCertificate> const& certificates, TlsVersionMin version_min,
                                                 std::string& problem) {
  if (certificates.empty()) {
    problem = "a TLS listener needs at least one certificate";
    return nullptr;
  }
  auto server = std::make_shared<TlsServer>();
  for (auto const& certificate : certificates) {
    auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
    problem = use_certificate(*context, certificate.cert_file, certificate.key_file);
    if (!problem.empty()) return nullptr;
    SSL_CTX* const native = context->native_handle();
    SSL_CTX_set_min_proto_version(native, version_min == TlsVersionMin::tls_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_alpn_select_cb(native, choose_alpn, nullptr);
    // An idle connection gives its record buffers back.
    SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
    auto names = certificate.names;
    if (names.empty()) names = names_in(SSL_CTX_get0_certificate(native));
    server->contexts_.push_back({std::move(names), std::move(context)});
  }
  SSL_CTX* const entry = server->entry_context().native_handle();
  SSL_CTX_set_tlsext_servername_callback(entry, choose_certificate);
  SSL_CTX_set_tlsext_servername_arg(entry, server.get());
  return server;
}

int TlsServer::choose_certificate(SSL* ssl, int*, void* self) noexcept {
  char const* const asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (!asked) return SSL_TLSEXT_ERR_OK;
  auto const name = lower(asked);
  for (auto const& named : static_cast<TlsServer const*>(self)->contexts_) {
    for (auto const& pattern : named.names) {
      if (!name_matches(pattern, name)) continue;
      SSL_set_SSL_CTX(ssl, named.context->native_handle());
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_OK;
}

std::shared_ptr<ClientTls const> ClientTls::load(ClientTlsFiles const& files, std::string& problem) {
  auto client = std::make_shared<ClientTls>();
  client->context_ = std::make_unique<ssl::context>(ssl::context::tls_client);
  auto& context = *client->context_;
  context.set_verify_mode(ssl::verify_peer);
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  boost::system::error_code ec;
  if (files.ca_file.empty()) {
    context.set_default_verify_paths(ec);
  } else {
    context.load_verify_file(files.ca_file.string(), ec);
  }
  problem = ec ? files.ca_file.string() + ": " + ec.message() : std::string();
  if (problem.empty() && !files.cert_file.empty()) problem = use_certificate(context, files.cert_file, files.key_file);
  if (!problem.empty()) return nullptr;
  return client;
}

}  // namespace nestgate
