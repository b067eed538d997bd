#include "nestgate/nested/client.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "nested/messages.hpp"
#include "support/control.hpp"

namespace nestgate::nested {
namespace {

using namespace std::chrono_literals;
using test::Control;
using test::Reply;
using test::Request;
using test::ScriptedServer;
using testing::ElementsAre;

Configuration configuration_of(std::initializer_list<std::string_view> parts) {
  Configuration out;
  for (auto const part : parts) {
    if (part == "settings") out.settings_json = Secret(R"({"language":"en"})");
    if (part == "tokens") {
      GitToken github;
      github.provider = "github";
      github.token = Secret("gh");
      GitToken gitlab;
      gitlab.provider = "gitlab";
      gitlab.token = Secret("gl");
      gitlab.user_id = "u";
      gitlab.host = "git.example.org";
      out.git_tokens.push_back(std::move(github));
      out.git_tokens.push_back(std::move(gitlab));
    }
    if (part == "secrets")
      for (auto const* name : {"ONE", "TWO"}) {
        CustomSecret secret;
        secret.name = name;
        secret.value = Secret("v");
        secret.description = "d";
        out.secrets.push_back(std::move(secret));
      }
  }
  return out;
}

struct Nested {
  ScriptedServer server;
  Client client{server.endpoint(), Secret("key"), Pace{1ms, 1ms, 1ms}};
  Control control;
};

struct AgentServer : Nested {
  AgentServer() {
    server.on("POST /api/settings", {405, R"({"detail":"Method Not Allowed"})"});
    server.on("POST /api/add-git-providers", {404, R"({"detail":"Not Found"})"});
    server.on("POST /api/secrets", {404, R"({"detail":"Not Found"})"});
  }
};

TEST(Configure, SpeaksTheOlderDialectInOrder) {
  Nested nested;
  auto const configuration = configuration_of({"settings", "tokens", "secrets"});
  auto const dialect = nested.control.run(nested.client.configure(configuration, 20s));
  ASSERT_TRUE(dialect) << dialect.error().reason;
  EXPECT_EQ(*dialect, Dialect::older);
  EXPECT_THAT(nested.server.lines(),
              ElementsAre("POST /api/settings", "POST /api/add-git-providers", "POST /api/secrets", "POST /api/secrets"));
  auto const sent = nested.server.requests();
  EXPECT_EQ(sent[0].body, R"({"language":"en"})");
  EXPECT_EQ(sent[1].body, R"({"provider_tokens":{"github":{"token":"gh","user_id":null,"host":null},)"
                          R"("gitlab":{"token":"gl","user_id":"u","host":"git.example.org"}}})");
  EXPECT_EQ(sent[2].body, R"({"name":"ONE","value":"v","description":"d"})");
  for (auto const& request : sent) EXPECT_EQ(request.value("x-session-api-key"), "key");
}

TEST(Configure, ChangesToTheAgentServersDialectWhenTheFirstRouteIsMissing) {
  AgentServer nested;
  auto const configuration = configuration_of({"settings", "tokens", "secrets"});
  auto const dialect = nested.control.run(nested.client.configure(configuration, 20s));
  ASSERT_TRUE(dialect) << dialect.error().reason;
  EXPECT_EQ(*dialect, Dialect::agent_server);
  EXPECT_THAT(nested.server.lines(),
              ElementsAre("POST /api/settings", "PATCH /api/settings", "PUT /api/settings/secrets",
                          "PUT /api/settings/secrets", "PUT /api/settings/secrets", "PUT /api/settings/secrets"));
  EXPECT_EQ(nested.server.requests()[2].body, R"({"name":"github_token","value":"gh","description":""})");
}

TEST(Configure, FindsTheDialectWithWhateverStepComesFirst) {
  AgentServer by_tokens;
  auto const tokens = configuration_of({"tokens"});
  EXPECT_EQ(*by_tokens.control.run(by_tokens.client.configure(tokens, 20s)), Dialect::agent_server);
  AgentServer by_secrets;
  auto const secrets = configuration_of({"secrets"});
  EXPECT_EQ(*by_secrets.control.run(by_secrets.client.configure(secrets, 20s)), Dialect::agent_server);
  EXPECT_THAT(by_secrets.server.lines(),
              ElementsAre("POST /api/secrets", "PUT /api/settings/secrets", "PUT /api/settings/secrets"));
}

TEST(Configure, SendsNothingWhenThereIsNothingToSay) {
  Nested nested;
  Configuration const nothing;
  EXPECT_EQ(*nested.control.run(nested.client.configure(nothing, 20s)), Dialect::unknown);
  EXPECT_TRUE(nested.server.requests().empty());
}

// Secrets of an older server: a second one of a name is refused until the first is gone.
struct ServerWithSecrets {
  Reply operator()(Request const& request) {
    constexpr std::string_view one = "/api/secrets/";
    if (request.method == "DELETE") return held.erase(request.target.substr(one.size())) == 1 ? Reply{} : Reply{404, ""};
    if (request.target != "/api/secrets") return Reply{};
    auto const name = request.body.substr(9, 3);  // {"name":"ONE"
    return held.insert(name).second ? Reply{201, ""} : Reply{400, R"({"message":"Secret ONE already exists"})"};
  }
  std::set<std::string> held;
};

TEST(Configure, ReplacesASecretThatExistsAlready) {
  ScriptedServer server{ServerWithSecrets{{"ONE"}}};
  Client client(server.endpoint(), Secret("key"));
  auto const configuration = configuration_of({"secrets"});
  Control control;
  ASSERT_TRUE(control.run(client.configure(configuration, 20s)));
  EXPECT_THAT(server.lines(),
              ElementsAre("POST /api/secrets", "DELETE /api/secrets/ONE", "POST /api/secrets", "POST /api/secrets"));
  EXPECT_EQ(server.requests()[2].body, R"({"name":"ONE","value":"v","description":"d"})");
  EXPECT_TRUE(control.run(client.configure(configuration, 20s))) << "the whole is said again";
}

TEST(Configure, ToleratesThatASecretIsGoneBeforeItIsRemoved) {
  Nested nested;
  auto posts = std::make_shared<int>(0);
  ScriptedServer server([posts](Request const& request) {
    if (request.method == "DELETE") return Reply{404, ""};
    return ++*posts == 1 ? Reply{400, R"({"message":"Secret ONE already exists"})"} : Reply{201, ""};
  });
  Client client(server.endpoint(), Secret("key"));
  auto const configuration = configuration_of({"secrets"});
  EXPECT_TRUE(Control().run(client.configure(configuration, 20s)));
}

TEST(Configure, FailsWhenASecretCannotBeReplaced) {
  Nested nested;
  nested.server.on("POST /api/secrets", {400, R"({"message":"Secret ONE already exists"})"});
  auto const configuration = configuration_of({"secrets"});
  auto const kept = nested.control.run(nested.client.configure(configuration, 20s));
  ASSERT_FALSE(kept) << "it exists still: nobody knows with which value";
  EXPECT_EQ(kept.error().reason, "secrets: the server answered 400");
  nested.server.on("DELETE /api/secrets/ONE", {500, ""});
  auto const broken = nested.control.run(nested.client.configure(configuration, 20s));
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().reason, "secrets: the server answered 500");
}

TEST(Configure, AsksNoOlderRouteOfAServerThatIsKnownAsAgentServer) {
  Nested nested;
  auto const configuration = configuration_of({"settings", "secrets"});
  EXPECT_EQ(*nested.control.run(nested.client.configure(configuration, 20s, Dialect::agent_server)), Dialect::agent_server);
  EXPECT_THAT(nested.server.lines(),
              ElementsAre("PATCH /api/settings", "PUT /api/settings/secrets", "PUT /api/settings/secrets"));
}

// Answers with `first` until it was asked `times` times, then with 200.
ScriptedServer::Script at_first(Reply first, int times) {
  return [first = std::move(first), left = times](Request const&) mutable { return left-- > 0 ? first : Reply{}; };
}

TEST(Configure, ComesBackWhenTheServerSaysWhen) {
  for (unsigned const status : {429U, 503U}) {
    ScriptedServer server(at_first(Reply{status, "", "Retry-After: 0\r\n"}, 3));
    Client client(server.endpoint(), Secret("key"), Pace{1ms, 1ms, 1ms});
    auto const configuration = configuration_of({"settings"});
    EXPECT_TRUE(Control().run(client.configure(configuration, 20s))) << status;
    EXPECT_EQ(server.requests().size(), 4U) << status;
  }
}

TEST(Configure, GivesUpOnABusyServerWhenItsTimeWouldNotSuffice) {
  Nested nested;
  nested.server.on("POST /api/settings", Reply{503, "", "Retry-After: 3000\r\n"});
  auto const configuration = configuration_of({"settings"});
  auto const done = nested.control.run(nested.client.configure(configuration, 20s));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().reason, "settings: the server answered 503");
  EXPECT_EQ(nested.server.requests().size(), 1U);
}

