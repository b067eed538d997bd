#include "nestgate/upstream/http_client.hpp"

#include <gtest/gtest.h>

#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <condition_variable>
#include <ctime>

#include "nestgate/upstream/failure.hpp"
#include "nestgate/upstream/public_address.hpp"
#include "nestgate/upstream/random.hpp"
#include "nestgate/upstream/tls_connect.hpp"
#include "support/control.hpp"
#include "support/temp_folder.hpp"
#include "support/tls_server.hpp"

namespace nestgate::upstream {
namespace {

using namespace std::chrono_literals;
using test::Control;
using test::Reply;
using test::Request;
using test::ScriptedServer;

Call call_of(ScriptedServer const& server, std::string method = "GET") {
  Call out;
  out.method = std::move(method);
  out.url = url_of(server.endpoint()).at("/x");
  return out;
}

TEST(ParseUrl, TakesAbsoluteHttpUrlsApart) {
  auto const plain = parse_url("http://example.org").value();
  EXPECT_EQ(plain.host, "example.org");
  EXPECT_EQ(plain.port, 80);
  EXPECT_EQ(plain.path, "");
  auto const full = parse_url("HTTPS://Example.org:8443/a/b/?q=1&r").value();
  EXPECT_EQ(full.scheme, "https");
  EXPECT_EQ(full.port, 8443);
  EXPECT_EQ(full.path, "/a/b/");
  EXPECT_EQ(full.query, "q=1&r");
  EXPECT_EQ(full.authority(), "Example.org:8443");
  EXPECT_EQ(parse_url("http://[::1]:9000/x").value().authority(), "[::1]:9000");
  EXPECT_EQ(parse_url("http://h?x").value().query, "x");
}

TEST(ParseUrl, RefusesWhatAClientCannotCall) {
  for (auto const* text :
       {"", "http://", "ftp://h", "//h", "h:80", "http://u:p@h", "http://h:0", "http://h:65536", "http://h:8x",
        "http://h:", "http://h/#f", "http://h/a b", "http://h\r\nX: y", "http://[::1", "http://[h]", "http:///x"})
    EXPECT_FALSE(parse_url(text)) << text;
}

TEST(Url, AsABaseTakesAPathBehindItsOwn) {
  EXPECT_EQ(parse_url("http://h/api/").value().at("/v1/x", "a=b").text(), "http://h/api/v1/x?a=b");
  EXPECT_EQ(parse_url("http://h").value().at("/x").text(), "http://h/x");
}

TEST(Call, TellsWhenTheServerWantsToBeAskedAgain) {
  struct Case {
    std::string text;
    std::optional<std::chrono::seconds> wait;
  };
  Case const cases[] = {{"0", 0s},
                        {"7", 7s},
                        {"999999", 1h},
                        {"-1", {}},
                        {"1.5", {}},
                        {"", {}},
                        {"9999999999999999999", {}},
                        {"soon", {}},
                        {"Sat, 21 Nov 2020 17:00:00 GMT", 0s},
                        {"Wed, 01 Jan 2500 00:00:00 GMT", 1h},
                        {"Wed, 01 Jan 2500 00:00:00 CET", {}},
                        {"Wed, 01 Jan 2500 00:00:00 GMT, soon", {}}};
  for (auto const& c : cases) {
    ScriptedServer server([&c](Request const&) { return Reply{503, "", "Retry-After: " + c.text + "\r\n"}; });
    auto const answer = Control().run(call(call_of(server), Deadline::in(20s))).value();
    EXPECT_EQ(answer.retry_after, c.wait) << c.text;
  }
  ScriptedServer server([](Request const&) { return Reply{503}; });
  EXPECT_FALSE(Control().run(call(call_of(server), Deadline::in(20s)))->retry_after);
}

TEST(Call, TellsHowLongItIsToAMomentThatTheServerNames) {
  auto const moment = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now() + 90min);
  std::tm parts{};
  ::gmtime_r(&moment, &parts);
  std::array<char, 64> date{};
  ASSERT_NE(std::strftime(date.data(), date.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts), 0U);
  ScriptedServer server(
      [&date](Request const&) { return Reply{503, "", std::string("Retry-After: ").append(date.data()).append("\r\n")}; });
  auto request = call_of(server);
  request.retry_after_max = 24h;
  auto const answer = Control().run(call(std::move(request), Deadline::in(20s))).value();
  ASSERT_TRUE(answer.retry_after);
  EXPECT_LE(*answer.retry_after, 90min);
  EXPECT_GT(*answer.retry_after, 80min);
}

TEST(Call, SendsWhatItIsGivenAndReturnsAnyStatusAsAnAnswer) {
  ScriptedServer server([](Request const&) { return Reply{404, R"({"detail":"Not Found"})"}; });
  auto request = call_of(server, "POST");
  request.body = {R"({"a")", ":", "1}"};
  request.content_type = "application/json";
  request.headers.emplace_back("webhook-id", "msg_1");
  request.secret_headers.emplace_back("X-Session-API-Key", Secret("k"));
  auto const answer = Control().run(call(std::move(request), Deadline::in(20s))).value();
  EXPECT_EQ(answer.status, 404U);
  EXPECT_EQ(answer.content_type, "application/json");
  EXPECT_EQ(answer.body, R"({"detail":"Not Found"})");
  auto const seen = server.requests().at(0);
  EXPECT_EQ(seen.line(), "POST /x");
  EXPECT_EQ(seen.body, R"({"a":1})");
  EXPECT_EQ(seen.value("x-session-api-key"), "k");
  EXPECT_EQ(seen.value("webhook-id"), "msg_1");
  EXPECT_EQ(seen.value("host"), "127.0.0.1:" + std::to_string(server.port()));
}

TEST(Call, SaysUpstreamWhenNobodyListens) {
  std::uint16_t port = 0;
  {
    ScriptedServer server([](Request const&) { return Reply{}; });
    port = server.port();
  }
  Call request;
  request.url = url_of(asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port));
  auto const answer = Control().run(call(std::move(request), Deadline::in(20s)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, FaultKind::upstream);
  EXPECT_EQ(answer.error().where, "upstream.connect");
}

TEST(Call, SaysUpstreamWhenThePeerGoesWithoutAnAnswer) {
  ScriptedServer server([](Request const&) { return Reply{0, ""}; });
  auto const answer = Control().run(call(call_of(server), Deadline::in(20s)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, FaultKind::upstream);
}

TEST(Call, EndsAtItsDeadlineWhenThePeerIsSilent) {
  test::Server silent([](test::Connection& connection) { connection.read_to_end(); });
  Call request;
  request.url = url_of(asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), silent.port()));
  auto const answer = Control().run(call(std::move(request), Deadline::in(30ms)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, FaultKind::timed_out);
}

TEST(Call, RefusesAnAnswerBeyondItsLimit) {
  ScriptedServer server([](Request const&) { return Reply{200, std::string(1000, 'x')}; });
  auto request = call_of(server);
  request.answer_bytes_max = 999;
  auto const answer = Control().run(call(std::move(request), Deadline::in(20s)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, FaultKind::too_large);
}

TEST(Call, NeverConnectsToAPrivateAddressWhenOnlyPublicOnesMayBeReached) {
  ScriptedServer server([](Request const&) { return Reply{}; });
  for (auto const* host : {"127.0.0.1", "localhost", "::ffff:127.0.0.1"}) {
    auto request = call_of(server);
    request.url.host = host;
    request.reach = Reach::public_only;
    auto const answer = Control().run(call(std::move(request), Deadline::in(20s)));
    ASSERT_FALSE(answer) << host;
    EXPECT_EQ(answer.error().kind, FaultKind::forbidden) << host;
  }
  EXPECT_TRUE(server.requests().empty());
}

// Sends `answer` in pieces, each once `may_send` was given for it.
struct PieceServer {
  explicit PieceServer(std::vector<std::string> answer) : pieces(std::move(answer)) {}
  void serve(test::Connection& connection) {
    connection.read_until("\r\n\r\n");
    for (auto const& piece : pieces) {
      std::unique_lock lock(mutex);
      came.wait_for(lock, std::chrono::milliseconds(test::patience_ms), [this] { return allowed > 0; });
      --allowed;
      if (!connection.send(piece)) return;
    }
  }
  void allow() {
    std::lock_guard const lock(mutex);
    ++allowed;
    came.notify_one();
  }

  std::vector<std::string> pieces;
  std::mutex mutex;
  std::condition_variable came;
  int allowed = 1;  // the head
  test::Server server{[this](test::Connection& connection) { serve(connection); }};
};

TEST(Call, HandsOverABodyPieceByPieceAsItComes) {
  for (bool const chunked : {true, false}) {
    auto const framed = [chunked](std::string const& text) { return chunked ? "3\r\n" + text + "\r\n" : text; };
    PieceServer server({std::string("HTTP/1.1 200 OK\r\n") + (chunked ? "Transfer-Encoding: chunked\r\n" : "") + "\r\n",
                        framed("one"), framed("two") + (chunked ? "0\r\n\r\n" : "")});
    Call request;
    request.url = url_of(asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), server.server.port()));
    request.answer_bytes_max = 1;
    std::vector<std::string> pieces;
    request.on_piece = [&pieces, &server](std::string_view piece) {
      pieces.emplace_back(piece);
      server.allow();  // the next only comes when this one was handed over
      return true;
    };
    auto const answer = Control().run(call(std::move(request), Deadline::in(20s)));
    ASSERT_TRUE(answer) << answer.error().cause.message();
    EXPECT_EQ(answer->body, "");
    EXPECT_EQ(pieces, (std::vector<std::string>{"", "one", "two"}));
  }
}

