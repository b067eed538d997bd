#include "runtime/process_provider.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "nestgate/runtime/factory.hpp"
#include "runtime/child_process.hpp"
#include "runtime/command_template.hpp"
#include "runtime/output_log.hpp"
#include "runtime/port_lease.hpp"
#include "support/control.hpp"

namespace nestgate::runtime {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::Control;

ConversationId id_of(std::string_view text) { return ConversationId::parse(text).value(); }

std::string read_file(fs::path const& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream out;
  out << file.rdbuf();
  return out.str();
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "nestgate-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path const& path() const { return path_; }

 private:
  fs::path path_;
};

bool is_gone(pid_t pid) { return ::kill(pid, 0) != 0; }

// Runtimes that are small shell scripts.
class ProcessRuntimes : public testing::Test {
 protected:
  ~ProcessRuntimes() override {
    if (provider_) control.run(provider_->close());
  }

  RuntimeProvider& provider() {
    if (!provider_) {
      settings.workspace_dir = folder.path();
      auto made = make_provider("process", ProviderSettings{settings}, control.executor());
      EXPECT_TRUE(made) << made.error().reason;
      provider_ = std::move(*made);
      provider_->on_end([this](ConversationId const& id, Epoch epoch, std::string reason) {
        ends.push_back(id.text() + " " + std::to_string(epoch.get()) + " " + reason);
      });
    }
    return *provider_;
  }
  void script(std::string text) {
    settings.command = {"/bin/sh", "-c", std::move(text), "sh", "{port}", "{id}", "{workspace}"};
  }
  Outcome<Instance> create(std::string_view id, std::string key = "the-key") {
    Spec spec{id_of(id), Epoch{7}, Secret(std::move(key))};
    return control.run(provider().create(std::move(spec), Deadline::in(20s)));
  }
  void destroy(std::string_view id, Leftovers leftovers = Leftovers::keep) {
    control.run(provider().destroy(id_of(id), leftovers));
  }
  fs::path folder_of(std::string_view id) const { return folder.path() / id; }
  // Waits until the runtime has written a whole line to a file in its workspace.
  std::string line_in(std::string_view id, std::string_view name) {
    auto const path = folder_of(id) / "workspace" / name;
    control.run_until([&path] { return read_file(path).ends_with('\n'); });
    auto text = read_file(path);
    text.pop_back();
    return text;
  }
  void wait_for_end() {
    control.run_until([this] { return !ends.empty(); });
  }

  TemporaryFolder folder;
  Control control;
  ProcessSettings settings;
  std::vector<std::string> ends;

