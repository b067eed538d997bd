#include "runtime/docker/messages.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

namespace nestgate::runtime::docker {
namespace {

// What an engine of version 20.10 said of a container, shortened.
constexpr std::string_view inspected = R"({
  "Id":"b1946ac92492d2347c6235b4d2611184b1946ac92492d2347c6235b4d2611184","Created":"2026-01-02T03:04:05.678901234Z",
  "Path":"nestlet","Args":["--listen","0.0.0.0:8000"],
  "State":{"Status":"exited","Running":false,"Paused":false,"Restarting":false,"OOMKilled":true,"Dead":false,"Pid":0,
           "ExitCode":137,"Error":"","StartedAt":"2026-01-02T03:04:06Z","FinishedAt":"2026-01-02T03:05:06Z"},
  "Name":"/openhands-runtime-c1","Driver":"overlay2",
  "HostConfig":{"Binds":["work-c1:/workspace"],"NetworkMode":"default"},
  "Mounts":[{"Type":"volume","Name":"work-c1","Source":"/var/lib/docker/volumes/work-c1/_data","Destination":"/workspace"},
            {"Type":"bind","Source":"/srv","Destination":"/srv"}],
  "Config":{"Hostname":"b1946ac92492","Tty":false,"Env":["PATH=/bin","port=34567","SESSION_API_KEY=k1","ODD","OH_SECRET_KEY=k2"],
            "Cmd":["nestlet"],"WorkingDir":"/workspace","Labels":{"nestgate.installation":"here","nestgate.owner":"alice"}},
  "NetworkSettings":{"Ports":{"8000/tcp":[{"HostIp":"127.0.0.1","HostPort":"32768"},{"HostIp":"::1","HostPort":"32769"}],
                              "8001/tcp":null,"53/udp":[{"HostIp":"0.0.0.0","HostPort":"53"}]},
                     "Networks":{"bridge":{"IPAddress":"10.213.7.2"},"quiet":{"IPAddress":""}}}})";

TEST(DockerMessages, TakeWhatMattersOutOfAnInspection) {
  auto const found = parse_container(inspected);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->id.size(), 64U);
  EXPECT_EQ(found->name, "openhands-runtime-c1");
  EXPECT_EQ(found->state, State::exited);
  EXPECT_EQ(found->exit_code, 137);
  EXPECT_TRUE(found->was_out_of_memory);
  EXPECT_FALSE(found->has_terminal);
  EXPECT_EQ(found->label("nestgate.owner"), "alice");
  EXPECT_EQ(found->label("none"), "");
  EXPECT_EQ(found->working_dir, "/workspace");
  EXPECT_EQ(found->volumes, (std::vector<std::string>{"work-c1"}));
  EXPECT_EQ(found->port_variable, 34567);
  EXPECT_FALSE(found->starts_dormant);
  ASSERT_TRUE(found->secret("SESSION_API_KEY"));
  EXPECT_EQ(found->secret("SESSION_API_KEY")->reveal(), "k1");
  EXPECT_FALSE(found->secret("OH_SESSION_API_KEYS_0"));
  ASSERT_EQ(found->bindings.size(), 2U);
  EXPECT_EQ(found->bindings[0].container_port, 8000);
  EXPECT_EQ(found->bindings[0].host_ip, "127.0.0.1");
  EXPECT_EQ(found->bindings[0].host_port, 32768);
  ASSERT_EQ(found->addresses.size(), 1U);
  EXPECT_EQ(found->addresses.at("bridge"), "10.213.7.2");
}

TEST(DockerMessages, SayWhetherAServerStartsDormant) {
  auto const starts_dormant = [](std::string_view variable) {
    return parse_container(R"({"Id":"a","Name":"/n","Config":{"Env":[")" + std::string(variable) + R"("]}})")
        ->starts_dormant;
  };
  EXPECT_TRUE(starts_dormant("OH_DEFERRED_INIT=true"));
  EXPECT_FALSE(starts_dormant("OH_DEFERRED_INIT=false"));
  EXPECT_FALSE(starts_dormant("OH_DEFERRED_INITS=true"));
}

TEST(DockerMessages, TolerateAContainerThatLacksNearlyEverything) {
  auto const bare =
      parse_container(R"({"Id":"a","Name":"/n","Config":{"Env":null,"Labels":null},"State":{"Status":"new"}})");
  ASSERT_TRUE(bare);
  EXPECT_EQ(bare->state, State::unknown);
  EXPECT_TRUE(bare->labels.empty());
  for (auto const* text : {"", "[]", "{}", R"({"Id":"a"})", R"({"Id":7,"Name":"/n"})", "nothing"})
    EXPECT_FALSE(parse_container(text)) << text;
}

