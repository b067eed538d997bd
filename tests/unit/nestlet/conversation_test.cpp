#include "unit/nestlet/support.hpp"

namespace nestgate::nestlet::testing {
namespace {

constexpr auto hex_id = "0123456789abcdef0123456789abcdef";
constexpr auto dashed_id = "01234567-89ab-cdef-0123-456789abcdef";

std::string of(std::string_view rest = "") { return "/api/conversations/" + std::string(dashed_id) + std::string(rest); }
void create(RunningServer const& server) {
  auto const reply = server.call("POST", "/api/conversations", R"({"conversation_id":")" + std::string(hex_id) + "\"}");
  ASSERT_EQ(reply.status, 201u) << reply.body;
}
void await_status(RunningServer const& server, std::string_view status) {
  while (server.call("GET", of()).json().at("execution_status").as_string() != status) std::this_thread::yield();
}

TEST(Conversations, CreatingIsIdempotentByIdAndTheAnswerIsDashed) {
  RunningServer const server;
  std::string const body =
      R"({"agent":{"kind":"Agent","llm":{"api_key":"hidden"}},"workspace":{"working_dir":"/w"},"conversation_id":")" +
      std::string(hex_id) + "\"}";
  auto const created = server.call("POST", "/api/conversations", body);
  EXPECT_EQ(created.status, 201u);
  EXPECT_EQ(created.json().at("id"), dashed_id);
  EXPECT_EQ(created.json().at("execution_status"), "idle");
  EXPECT_EQ(created.body.find("hidden"), std::string::npos);
  EXPECT_EQ(server.call("POST", "/api/conversations", body).status, 200u);
  auto const other = server.call("POST", "/api/conversations", "{}");
  EXPECT_EQ(other.status, 201u);
  EXPECT_NE(other.json().at("id"), dashed_id);
  EXPECT_EQ(server.call("POST", "/api/conversations", R"({"agent":{},"conversation_id":"x"})").status, 422u);
  EXPECT_EQ(server.call("POST", "/api/conversations", R"({"conversation_id":"../x"})").status, 422u);
}

TEST(Conversations, EveryFormOfTheIdNamesTheSameOne) {
  RunningServer const server;
  create(server);
  for (std::string const form :
       {"0123456789abcdef0123456789abcdef", "01234567-89AB-CDEF-0123-456789ABCDEF",
        "%7B01234567-89ab-cdef-0123-456789abcdef%7D", "urn:uuid:01234567-89ab-cdef-0123-456789abcdef"}) {
    EXPECT_EQ(server.call("GET", "/api/conversations/" + form).status, 200u) << form;
  }
  EXPECT_EQ(server.call("GET", "/api/conversations/ffffffffffffffffffffffffffffffff").status, 404u);
  EXPECT_EQ(server.call("GET", "/api/conversations/no-id").status, 422u);
}

TEST(Conversations, AreListedSearchedCountedChangedAndDeleted) {
  RunningServer const server;
  create(server);
  server.call("POST", "/api/conversations", "{}");
  auto const list =
      server.call("GET", std::string("/api/conversations?ids=") + hex_id + "&ids=ffffffffffffffffffffffffffffffff").json();
  EXPECT_EQ(list.at(0).at("id"), dashed_id);
  EXPECT_TRUE(list.at(1).is_null());
  EXPECT_EQ(server.call("GET", "/api/conversations/count").body, "2");
  EXPECT_EQ(server.call("GET", "/api/conversations/count?status=running").body, "0");
  auto const page = server.call("GET", "/api/conversations/search?limit=1&sort_order=CREATED_AT").json();
  EXPECT_EQ(page.at("items").at(0).at("id"), dashed_id);
  auto const next = std::string(page.at("next_page_id").as_string());
  auto const rest = server.call("GET", "/api/conversations/search?sort_order=CREATED_AT&page_id=" + next).json();
  EXPECT_EQ(rest.at("items").as_array().size(), 1u);
  EXPECT_EQ(server.call("PATCH", of(), R"({"title":"T","tags":{"a":"b"}})").body, R"({"success":true})");
  EXPECT_EQ(server.call("GET", of()).json().at("title"), "T");
  EXPECT_EQ(server.call("GET", of()).json().at("tags").at("a"), "b");
  EXPECT_EQ(server.call("DELETE", of()).body, R"({"success":true})");
  EXPECT_EQ(server.call("GET", of()).status, 404u);
  EXPECT_EQ(server.call("DELETE", of()).status, 404u);
}