TEST(Configure, SaysAgainOverABrokenConnectionOnlyWhatIsTheSameSaidTwice) {
  auto const configuration = configuration_of({"settings", "secrets"});
  ScriptedServer server(at_first(Reply{0, ""}, 2));
  Client client(server.endpoint(), Secret("key"), Pace{1ms, 1ms, 1ms});
  EXPECT_TRUE(Control().run(client.configure(configuration, 20s, Dialect::agent_server)));
  EXPECT_THAT(server.lines(), ElementsAre("PATCH /api/settings", "PATCH /api/settings", "PATCH /api/settings",
                                          "PUT /api/settings/secrets", "PUT /api/settings/secrets"));
  ScriptedServer older(at_first(Reply{0, ""}, 1));
  Client to_older(older.endpoint(), Secret("key"), Pace{1ms, 1ms, 1ms});
  EXPECT_FALSE(Control().run(to_older.configure(configuration, 20s)));
  EXPECT_THAT(older.lines(), ElementsAre("POST /api/settings"));
}

TEST(Configure, EndsAtTheFirstStepThatFailsWithItsNameAndWithoutTheAnswer) {
  struct Case {
    std::string line;
    Reply reply;
    std::string reason;
    std::size_t requests;
  };
  Case const cases[] = {
      {"POST /api/settings", {500, "secret gh echoed"}, "settings: the server answered 500", 1},
      {"POST /api/add-git-providers", {401, "Invalid token gh"}, "git_provider_tokens: the server answered 401", 2},
      {"POST /api/add-git-providers", {404, ""}, "git_provider_tokens: the server answered 404", 2},
      {"POST /api/secrets", {400, "bad value v"}, "secrets: the server answered 400", 3},
      {"POST /api/settings", {0, ""}, "settings: ", 1},
  };
  for (auto const& c : cases) {
    Nested nested;
    nested.server.on(c.line, c.reply);
    auto const configuration = configuration_of({"settings", "tokens", "secrets"});
    auto const done = nested.control.run(nested.client.configure(configuration, 20s));
    ASSERT_FALSE(done) << c.line;
    EXPECT_TRUE(done.error().reason.starts_with(c.reason)) << done.error().reason;
    EXPECT_EQ(nested.server.requests().size(), c.requests) << c.line;
  }
}

