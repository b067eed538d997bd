#include <gtest/gtest.h>

#include "support/scripted.hpp"
#include "support/websocket.hpp"

// Many routes at once.
namespace nestgate::test {
namespace {

using conversation::RuntimeRecord;
using conversation::RuntimeRecordPtr;
using conversation::RuntimeState;

constexpr std::size_t many = 50'000;

std::string name_of(std::size_t i) { return "many-" + std::to_string(i); }

std::vector<RuntimeRecordPtr> records(std::size_t from, std::size_t to, std::uint16_t port, std::uint64_t epoch = 1) {
  std::vector<RuntimeRecordPtr> out;
  for (auto i = from; i < to; ++i)
    out.push_back(std::make_shared<RuntimeRecord>(record_of(name_of(i), port, RuntimeState::running, epoch)));
  return out;
}

std::vector<std::pair<ConversationId, Epoch>> ends(std::size_t from, std::size_t to, std::uint64_t epoch = 1) {
  std::vector<std::pair<ConversationId, Epoch>> out;
  for (auto i = from; i < to; ++i) out.emplace_back(*ConversationId::parse(name_of(i)), Epoch(epoch));
  return out;
}

TEST(Batch, HoldsOnEveryCoreOnceItIsTakenIn) {
  Server nested(echo_as("one of many"));
  Gateway gateway(default_config(), 2);
  gateway.start();
  auto const status = [&](std::size_t i) { return gateway.get("/x", key_field(name_of(i))).status; };
  gateway.run(gateway.cores().apply(records(0, 1'000, nested.port()), {}));
  for (std::size_t i = 0; i < 1'000; i += 37) EXPECT_EQ(status(i), 200u) << i;
  gateway.run(gateway.cores().apply(records(1'000, 1'500, nested.port()), ends(0, 500)));
  for (std::size_t i = 0; i < 500; i += 37) EXPECT_EQ(status(i), 401u) << i;
  for (std::size_t i = 500; i < 1'500; i += 37) EXPECT_EQ(status(i), 200u) << i;
}

TEST(Batch, LeavesANewerLifeAlone) {
  Server nested(echo_as("one of many"));
  Gateway gateway;
  gateway.start();
  gateway.run(gateway.cores().apply(records(0, 10, nested.port(), 2), {}));
  gateway.run(gateway.cores().apply(records(0, 10, 1, 1), ends(0, 10, 1)));
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(gateway.get("/x", key_field(name_of(i))).status, 200u) << i;
}

TEST(Batch, OfFiftyThousandDropsNoWebsocketAndHoldsNobodyUp) {
  ScriptedServer server;
  Server nested(echo_as("one of many"));
  Gateway gateway(default_config(), 2);
  gateway.start();
  gateway.add("c1", server.port());
  std::vector<Tunnelled> pairs;
  for (int i = 0; i < 5; ++i) pairs.push_back(open_tunnel(gateway, server, "/sockets/events/c1", key_field("c1")));
  auto const exchange = [&pairs](std::string const& text) {
    for (auto& pair : pairs) {
      pair.client.send(from_client(text_opcode, text));
      EXPECT_EQ(read_frame(pair.nested)->payload, text);
      pair.nested.send(from_server(text_opcode, text));
      EXPECT_EQ(read_frame(pair.client)->payload, text);
    }
  };
  std::atomic<bool> enough{false};
  std::thread meanwhile([&] {
    while (!enough) exchange("while the routes change");
  });
  gateway.run(gateway.cores().apply(records(0, many, nested.port()), {}));
  for (std::uint64_t round = 2; round < 6; ++round) {
    gateway.run(gateway.cores().apply(records(0, 5'000, nested.port(), round), ends(40'000, 45'000)));
    gateway.run(gateway.cores().apply(records(40'000, 45'000, nested.port()), {}));
  }
  gateway.run(gateway.cores().apply({}, ends(0, many, 9)));
  enough = true;
  meanwhile.join();
  exchange("afterwards");
  EXPECT_EQ(gateway.get("/x", key_field(name_of(0))).status, 401u);
}

TEST(Batch, OfAnotherIsWithdrawnWithItsStreams) {
  ScriptedServer server;
  Gateway gateway;
  gateway.start();
  gateway.run(gateway.cores().apply(records(0, 2, server.port()), {}));
  auto pair = open_tunnel(gateway, server, "/sockets/events/" + name_of(0), key_field(name_of(0)));
  gateway.run(gateway.cores().apply({}, ends(0, 1)));
  EXPECT_EQ(close_code_at_end(pair.client), 1012u);
}

}  // namespace
}  // namespace nestgate::test