TEST(Call, EndsWhenItsPiecesAreWantedNoMore) {
  ScriptedServer server([](Request const&) { return Reply{200, std::string(100'000, 'x')}; });
  auto request = call_of(server);
  std::size_t pieces = 0;
  request.on_piece = [&pieces](std::string_view) { return ++pieces < 2; };
  auto const answer = Control().run(call(std::move(request), Deadline::in(20s)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, FaultKind::cancelled);
  EXPECT_EQ(pieces, 2U);
}

Task<> call_into(Call request, std::optional<Result<Answer>>& out) {
  out.emplace(co_await call(std::move(request), Deadline::at(Clock::time_point::max())));
}

TEST(Call, ObeysACancelThatComesBetweenTwoReads) {
  test::Server silent([](test::Connection& connection) {
    connection.read_until("\r\n\r\n");
    connection.send("HTTP/1.1 200 OK\r\n\r\npiece");
    connection.read_to_end();
  });
  Control control;
  TaskGroup calls(control.executor());
  std::optional<Result<Answer>> answer;
  Call request;
  request.url = url_of(asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), silent.port()));
  request.on_piece = [&calls](std::string_view piece) {
    if (!piece.empty()) calls.stop();
    return true;
  };
  calls.spawn("call", call_into(std::move(request), answer));
  ASSERT_TRUE(control.run(calls.join()));
  ASSERT_TRUE(answer && !*answer);
  EXPECT_EQ(answer->error().kind, FaultKind::cancelled);
}

TEST(Call, KeepsTheBodyOfARefusalWhole) {
  ScriptedServer server([](Request const&) { return Reply{500, R"({"message":"no"})"}; });
  auto request = call_of(server);
  request.on_piece = [](std::string_view) -> bool { throw std::logic_error("not a piece of a 2xx answer"); };
  EXPECT_EQ(Control().run(call(std::move(request), Deadline::in(20s))).value().body, R"({"message":"no"})");
}

TEST(Call, SaysUpstreamWhenABodyIsCutOff) {
  test::Server server([](test::Connection& connection) {
    connection.read_until("\r\n\r\n");
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  });
  Call request;
  request.url = url_of(asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), server.port()));
  auto const answer = Control().run(call(std::move(request), Deadline::in(20s)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, FaultKind::upstream);
}

Task<> answer_one(UnixAcceptor& door, std::string& seen) {
  auto [ec, peer] = co_await door.async_accept(no_throw);
  co_await asio::async_read_until(peer, asio::dynamic_buffer(seen), "\r\n\r\n", no_throw);
  std::string const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
  co_await asio::async_write(peer, asio::buffer(answer), no_throw);
}

TEST(Call, GoesOverAUnixSocketWhereOneIsNamed) {
  test::TempFolder folder;
  Control control;
  auto const path = (folder.path() / "s").string();
  UnixAcceptor door(control.executor(), asio::local::stream_protocol::endpoint(path));
  std::string seen;
  TaskGroup server(control.executor());
  server.spawn("server", answer_one(door, seen));
  Call request;
  request.url = parse_url("http://docker/v1.41/info").value();
  request.unix_socket = path;
  EXPECT_EQ(control.run(call(std::move(request), Deadline::in(20s))).value().body, "hi");
  ASSERT_TRUE(control.run(server.join()));
  EXPECT_TRUE(seen.starts_with("GET /v1.41/info HTTP/1.1\r\nHost: docker\r\n")) << seen;
  for (auto const& nowhere : {folder.path().string() + "/none", std::string(200, 'x')}) {
    Call lost;
    lost.url = parse_url("http://docker").value();
    lost.unix_socket = nowhere;
    EXPECT_FALSE(control.run(call(std::move(lost), Deadline::in(20s)))) << nowhere;
  }
}

// Serves one TLS connection that must show `client_ca`'s certificate.
void serve_tls(test::Connection& connection, TlsCertificate const& own, std::filesystem::path const& client_ca) {
  std::unique_ptr<SSL_CTX, test::detail::Freed<SSL_CTX_free>> const context(SSL_CTX_new(TLS_server_method()));
  SSL_CTX_use_certificate_chain_file(context.get(), own.cert_file.c_str());
  SSL_CTX_use_PrivateKey_file(context.get(), own.key_file.c_str(), SSL_FILETYPE_PEM);
  SSL_CTX_load_verify_locations(context.get(), client_ca.c_str(), nullptr);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  std::unique_ptr<SSL, test::detail::Freed<SSL_free>> const ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), connection.fd());
  if (SSL_accept(ssl.get()) != 1) return;
  char request[4096];
  SSL_read(ssl.get(), request, sizeof request);
  std::string_view const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
  SSL_write(ssl.get(), answer.data(), static_cast<int>(answer.size()));
  SSL_shutdown(ssl.get());
}