TEST(Configure, SaysWhyTheServerWillNotHaveTheSettings) {
  Nested nested;
  nested.server.on("POST /api/settings", {400, R"({"error":"llm_model gpt-17 is unknown\n"})"});
  auto const configuration = configuration_of({"settings"});
  auto const done = nested.control.run(nested.client.configure(configuration, 20s));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().fault.kind, FaultKind::bad_input);
  EXPECT_EQ(done.error().reason, "settings: the server answered 400: llm_model gpt-17 is unknown ");
}

TEST(Configure, BlamesTheClientOnlyForWhatTheClientGave) {
  struct Case {
    std::string line;
    unsigned status;
    FaultKind kind;
  };
  Case const cases[] = {
      {"POST /api/settings", 422, FaultKind::bad_input},          {"POST /api/settings", 401, FaultKind::upstream},
      {"POST /api/settings", 500, FaultKind::upstream},           {"POST /api/settings", 429, FaultKind::upstream},
      {"POST /api/add-git-providers", 401, FaultKind::bad_input}, {"POST /api/secrets", 400, FaultKind::bad_input},
  };
  for (auto const& c : cases) {
    Nested nested;
    nested.server.on(c.line, Reply{c.status, ""});
    auto const configuration = configuration_of({"settings", "tokens", "secrets"});
    auto const done = nested.control.run(nested.client.configure(configuration, 20s));
    ASSERT_FALSE(done) << c.line;
    EXPECT_EQ(done.error().fault.kind, c.kind) << c.line << " " << c.status;
  }
}

