#include "conversation/stored.hpp"

#include <gtest/gtest.h>

#include "nestgate/upstream/tls_connect.hpp"

namespace nestgate::conversation {
namespace {

using asio::ip::tcp;

tcp::endpoint at(char const* address, std::uint16_t port) { return {asio::ip::make_address(address), port}; }

TEST(StoredForm, OfEveryStateComesBackAsItWas) {
  for (auto const state : {RuntimeState::starting, RuntimeState::running, RuntimeState::paused, RuntimeState::stopping,
                           RuntimeState::stopped, RuntimeState::error})
    EXPECT_EQ(state_of(phase_of(state)), state);
  EXPECT_EQ(state_of(store::Phase::removing), RuntimeState::stopping);
}

TEST(StoredForm, OfEveryReasonToCloseComesBackAsItWas) {
  for (auto const closed : {Closed::no, Closed::for_room, Closed::when_idle, Closed::by_request})
    EXPECT_EQ(parse_closed(to_string(closed)), closed);
  EXPECT_EQ(parse_closed("whatever"), Closed::no);
}

TEST(StoredForm, OfAnEndpointComesBackAsItWas) {
  for (auto const& endpoint : {at("127.0.0.1", 80), at("::1", 65535), at("2001:db8::7", 1)})
    EXPECT_EQ(parse_place(place_text(endpoint), nullptr), upstream::Place(endpoint));
  EXPECT_EQ(place_text(at("127.0.0.1", 80)), "127.0.0.1:80") << "what older rows have";
  EXPECT_EQ(place_text({}), "") << "none";
  for (auto const* text : {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:8x", "h:80", ":80"})
    EXPECT_FALSE(parse_place(text, nullptr)) << text;
}

TEST(StoredForm, OfAPlaceWithANameComesBackAsItWas) {
  auto const trusted = upstream::systems_authorities();
  std::vector<std::pair<upstream::Place, std::string>> const table{
      {{at("10.0.0.7", 443), "c1.example.org", trusted}, "https://c1.example.org 10.0.0.7:443"},
      {{at("::1", 8443), "c1.example.org:8443", trusted}, "https://c1.example.org:8443 [::1]:8443"},
      {{at("::1", 8443), "[::1]:8443", trusted}, "https://[::1]:8443 [::1]:8443"},
      {{at("10.0.0.7", 80), "c1.example.org", nullptr}, "http://c1.example.org 10.0.0.7:80"},
      {{at("10.0.0.7", 8080), "c1.example.org:8080", nullptr}, "http://c1.example.org:8080 10.0.0.7:8080"}};
  for (auto const& [place, text] : table) {
    EXPECT_EQ(place_text(place), text);
    EXPECT_EQ(parse_place(text, nullptr), place) << text;
  }
  for (auto const* text :
       {"https://h", "https://h ", " 1.2.3.4:80", "ftp://h 1.2.3.4:80", "https://h 1.2.3.4", "https://h h:1"})
    EXPECT_FALSE(parse_place(text, nullptr)) << text;
  upstream::Place const own{at("::1", 1), "h:1", std::make_shared<ClientTls const>()};
  EXPECT_EQ(parse_place(place_text(own), own.tls), own) << "with the authorities that it is given";
}

TEST(StoredForm, OfWhatAConversationIsAboutComesBackAsItWas) {
  About const about{"A \"title\"", "o/r", "main", "github"};
  EXPECT_EQ(parse_about(about_json(about)), about);
  EXPECT_TRUE(about_json({}).empty());
  EXPECT_EQ(parse_about(Secret("[1]")), About{});
  EXPECT_EQ(parse_about(Secret(R"({"title":7,"branch":"b"})")), (About{"", "", "b", ""}));
}

TEST(StoredForm, OfPortsComesBackAsItWasAndLeavesOutWhatIsNone) {
  std::vector<DeclaredPort> const ports{{"vscode \"1\"", 8001, at("127.0.0.1", 4001)},
                                        {"app", 8011, {at("::1", 4002), "h:4002", nullptr}}};
  auto const back = parse_ports(ports_json(ports), nullptr);
  ASSERT_EQ(back.size(), 2U);
  EXPECT_EQ(back[0].name, ports[0].name);
  EXPECT_EQ(back[1].number, 8011);
  EXPECT_EQ(back[1].endpoint, ports[1].endpoint);
  for (auto const* text : {"", "{}", "[1]", "[{}]", R"([{"name":"a","number":70000,"endpoint":"127.0.0.1:1"}])",
                           R"([{"name":"a","number":1,"endpoint":"x"}])"})
    EXPECT_TRUE(parse_ports(text, nullptr).empty()) << text;
}

TEST(StoredForm, OfAWishComesBackAsItWas) {
  runtime::Wish wish;
  wish.image = "python:3.12";
  wish.command = {"run", "--it \"now\""};
  wish.working_dir = "/w";
  wish.environment.emplace_back("TOKEN", Secret("line\nbreak"));
  wish.resource_factor = 4;
  auto const back = parse_wish(wish_json(wish));
  EXPECT_EQ(back.image, wish.image);
  EXPECT_EQ(back.command, wish.command);
  EXPECT_EQ(back.working_dir, "/w");
  ASSERT_EQ(back.environment.size(), 1U);
  EXPECT_EQ(back.environment[0].second, wish.environment[0].second);
  EXPECT_EQ(back.resource_factor, 4U);
}

TEST(StoredForm, OfAWishThatAsksForNothingIsNone) {
  EXPECT_TRUE(wish_json({}).empty());
  for (auto const* text : {"", "[]", "{", "null"}) {
    auto const wish = parse_wish(Secret(text));
    EXPECT_TRUE(wish.image.empty());
    EXPECT_EQ(wish.resource_factor, 1U);
  }
}

}  // namespace
}  // namespace nestgate::conversation
