#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;
using test::Reply;

class ConversationStatus : public ManagerOnEngine {
 protected:
  ConversationStatus() { settings.status_age_max = 1ms; }
  std::string shown(std::string_view id) { return manager().find(id_of(id))->nested_status.runtime; }
};

TEST_F(ConversationStatus, OfOneWhoseServerSaysNothingHoldsUpNoOther) {
  test::Server silent([](test::Connection& connection) {
    auto const head = connection.read_until("\r\n\r\n");
    if (head.starts_with("GET /api/conversations/")) {
      connection.read_to_end();
    } else {
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
    }
  });
  auto const answering = engine.server;
  engine.server.port(silent.port());
  ASSERT_TRUE(start("a1"));
  engine.server = answering;
  ASSERT_TRUE(start("b1"));
  server.on("GET /api/conversations/b1", Reply{200, R"({"status":"RUNNING","runtime_status":"STATUS$READY"})"});
  control.run_until([&] {
    // A list that somebody looks at is what has statuses asked for, and waits for none.
    EXPECT_EQ(manager().list(user("alice"), 10, std::nullopt).views.size(), 2U);
    return shown("b1") == "STATUS$READY";
  });
  EXPECT_EQ(shown("a1"), "");
  EXPECT_EQ(gateway().state("a1"), RuntimeState::running);
  EXPECT_TRUE(start("c1")) << "nor does it hold up anything else";
}

}  // namespace
}  // namespace nestgate::conversation