TEST(DockerMessages, ReadAListAndLeaveOutWhatIsNoContainer) {
  auto const all = parse_containers(R"([
    {"Id":"a","Names":["/linked/alias","/one"],"State":"running","Status":"Up 2 minutes","Labels":{"x":"y"},
     "Ports":[{"IP":"127.0.0.1","PrivatePort":8000,"PublicPort":32768,"Type":"tcp"},{"PrivatePort":8001,"Type":"tcp"},
              {"IP":"0.0.0.0","PrivatePort":53,"PublicPort":53,"Type":"udp"}],
     "HostConfig":{"NetworkMode":"host"},"NetworkSettings":{"Networks":{"n":{"IPAddress":"10.0.0.2"}}}},
    {"Names":["/no-id"]}, 7,
    {"Id":"b","Names":null,"State":"dead","Labels":null,"Ports":null}])");
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ(all->at(0).name, "one");
  EXPECT_EQ(all->at(0).state, State::running);
  EXPECT_EQ(all->at(0).status, "Up 2 minutes");
  EXPECT_EQ(all->at(0).network_mode, "host");
  ASSERT_EQ(all->at(0).bindings.size(), 1U);
  EXPECT_EQ(all->at(0).bindings[0].host_port, 32768);
  EXPECT_EQ(all->at(0).addresses.at("n"), "10.0.0.2");
  EXPECT_EQ(all->at(1).state, State::dead);
  EXPECT_FALSE(parse_containers("{}"));
  EXPECT_TRUE(parse_containers("[]")->empty());
}

TEST(DockerMessages, KnowVersionsByTheirNumbers) {
  auto const both = parse_versions(R"({"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"})");
  ASSERT_TRUE(both);
  EXPECT_EQ(both->newest, (ApiVersion{1, 41}));
  EXPECT_EQ(both->oldest, (ApiVersion{1, 12}));
  EXPECT_LT((ApiVersion{1, 9}), (ApiVersion{1, 40}));
  EXPECT_EQ(to_string({1, 41}), "1.41");
  for (auto const* text : {"{}", R"({"ApiVersion":"one"})", R"({"ApiVersion":"1.x"})", ""})
    EXPECT_FALSE(parse_versions(text));
}

TEST(DockerMessages, ReadEventsOfContainersOnly) {
  auto const died = parse_event(
      R"({"status":"die","id":"abc","from":"i","Type":"container","Action":"die","Actor":{"ID":"abc","Attributes":{"exitCode":"137",)"
      R"("name":"n"}},"scope":"local","time":1700000000,"timeNano":1700000000000000001})");
  ASSERT_TRUE(died);
  EXPECT_EQ(died->action, "die");
  EXPECT_EQ(died->container, "abc");
  EXPECT_EQ(died->time_ns, 1700000000000000001);
  EXPECT_FALSE(parse_event(R"({"Type":"network","Action":"disconnect","Actor":{"ID":"n"}})"));
  EXPECT_FALSE(parse_event(R"({"Type":"container","Action":"die","Actor":{}})"));
  EXPECT_FALSE(parse_event("{"));
}

TEST(DockerMessages, ReadWhatIsMadeAndHowACommandDid) {
  EXPECT_EQ(parse_id(R"({"Id":"abc","Warnings":[]})"), "abc");
  EXPECT_FALSE(parse_id(R"({"message":"no"})"));
  auto const running = parse_exec(R"({"ID":"x","Running":true,"ExitCode":null})");
  ASSERT_TRUE(running);
  EXPECT_TRUE(running->is_running);
  auto const done = parse_exec(R"({"ID":"x","Running":false,"ExitCode":3})");
  ASSERT_TRUE(done);
  EXPECT_FALSE(done->is_running);
  EXPECT_EQ(done->exit_code, 3);
  EXPECT_FALSE(parse_exec("{}"));
  EXPECT_EQ(parse_volume_labels(R"({"Name":"v","Labels":{"a":"b"}})"), (Labels{{"a", "b"}}));
  EXPECT_TRUE(parse_volume_labels(R"({"Name":"v","Labels":null})").empty());
}

TEST(DockerMessages, TellWhatAContainerUses) {
  auto const v1 = parse_usage(R"({"memory_stats":{"usage":9000,"stats":{"inactive_file":1,"total_inactive_file":1000}},
      "cpu_stats":{"cpu_usage":{"total_usage":5000000}}})");
  EXPECT_EQ(v1.memory_bytes, 8000U);
  EXPECT_EQ(v1.cpu_time, std::chrono::milliseconds(5));
  auto const v2 = parse_usage(R"({"memory_stats":{"usage":9000,"stats":{"inactive_file":9001}},"cpu_stats":{}})");
  EXPECT_EQ(v2.memory_bytes, 0U);
  EXPECT_FALSE(v2.cpu_time);
  for (auto const* none : {R"({"memory_stats":{},"cpu_stats":{"cpu_usage":{"total_usage":0}}})", "[]", "nothing"}) {
    EXPECT_FALSE(parse_usage(none).memory_bytes) << none;
    EXPECT_FALSE(parse_usage(none).cpu_time) << none;
  }
}

