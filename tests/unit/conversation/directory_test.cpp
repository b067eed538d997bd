#include "nestgate/conversation/directory.hpp"

#include <gtest/gtest.h>

namespace nestgate::conversation {
namespace {

constexpr std::size_t aliases_max = 100;

ConversationId id_of(std::string_view text) { return *ConversationId::parse(text); }

struct Runtime {
  std::string id;
  std::uint64_t epoch = 1;
  std::uint16_t port = 9001;
  std::vector<std::string> keys = {};
  std::vector<std::uint16_t> further_ports = {};
  RuntimeState state = RuntimeState::running;
};

RuntimeRecordPtr record_of(Runtime const& runtime) {
  auto const at = [](std::uint16_t port) { return asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port); };
  auto record = std::make_shared<RuntimeRecord>(RuntimeRecord{
      id_of(runtime.id), Epoch(runtime.epoch), runtime.state, "alice", at(runtime.port), Secret("key"), {}, {}});
  for (auto const& key : runtime.keys) record->accepted_keys.emplace_back(key);
  for (auto const port : runtime.further_ports) record->ports.push_back({"port", port, at(port)});
  return record;
}

std::string found(EntryPtr const& entry) { return entry ? std::string(entry->record().id.text()) : "nobody"; }

TEST(Directory, FindsARuntimeByIdKeyAndPorts) {
  Directory directory;
  directory.publish(record_of({.id = "c1", .port = 9001, .keys = {"k1", "k1-old"}, .further_ports = {8001}}));
  directory.publish(record_of({.id = "c2", .port = 9002, .keys = {"k2"}}));
  EXPECT_EQ(found(directory.find("c1")), "c1");
  EXPECT_EQ(found(directory.find("c3")), "nobody");
  EXPECT_EQ(found(directory.find_by_key("k1")), "c1");
  EXPECT_EQ(found(directory.find_by_key("k1-old")), "c1");
  EXPECT_EQ(found(directory.find_by_key("k2")), "c2");
  EXPECT_EQ(found(directory.find_by_key("k")), "nobody");
  EXPECT_EQ(found(directory.find_by_key("")), "nobody");
  EXPECT_EQ(found(directory.find_by_port(9001)), "c1");
  EXPECT_EQ(found(directory.find_by_port(8001)), "c1");
  EXPECT_EQ(found(directory.find_by_port(9009)), "nobody");
}

TEST(Directory, FindsByPortTheOneThatIsLeftOfMany) {
  Directory directory;
  for (int i = 0; i < 100; ++i) directory.publish(record_of({.id = "c" + std::to_string(i), .further_ports = {8001}}));
  EXPECT_EQ(found(directory.find_by_port(9001)), "nobody");
  for (int i = 0; i < 99; ++i) directory.withdraw(id_of("c" + std::to_string(i)), Epoch(1));
  EXPECT_EQ(found(directory.find_by_port(9001)), "c99");
  EXPECT_EQ(found(directory.find_by_port(8001)), "c99");
  directory.publish(record_of({.id = "c99", .port = 8001, .further_ports = {8001}}));
  EXPECT_EQ(found(directory.find_by_port(8001)), "nobody") << "its server and its declared port both say so";
  directory.publish(record_of({.id = "c99", .port = 8001}));
  EXPECT_EQ(found(directory.find_by_port(8001)), "c99");
}

TEST(Standing, FollowsAConversationFromRecordToRecord) {
  Directory directory;
  directory.publish(record_of({.id = "c1"}));
  auto const first = directory.find("c1");
  auto& standing = first->standing();
  EXPECT_FALSE(standing.used());
  standing.note_act(Clock::time_point(std::chrono::seconds(7)));
  auto version = standing.version();
  directory.publish(record_of({.id = "c1", .epoch = 2, .state = RuntimeState::paused}));
  EXPECT_EQ(&directory.find("c1")->standing(), &standing);
  EXPECT_EQ(standing.record()->state, RuntimeState::paused);
  EXPECT_NE(standing.version(), version);
  version = standing.version();
  directory.publish(record_of({.id = "c1", .epoch = 1}));
  EXPECT_EQ(standing.version(), version) << "an older life says nothing";
  directory.withdraw(id_of("c1"), Epoch(2));
  EXPECT_EQ(standing.record(), nullptr);
  EXPECT_NE(standing.version(), version);
  EXPECT_TRUE(standing.used());
  directory.publish(record_of({.id = "c1", .epoch = 3}));
  EXPECT_FALSE(directory.find("c1")->standing().used()) << "another conversation of that name";
}

TEST(RuntimeRecord, IsClosedForRoomUntilItStartsAgain) {
  RuntimeRecord record{id_of("c1"), Epoch(1), RuntimeState::running, "alice", {}, Secret("key"), {}, {}};
  record.closed = Closed::for_room;
  for (auto const state : {RuntimeState::stopping, RuntimeState::stopped, RuntimeState::paused, RuntimeState::error}) {
    record.state = state;
    EXPECT_TRUE(record.closed_for_room()) << to_string(state);
  }
  for (auto const state : {RuntimeState::starting, RuntimeState::running}) {
    record.state = state;
    EXPECT_FALSE(record.closed_for_room()) << to_string(state);
  }
  record.state = RuntimeState::stopped;
  record.closed = Closed::when_idle;
  EXPECT_FALSE(record.closed_for_room());
}

TEST(Directory, NeverOpensARuntimeToAnEmptyKey) {
  Directory directory;
  directory.publish(record_of({.id = "c1", .keys = {""}}));
  EXPECT_FALSE(directory.find("c1")->accepts(""));
  EXPECT_EQ(found(directory.find_by_key("")), "nobody");
}

TEST(Directory, TellsKeysApartThatDifferOnlyBehindALongStart) {
  Directory directory;
  std::string const start(300, 'k');
  directory.publish(record_of({.id = "c1", .keys = {start + "1"}}));
  directory.publish(record_of({.id = "c2", .port = 9002, .keys = {start + "2"}}));
  EXPECT_EQ(found(directory.find_by_key(start + "1")), "c1");
  EXPECT_EQ(found(directory.find_by_key(start + "2")), "c2");
  EXPECT_EQ(found(directory.find_by_key(start)), "nobody");
}

TEST(Directory, GivesAPortThatTwoClaimToNobodyUntilOneIsGone) {
  Directory directory;
  directory.publish(record_of({.id = "c1", .port = 9001}));
  directory.publish(record_of({.id = "c2", .port = 9002, .further_ports = {9001}}));
  EXPECT_EQ(found(directory.find_by_port(9001)), "nobody");
  directory.withdraw(id_of("c2"), Epoch(1));
  EXPECT_EQ(found(directory.find_by_port(9001)), "c1");
}

TEST(Directory, KnowsAPortOnlyWhileItsServerRuns) {
  Directory directory;
  directory.publish(record_of({.id = "c1", .port = 9001, .state = RuntimeState::starting}));
  EXPECT_EQ(found(directory.find_by_port(9001)), "nobody");
  directory.publish(record_of({.id = "c1", .port = 9001}));
  EXPECT_EQ(found(directory.find_by_port(9001)), "c1");
}

TEST(Directory, ForgetsTheOldKeysAndPortsOfARuntimeThatStartsAgain) {
  Directory directory;
  directory.publish(record_of({.id = "c1", .epoch = 1, .port = 9001, .keys = {"old"}, .further_ports = {8001}}));
  directory.publish(record_of({.id = "c1", .epoch = 2, .port = 9002, .keys = {"new"}}));
  EXPECT_EQ(found(directory.find_by_key("old")), "nobody");
  EXPECT_EQ(found(directory.find_by_key("new")), "c1");
  EXPECT_EQ(found(directory.find_by_port(9001)), "nobody");
  EXPECT_EQ(found(directory.find_by_port(8001)), "nobody");
  EXPECT_EQ(found(directory.find_by_port(9002)), "c1");
  EXPECT_EQ(directory.size(), 1u);
}

TEST(Directory, WithdrawsTheConnectionsOfAnOlderEpochAndKeepsThoseOfTheSame) {
  Directory directory;
  directory.publish(record_of({.id = "c1", .epoch = 1, .further_ports = {8001}}));
  auto const first = directory.find("c1")->target();
  auto const first_port = directory.find("c1")->port_target(8001);
  directory.publish(record_of({.id = "c1", .epoch = 1, .keys = {"another"}, .further_ports = {8001}}));
  EXPECT_EQ(directory.find("c1")->target(), first);
  EXPECT_EQ(directory.find("c1")->port_target(8001), first_port);
  EXPECT_FALSE(first->withdrawn());
  // The same port again, but another process may have it.
  directory.publish(record_of({.id = "c1", .epoch = 2, .further_ports = {8001}}));
  EXPECT_NE(directory.find("c1")->target(), first);
  EXPECT_TRUE(first->withdrawn());
  EXPECT_TRUE(first_port->withdrawn());
}

TEST(Directory, KeepsTheConnectionsOfARuntimeThatStopsUntilItHasStopped) {
  for (auto const end : {RuntimeState::stopped, RuntimeState::error}) {
    Directory directory;
    directory.publish(record_of({.id = "c1", .further_ports = {8001}}));
    auto const target = directory.find("c1")->target();
    auto const port_target = directory.find("c1")->port_target(8001);
    directory.publish(record_of({.id = "c1", .further_ports = {8001}, .state = RuntimeState::stopping}));
    EXPECT_FALSE(target->withdrawn());
    EXPECT_FALSE(port_target->withdrawn());
    EXPECT_EQ(found(directory.find_by_port(9001)), "c1") << "so that it is told to wait";
    EXPECT_FALSE(directory.find("c1")->running());
    directory.publish(record_of({.id = "c1", .state = end}));
    EXPECT_TRUE(target->withdrawn());
    EXPECT_TRUE(port_target->withdrawn());
    EXPECT_EQ(found(directory.find_by_port(9001)), "nobody");
  }
}

TEST(Directory, WithdrawsWhatStopsWhenItStartsAgainOrIsForgotten) {
  for (bool const starts_again : {true, false}) {
    Directory directory;
    directory.publish(record_of({.id = "c1"}));
    auto const target = directory.find("c1")->target();
    directory.publish(record_of({.id = "c1", .state = RuntimeState::stopping}));
    if (starts_again) directory.publish(record_of({.id = "c1", .epoch = 2}));
    if (!starts_again) directory.withdraw(id_of("c1"), Epoch(1));
    EXPECT_TRUE(target->withdrawn());
  }
}

TEST(Directory, TakesNoNewsThatIsOlderThanWhatItKnows) {
  Directory directory;
  directory.publish(record_of({.id = "c1", .epoch = 5, .port = 9005}));
  directory.publish(record_of({.id = "c1", .epoch = 4, .port = 9004}));
  EXPECT_EQ(directory.find("c1")->record().endpoint.port(), 9005);
  directory.withdraw(id_of("c1"), Epoch(4));
  EXPECT_EQ(found(directory.find("c1")), "c1");
  directory.withdraw(id_of("c1"), Epoch(5));
  EXPECT_EQ(found(directory.find("c1")), "nobody");
  EXPECT_EQ(found(directory.find_by_port(9005)), "nobody");
}

TEST(Directory, WithdrawsWithTheTargetsThatOthersHold) {
  Directory directory;
  directory.publish(record_of({.id = "c1", .further_ports = {8001}}));
  EntryPtr const held = directory.find("c1");
  directory.withdraw(id_of("c1"), Epoch(1));
  EXPECT_TRUE(held->target()->withdrawn());
  EXPECT_TRUE(held->port_target(8001)->withdrawn());
  EXPECT_EQ(held->port_target(8002), nullptr);
}

TEST(Aliases, LeadToTheRuntimeThatHandedThemOutFirst) {
  Directory directory;
  directory.publish(record_of({.id = "c1"}));
  directory.publish(record_of({.id = "c2", .port = 9002}));
  directory.add_alias(id_of("a1"), id_of("c1"), aliases_max);
  EXPECT_EQ(found(directory.find("a1")), "c1");
  directory.add_alias(id_of("a1"), id_of("c2"), aliases_max);
  EXPECT_EQ(found(directory.find("a1")), "c1");
  directory.add_alias(id_of("c1"), id_of("c2"), aliases_max);
  EXPECT_EQ(found(directory.find("c1")), "c1");
  directory.add_alias(id_of("a2"), id_of("c9"), aliases_max);
  EXPECT_EQ(found(directory.find("a2")), "nobody");
}

TEST(Aliases, AreOneConversationInEveryFormOfAUuid) {
  Directory directory;
  directory.publish(record_of({.id = "c1"}));
  directory.add_alias(id_of("0123ABCD89AB4DEF8123456789ABCDEF"), id_of("c1"), aliases_max);
  EXPECT_EQ(found(directory.find(id_of("0123abcd-89ab-4def-8123-456789abcdef").canonical())), "c1");
}

TEST(Aliases, StayWhenTheirRuntimeStartsAgainAndGoWithIt) {
  Directory directory;
  directory.publish(record_of({.id = "c1", .epoch = 1}));
  directory.add_alias(id_of("a1"), id_of("c1"), aliases_max);
  directory.publish(record_of({.id = "c1", .epoch = 2, .port = 9002}));
  EXPECT_EQ(directory.find("a1"), directory.find("c1"));
  directory.withdraw(id_of("c1"), Epoch(2));
  EXPECT_EQ(found(directory.find("a1")), "nobody");
}

TEST(Aliases, YieldToARuntimeOfThatId) {
  Directory directory;
  directory.publish(record_of({.id = "c1"}));
  directory.add_alias(id_of("c2"), id_of("c1"), aliases_max);
  directory.publish(record_of({.id = "c2", .port = 9002}));
  EXPECT_EQ(found(directory.find("c2")), "c2");
}

TEST(Aliases, AreBounded) {
  Directory directory;
  directory.publish(record_of({.id = "c1"}));
  for (int i = 0; i < 5; ++i) directory.add_alias(id_of("a" + std::to_string(i)), id_of("c1"), 3);
  EXPECT_EQ(found(directory.find("a2")), "c1");
  EXPECT_EQ(found(directory.find("a3")), "nobody");
}

}  // namespace
}  // namespace nestgate::conversation
