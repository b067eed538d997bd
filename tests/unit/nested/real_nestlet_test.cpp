// The client and a real nestlet.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "nestgate/nested/client.hpp"
#include "support/control.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::nested {
namespace {

using namespace std::chrono_literals;
using test::Control;

constexpr auto patience = 20s;

class Nestlet {
 public:
  explicit Nestlet(std::vector<std::string> environment) {
    auto const ready = (folder_.path() / "ready").string();
    std::vector<std::string> words{NESTLET_PROGRAM,         "--listen",     "127.0.0.1:0", "--workspace",
                                   folder_.path().string(), "--ready-file", ready};
    environment.emplace_back("PATH=/usr/bin:/bin");
    environment.emplace_back("ASAN_OPTIONS=detect_leaks=0");  // it may not be traced, so it cannot look for leaks
    auto const pointers = [](std::vector<std::string>& texts) {
      std::vector<char*> out;
      for (auto& text : texts) out.push_back(text.data());
      out.push_back(nullptr);
      return out;
    };
    auto const argv = pointers(words);
    auto const envp = pointers(environment);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::execve(NESTLET_PROGRAM, argv.data(), envp.data());
      ::_exit(127);
    }
    while (!std::filesystem::exists(ready)) std::this_thread::yield();
    auto const text = test::read_file(ready);
    auto const at = text.find("127.0.0.1:") + 10;
    port_ = static_cast<std::uint16_t>(std::stoul(text.substr(at)));
  }
  ~Nestlet() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  Client client(std::string key) const {
    return Client(asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port_), Secret(std::move(key)));
  }
  std::string folder() const { return folder_.path().string(); }

 private:
  test::TempFolder folder_;
  pid_t pid_ = -1;
  std::uint16_t port_ = 0;
};

Configuration configuration() {
  Configuration out;
  out.settings_json = Secret(R"({"llm_model":"m","llm_api_key":"k"})");
  out.git_tokens.push_back(GitToken{"github", Secret("gh"), "", ""});
  out.secrets.push_back(CustomSecret{"ONE", Secret("first"), ""});
  out.conversation_json = Secret(R"({"initial_user_msg":"hello"})");
  return out;
}

TEST(RealNestlet, IsConfiguredTwiceBegunOnceAndStopped) {
  Nestlet const nestlet({"SESSION_API_KEY=key"});
  Control control;
  auto client = nestlet.client("key");
  auto const id = *ConversationId::parse("my-work.1");
  auto told = configuration();
  for (int turn = 0; turn < 2; ++turn) {
    auto const dialect = control.run(client.configure(told, patience));
    ASSERT_TRUE(dialect) << dialect.error().reason;
    EXPECT_EQ(*dialect, Dialect::older);
    auto const begun = control.run(client.begin_conversation(id, told, *dialect, Deadline::in(patience)));
    ASSERT_TRUE(begun) << begun.error().reason;
    told.secrets[0].value = Secret("second");
  }
  auto const status = control.run(client.status(id, Dialect::older, Deadline::in(patience)));
  ASSERT_TRUE(status) << status.error().reason;
  EXPECT_EQ(status->conversation, "RUNNING");
  EXPECT_EQ(status->idle_for, 0s);
  auto const sent = control.run(client.send_event(id, R"({"action":"message","args":{}})", Deadline::in(patience)));
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->body, R"({"success":true})");
  EXPECT_TRUE(control.run(client.graceful_stop(id, Dialect::older, 1ms, Deadline::in(patience))));
}

TEST(RealNestlet, IsWokenFromItsDormancyOnce) {
  Nestlet const nestlet({"OH_DEFERRED_INIT=true", "OH_SESSION_API_KEYS_0=boot"});
  Control control;
  auto boot = nestlet.client("boot");
  ASSERT_TRUE(control.run(boot.wait_alive(Deadline::in(patience))));
  EXPECT_EQ(*control.run(boot.init_state(Deadline::in(patience))), InitState::dormant);
  EXPECT_FALSE(control.run(boot.execute("pwd", 10s, Deadline::in(patience)))) << "it is dormant";
  Initialisation told;
  told.session_key = Secret("real");
  std::filesystem::create_directory(nestlet.folder() + "/home");
  told.environment = {{"HOME", nestlet.folder() + "/home"}};
  for (int turn = 0; turn < 2; ++turn) {
    auto const done = control.run(boot.initialise(told, Deadline::in(patience)));
    ASSERT_TRUE(done) << done.error().reason;
  }
  EXPECT_FALSE(control.run(boot.execute("pwd", 10s, Deadline::in(patience)))) << "the boot key has ended";
  auto real = nestlet.client("real");
  auto const where = control.run(real.execute("pwd", 10s, Deadline::in(patience)));
  ASSERT_TRUE(where) << where.error().reason;
  EXPECT_EQ(where->standard_output, std::filesystem::canonical(nestlet.folder() + "/home").string() + "\n");
  Initialisation of_another;
  of_another.session_key = Secret("other");
  EXPECT_EQ(control.run(boot.initialise(of_another, Deadline::in(patience))).error().fault.kind, FaultKind::conflict);
  auto const id = *ConversationId::parse("0123456789abcdef0123456789abcdef");
  auto const agent = Dialect::agent_server;
  auto const described = configuration();
  EXPECT_EQ(*control.run(real.configure(described, patience, agent)), agent);
  ASSERT_TRUE(control.run(real.begin_conversation(id, described, agent, Deadline::in(patience))));
  EXPECT_TRUE(control.run(real.begin_conversation(id, described, agent, Deadline::in(patience)))) << "it exists already";
  auto const status = control.run(real.status(id, agent, Deadline::in(patience)));
  ASSERT_TRUE(status);
  EXPECT_THAT(status->conversation, testing::AnyOf("running", "finished"));
}

}  // namespace
}  // namespace nestgate::nested
