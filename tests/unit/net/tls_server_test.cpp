#include <gtest/gtest.h>

#include <fstream>

#include "nestgate/net/tls.hpp"
#include "support/tls.hpp"

namespace nestgate::test {
namespace {

class TlsServerLoad : public testing::Test {
 protected:
  std::string problem_with(std::vector<TlsCertificate> const& certificates) {
    std::string problem;
    EXPECT_FALSE(TlsServer::load(certificates, TlsVersionMin::tls_1_2, problem));
    return problem;
  }
  static void write(std::filesystem::path const& path, std::string_view text) { std::ofstream(path) << text; }
  TemporaryFolder folder_;
};

TEST_F(TlsServerLoad, TakesAPairOfFiles) {
  std::string problem;
  EXPECT_TRUE(TlsServer::load({make_certificate(folder_.path(), "a", {"a.test"})}, TlsVersionMin::tls_1_3, problem));
  EXPECT_EQ(problem, "");
}

TEST_F(TlsServerLoad, NeedsACertificate) { EXPECT_EQ(problem_with({}), "a TLS listener needs at least one certificate"); }

TEST_F(TlsServerLoad, NamesTheFileThatIsMissing) {
  auto certificate = make_certificate(folder_.path(), "a", {"a.test"});
  auto without_cert = certificate;
  without_cert.cert_file = folder_.path() / "none.crt";
  EXPECT_TRUE(problem_with({without_cert}).starts_with(without_cert.cert_file.string() + ": "));
  auto without_key = certificate;
  without_key.key_file = folder_.path() / "none.key";
  EXPECT_TRUE(problem_with({certificate, without_key}).starts_with(without_key.key_file.string() + ": "));
}

TEST_F(TlsServerLoad, NamesTheFileThatIsNoPem) {
  auto certificate = make_certificate(folder_.path(), "a", {"a.test"});
  write(certificate.cert_file, "not a certificate");
  EXPECT_TRUE(problem_with({certificate}).starts_with(certificate.cert_file.string() + ": "));
  auto other = make_certificate(folder_.path(), "b", {"b.test"});
  write(other.key_file, "not a key");
  EXPECT_TRUE(problem_with({other}).starts_with(other.key_file.string() + ": "));
}

TEST_F(TlsServerLoad, SaysWhenAKeyBelongsToAnotherCertificate) {
  auto one = make_certificate(folder_.path(), "one", {"one.test"});
  auto const two = make_certificate(folder_.path(), "two", {"two.test"});
  one.key_file = two.key_file;
  auto const problem = problem_with({one});
  EXPECT_TRUE(problem.starts_with(two.key_file.string() + ": ")) << problem;
}

// One handshake in memory, without a socket.
struct Shaken {
  bool done = false;
  std::string common_name;
};
Shaken shake_hands(TlsServer const& server, std::string const& name) {
  std::unique_ptr<SSL_CTX, detail::Freed<SSL_CTX_free>> const context(SSL_CTX_new(TLS_client_method()));
  std::unique_ptr<SSL, detail::Freed<SSL_free>> const client(SSL_new(context.get())),
      ours(SSL_new(server.entry_context().native_handle()));
  BIO *client_end = nullptr, *our_end = nullptr;
  BIO_new_bio_pair(&client_end, 0, &our_end, 0);
  SSL_set_bio(client.get(), client_end, client_end);
  SSL_set_bio(ours.get(), our_end, our_end);
  SSL_set_connect_state(client.get());
  SSL_set_accept_state(ours.get());
  if (!name.empty()) SSL_set_tlsext_host_name(client.get(), name.c_str());
  Shaken out;
  for (int flights = 0; flights < 10 && !out.done; ++flights) {
    bool const client_done = SSL_do_handshake(client.get()) == 1;
    out.done = SSL_do_handshake(ours.get()) == 1 && client_done;
  }
  if (!out.done) return out;
  detail::X509Ptr const shown(SSL_get1_peer_certificate(client.get()));
  char text[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, text, sizeof text);
  out.common_name = text;
  return out;
}

TEST(TlsServerNames, AreThoseOfTheCertificateUnlessGiven) {
  TemporaryFolder const folder;
  std::string problem;
  auto given = make_certificate(folder.path(), "given", {"given.test"});
  given.names = {"only.test"};
  auto const server = TlsServer::load({make_certificate(folder.path(), "first", {"first.test"}), given,
                                       make_certificate(folder.path(), "more", {"more.test", "*.more.test"})},
                                      TlsVersionMin::tls_1_2, problem);
  ASSERT_TRUE(server) << problem;
  EXPECT_EQ(shake_hands(*server, "only.test").common_name, "given.test");
  EXPECT_EQ(shake_hands(*server, "given.test").common_name, "first.test") << "its own names are replaced";
  EXPECT_EQ(shake_hands(*server, "more.test").common_name, "more.test");
  EXPECT_EQ(shake_hands(*server, "x.more.test").common_name, "more.test");
  EXPECT_EQ(shake_hands(*server, "x.y.more.test").common_name, "first.test")
      << "a star is one label (RFC 6125 section 6.4.3)";
  EXPECT_EQ(shake_hands(*server, "").common_name, "first.test");
}

}  // namespace
}  // namespace nestgate::test
