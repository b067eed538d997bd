#include "api/static_routes_body.hpp"

#include <gtest/gtest.h>

#include "nestgate/codec/json_writer.hpp"

namespace nestgate::api {
namespace {

ConversationId const c1 = ConversationId::parse("c1").value();

std::string why_not(std::string_view body) {
  auto const parsed = parse_static_route(c1, body);
  return parsed ? "" : message_of(parsed.error());
}

std::vector<std::string> refusals(StaticChanges const& changes) {
  std::vector<std::string> out;
  for (auto const& entry : changes.refused)
    out.push_back(std::string(entry.list) + " " + std::to_string(entry.place) + " " + entry.id + ": " + entry.message);
  return out;
}

TEST(StaticRouteBody, HasAUrlAndMayHaveAKeyAndPorts) {
  auto const plain = parse_static_route(c1, R"({"url":"http://127.0.0.1:9001"})");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->id, c1);
  EXPECT_EQ(plain->url, "http://127.0.0.1:9001");
  EXPECT_FALSE(plain->session_key) << "the derived one";
  auto const whole =
      parse_static_route(c1, R"({"url":"http://h:1","session_api_key":"k","ports":{"vscode":8001,"app":65535}})");
  ASSERT_TRUE(whole);
  EXPECT_TRUE(whole->session_key->equals("k"));
  ASSERT_EQ(whole->ports.size(), 2U);
  EXPECT_EQ(whole->ports[0], (std::pair<std::string, std::uint16_t>("vscode", 8001)));
}

TEST(StaticRouteBody, NamesWhatDoesNotFit) {
  EXPECT_EQ(why_not("{}"), "url: must be there");
  EXPECT_EQ(why_not("[]"), "the body: must be an object");
  EXPECT_TRUE(why_not("{").starts_with("the body: is not JSON"));
  EXPECT_EQ(why_not(R"({"url":7})"), "url: must be a string");
  EXPECT_EQ(why_not(R"({"url":"http://a b"})"), "url: must be 1 to 2048 bytes of visible ASCII without spaces");
  EXPECT_EQ(why_not(R"({"url":"x","session_api_key":""})"),
            "session_api_key: must be 1 to 512 bytes of visible ASCII without spaces");
  EXPECT_EQ(why_not(R"({"url":"x","ports":[8001]})"), "ports: must be an object of port numbers");
  for (auto const* port : {"0", "65536", "\"8001\"", "1.5"})
    EXPECT_EQ(why_not(std::string(R"({"url":"x","ports":{"a":)") + port + "}}"), "ports.a: must be 1 to 65535");
  EXPECT_EQ(why_not(R"({"id":"c1","url":"x"})"), "id: stands in the path");
  EXPECT_EQ(why_not(R"({"url":"x","key":"k"})"), "key: is none of id, url, session_api_key, ports");
}

TEST(StaticRouteChanges, TakeTheEntriesThatCanBeReadAndNameTheOthers) {
  auto const changes = parse_static_changes(
      R"({"put":[{"id":"a","url":"http://h:1"},7,{"url":"http://h:1"},{"id":"b/c","url":"x"},{"id":"d"},{"id":"e","url":"http://h:2"}],
          "remove":["f",7,".."]})");
  ASSERT_TRUE(changes) << message_of(changes.error());
  ASSERT_EQ(changes->put.size(), 2U);
  EXPECT_EQ(changes->put[1].id.text(), "e");
  EXPECT_EQ(changes->put_places, (std::vector<std::size_t>{0, 5}));
  ASSERT_EQ(changes->removed.size(), 1U);
  EXPECT_EQ(changes->removed[0].text(), "f");
  EXPECT_EQ(refusals(*changes), (std::vector<std::string>{"put 1 : must be an object", "put 2 : id: must be there",
                                                          "put 3 : id: must be 1 to 128 of A-Za-z0-9._-",
                                                          "put 4 d: url: must be there", "remove 1 : id: must be a string",
                                                          "remove 2 : id: must not be . or ..: a path cannot name them"}));
}

TEST(StaticRouteChanges, CountAnIdOnceInWhateverForm) {
  auto const changes = parse_static_changes(
      R"({"put":[{"id":"9eba03e68cc24c3daa8a225f0e79e062","url":"x"},{"id":"9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062","url":"y"}],
          "remove":["9eba03e68cc24c3daa8a225f0e79e062"]})");
  ASSERT_TRUE(changes);
  EXPECT_EQ(changes->put.size(), 1U);
  EXPECT_TRUE(changes->removed.empty());
  EXPECT_EQ(changes->refused.size(), 2U);
}

TEST(StaticRouteChanges, AreRefusedWholeWhereTheyAreNoSuchThing) {
  auto const why = [](std::string_view body) {
    auto const parsed = parse_static_changes(body);
    return parsed ? "" : message_of(parsed.error());
  };
  EXPECT_EQ(why("{}"), "");
  EXPECT_EQ(why(R"({"put":null})"), "");
  EXPECT_EQ(why(R"({"put":{}})"), "put: must be a list");
  EXPECT_EQ(why(R"({"delete":[]})"), "delete: is none of put, remove");
}

TEST(StaticRouteChanges, AreAtMostFiftyThousand) {
  auto const body_of = [](std::size_t count) {
    std::string body = R"({"remove":[)";
    for (std::size_t i = 0; i < count; ++i) body += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "x\"";
    return body + "]}";
  };
  EXPECT_EQ(parse_static_changes(body_of(static_changes_max))->removed.size(), static_changes_max);
  auto const beyond = parse_static_changes(body_of(static_changes_max + 1));
  ASSERT_FALSE(beyond);
  EXPECT_EQ(message_of(beyond.error()), "the body: must not have more than 50000 entries");
}

}  // namespace
}  // namespace nestgate::api