TEST(Conversations, ARunEchoesTheLastMessageAndFinishes) {
  RunningServer const server;
  create(server);
  EXPECT_EQ(server
                .call("POST", of("/events"),
                      R"({"role":"user","content":[{"cache_prompt":false,"type":"text","text":"hi"}],"run":false})")
                .body,
            R"({"success":true})");
  EXPECT_EQ(server.call("GET", of()).json().at("execution_status"), "idle");
  EXPECT_EQ(server.call("POST", of("/run")).body, R"({"success":true})");
  await_status(server, "finished");
  auto const messages =
      server.call("GET", of("/events/search?kind=openhands.sdk.event.llm_convertible.message.MessageEvent"));
  auto const items = messages.json().at("items").as_array();
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].at("source"), "user");
  EXPECT_EQ(items[1].at("source"), "agent");
  EXPECT_EQ(items[1].at("llm_message").at("content").at(0).at("text"), "hi");
  EXPECT_NE(messages.body.find(R"("kind":"MessageEvent"})"), std::string::npos) << "kind is the last key";
  EXPECT_EQ(messages.body.find("null,"), std::string::npos) << "conversation events drop nulls";
}

TEST(Conversations, TextIsKeptPastANul) {
  RunningServer const server;
  create(server);
  server.call("POST", of("/events"), R"({"content":[{"type":"text","text":"a\u0000b"}]})");
  server.call("POST", of("/run"));
  await_status(server, "finished");
  auto const said = server.call("GET", of("/events/search?source=agent")).json().at("items").at(0);
  EXPECT_EQ(text(said.at("llm_message").at("content").at(0).at("text")), std::string("a\0b", 3));
}

TEST(Conversations, ARunningOneRefusesASecondRunAndCanBePaused) {
  Limits limits;
  limits.run_milliseconds = 3'600'000;
  RunningServer const server(limits);
  create(server);
  EXPECT_EQ(server.call("POST", of("/run")).status, 200u);
  EXPECT_EQ(server.call("POST", of("/run")).status, 409u);
  EXPECT_EQ(server.call("GET", "/api/conversations/count?status=running").body, "1");
  EXPECT_EQ(server.call("POST", of("/pause")).status, 200u);
  EXPECT_EQ(server.call("GET", of()).json().at("execution_status"), "paused");
  EXPECT_EQ(server.call("POST", of("/run")).status, 200u) << "a paused one can go on";
  EXPECT_EQ(server.call("POST", of("/interrupt")).status, 200u);
  EXPECT_EQ(server.call("GET", of("/events/search?kind=InterruptEvent")).json().at("items").as_array().size(), 1u);
}

TEST(Conversations, EventsAreFoundCountedAndRefusedWhenMalformed) {
  RunningServer const server;
  create(server);
  for (auto const* text : {"one", "two", "three"}) {
    server.call("POST", of("/events"), R"({"role":"user","content":")" + std::string(text) + "\"}");
  }
  EXPECT_EQ(server.call("GET", of("/events/count")).body, "3");
  auto const page = server.call("GET", of("/events/search?limit=2&sort_order=TIMESTAMP_DESC")).json();
  EXPECT_EQ(page.at("items").as_array().size(), 2u);
  auto const next = std::string(page.at("next_page_id").as_string());
  EXPECT_EQ(server.call("GET", of("/events/" + next)).json().at("llm_message").at("content").at(0).at("text"), "one");
  EXPECT_EQ(server.call("GET", of("/events"), "[\"" + next + "\",\"x\"]").json().at(1).is_null(), true);
  EXPECT_EQ(server.call("GET", of("/events/search?body=three")).json().at("items").as_array().size(), 1u);
  EXPECT_EQ(server.call("GET", of("/events/search?source=agent")).json().at("items").as_array().size(), 0u);
  EXPECT_EQ(server.call("GET", of("/events/none")).status, 404u);
  EXPECT_EQ(server.call("POST", of("/events"), R"({"role":"user"})").status, 422u);
  EXPECT_EQ(server.call("POST", of("/events"), R"({"role":"king","content":"x"})").status, 422u);
}

