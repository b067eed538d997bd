#include "nestgate/conversation/credentials.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "conversation/refresh_answer.hpp"
#include "support/control.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;
using std::chrono::system_clock;
using test::Control;
using test::Reply;
using test::Request;
using test::ScriptedServer;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

constexpr auto patience = 20s;

std::vector<nested::GitToken> tokens_of(std::initializer_list<std::string> providers) {
  std::vector<nested::GitToken> out;
  for (auto const& provider : providers) out.push_back(nested::GitToken{provider, Secret("held-" + provider), "u", "h"});
  return out;
}

std::string base_of(std::uint16_t port) { return "http://127.0.0.1:" + std::to_string(port); }

struct Checked {
  explicit Checked(ScriptedServer::Script script = {}) : server(std::move(script)) {
    for (auto const* provider : {"github", "gitlab"})
      settings.check_urls[provider] = base_of(server.port()) + "/" + provider + "/user";
  }
  upstream::Outcome<> check(std::vector<nested::GitToken> const& tokens) {
    return control.run(make_credentials(settings)->check(tokens, Deadline::in(patience)));
  }
  CredentialSettings settings;
  ScriptedServer server;
  Control control;
};

TEST(CredentialCheck, ShowsEachTokenToItsOwnProviderOnly) {
  Checked checked([](Request const&) { return Reply{}; });
  ASSERT_TRUE(checked.check(tokens_of({"github", "gitlab", "bitbucket"})));
  EXPECT_THAT(checked.server.lines(), UnorderedElementsAre("GET /github/user", "GET /gitlab/user"));
  for (auto const& request : checked.server.requests()) {
    auto const provider = request.target.substr(1, 6);
    EXPECT_EQ(request.value("authorization"), "Bearer held-" + provider);
  }
}

TEST(CredentialCheck, NamesTheProviderThatDoesNotKnowItsTokenAndNeverTheToken) {
  for (unsigned const status : {401U, 403U}) {
    Checked checked([status](Request const& request) {
      return request.target == "/gitlab/user" ? Reply{status, "bad token held-gitlab"} : Reply{500, ""};
    });
    auto const done = checked.check(tokens_of({"github", "gitlab"}));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().fault.kind, FaultKind::bad_input);
    EXPECT_EQ(done.error().reason, "credentials: gitlab does not know its token");
  }
}

TEST(CredentialCheck, OfAProviderThatCannotBeAskedIsNotTheClientsFault) {
  Checked broken([](Request const&) { return Reply{500, ""}; });
  auto const refused = broken.check(tokens_of({"github"}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault.kind, FaultKind::upstream);
  EXPECT_EQ(refused.error().reason, "credentials: github: the server answered 500");
  Checked gone;
  gone.server.stop();
  EXPECT_EQ(gone.check(tokens_of({"github"})).error().fault.kind, FaultKind::upstream);
  test::Server silent([](test::Connection& connection) { connection.read_to_end(); });
  Checked slow;
  slow.settings.check_urls["github"] = base_of(silent.port());
  slow.settings.call_time_max = 20ms;
  EXPECT_EQ(slow.check(tokens_of({"github"})).error().fault.kind, FaultKind::timed_out);
}

TEST(CredentialCheck, RefusesATokenThatWouldWriteFieldsOfItsOwnWithoutSendingIt) {
  Checked checked([](Request const&) { return Reply{}; });
  std::vector<nested::GitToken> tokens;
  tokens.push_back(nested::GitToken{"github", Secret("a\r\nX-Evil: 1"), "", ""});
  auto const done = checked.check(tokens);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().fault.kind, FaultKind::bad_input);
  EXPECT_TRUE(checked.server.requests().empty());
}

TEST(CredentialCheck, AsksNobodyForATokenThatIsEmpty) {
  Checked checked([](Request const&) { return Reply{401}; });
  std::vector<nested::GitToken> tokens;
  tokens.push_back(nested::GitToken{"github", Secret(), "", "git.example.org"});
  EXPECT_TRUE(checked.check(tokens));
}