TEST(DockerMessages, QuoteTheEngineInPrintableAndBoundedText) {
  EXPECT_EQ(message_in("{\"message\":\"No such image: x\\nand more\"}"), "No such image: x and more");
  EXPECT_EQ(message_in("<html>"), "");
  EXPECT_EQ(message_in(R"({"message":")" + std::string(9000, 'x') + "\"}").size(), 400U);
  EXPECT_EQ(last_line("one\ntwo \r\n\n"), "two");
  EXPECT_EQ(last_line("\x1b[31mred"), " [31mred");
  EXPECT_EQ(last_line(" \n"), "");
}

TEST(DockerLines, AreWholeHoweverTheyAreCut) {
  std::string const text = "one\n\ntwo\nthree";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    Lines lines(100);
    std::vector<std::string> seen;
    for (std::size_t at = 0; at < text.size(); at += size)
      EXPECT_TRUE(
          lines.feed(std::string_view(text).substr(at, size), [&seen](std::string_view line) { seen.emplace_back(line); }));
    EXPECT_EQ(seen, (std::vector<std::string>{"one", "", "two"})) << size;
  }
  Lines bounded(5);
  EXPECT_TRUE(bounded.feed("12345", [](std::string_view) {}));
  EXPECT_FALSE(bounded.feed("6", [](std::string_view) {}));
}

std::string frame(char stream, std::string_view bytes) {
  std::string out(8, '\0');
  out[0] = stream;
  out[6] = static_cast<char>(bytes.size() >> 8);
  out[7] = static_cast<char>(bytes.size() & 0xff);
  return out.append(bytes);
}

TEST(DockerLogFrames, AreTakenOffHoweverTheyAreCut) {
  std::string const long_line(300, 'x');
  std::string const wire = frame(1, "out\n") + frame(2, "") + frame(2, "err\n") + frame(1, long_line);
  for (std::size_t const size : {1U, 2U, 7U, 8U, 9U, 1000U}) {
    LogFrames frames;
    std::string seen;
    for (std::size_t at = 0; at < wire.size(); at += size)
      EXPECT_TRUE(frames.feed(std::string_view(wire).substr(at, size), [&seen](std::string_view bytes) { seen += bytes; }));
    EXPECT_EQ(seen, "out\nerr\n" + long_line) << size;
  }
  LogFrames raw;
  EXPECT_FALSE(raw.feed("plain text of a terminal", [](std::string_view) {}));
}

TEST(DockerTail, KeepsTheNewestBytes) {
  Tail tail(4);
  for (auto const* piece : {"ab", "cdef", "g", ""}) tail.append(piece);
  EXPECT_EQ(tail.take(), "defg");
  Tail one(4);
  one.append("0123456789");
  EXPECT_EQ(one.take(), "6789");
  EXPECT_EQ(Tail(4).take(), "");
}

TEST(DockerPullProgress, CountsLayersAndKeepsTheFault) {
  PullProgress progress;
  std::vector<std::string> news;
  for (auto const* line :
       {R"({"status":"Pulling from library/x","id":"1"})", R"({"status":"Pulling fs layer","progressDetail":{},"id":"aa"})",
        R"({"status":"Pulling fs layer","progressDetail":{},"id":"bb"})", R"({"status":"Already exists","id":"cc"})",
        R"({"status":"Downloading","progressDetail":{"current":1,"total":2},"id":"aa"})",
        R"({"status":"Pull complete","id":"aa"})", R"({"status":"Pull complete","id":"aa"})", "no json",
        R"({"status":"Digest: sha256:00"})"})
    if (auto const said = progress.feed(line)) news.push_back(*said);
  EXPECT_EQ(news, (std::vector<std::string>{"pulling image: layer 0 of 1", "pulling image: layer 0 of 2",
                                            "pulling image: layer 1 of 3", "pulling image: layer 2 of 3"}));
  EXPECT_EQ(progress.error(), "");
  EXPECT_FALSE(progress.feed(R"({"errorDetail":{"message":"no space"},"error":"no space left"})"));
  EXPECT_EQ(progress.error(), "no space left");
}

TEST(DockerImage, IsOfTheRegistryThatItsFirstPartNames) {
  for (auto const name : {"python", "library/python", "docker.io/library/python", "index.docker.io/a/b"})
    EXPECT_EQ(registry_of(name), "docker.io") << name;
  EXPECT_EQ(registry_of("ghcr.io/a/b"), "ghcr.io");
  EXPECT_EQ(registry_of("localhost/a"), "localhost");
  EXPECT_EQ(registry_of("registry:5000/a"), "registry:5000");
}

