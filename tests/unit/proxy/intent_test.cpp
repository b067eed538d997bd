#include "proxy/intent.hpp"

#include <gtest/gtest.h>

#include <string>

namespace nestgate::proxy {
namespace {

struct Asked {
  std::string method, target, fields = {};
};

http::RequestHead head_of(std::string const& text) {
  http::RequestHead head;
  std::size_t scanned = 0;
  auto const parsed = http::parse_request_head(text, {65'536, 100}, head, scanned);
  EXPECT_EQ(parsed.state, http::HeadParse::State::complete) << text;
  return head;
}

bool acts(Asked const& asked, WakeRules const& rules = {}) {
  std::string const text = asked.method + " /x HTTP/1.1\r\nHost: g\r\n" + asked.fields + "\r\n";
  return is_act(rules, head_of(text), asked.target);
}

constexpr auto upgrade =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
std::string const by_a_browser = std::string(upgrade) + "Origin: https://app.test\r\n";

TEST(Intent, OfARequestIsInItsMethod) {
  for (auto const* method : {"POST", "PUT", "PATCH", "DELETE", "PROPFIND"})
    EXPECT_TRUE(acts({method, "/api/conversations/c1/events"})) << method;
  for (auto const* method : {"GET", "HEAD", "OPTIONS"})
    EXPECT_FALSE(acts({method, "/api/conversations/c1/events"})) << method;
}

TEST(Intent, IsNotInHealthProbesNorInWhatServersSendOfThemselves) {
  for (auto const* path : {"/alive", "/health", "/ready"}) EXPECT_FALSE(acts({"GET", path})) << path;
  EXPECT_FALSE(acts({"POST", "/api/v1/webhooks"}));
  EXPECT_FALSE(acts({"POST", "/api/v1/webhooks/events/1?a=b"}));
  EXPECT_FALSE(acts({"POST", "/api/v1/%77ebhooks/events/1"}));
  EXPECT_TRUE(acts({"POST", "/api/v1/webhooksx"}));
}

TEST(Intent, OfAWebsocketIsAPersonsUnlessItComesBackByItself) {
  EXPECT_TRUE(acts({"GET", "/sockets/events/c1", by_a_browser}));
  EXPECT_TRUE(acts({"GET", "/socket.io/?EIO=4&conversation_id=c1&latest_event_id=-1", by_a_browser}));
  EXPECT_TRUE(acts({"GET", "/socket.io/?EIO=4&latest_event_id=none", by_a_browser}));
  for (auto const* query : {"latest_event_id=0", "latest_event_id=41", "a=b&resend_mode=all", "resend_all=true",
                            "after_timestamp=2026-01-01T00%3A00%3A00", "after_seq=3", "EIO=4&sid=abc", "re%73end_mode=all"})
    EXPECT_FALSE(acts({"GET", std::string("/sockets/events/c1?") + query, by_a_browser})) << query;
}

TEST(Intent, IsNotInTheWebsocketOfAProgramThatIsNoBrowser) {
  EXPECT_FALSE(acts({"GET", "/sockets/events/c1", upgrade}));
  WakeRules rules;
  rules.websockets_without_origin = true;
  EXPECT_TRUE(acts({"GET", "/sockets/events/c1", upgrade}, rules));
  EXPECT_FALSE(acts({"GET", "/sockets/events/c1?after_seq=3", upgrade}, rules));
}

TEST(Intent, OfSocketIosPollingIsInWhatIsSentButNotInItsPongs) {
  EXPECT_FALSE(acts({"GET", "/socket.io/?EIO=4&transport=polling&sid=abc"}));
  EXPECT_FALSE(acts({"GET", "/socket.io/?EIO=4&transport=polling"}));
  EXPECT_TRUE(acts({"POST", "/socket.io/?EIO=4&transport=polling&sid=abc", "Content-Length: 60\r\n"}));
  EXPECT_TRUE(acts({"POST", "/socket.io/?EIO=4&transport=polling&sid=abc", "Transfer-Encoding: chunked\r\n"}));
  EXPECT_FALSE(acts({"POST", "/socket.io/?EIO=4&transport=polling&sid=abc", "Content-Length: 1\r\n"}));
  EXPECT_TRUE(acts({"POST", "/api/x", "Content-Length: 1\r\n"}));
}

TEST(Intent, CanBeToldOtherwise) {
  WakeRules rules;
  rules.requests = false;
  rules.websockets = false;
  rules.always = {"/api/conversations/c1/ask", "/health"};
  rules.never = {"/api/conversations/c1/ask/not"};
  EXPECT_FALSE(acts({"POST", "/api/conversations/c1/events"}, rules));
  EXPECT_FALSE(acts({"GET", "/sockets/events/c1", by_a_browser}, rules));
  EXPECT_TRUE(acts({"GET", "/api/conversations/c1/ask?q=1"}, rules));
  EXPECT_TRUE(acts({"POST", "/api/conversations/c1/ask/it"}, rules));
  EXPECT_FALSE(acts({"POST", "/api/conversations/c1/ask/not/it"}, rules)) << "never is stronger";
  EXPECT_FALSE(acts({"GET", "/health"}, rules)) << "a probe is none in any case";
}

TEST(LongPoll, IsAGetWithASessionId) {
  auto const polls = [](std::string const& method, std::string const& target, std::string const& fields = {}) {
    return is_long_poll(head_of(method + " /x HTTP/1.1\r\nHost: g\r\n" + fields + "\r\n"), target);
  };
  EXPECT_TRUE(polls("GET", "/socket.io/?EIO=4&transport=polling&sid=abc"));
  EXPECT_FALSE(polls("GET", "/socket.io/?EIO=4&transport=polling"));
  EXPECT_FALSE(polls("POST", "/socket.io/?sid=abc"));
  EXPECT_FALSE(polls("GET", "/socket.io/?transport=websocket&sid=abc", upgrade));
  EXPECT_FALSE(polls("GET", "/api/x?sid=abc"));
  EXPECT_FALSE(polls("GET", "/socket.io/"));
}

}  // namespace
}  // namespace nestgate::proxy