// A token endpoint.
struct Endpoint {
  explicit Endpoint(ScriptedServer::Script script = {}) : server(std::move(script)) {
    settings.refresh_url = base_of(server.port()) + "/api/refresh-tokens";
  }
  upstream::Outcome<RefreshedTokens> refresh(std::vector<nested::GitToken> const& held) {
    auto const id = *ConversationId::parse("c1");
    return control.run(make_credentials(settings)->refresh(id, held, Secret("key"), Deadline::in(patience)));
  }
  CredentialSettings settings;
  ScriptedServer server;
  Control control;
};

TEST(CredentialRefresh, AsksForEachProviderWithTheSessionKeyAsAField) {
  Endpoint endpoint([](Request const& request) {
    auto const provider = request.target.find("github") != std::string::npos ? "github" : "gitlab";
    return Reply{200, std::string(R"({"token":"new-)") + provider + R"("})"};
  });
  auto const fresh = endpoint.refresh(tokens_of({"github", "gitlab"}));
  ASSERT_TRUE(fresh) << fresh.error().reason;
  EXPECT_THAT(endpoint.server.lines(), UnorderedElementsAre("GET /api/refresh-tokens?provider=github&sid=c1",
                                                            "GET /api/refresh-tokens?provider=gitlab&sid=c1"));
  for (auto const& request : endpoint.server.requests()) EXPECT_EQ(request.value("x-session-api-key"), "key");
  ASSERT_EQ(fresh->tokens.size(), 2U);
  EXPECT_EQ(fresh->tokens[0].provider, "github");
  EXPECT_EQ(fresh->tokens[0].token.reveal(), "new-github");
  EXPECT_EQ(fresh->tokens[1].token.reveal(), "new-gitlab");
  EXPECT_EQ(fresh->tokens[1].user_id, "u");
  EXPECT_EQ(fresh->tokens[1].host, "h");
}

TEST(CredentialRefresh, KeepsTheQueryOfTheEndpointsOwnUrl) {
  Endpoint endpoint([](Request const&) { return Reply{200, R"({"token":"t"})"}; });
  endpoint.settings.refresh_url += "?v=1";
  ASSERT_TRUE(endpoint.refresh(tokens_of({"a&b"})));
  EXPECT_THAT(endpoint.server.lines(), ElementsAre("GET /api/refresh-tokens?v=1&provider=a%26b&sid=c1"));
}

TEST(CredentialRefresh, IsDueBeforeTheFirstTokenEnds) {
  auto const start = system_clock::now();
  Endpoint endpoint([](Request const& request) {
    if (request.target.find("gitlab") == std::string::npos) return Reply{200, R"({"token":"t"})"};
    auto const end = "2199-01-01T00:00:00Z";
    return Reply{200, std::string(R"({"token":"t","expires_at":")") + end + "\"}"};
  });
  endpoint.settings.lifetime = 1h;
  endpoint.settings.refresh_before = 10min;
  auto const both = endpoint.refresh(tokens_of({"github", "gitlab"}));
  EXPECT_GE(both->next_at.value(), start + 50min) << "github's, of the usual lifetime";
  EXPECT_LE(both->next_at.value(), system_clock::now() + 50min);
  auto const late = endpoint.refresh(tokens_of({"gitlab"}));
  EXPECT_GT(late->next_at.value(), start + 24h);
}

TEST(CredentialRefresh, LeavesWhatCannotBeRefreshedAndAsksForItAgainSoon) {
  auto const start = system_clock::now();
  for (Reply const& reply : {Reply{404, ""}, Reply{200, "{}"}, Reply{200, R"({"token":""})"}, Reply{0, ""},
                             Reply{200, R"({"token":")" + std::string(70'000, 'x') + "\"}"}}) {
    Endpoint endpoint([&reply](Request const& request) {
      return request.target.find("gitlab") == std::string::npos ? Reply{200, R"({"token":"new"})"} : reply;
    });
    auto const fresh = endpoint.refresh(tokens_of({"gitlab", "github"}));
    ASSERT_TRUE(fresh);
    EXPECT_EQ(fresh->tokens[0].token.reveal(), "held-gitlab");
    EXPECT_EQ(fresh->tokens[1].token.reveal(), "new");
    EXPECT_LT(fresh->next_at.value(), start + 10min);
    EXPECT_GT(fresh->next_at.value(), start + 5s);
  }
}