TEST(Call, VerifiesByTheAuthorityItIsGivenAndShowsItsOwnCertificate) {
  test::TempFolder folder;
  auto const theirs = test::make_certificate(folder.path(), "server", {"localhost"});
  auto const ours = test::make_certificate(folder.path(), "client", {"client"});
  test::Server server([&](test::Connection& connection) { serve_tls(connection, theirs, ours.cert_file); });
  auto const call_with = [&server](ClientTlsFiles const& files) {
    std::string problem;
    Call request;
    request.url = parse_url("https://localhost:" + std::to_string(server.port())).value();
    request.tls = ClientTls::load(files, problem);
    EXPECT_EQ(problem, "");
    return Control().run(call(std::move(request), Deadline::in(20s)));
  };
  auto const answer = call_with({theirs.cert_file, ours.cert_file, ours.key_file});
  ASSERT_TRUE(answer) << answer.error().cause.message();
  EXPECT_EQ(answer->body, "hi");
  EXPECT_FALSE(call_with({ours.cert_file, ours.cert_file, ours.key_file})) << "another authority";
  EXPECT_FALSE(call_with({theirs.cert_file, {}, {}})) << "no certificate of its own";
  EXPECT_FALSE(call_with({})) << "the system's authorities";
}

TEST(Call, ToAPlaceGoesToItsAddressAndVerifiesItsName) {
  test::TempFolder folder;
  auto const certificate = test::make_certificate(folder.path(), "server", {"nested.test"});
  std::atomic<int> asked{0};
  std::string head, name;
  test::TlsServerOnLoopback server(certificate, [&](test::TlsPeer& peer) {
    name = peer.server_name() + " " + peer.alpn();
    head = peer.read_until("\r\n\r\n");
    ++asked;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
  });
  asio::ip::tcp::endpoint const at(asio::ip::address_v4::loopback(), server.port());
  auto const ask = [&](std::string const& host) {
    Place const place(at, host + ":" + std::to_string(server.port()), test::trusting(certificate));
    return Control().run(call(call_to(place, "/x", "a=1"), Deadline::in(20s)));
  };
  auto const answer = ask("nested.test");
  ASSERT_TRUE(answer) << answer.error().cause.message();
  EXPECT_EQ(answer->body, "hi");
  EXPECT_FALSE(ask("other.test"));
  server.stop();
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(name, "nested.test http/1.1");
  EXPECT_TRUE(head.starts_with("GET /x?a=1 HTTP/1.1\r\nHost: nested.test:" + std::to_string(server.port()) + "\r\n"))
      << head;
}