 private:
  std::unique_ptr<RuntimeProvider> provider_;
};

constexpr auto stay = "echo $$ > pid; while :; do /bin/sleep 60 & wait $!; done";

TEST_F(ProcessRuntimes, RunInAPrivateFolderWithASmallEnvironmentAndTheirKey) {
  ::setenv("NESTGATE_SECRET", "must-not-be-seen", 1);
  settings.environment = {{"LANG", "de_DE.UTF-8"}, {"EXTRA", "yes"}};
  script("/usr/bin/env | /usr/bin/sort > env; echo \"$@\" > args; pwd > cwd; exit 3");
  auto const instance = create("c1");
  ASSERT_TRUE(instance) << instance.error().reason;
  wait_for_end();
  ::unsetenv("NESTGATE_SECRET");
  auto const workspace = folder_of("c1") / "workspace";
  EXPECT_EQ(ends.at(0), "c1 7 exited with status 3");
  EXPECT_EQ(read_file(workspace / "args"), std::to_string(instance->endpoint.port()) + " c1 " + workspace.string() + "\n");
  EXPECT_EQ(read_file(workspace / "cwd"), workspace.string() + "\n");
  auto const environment = read_file(workspace / "env");
  EXPECT_NE(environment.find("SESSION_API_KEY=the-key\n"), std::string::npos);
  EXPECT_NE(environment.find("HOME=" + workspace.string() + "\n"), std::string::npos);
  EXPECT_NE(environment.find("EXTRA=yes\n"), std::string::npos);
  EXPECT_NE(environment.find("LANG=de_DE.UTF-8\n"), std::string::npos);
  EXPECT_EQ(environment.find("must-not-be-seen"), std::string::npos);
  EXPECT_EQ(environment.find("OH_SESSION_API_KEYS"), std::string::npos);
  auto const rights = fs::status(folder_of("c1")).permissions();
  EXPECT_EQ(rights & (fs::perms::group_all | fs::perms::others_all), fs::perms::none);
}

TEST_F(ProcessRuntimes, InheritNoDescriptorOfTheGateway) {
  int const ours = ::open("/dev/zero", O_RDONLY);  // without O_CLOEXEC, on purpose
  ASSERT_GE(ours, 0);
  script("/bin/ls -l /proc/$$/fd > fds; exit 0");
  ASSERT_TRUE(create("c1"));
  wait_for_end();
  ::close(ours);
  auto const fds = read_file(folder_of("c1") / "workspace" / "fds");
  EXPECT_NE(fds.find(" 0 -> /dev/null"), std::string::npos) << fds;
  EXPECT_EQ(fds.find("/dev/zero"), std::string::npos) << fds;
  EXPECT_EQ(fds.find("socket:"), std::string::npos) << fds;
}

TEST_F(ProcessRuntimes, EndOnSigtermWithTheirChildren) {
  script(stay);
  ASSERT_TRUE(create("c1"));
  auto const pid = static_cast<pid_t>(std::stol(line_in("c1", "pid")));
  EXPECT_EQ(::getsid(pid), pid);
  EXPECT_EQ(::getpgid(pid), pid);
  destroy("c1");
  EXPECT_TRUE(is_gone(pid));
  EXPECT_TRUE(ends.empty()) << "who destroys needs no telling";
  destroy("c1");
}

TEST_F(ProcessRuntimes, AreKilledWhenTheyIgnoreSigtermBeyondTheGrace) {
  settings.stop_grace = 20ms;
  script(std::string("trap '' TERM; ") + stay);
  ASSERT_TRUE(create("c1"));
  auto const pid = static_cast<pid_t>(std::stol(line_in("c1", "pid")));
  destroy("c1");
  EXPECT_TRUE(is_gone(pid));
}

TEST_F(ProcessRuntimes, TakeWhatTheyLeftInTheirSessionWithThem) {
  script("set -m; /bin/sleep 600 & echo $! > pid; exit 0");  // set -m: a process group of its own
  ASSERT_TRUE(create("c1"));
  wait_for_end();
  auto const pid = static_cast<pid_t>(std::stol(line_in("c1", "pid")));
  control.run_until([pid] {
    return is_gone(pid) || read_file("/proc/" + std::to_string(pid) + "/stat").find(") Z ") != std::string::npos;
  });
}

TEST_F(ProcessRuntimes, TellThatASignalEndedThem) {
  script("kill -9 $$");
  ASSERT_TRUE(create("c1"));
  wait_for_end();
  EXPECT_EQ(ends.at(0), "c1 7 killed by signal 9");
}

TEST_F(ProcessRuntimes, KeepTheirFilesUnlessToldOtherwise) {
  script(stay);
  ASSERT_TRUE(create("c1"));
  line_in("c1", "pid");
  destroy("c1");
  EXPECT_TRUE(fs::exists(folder_of("c1") / "workspace" / "pid"));
  ASSERT_TRUE(create("c1"));
  destroy("c1", Leftovers::remove);
  EXPECT_FALSE(fs::exists(folder_of("c1")));
}

TEST_F(ProcessRuntimes, KeepTheEndOfTheirOutputAndNoMoreThanTheLimit) {
  settings.output_bytes_max = 1000;
  script("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo last words >&2");
  ASSERT_TRUE(create("c1"));
  wait_for_end();
  auto const now = read_file(folder_of("c1") / "output.log");
  auto const before = read_file(folder_of("c1") / "output.log.1");
  EXPECT_LE(now.size() + before.size(), 1000U);
  EXPECT_GE(now.size() + before.size(), 500U);
  EXPECT_TRUE((before + now).ends_with("line 1999\nlast words\n"));
}

TEST_F(ProcessRuntimes, AreOnePerIdAndLimitedInNumber) {
  settings.runtimes_max = 2;
  script(stay);
  ASSERT_TRUE(create("c1"));
  EXPECT_EQ(create("c1").error().fault.kind, FaultKind::conflict);
  ASSERT_TRUE(create("c2"));
  auto const third = create("c3");
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().fault.kind, FaultKind::overloaded);
  EXPECT_EQ(third.error().reason, "create: all 2 runtimes are in use (runtime.process.runtimes_max)");
  destroy("c1");
  EXPECT_TRUE(create("c3"));
}

TEST_F(ProcessRuntimes, KeepToTheirResourceLimits) {
  settings.limits.open_files = 77;
  script("ulimit -n > limit; exit 0");
  ASSERT_TRUE(create("c1"));
  wait_for_end();
  EXPECT_EQ(read_file(folder_of("c1") / "workspace" / "limit"), "77\n");
}

TEST_F(ProcessRuntimes, SayWhichProgramIsMissing) {
  settings.command = {"no-such-program-anywhere"};
  auto const created = create("c1");
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().reason,
            "create: no executable 'no-such-program-anywhere' beside the gateway or in PATH (runtime.process.command)");
}