std::string excerpt(std::string_view answer, std::string_view told = "{}") {
  return excerpt_of_refusal(answer, Secret(std::string(told)));
}

TEST(ExcerptOfRefusal, IsTheServersOwnReason) {
  EXPECT_EQ(excerpt(R"({"detail":"no such model"})"), "no such model");
  EXPECT_EQ(excerpt(R"({"message":"no such model"})"), "no such model");
  EXPECT_EQ(excerpt(R"({"detail":[{"type":"t","loc":["body","llm",0],"msg":"Field required","input":"sk-1"},{"msg":"x"}]})"),
            "body.llm.0 Field required; x");
  for (auto const* nothing : {"", "<html>", "[]", "{}", R"({"detail":7})"}) EXPECT_EQ(excerpt(nothing), "") << nothing;
}

TEST(ExcerptOfRefusal, IsBoundedAndPrintable) {
  EXPECT_EQ(excerpt(R"({"detail":"a\u001b[31m\u00e9"})"), "a [31m  ");
  EXPECT_EQ(excerpt(R"({"detail":")" + std::string(10'000, 'x') + "\"}").size(), 512U);
}

TEST(ExcerptOfRefusal, MasksWhatWasToldAndCouldBeAKey) {
  constexpr auto told = R"({"llm":{"api_key":"sk-12345678"},"list":["another-key"],"language":"en"})";
  EXPECT_EQ(excerpt(R"({"detail":"en: bad sk-12345678, bad another-key, sk-12345678"})", told), "en: bad ***, bad ***, ***");
  auto const cut = excerpt(R"({"detail":")" + std::string(502, 'x') + "sk-12345678\"}", told);
  EXPECT_EQ(cut, std::string(502, 'x') + "***") << "the key was cut in the middle";
}

TEST(WaitAlive, AsksUntilTheServerSaysSo) {
  ScriptedServer server([asked = 0](Request const&) mutable { return ++asked < 4 ? Reply{503, ""} : Reply{}; });
  Client client(server.endpoint(), Secret("key"));
  EXPECT_TRUE(Control().run(client.wait_alive(Deadline::in(20s))));
  EXPECT_EQ(server.requests().size(), 4U);
}

TEST(WaitAlive, WaitsForAServerThatSaysThatItIsNotReady) {
  ScriptedServer server([asked = 0](Request const&) mutable {
    return Reply{200, ++asked < 3 ? R"({"status":"not initialized"})" : R"({"status":"ok"})"};
  });
  Client client(server.endpoint(), Secret("key"));
  EXPECT_TRUE(Control().run(client.wait_alive(Deadline::in(20s))));
  EXPECT_EQ(server.requests().size(), 3U);
}

TEST(WaitAlive, SaysWhatItSawLastWhenTimeIsOver) {
  ScriptedServer server([](Request const&) { return Reply{503, ""}; });
  Client client(server.endpoint(), Secret("key"));
  auto const alive = Control().run(client.wait_alive(Deadline::in(40ms)));
  ASSERT_FALSE(alive);
  EXPECT_EQ(alive.error().fault.kind, FaultKind::timed_out);
  EXPECT_EQ(alive.error().reason, "ready: the server was not alive in time (last: /alive answers 503)");
}