TEST(CredentialRefresh, FailsWithTheProvidersNameWhenNothingCouldBeHad) {
  Endpoint endpoint([](Request const&) { return Reply{403, "no key"}; });
  auto const fresh = endpoint.refresh(tokens_of({"github"}));
  ASSERT_FALSE(fresh);
  EXPECT_EQ(fresh.error().fault.kind, FaultKind::upstream);
  EXPECT_EQ(fresh.error().reason, "credentials: github: the server answered 403");
}

TEST(CredentialRefresh, AsksForAllProvidersAtOnce) {
  std::mutex mutex;
  std::condition_variable changed;
  unsigned asked = 0;
  // Answers nobody before both have asked.
  test::Server server([&](test::Connection& connection) {
    connection.read_until("\r\n\r\n");
    std::unique_lock lock(mutex);
    ++asked;
    changed.notify_all();
    if (!changed.wait_for(lock, std::chrono::milliseconds(test::patience_ms), [&] { return asked == 2; })) return;
    connection.send("HTTP/1.1 200 x\r\nContent-Length: 13\r\n\r\n{\"token\":\"t\"}");
  });
  Endpoint endpoint;
  endpoint.settings.refresh_url = base_of(server.port());
  auto const fresh = endpoint.refresh(tokens_of({"github", "gitlab"}));
  ASSERT_TRUE(fresh);
  for (auto const& token : fresh->tokens) EXPECT_EQ(token.token.reveal(), "t");
}

TEST(CredentialRefresh, IsNotDueWithoutAnEndpointOrTokens) {
  Endpoint endpoint;
  EXPECT_TRUE(make_credentials(endpoint.settings)->first_refresh_at(tokens_of({"github"})));
  EXPECT_FALSE(make_credentials(endpoint.settings)->first_refresh_at({}));
  endpoint.settings.refresh_url.clear();
  EXPECT_FALSE(make_credentials(endpoint.settings)->first_refresh_at(tokens_of({"github"})));
  auto const same = endpoint.refresh(tokens_of({"github"}));
  ASSERT_TRUE(same);
  EXPECT_EQ(same->tokens.at(0).token.reveal(), "held-github");
  EXPECT_FALSE(same->next_at);
}

TEST(RefreshTime, IsBeforeTheEndButNeitherInTheFirstHalfNorAtOnce) {
  system_clock::time_point const now{1'000'000s};
  EXPECT_EQ(refresh_time(now + 60min, now, 10min), now + 50min);
  EXPECT_EQ(refresh_time(now + 8min, now, 10min), now + 4min);
  EXPECT_EQ(refresh_time(now + 4s, now, 10min), now + 10s);
  EXPECT_EQ(refresh_time(now - 60min, now, 10min), now + 10s);
}

TEST(RefreshAnswer, IsATokenAndPerhapsItsEnd) {
  EXPECT_EQ(parse_refresh_answer(R"({"token":"t","expires_at":"1970-01-01T00:00:07Z"})")->expires_at,
            system_clock::time_point(7s));
  for (auto const* text : {R"({"token":"t"})", R"({"token":"t","expires_at":null})", R"({"token":"t","expires_at":7})",
                           R"({"token":"t","expires_at":"soon"})"}) {
    auto const answer = parse_refresh_answer(text);
    ASSERT_TRUE(answer) << text;
    EXPECT_EQ(answer->token.reveal(), "t");
    EXPECT_FALSE(answer->expires_at);
  }
  for (auto const* text : {"", "[]", "null", "t", R"({"token":7})", R"({"token":""})", R"({"expires_at":"x"})"})
    EXPECT_FALSE(parse_refresh_answer(text)) << text;
}

}  // namespace
}  // namespace nestgate::conversation
