#include "runtime/docker/plan.hpp"

#include <gtest/gtest.h>

#include "nestgate/runtime/factory.hpp"
#include "runtime/docker/engine.hpp"
#include "runtime/to_the_end.hpp"
#include "support/control.hpp"

namespace nestgate::runtime::docker {
namespace {

using namespace std::chrono_literals;

ConversationId id_of(std::string_view text) { return ConversationId::parse(text).value(); }
auto const loopback = asio::ip::make_address("127.0.0.1");

Container labelled(std::string name, std::string conversation) {
  Container out;
  out.name = std::move(name);
  if (!conversation.empty()) out.labels.emplace(conversation_label, std::move(conversation));
  return out;
}

TEST(DockerNames, LeadBackToTheIdThatTheyWereMadeOf) {
  DockerSettings settings;
  auto const id_in = [&settings](std::string name, std::string conversation) {
    auto const id = id_of(settings, labelled(std::move(name), std::move(conversation)));
    return id ? id->text() : std::string("none");
  };
  EXPECT_EQ(container_name(settings, id_of("9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062")),
            "openhands-runtime-9eba03e68cc24c3daa8a225f0e79e062");
  EXPECT_EQ(id_in("openhands-runtime-9eba03e68cc24c3daa8a225f0e79e062", "9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062"),
            "9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062");
  EXPECT_EQ(id_in("openhands-runtime-c1", "warm-1"), "c1") << "it was given another id";
  EXPECT_EQ(id_in("openhands-runtime-c1", ""), "c1");
  EXPECT_EQ(id_in("renamed-by-hand", "c1"), "c1");
  EXPECT_EQ(id_in("openhands-runtime-", ""), "none");
  EXPECT_EQ(id_in("other", ""), "none");
  settings.name = "a-{id}-z";
  EXPECT_EQ(id_in("a-c1-z", "warm"), "c1");
  EXPECT_EQ(id_in("a-z", ""), "none");
}

TEST(DockerBootKey, IsThatOfADormantOneWhichWasGivenAway) {
  DockerSettings const settings;
  auto container = labelled("openhands-runtime-c1", "warm-1");
  container.secrets.emplace_back("OH_SESSION_API_KEYS_0", Secret("boot"));
  container.secrets.emplace_back("SESSION_API_KEY", Secret("of the image"));
  EXPECT_FALSE(boot_key_of(settings, container)) << "its server starts with its key";
  container.starts_dormant = true;
  ASSERT_TRUE(boot_key_of(settings, container));
  EXPECT_EQ(boot_key_of(settings, container)->reveal(), "boot");
  container.name = "openhands-runtime-warm-1";
  EXPECT_FALSE(boot_key_of(settings, container));
  container.labels.clear();
  EXPECT_FALSE(boot_key_of(settings, container));
}

TEST(DockerVolumes, AreTheConversationsOwnWhereTheIdNamesThem) {
  DockerSettings settings;
  settings.volumes = {"work-{id}:/workspace", "/srv/{id}:/srv:ro", "shared:/shared"};
  EXPECT_EQ(own_volumes(settings, id_of("c1")), (std::vector<std::string>{"work-c1"}));
}

Spec spec_of(std::string_view id) { return Spec{id_of(id), Epoch{3}, Secret("the-key"), "alice"}; }

TEST(DockerPlan, PutsTheWishBeforeTheSettingsAndTheKeyBeforeBoth) {
  DockerSettings settings;
  settings.image = "i:1";
  settings.command = {"serve", "{port}", "{id}"};
  settings.environment = {{"A", "{id}"}, {"B", "1"}, {"SESSION_API_KEY", "x"}};
  settings.memory_bytes = 100;
  settings.cpus = 0.25;
  auto spec = spec_of("c1");
  auto const usual = plan(settings, spec, "s");
  EXPECT_EQ(usual.image, "i:1");
  EXPECT_EQ(usual.command, (std::vector<std::string>{"serve", "8000", "c1"}));
  EXPECT_FALSE(usual.without_entry_point);
  EXPECT_EQ(usual.environment, (std::vector<std::pair<std::string, std::string>>{{"A", "c1"}, {"B", "1"}}));
  ASSERT_EQ(usual.secret_environment.size(), 1U);
  EXPECT_EQ(usual.secret_environment[0].second.reveal(), "the-key");

  spec.wish.image = "j:2";
  spec.wish.command = {"all", "{port}"};
  spec.wish.environment.emplace_back("B", Secret("2"));
  spec.wish.environment.emplace_back("SESSION_API_KEY", Secret("mine"));
  spec.wish.resource_factor = 4;
  auto const wished = plan(settings, spec, "s");
  EXPECT_EQ(wished.image, "j:2");
  EXPECT_EQ(wished.command, (std::vector<std::string>{"all", "8000"}));
  EXPECT_TRUE(wished.without_entry_point) << "it is a whole command line";
  EXPECT_EQ(wished.memory_bytes, 400U);
  EXPECT_EQ(wished.nano_cpus, 1'000'000'000);
  EXPECT_EQ(wished.environment, (std::vector<std::pair<std::string, std::string>>{{"A", "c1"}}));
  ASSERT_EQ(wished.secret_environment.size(), 2U);
  EXPECT_EQ(wished.secret_environment[0].second.reveal(), "2");
  EXPECT_EQ(wished.secret_environment[1].second.reveal(), "the-key");
}

Container bound(std::uint16_t port, std::string host_ip, std::uint16_t host_port) {
  Container out;
  out.bindings.push_back({port, std::move(host_ip), host_port});
  return out;
}

std::string endpoint_in(DockerSettings const& settings, Container const& container,
                        asio::ip::address const& engine_host = loopback) {
  auto const at = server_endpoint(settings, container, engine_host);
  return at ? at->address().to_string() + " " + std::to_string(at->port()) : "none";
}

TEST(DockerEndpoint, IsWhereTheEnginePublishedTheServersPort) {
  DockerSettings settings;
  EXPECT_EQ(endpoint_in(settings, bound(8000, "127.0.0.1", 32768)), "127.0.0.1 32768");
  auto const remote = asio::ip::make_address("192.0.2.7");
  EXPECT_EQ(endpoint_in(settings, bound(8000, "0.0.0.0", 32768), remote), "192.0.2.7 32768");
  EXPECT_EQ(endpoint_in(settings, bound(8000, "::", 32768), remote), "192.0.2.7 32768");
  EXPECT_EQ(endpoint_in(settings, bound(8000, "10.0.0.1", 32768), remote), "10.0.0.1 32768");
  EXPECT_EQ(endpoint_in(settings, bound(9000, "127.0.0.1", 32768)), "none");
}

TEST(DockerEndpoint, FollowsThePortVariableOfOlderContainers) {
  DockerSettings settings;
  auto older = bound(34567, "0.0.0.0", 34567);
  EXPECT_EQ(endpoint_in(settings, older), "none");
  older.port_variable = 34567;
  EXPECT_EQ(endpoint_in(settings, older), "127.0.0.1 34567");
  older.bindings.clear();
  EXPECT_EQ(endpoint_in(settings, older), "none");
  older.network_mode = "host";
  EXPECT_EQ(endpoint_in(settings, older), "127.0.0.1 34567");
}

TEST(DockerEndpoint, IsTheContainersAddressInTheNetworkThatTheSettingsName) {
  DockerSettings settings;
  settings.reach = DockerSettings::Reach::network;
  Container container;
  EXPECT_EQ(endpoint_in(settings, container), "none");
  container.addresses = {{"agents", "10.1.0.2"}, {"bridge", "172.17.0.2"}};
  EXPECT_EQ(endpoint_in(settings, container), "10.1.0.2 8000");
  settings.network = "bridge";
  EXPECT_EQ(endpoint_in(settings, container), "172.17.0.2 8000");
  container.port_variable = 34567;
  EXPECT_EQ(endpoint_in(settings, container), "172.17.0.2 34567");
  settings.network = "none-such";
  EXPECT_EQ(endpoint_in(settings, container), "none");
}

TEST(DockerEndReason, SaysTheStatusAndTheLastWordsWithoutKeys) {
  Container container;
  container.exit_code = 3;
  EXPECT_EQ(end_reason(container, ""), "exited with status 3");
  container.secrets.emplace_back("SESSION_API_KEY", Secret("the-key"));
  auto const near_the_cut = std::string(195, 'x') + "the-key";
  EXPECT_EQ(end_reason(container, "first\nI had the-key\n"), "exited with status 3: I had ***");
  EXPECT_EQ(end_reason(container, near_the_cut).find("the-k"), std::string::npos);
  container.was_out_of_memory = true;
  container.error = "no such program";
  EXPECT_EQ(end_reason(container, "first\n"), "was out of memory (exited with status 3): no such program");
}

TEST(DockerEngineAddress, IsAUnixSocketOrATcpPort) {
  EXPECT_EQ(parse_engine_address("unix:///run/docker.sock", false)->unix_socket, "/run/docker.sock");
  EXPECT_EQ(parse_engine_address("tcp://h:2375", false)->url.text(), "http://h:2375");
  EXPECT_EQ(parse_engine_address("tcp://h:2376", true)->url.text(), "https://h:2376");
  for (auto const* text : {"", "h:1", "unix://relative", "http://h", "tcp://h:1/path", "tcp://", "npipe:////./pipe/docker"})
    EXPECT_FALSE(parse_engine_address(text, false)) << text;
}

TEST(DockerProblemWith, NamesTheSettingThatCannotBeRight) {
  DockerSettings settings;
  auto const problem = [](DockerSettings const& s) {
    auto const found = problem_with(s);
    return found ? std::string(found->key) : "none";
  };
  EXPECT_EQ(problem(settings), "none");
  auto const with = [&problem](auto change) {
    DockerSettings changed;
    change(changed);
    return problem(changed);
  };
  EXPECT_EQ(with([](auto& s) { s.host = "docker"; }), "runtime.docker.host");
  EXPECT_EQ(with([](auto& s) { s.tls.ca_file = "x"; }), "runtime.docker.tls.ca_file");
  EXPECT_EQ(with([](auto& s) { s.tls.key_file = "x"; }), "runtime.docker.tls.cert_file");
  EXPECT_EQ(with([](auto& s) { s.host = "tcp://engine:2375"; }), "runtime.docker.bind_interface");
  EXPECT_EQ(with([](auto& s) { s.host = "tcp://localhost:2375"; }), "none");
  EXPECT_EQ(with([](auto& s) { s.bind_interface = "eth0"; }), "runtime.docker.bind_interface");
  EXPECT_EQ(with([](auto& s) { s.installation = ""; }), "runtime.docker.installation");
  for (auto const* name : {"", "fixed", "{id}{id}", "a b-{id}", "-{id}", "a/{id}"})
    EXPECT_EQ(with([name](auto& s) { s.name = name; }), "runtime.docker.name") << name;
  EXPECT_EQ(with([](auto& s) { s.name = "{id}"; }), "none");
  EXPECT_EQ(with([](auto& s) { s.image = "a b"; }), "runtime.docker.image");
  EXPECT_EQ(with([](auto& s) { s.command = {"{prt}"}; }), "runtime.docker.command");
  EXPECT_EQ(with([](auto& s) { s.command = {"{workspace}"}; }), "runtime.docker.command");
  EXPECT_EQ(with([](auto& s) { s.container_port = 0; }), "runtime.docker.container_port");
  EXPECT_EQ(with([](auto& s) { s.ports = {{"a", 8000}}; }), "runtime.docker.ports");
  EXPECT_EQ(with([](auto& s) { s.network = "host"; }), "runtime.docker.network");
  for (auto const* volume : {"a", "a:b", ":/b", "a b:/c", "a:"})
    EXPECT_EQ(with([volume](auto& s) { s.volumes = {volume}; }), "runtime.docker.volumes") << volume;
  EXPECT_EQ(with([](auto& s) { s.volumes = {"work-{id}:/w:rw", "/a:/b"}; }), "none");
  EXPECT_EQ(with([](auto& s) { s.memory_bytes = 1024; }), "runtime.docker.memory_bytes");
  EXPECT_EQ(with([](auto& s) { s.cpus = -1; }), "runtime.docker.cpus");
}

// An engine that says it speaks these versions, and what it is asked for next.
std::string asked_of(std::string newest, std::string oldest) {
  test::ScriptedServer server;
  server.on("GET /version", {200, R"({"ApiVersion":")" + newest + R"(","MinAPIVersion":")" + oldest + "\"}"});
  test::Control control;
  Engine engine({"", upstream::url_of(server.endpoint())}, nullptr, 20s, control.executor());
  auto const killed = control.run(engine.kill("c"));
  return killed ? server.lines().back() : killed.error().reason.substr(killed.error().reason.find("speaks"));
}

TEST(DockerEngine, IsSpokenToInTheNewestVersionThatBothKnow) {
  EXPECT_EQ(asked_of("1.41", "1.12"), "POST /v1.41/containers/c/kill");
  EXPECT_EQ(asked_of("1.52", "1.44"), "POST /v1.47/containers/c/kill");
  EXPECT_EQ(asked_of("1.39", "1.12"), "speaks API 1.12 to 1.39, this gateway 1.40 to 1.47");
  EXPECT_EQ(asked_of("1.60", "1.50"), "speaks API 1.50 to 1.60, this gateway 1.40 to 1.47");
}

TEST(DockerEngine, GivesEachRefusalItsKind) {
  test::ScriptedServer server;
  server.on("GET /version", {200, R"({"ApiVersion":"1.41","MinAPIVersion":"1.12"})"});
  test::Control control;
  Engine engine({"", upstream::url_of(server.endpoint())}, nullptr, 20s, control.executor());
  std::pair<unsigned, FaultKind> const kinds[] = {
      {400, FaultKind::bad_input}, {404, FaultKind::not_found}, {409, FaultKind::conflict}, {500, FaultKind::upstream}};
  for (auto const& [status, kind] : kinds) {
    server.on("POST /v1.41/containers/c/kill", {status, R"({"message":"because"})"});
    auto const killed = control.run(engine.kill("c"));
    ASSERT_FALSE(killed);
    EXPECT_EQ(killed.error().fault.kind, kind) << status;
    EXPECT_EQ(killed.error().reason, "kill: the Docker engine says: because");
  }
  server.on("POST /v1.41/containers/c/start", {304, ""});
  EXPECT_TRUE(control.run(engine.start("c", Deadline::in(20s))));
  server.on("GET /v1.41/containers/c/json", {200, R"({"Id":"c0ffee","Name":"/other"})"});
  EXPECT_FALSE(control.run(engine.find("c", Deadline::in(20s))).value()) << "the start of another's id is no name";
  server.on("GET /v1.41/containers/c/json", {200, "[]"});
  EXPECT_EQ(control.run(engine.find("c", Deadline::in(20s))).error().reason,
            "inspect: the Docker engine's answer has another shape");
}

TEST(DockerEngine, IsNotWaitedForOnceItIsCutShort) {
  test::Server silent([](test::Connection& connection) {
    connection.read_until("\r\n\r\n");
    connection.read_some();  // until the peer goes
  });
  test::Control control;
  asio::ip::tcp::endpoint const at(asio::ip::address_v4::loopback(), silent.port());
  Engine engine({"", upstream::url_of(at)}, nullptr, 1h, control.executor());
  TaskGroup calls(control.executor());
  std::optional<Outcome<>> killed;
  auto const kill = [](Engine& with, std::optional<Outcome<>>& out) -> Task<> {
    out.emplace(co_await to_the_end(with.kill("c")));  // no cancel ends it
  };
  calls.spawn("kill", kill(engine, killed));
  asio::post(control.executor(), [&engine] { engine.cut_short(); });
  ASSERT_TRUE(control.run(calls.join()));
  ASSERT_FALSE(*killed);
  EXPECT_EQ(killed->error().fault.kind, FaultKind::unavailable);
  EXPECT_TRUE(killed->error().reason.ends_with("Operation canceled")) << killed->error().reason;
  EXPECT_EQ(control.run(engine.kill("c")).error().fault.kind, FaultKind::unavailable) << "nor for any later call";
}

}  // namespace
}  // namespace nestgate::runtime::docker