TEST(Conversations, AForkHasTheLogAndAnIdOfItsOwn) {
  RunningServer const server;
  create(server);
  server.call("POST", of("/events"), R"({"content":"x"})");
  auto const fork = server.call("POST", of("/fork"), R"({"title":"F"})");
  EXPECT_EQ(fork.status, 201u);
  auto const id = std::string(fork.json().at("id").as_string());
  EXPECT_NE(id, dashed_id);
  EXPECT_EQ(server.call("GET", "/api/conversations/" + id + "/events/count").body, "1");
  EXPECT_EQ(server.call("POST", of("/fork"), R"({"id":")" + id + "\"}").status, 409u);
  EXPECT_EQ(server.call("POST", of("/fork")).status, 201u) << "a fork needs no body";
}

TEST(Conversations, SecretsAreTakenAndNeverShown) {
  RunningServer const server;
  create(server);
  auto const body =
      R"({"secrets":{"A":"hunter2","B":{"kind":"StaticSecret","value":"hunter2"},"C":{"kind":"LookupSecret","url":"http://x"}}})";
  EXPECT_EQ(server.call("POST", of("/secrets"), body).body, R"({"success":true})");
  EXPECT_EQ(server.call("GET", of()).body.find("hunter2"), std::string::npos);
  EXPECT_EQ(server.call("POST", of("/secrets"), R"({"secrets":{"A":1}})").status, 422u);
}

TEST(Conversations, TooManyAreRefusedWithTheLimit) {
  Limits limits;
  limits.conversations_max = 1;
  RunningServer const server(limits);
  create(server);
  EXPECT_EQ(server.call("POST", "/api/conversations", "{}").body, R"({"detail":"Too many conversations: at most 1"})");
  EXPECT_EQ(server.call("POST", of("/fork")).status, 429u);
}

TEST(Conversations, NothingRunsAnyMoreOnceTheyAreShutDown) {
  asio::io_context loop(1);
  Webhooks webhooks(loop.get_executor());
  Conversations conversations(loop.get_executor(), {}, webhooks);
  auto const conversation = *conversations.create(hex_id, {});
  asio::co_spawn(loop, conversations.shut_down(), [](std::exception_ptr bug) { EXPECT_FALSE(bug); });
  loop.run();
  EXPECT_EQ(conversations.run(conversation).error().status, 503u);
  EXPECT_EQ(conversation->status(), RunStatus::idle);
}

TEST(Conversations, TheEventStreamGivesASnapshotThenWhatHappens) {
  RunningServer server;
  create(server);
  Client client(server.port());
  client.send("GET " + of("/events/stream") + " HTTP/1.1\r\nhost: n\r\nx-session-api-key: k1\r\n\r\n");
  auto const head = client.receive_until("\r\n\r\n");
  EXPECT_NE(head.find("content-type: text/event-stream"), std::string::npos);
  EXPECT_NE(head.find("transfer-encoding: chunked"), std::string::npos);
  server.call("POST", of("/events"), R"({"content":"live one"})");
  EXPECT_NE((head + client.receive_until("live one")).find("full_state"), std::string::npos);
  server.stop();
}

TEST(OlderServer, ListsConversationsInPagesNewestFirst) {
  RunningServer const server;
  create(server);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(server.call("POST", "/api/conversations", "{}").status, 201u);
  auto const page = server.call("GET", "/api/conversations?limit=2").json();
  EXPECT_EQ(page.at("results").as_array().size(), 2u);
  auto const rest = server.call("GET", "/api/conversations?limit=2&page_id=" + text(page.at("next_page_id"))).json();
  EXPECT_EQ(rest.at("results").as_array().size(), 1u);
  EXPECT_EQ(rest.at("results").at(0).at("id"), dashed_id) << "the first one made";
  EXPECT_TRUE(rest.at("next_page_id").is_null());
  EXPECT_EQ(server.call("GET", "/api/conversations?limit=x").status, 422u);
}