TEST(DockerImage, IsShownAPasswordOfItsOwnRegistryOnly) {
  EXPECT_TRUE(is_auth_for(R"({"username":"u","password":"p"})", "docker.io"));
  EXPECT_FALSE(is_auth_for(R"({"username":"u","password":"p"})", "evil.example"));
  EXPECT_TRUE(is_auth_for(R"({"serveraddress":"https://index.docker.io/v1/"})", "docker.io"));
  EXPECT_TRUE(is_auth_for(R"({"serveraddress":"ghcr.io"})", "ghcr.io"));
  EXPECT_TRUE(is_auth_for(R"({"serveraddress":"https://registry:5000/v2/"})", "registry:5000"));
  EXPECT_FALSE(is_auth_for(R"({"serveraddress":"ghcr.io"})", "ghcr.io.evil.example"));
  EXPECT_FALSE(is_auth_for("no JSON", "docker.io"));
}

TEST(DockerImage, NamesAlwaysHaveATagOrADigest) {
  auto const both = [](std::string_view text) {
    auto const image = parse_image(text);
    return image ? image->name + " " + image->tag : std::string("none");
  };
  EXPECT_EQ(both("nestlet"), "nestlet latest");
  EXPECT_EQ(both("ghcr.io/openhands/agent-server:1.2-python"), "ghcr.io/openhands/agent-server 1.2-python");
  EXPECT_EQ(both("localhost:5000/a/b"), "localhost:5000/a/b latest");
  EXPECT_EQ(both("localhost:5000/a/b:x"), "localhost:5000/a/b x");
  auto const digest = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(both("a/b@" + digest), "a/b " + digest);
  for (auto const* text :
       {"", ":x", "a:", "/a", "a/", "a//b", "../a", "a/../b", "a b", "a?x", "a#x", "a%2f", "a@sha256:12", "a:b/c:d:e f"})
    EXPECT_EQ(both(text), "none") << text;
}

TEST(DockerContainerBody, IsWhatTheEngineTakes) {
  NewContainer c;
  c.image = "i:1";
  c.command = {"a", "b \"c\""};
  c.without_entry_point = true;
  c.working_dir = "/w";
  c.user = "1000";
  c.environment = {{"A", "1"}};
  c.secret_environment.emplace_back("K", Secret("se\"cret"));
  c.labels = {{"l", "v"}};
  c.ports = {8000, 8001};
  c.bind_interface = "127.0.0.1";
  c.network = "n";
  c.volumes = {"v:/v"};
  c.memory_bytes = 1024;
  c.nano_cpus = 5;
  c.pids_max = 7;
  c.output_bytes_max = 100;
  EXPECT_EQ(container_body(c).reveal(),
            R"({"Image":"i:1","Entrypoint":[""],"Cmd":["a","b \"c\""],"WorkingDir":"/w","User":"1000",)"
            R"("Env":["A=1","K=se\"cret"],"Labels":{"l":"v"},"ExposedPorts":{"8000/tcp":{},"8001/tcp":{}},)"
            R"("HostConfig":{"Binds":["v:/v"],"PortBindings":{"8000/tcp":[{"HostIp":"127.0.0.1","HostPort":""}],)"
            R"("8001/tcp":[{"HostIp":"127.0.0.1","HostPort":""}]},"NetworkMode":"n","Memory":1024,"MemorySwap":1024,)"
            R"("NanoCpus":5,"PidsLimit":7,"LogConfig":{"Type":"json-file","Config":{"max-size":"50","max-file":"2"}}}})");
  NewContainer bare;
  bare.image = "i";
  bare.publish = false;
  EXPECT_EQ(container_body(bare).reveal(), R"({"Image":"i","Env":[],"Labels":{},"ExposedPorts":{},"HostConfig":{"Binds":[],)"
                                           R"("LogConfig":{"Type":"json-file","Config":{"max-size":"0","max-file":"2"}}}})");
}

TEST(DockerContainerBody, HasRoomForAnythingThatHasToBeEscaped) {
  NewContainer c;
  std::string const worst(5000, '\x01');
  c.image = worst;
  c.command = {worst, worst};
  for (int i = 0; i < 200; ++i) c.secret_environment.emplace_back(std::string(), Secret(""));
  c.secret_environment.emplace_back(worst, Secret(worst));
  simdjson::dom::parser parser;
  auto const body = container_body(c);
  EXPECT_EQ(parser.parse(body.reveal().data(), body.size())["Image"].get_string().value(), worst);
}

TEST(DockerFilters, AreJson) {
  EXPECT_EQ(filters({{"label", {"a=b"}}, {"event", {"die", "oom"}}}), R"({"label":["a=b"],"event":["die","oom"]})");
}

}  // namespace
}  // namespace nestgate::runtime::docker
