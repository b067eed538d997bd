// The real program with containers of a real engine that stops answering.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "integration/program.hpp"
#include "support/docker_engine.hpp"

namespace nestgate::test {
namespace {

std::string settings_for(DockerEngine const& engine) {
  return "[runtime]\nprovider = \"docker\"\n[runtime.docker]\nhost = \"" + engine.host() + R"("
image = "nestgate-test:1"
entry_point = "none"
command = ["nestlet", "--listen", "0.0.0.0:{port}", "--workspace", "/workspace"]
pull = "never"
reach = "network"
stop_grace = "1s"
[timeouts]
drain_grace = "100ms"
)";
}

class Frozen {
 public:
  explicit Frozen(DockerEngine& engine) : engine_(engine) { engine_.signal(SIGSTOP); }
  ~Frozen() { engine_.signal(SIGCONT); }

 private:
  DockerEngine& engine_;
};

bool is_up(DockerEngine const& engine, std::string const& id) {
  return engine.ask("GET", "/containers/openhands-runtime-" + id + "/json").body.find(R"("Running":true)") !=
         std::string::npos;
}

TEST(ProgramOnDocker, EndsInTimeWhileItsEngineDoesNotAnswerAndFindsWhatItLeftAgain) {
  DockerEngine engine({"--live-restore"});
  if (!engine.problem().empty()) GTEST_SKIP() << engine.problem();
  TempFolder root;
  copy_programs(root.path(), {NESTLET_PROGRAM});
  engine.import_image(root.path(), "nestgate-test", "1");
  Program nestgate(settings_for(engine));
  for (std::string const id : {"stops", "runs"}) {
    auto const made = nestgate.call("POST", "/api/conversations", R"({"conversation_id":")" + id + "\"}");
    ASSERT_EQ(made.status, 201U) << made.body << nestgate.log();
  }
  auto const status_of = [&nestgate](std::string const& id) {
    return member(nestgate.call("GET", "/api/conversations/" + id).body, "status");
  };
  {
    Frozen const frozen(engine);
    std::thread client([&] { nestgate.call("POST", "/api/conversations/stops/stop"); });
    EXPECT_TRUE(eventually([&] { return status_of("stops") == "STOPPING"; }));
    nestgate.signal(SIGTERM);
    EXPECT_EQ(nestgate.wait(), 0) << nestgate.log();
    client.join();
  }
  EXPECT_THAT(nestgate.log(),
              testing::HasSubstr(R"("msg":"runtimes left to the next gateway","going_on":1,"unreleased":1)"));
  EXPECT_TRUE(is_up(engine, "stops"));
  nestgate.start();
  EXPECT_TRUE(eventually([&] { return status_of("runs") == "RUNNING" && !is_up(engine, "stops"); })) << nestgate.log();
  EXPECT_TRUE(is_up(engine, "runs"));
}

}  // namespace
}  // namespace nestgate::test