TEST(OlderServer, GivesTheEventsBetweenTwoIds) {
  RunningServer const server;
  create(server);
  for (char c = '0'; c < '6'; ++c) server.call("POST", of("/events"), R"({"content":")" + std::string(1, c) + "\"}");
  auto const said = [&](std::string const& query) {
    auto const page = server.call("GET", of("/events?" + query)).json();
    std::string out;
    for (auto const& event : page.at("events").as_array()) {
      out += text(event.at("llm_message").at("content").at(0).at("text"));
    }
    return out + (page.at("has_more").as_bool() ? "+" : "");
  };
  EXPECT_EQ(said("start_id=2&end_id=4"), "234");
  EXPECT_EQ(said("start_id=2&end_id=4&limit=2"), "23+");
  EXPECT_EQ(said("start_id=2&end_id=4&limit=2&reverse=True"), "43+");
  EXPECT_EQ(said("limit=0"), "+");
  EXPECT_EQ(said("start_id=4&end_id=2"), "");
  EXPECT_EQ(said("start_id=9223372036854775807&end_id=9223372036854775807"), "");
  EXPECT_EQ(said("end_id=9223372036854775807"), "012345");
  EXPECT_EQ(server.call("GET", of("/events?reverse=maybe")).status, 422u);
  EXPECT_EQ(server.call("GET", of("/events?end_id=-1")).status, 400u);
}

TEST(OlderServer, AConversationNeedsSettingsThenStartsAndStops) {
  RunningServer const server;
  auto const start = [&] { return server.call("POST", "/api/conversations", R"({"initial_user_msg":"hello"})"); };
  EXPECT_EQ(start().json().at("msg_id"), "CONFIGURATION$SETTINGS_NOT_FOUND");
  EXPECT_EQ(server.call("POST", "/api/settings", R"({"llm_model":"openai/x","llm_api_key":" "})").status, 200u);
  EXPECT_EQ(start().json().at("msg_id"), "STATUS$ERROR_LLM_AUTHENTICATION");
  server.call("POST", "/api/settings", R"({"llm_api_key":"key"})");
  auto const created = start();
  EXPECT_EQ(created.status, 200u);
  EXPECT_EQ(created.json().at("status"), "ok");
  EXPECT_EQ(created.json().at("conversation_status"), "STARTING");
  auto const id = "/api/conversations/" + std::string(created.json().at("conversation_id").as_string());
  EXPECT_EQ(server.call("GET", "/api/conversations").json().at("results").as_array().size(), 1u);
  EXPECT_EQ(server.call("POST", id + "/message", R"({"message":"more"})").body, R"({"success":true})");
  EXPECT_EQ(server.call("POST", id + "/events", R"({"action":"message","args":{"content":"x"}})").body,
            R"({"success":true})");
  EXPECT_TRUE(server.call("GET", id + "/config").json().as_object().contains("runtime_id"));
  auto const page = server.call("GET", id + "/events?limit=1&start_id=0").json();
  EXPECT_EQ(page.at("events").as_array().size(), 1u);
  EXPECT_EQ(page.at("has_more"), true);
  EXPECT_EQ(server.call("GET", id + "/events?limit=101").status, 400u);
  auto const stopped = server.call("POST", id + "/stop").json();
  EXPECT_EQ(stopped.at("message"), "Conversation stopped successfully");
  EXPECT_EQ(stopped.at("conversation_status"), "RUNNING");
  EXPECT_EQ(server.call("GET", id).json().at("status"), "STOPPED");
  EXPECT_EQ(server.call("POST", id + "/stop").json().at("message"), "Conversation was not running");
}

}  // namespace
}  // namespace nestgate::nestlet::testing