TEST(Place, IsWhatItsUrlSays) {
  asio::ip::tcp::endpoint const at(asio::ip::make_address("::1"), 8443);
  auto const of = [&at](char const* url, Naming naming) { return place_of(parse_url(url).value(), at, nullptr, naming); };
  EXPECT_EQ(of("http://h:8443", Naming::over_tls), Place(at));
  EXPECT_EQ(of("http://h:8443", Naming::always), Place(at, "h:8443", nullptr));
  EXPECT_EQ(of("https://h:8443", Naming::over_tls), Place(at, "h:8443", systems_authorities()));
  EXPECT_EQ(url_of(at).text(), "http://[::1]:8443");
  for (auto const* url : {"https://h:8443", "https://[::1]:8443", "http://h:8443"})
    EXPECT_EQ(url_of(of(url, Naming::always)).text(), url);
  EXPECT_EQ(Place(at, "[::1]:8443", nullptr).host_name(), "::1");
  EXPECT_EQ(Place(at, "h", nullptr).host_name(), "h");
}

TEST(ClientTls, SaysWhichFileIsWrong) {
  test::TempFolder folder;
  auto const one = test::make_certificate(folder.path(), "one", {"one"});
  auto const two = test::make_certificate(folder.path(), "two", {"two"});
  std::string problem;
  EXPECT_FALSE(ClientTls::load({folder.path() / "none", {}, {}}, problem));
  EXPECT_TRUE(problem.starts_with((folder.path() / "none").string() + ": ")) << problem;
  EXPECT_FALSE(ClientTls::load({{}, one.cert_file, two.key_file}, problem));
  EXPECT_TRUE(problem.starts_with(two.key_file.string() + ": ")) << problem;
}