TEST_F(ProcessRuntimes, SayWhatTheSystemSaidWhenTheProgramCannotRun) {
  auto const program = folder.path() / "not-a-program";
  std::ofstream(program) << "\x7f"
                            "ELF";
  fs::permissions(program, fs::perms::owner_all);
  settings.command = {program.string()};
  auto const created = create("c1");
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().reason, "create: start of " + program.string() + ": Exec format error");
}

TEST_F(ProcessRuntimes, DieWithTheThreadThatStartedThem) {
  // A gateway that is killed: a child of ours plays it, and its runtime must not outlive it.
  int report[2];
  ASSERT_EQ(::pipe(report), 0);
  pid_t const gateway = ::fork();
  ASSERT_GE(gateway, 0);
  if (gateway == 0) {
    asio::io_context loop;
    Launch launch;
    launch.program = "/bin/sleep";
    launch.arguments = {"sleep", "600"};
    launch.directory = "/";
    auto child = ChildProcess::start(loop.get_executor(), launch);
    pid_t const pid = child ? child->pid() : -1;
    [[maybe_unused]] auto const told = ::write(report[1], &pid, sizeof pid);
    ::raise(SIGKILL);
  }
  pid_t runtime = -1;
  ASSERT_EQ(::read(report[0], &runtime, sizeof runtime), static_cast<ssize_t>(sizeof runtime));
  ASSERT_GT(runtime, 0);
  ::waitpid(gateway, nullptr, 0);
  ::close(report[0]);
  ::close(report[1]);
  // Whoever is init here may be slow to reap it.
  control.run_until([runtime] {
    return is_gone(runtime) || read_file("/proc/" + std::to_string(runtime) + "/stat").find(") Z ") != std::string::npos;
  });
}

TEST(MakeProvider, NamesWhatIsWrongWithTheSettings) {
  Control control;
  ProviderSettings settings;
  EXPECT_EQ(make_provider("doker", settings, control.executor()).error().reason,
            "runtime.provider: 'doker' is none of: process");
  settings.process.command = {"x", "--port={prt}"};
  EXPECT_EQ(make_provider("process", settings, control.executor()).error().reason,
            "runtime.process.command: {prt} is none of {port}, {id}, {workspace}");
  settings.process.command = {};
  EXPECT_EQ(make_provider("process", settings, control.executor()).error().reason,
            "runtime.process.command: must name a program");
}

TEST(CommandTemplate, ReplacesPlaceholdersOnceAndLeavesOtherBracesAlone) {
  Placeholders const values{"8001", "{port}", "/w"};
  auto const out = expand({"a", "127.0.0.1:{port}", "{id}{workspace}", "{}", "{\"k\":1}", "{port"}, values);
  EXPECT_EQ(out, (std::vector<std::string>{"a", "127.0.0.1:8001", "{port}/w", "{}", "{\"k\":1}", "{port"}));
}

TEST(FindProgram, LooksBesideTheGatewayBeforeThePath) {
  TemporaryFolder beside, in_path;
  auto const put = [](fs::path const& path) {
    std::ofstream(path) << "#!/bin/sh\n";
    fs::permissions(path, fs::perms::owner_all);
  };
  put(in_path.path() / "tool");
  std::string const search = ":relative:" + in_path.path().string();
  EXPECT_EQ(find_program("tool", beside.path().string(), search), (in_path.path() / "tool").string());
  put(beside.path() / "tool");
  EXPECT_EQ(find_program("tool", beside.path().string(), search), (beside.path() / "tool").string());
  EXPECT_EQ(find_program((in_path.path() / "tool").string(), "", ""), (in_path.path() / "tool").string());
  fs::permissions(beside.path() / "tool", fs::perms::owner_read);
  EXPECT_FALSE(find_program((beside.path() / "none").string(), "", search));
  EXPECT_FALSE(find_program("", "", search));
}

TEST(PortLease, IsTakenByNobodyElseAndYetCanBeListenedOn) {
  auto const lease = PortLease::take().value();
  auto const other = PortLease::take().value();
  EXPECT_NE(lease.port(), other.port());
  asio::io_context loop;
  asio::ip::tcp::endpoint const at(asio::ip::address_v4::loopback(), lease.port());
  TcpAcceptor server(loop.get_executor());
  server.open(at.protocol());
  server.set_option(asio::socket_base::reuse_address(true));
  server.bind(at);
  server.listen();
  TcpSocket client(loop.get_executor());
  error_code ec;
  client.connect(at, ec);
  EXPECT_FALSE(ec) << ec.message();
}

TEST(OutputLog, GoesOnWhereItWasLeft) {
  TemporaryFolder folder;
  auto const path = folder.path() / "log";
  OutputLog(path, 20).append("123456");
  OutputLog(path, 20).append("789012");
  EXPECT_EQ(read_file(path.string() + ".1"), "1234567890");
  EXPECT_EQ(read_file(path), "12");
}

}  // namespace
}  // namespace nestgate::runtime
