#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;
using test::Reply;

class ConversationConfiguration : public ManagerOnEngine {
 protected:
  nested::Configuration stored(std::string_view id) {
    auto parsed = nested::parse_configuration(row(id)->configuration_json);
    EXPECT_TRUE(parsed);
    return std::move(*parsed);
  }
  void refresh_from(std::uint16_t port) {
    credentials.refresh_url = "http://127.0.0.1:" + std::to_string(port) + "/token";
    credentials.lifetime = 20ms;
    settings.idle_sweep = 1ms;
  }
  bool was_told(std::string_view text) const {
    auto const all = server.requests();
    return std::any_of(all.begin(), all.end(), [text](auto const& r) { return r.body.find(text) != r.body.npos; });
  }
};

TEST_F(ConversationConfiguration, ThatIsChangedIsMergedAndUsedByTheNextStart) {
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  nested::Configuration change = with_token("ghp_second");
  change.secrets.push_back({"OTHER", Secret("more"), ""});
  ASSERT_TRUE(control.run(manager().reconfigure(id_of("c1"), std::move(change))));
  auto const kept = stored("c1");
  ASSERT_EQ(kept.git_tokens.size(), 1U);
  EXPECT_TRUE(kept.git_tokens[0].token.equals("ghp_second"));
  EXPECT_EQ(kept.secrets.size(), 2U);
  EXPECT_TRUE(kept.settings_json.equals(R"({"llm_model":"m"})"));
  ASSERT_TRUE(stop("c1"));
  auto const before = server.requests().size();
  ASSERT_TRUE(start("c1"));
  auto const all = server.requests();
  std::string told;
  for (std::size_t i = before; i < all.size(); ++i) told += all[i].body;
  EXPECT_NE(told.find("ghp_second"), std::string::npos);
  EXPECT_NE(told.find("OTHER"), std::string::npos);
  EXPECT_EQ(told.find("ghp_x"), std::string::npos);
}

TEST_F(ConversationConfiguration, ThatTheServerRefusesIsNotKept) {
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  server.on("POST /api/settings", Reply{422, R"({"detail":"no such model"})"});
  nested::Configuration change;
  change.settings_json = Secret(R"({"llm_model":"bad"})");
  auto const refused = control.run(manager().reconfigure(id_of("c1"), std::move(change)));
  ASSERT_FALSE(refused);
  EXPECT_TRUE(stored("c1").settings_json.equals(R"({"llm_model":"m"})"));
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running);
}

TEST_F(ConversationConfiguration, IsNotChangedWhileItDoesNotRun) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(stop("c1"));
  EXPECT_EQ(control.run(manager().reconfigure(id_of("c1"), full_configuration())).error().fault.kind, FaultKind::conflict);
}

TEST_F(ConversationConfiguration, DoesNotSayTheFirstMessageAgainAtARestart) {
  auto configuration = full_configuration();
  configuration.conversation_json = Secret(R"({"initial_user_msg":"do it"})");
  ASSERT_TRUE(start("c1", "alice", std::move(configuration)));
  EXPECT_EQ(requests("POST /api/conversations"), 1U);
  ASSERT_TRUE(stop("c1"));
  server.on("GET /api/conversations/c1", Reply{200, R"({"status":"STOPPED"})"});
  ASSERT_TRUE(start("c1"));
  EXPECT_EQ(requests("POST /api/conversations"), 1U) << "the server knows the conversation";
}

TEST_F(ConversationConfiguration, TellsAServerThatLostItsConversationTheFirstMessageAgain) {
  auto configuration = full_configuration();
  configuration.conversation_json = Secret(R"({"initial_user_msg":"do it"})");
  ASSERT_TRUE(start("c1", "alice", std::move(configuration)));
  ASSERT_TRUE(stop("c1"));
  server.on("GET /api/conversations/c1", Reply{404, "{}"});
  ASSERT_TRUE(start("c1"));
  EXPECT_EQ(requests("POST /api/conversations"), 2U);
}

TEST_F(ConversationConfiguration, PushesFreshTokensToTheRunningServerAndKeepsThem) {
  test::ScriptedServer tokens;
  tokens.on("GET /token", Reply{200, R"({"token":"ghp_new"})"});
  refresh_from(tokens.port());
  // Not within ten seconds of a start: so it is one that a restart of the gateway finds.
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  close();
  open();
  wait_for("c1", RuntimeState::running);
  control.run_until([&] { return was_told("ghp_new"); });
  control.run_until([&] { return stored("c1").git_tokens.at(0).token.equals("ghp_new"); });
  EXPECT_EQ(stored("c1").secrets.size(), 1U);
  EXPECT_EQ(tokens.requests().at(0).value("x-session-api-key"), ring_of()->derive(id_of("c1")).reveal());
}

TEST_F(ConversationConfiguration, OfTwoChangesAtOnceKeepsBoth) {
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  std::vector<std::shared_ptr<std::optional<Outcome<View>>>> changes;
  for (int i = 0; i < 4; ++i) {
    nested::Configuration change;
    change.secrets.push_back({"N" + std::to_string(i), Secret("v"), ""});
    changes.push_back(in_background(manager().reconfigure(id_of("c1"), std::move(change))));
  }
  for (auto const& one : changes) EXPECT_TRUE(value_of(one));
  EXPECT_EQ(stored("c1").secrets.size(), 5U);
}

TEST_F(ConversationConfiguration, OfOneThatIsStoppedMeanwhileDoesNotBringItBack) {
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  auto const changed = in_background(manager().reconfigure(id_of("c1"), full_configuration()));
  ASSERT_TRUE(stop("c1"));
  value_of(changed);
  EXPECT_EQ(gateway().state("c1"), RuntimeState::stopped);
  EXPECT_EQ(row("c1")->phase, store::Phase::stopped);
}

}  // namespace
}  // namespace nestgate::conversation