TEST(IsPublic, KnowsTheSpecialPurposeRanges) {
  auto const at = [](char const* text) { return is_public(asio::ip::make_address(text)); };
  for (auto const* text : {"0.0.0.0",
                           "10.1.2.3",
                           "100.64.0.1",
                           "127.0.0.1",
                           "127.255.255.255",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.1.1",
                           "198.18.0.1",
                           "198.19.255.255",
                           "192.0.2.1",
                           "203.0.113.9",
                           "224.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "fe80::1",
                           "fc00::1",
                           "fd12::1",
                           "ff02::1",
                           "::ffff:10.0.0.1",
                           "::ffff:169.254.169.254",
                           "64:ff9b::7f00:1",
                           "2002:7f00:1::",
                           "2001:db8::1",
                           "2001::1",
                           "::7f00:1"})
    EXPECT_FALSE(at(text)) << text;
  for (auto const* text :
       {"1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
        "198.17.0.1", "198.20.0.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"})
    EXPECT_TRUE(at(text)) << text;
}

TEST(RandomUuid, IsOfVersionFourAndVariantOne) {
  for (int i = 0; i < 64; ++i) {
    auto const id = random_uuid_hex();
    ASSERT_EQ(id.size(), 32U);
    EXPECT_EQ(id[12], '4');
    EXPECT_NE(std::string_view("89ab").find(id[16]), std::string_view::npos) << id;
  }
  EXPECT_NE(random_uuid_hex(), random_uuid_hex());
  EXPECT_EQ(random_hex(100).size(), 200U);
}

TEST(Failure, NamesTheStepAndTheCause) {
  EXPECT_EQ(failed("settings", Fault{FaultKind::timed_out}).reason, "settings: timed out");
  EXPECT_EQ(failed("ready", Fault{FaultKind::upstream, asio::error::connection_refused}).reason,
            "ready: Connection refused");
  EXPECT_EQ(refused("secrets", 500).reason, "secrets: the server answered 500");
}

}  // namespace
}  // namespace nestgate::upstream
