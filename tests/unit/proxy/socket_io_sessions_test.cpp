#include "proxy/socket_io_sessions.hpp"

#include <gtest/gtest.h>

namespace nestgate::proxy {
namespace {

ConversationId id_of(std::string_view text) { return *ConversationId::parse(text); }

TEST(SocketIoSessions, ForgetTheOldestFirst) {
  SocketIoSessions sessions;
  for (int i = 0; i < 100; ++i) sessions.learn("sid" + std::to_string(i), id_of("c1"), 10);
  EXPECT_EQ(sessions.size(), 10u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(sessions.find("sid" + std::to_string(i)), i < 90 ? "" : "c1") << i;
}

TEST(SocketIoSessions, KeepOneThatIsLearntAgainAsANewOne) {
  SocketIoSessions sessions;
  sessions.learn("a", id_of("c1"), 2);
  sessions.learn("b", id_of("c1"), 2);
  sessions.learn("a", id_of("c2"), 2);
  sessions.learn("c", id_of("c1"), 2);
  EXPECT_EQ(sessions.find("a"), "c2");
  EXPECT_EQ(sessions.find("b"), "");
  EXPECT_EQ(sessions.size(), 2u);
}

TEST(SocketIoSessions, ForgetThoseOfOneRuntimeAndNoOther) {
  SocketIoSessions sessions;
  for (int i = 0; i < 10; ++i) sessions.learn("sid" + std::to_string(i), id_of(i % 2 == 0 ? "c1" : "c2"), 100);
  sessions.forget(id_of("c1"));
  EXPECT_EQ(sessions.size(), 5u);
  EXPECT_EQ(sessions.find("sid0"), "");
  EXPECT_EQ(sessions.find("sid1"), "c2");
}

}  // namespace
}  // namespace nestgate::proxy