TEST(Upload, SendsOnePartNamedFileToAnEncodedPath) {
  Nested nested;
  ASSERT_TRUE(nested.control.run(nested.client.upload("/tmp/a b+c", std::string("\x1f\x8b\0x", 4), Deadline::in(20s))));
  auto const request = nested.server.requests().at(0);
  EXPECT_EQ(request.line(), "POST /api/file/upload?path=%2Ftmp%2Fa%20b%2Bc");
  auto const type = request.value("content-type");
  ASSERT_TRUE(type.starts_with("multipart/form-data; boundary="));
  auto const boundary = type.substr(std::string_view("multipart/form-data; boundary=").size());
  EXPECT_EQ(request.body, "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"upload\"\r\n" +
                              "Content-Type: application/octet-stream\r\n\r\n" + std::string("\x1f\x8b\0x", 4) + "\r\n--" +
                              boundary + "--\r\n");
}

TEST(KeptConnections, CarryTheUploadsAndStartsOfAllWhoShareThem) {
  test::Server server([](test::Connection& connection) {
    while (auto const request = test::read_request(connection)) {
      std::string const body = request->target.starts_with("/api/bash/") ? R"({"id":"abc123"})" : "{}";
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
  });
  Control control;
  auto const kept = std::make_shared<upstream::KeptConnections>(2, 1h);
  for (std::string const command : {"x", "y"}) {
    Client client(asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), server.port()), Secret("key"));
    client.use(kept);
    ASSERT_TRUE(control.run(client.upload("/tmp/a", "one", Deadline::in(20s))));
    ASSERT_TRUE(control.run(client.upload("/tmp/b", "two", Deadline::in(20s))));
    EXPECT_EQ(*control.run(client.start(command, 600s, Deadline::in(20s))), "abc123");
  }
  EXPECT_EQ(server.accepted(), 1U);
}

TEST(Commands, AreStartedAndTheirNewestOutputIsFoundById) {
  Nested nested;
  nested.server.on("POST /api/bash/start_bash_command", {200, R"({"kind":"BashCommand","id":"abc123","command":"x"})"});
  EXPECT_EQ(*nested.control.run(nested.client.start("x", 600s, Deadline::in(20s))), "abc123");
  EXPECT_EQ(nested.server.requests().at(0).body, R"({"command":"x","timeout":600})");

  nested.server.on("GET /api/bash/bash_events/search", {200, R"({"items":[],"next_page_id":null})"});
  auto const none = nested.control.run(nested.client.newest_output("abc123", Deadline::in(20s)));
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->has_value());
  EXPECT_EQ(nested.server.requests().at(1).target,
            "/api/bash/bash_events/search?kind__eq=BashOutput&sort_order=TIMESTAMP_DESC&limit=1&command_id__eq=abc123");

  nested.server.on("GET /api/bash/bash_events/search",
                   {200, R"({"items":[{"exit_code":null,"stdout":"a","stderr":null}]})"});
  auto const running = nested.control.run(nested.client.newest_output("abc123", Deadline::in(20s)));
  EXPECT_FALSE(running->value().exit_code);
  EXPECT_EQ(running->value().standard_output, "a");

  nested.server.on("GET /api/bash/bash_events/search", {200, R"({"items":[{"exit_code":-1,"stdout":"a","stderr":"b"}]})"});
  auto const ended = nested.control.run(nested.client.newest_output("abc123", Deadline::in(20s)));
  EXPECT_EQ(ended->value().exit_code, -1);
  EXPECT_EQ(ended->value().standard_error, "b");
}

// As many outputs as the query asks for, newest first; `text` says what each holds.
test::Reply outputs_from(std::string const& target, int count, std::function<std::string(int)> const& text) {
  auto const number = [&target](std::string_view name, int otherwise) {
    auto const at = target.find(name);
    return at == target.npos ? otherwise : std::stoi(target.substr(at + name.size()));
  };
  int const newest = number("page_id=", count - 1), end = std::max(newest - number("&limit=", 50), -1);
  std::string items;
  for (int i = newest; i > end; --i)
    items += std::string(items.empty() ? "" : ",") + R"({"order":)" + std::to_string(i) + R"(,"exit_code":null,"stdout":")" +
             text(i) + R"(","stderr":null})";
  auto const next = end >= 0 ? '"' + std::to_string(end) + '"' : std::string("null");
  return {200, R"({"items":[)" + items + R"(],"next_page_id":)" + next + "}"};
}

TEST(Commands, EndAsTheirLastOutputsDoTogether) {
  ScriptedServer server([](test::Request const& request) {
    return outputs_from(request.target, 300, [](int i) { return std::to_string(i) + " "; });
  });
  Control control;
  Client client(server.endpoint(), Secret("key"));
  auto const tail = control.run(client.output_tail("abc123", 100, Deadline::in(20s)));
  ASSERT_TRUE(tail);
  EXPECT_EQ(tail->standard_output.size(), 100U);
  EXPECT_TRUE(tail->standard_output.ends_with("296 297 298 299 ")) << tail->standard_output;
  EXPECT_EQ(tail->standard_error, "");
  EXPECT_LE(server.requests().size(), 6U) << "many small ones come at once";
}

TEST(Commands, WithLargeOutputsAreReadOneByOneAndNotToTheirBegin) {
  ScriptedServer server([](test::Request const& request) {
    return outputs_from(request.target, 50, [](int i) {
      return i > 47 ? std::string("x") : std::string(1024 * 1024, static_cast<char>('0' + i));
    });
  });
  Control control;
  Client client(server.endpoint(), Secret("key"));
  auto const tail = control.run(client.output_tail("abc123", 16, Deadline::in(20s)));
  ASSERT_TRUE(tail);
  EXPECT_EQ(tail->standard_output, std::string(14, '0' + 47) + "xx");
  EXPECT_LE(server.requests().size(), 8U);
}

TEST(Commands, SayOneOutputBehindAnother) {
  Nested nested;
  nested.server.on("GET /api/bash/bash_events/search",
                   {200, R"({"items":[{"order":7,"exit_code":null,"stdout":"a","stderr":null}],"next_page_id":"p 2"})"});
  auto const page = nested.control.run(nested.client.output_behind("abc123", 6, "p/1", Deadline::in(20s)));
  ASSERT_TRUE(page);
  ASSERT_EQ(page->items.size(), 1U);
  EXPECT_EQ(page->items[0].order, 7);
  EXPECT_EQ(page->next_page_id, "p 2");
  EXPECT_EQ(nested.server.requests().at(0).target,
            "/api/bash/bash_events/search?kind__eq=BashOutput&sort_order=TIMESTAMP&limit=1&order__gt=6&command_id__eq=abc123"
            "&page_id=p%2F1");
}

TEST(Commands, FailWhenTheAnswerHasAnotherShape) {
  for (auto const* body : {"", "[]", "null", "{}", R"({"id":7})", R"({"items":{}})", R"({"items":[1]})"}) {
    Nested nested;
    nested.server.on("POST /api/bash/start_bash_command", {200, body});
    nested.server.on("POST /api/bash/execute_bash_command", {200, body});
    nested.server.on("GET /api/bash/bash_events/search", {200, body});
    EXPECT_FALSE(nested.control.run(nested.client.start("x", 1s, Deadline::in(20s)))) << body;
    EXPECT_FALSE(nested.control.run(nested.client.execute("x", 1s, Deadline::in(20s)))) << body;
    EXPECT_FALSE(nested.control.run(nested.client.newest_output("x", Deadline::in(20s)))) << body;
  }
}

}  // namespace
}  // namespace nestgate::nested
