#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "nestgate/runtime/factory.hpp"
#include "process_runtimes.hpp"
#include "runtime/child_process.hpp"
#include "runtime/command_template.hpp"
#include "runtime/output_log.hpp"
#include "runtime/port_lease.hpp"
#include "runtime/remove_tree.hpp"
#include "support/control.hpp"

namespace nestgate::runtime {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::Control;

using test::read_file;
using TemporaryFolder = test::TempFolder;

std::ptrdiff_t open_descriptors() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

INSTANTIATE_TEST_SUITE_P(Each, ProcessRuntimes, testing::Values(Grouping::off, Grouping::automatic),
                         [](auto const& info) { return info.param == Grouping::off ? "Plain" : "Grouped"; });

TEST_P(ProcessRuntimes, RunInAPrivateFolderWithASmallEnvironmentAndTheirKey) {
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
  EXPECT_NE(environment.find("LOG_JSON=true\n"), std::string::npos);
  EXPECT_EQ(environment.find("OH_"), std::string::npos);
  auto const rights = fs::status(folder_of("c1")).permissions();
  EXPECT_EQ(rights & (fs::perms::group_all | fs::perms::others_all), fs::perms::none);
}

TEST_P(ProcessRuntimes, InheritNoDescriptorOfTheGateway) {
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

TEST_P(ProcessRuntimes, EndOnSigtermWithTheirChildren) {
  script(stay);
  ASSERT_TRUE(create("c1"));
  auto const pid = static_cast<pid_t>(std::stol(line_in("c1", "pid")));
  EXPECT_EQ(::getsid(pid), pid);
  EXPECT_EQ(::getpgid(pid), pid);
  EXPECT_TRUE(destroy("c1"));
  EXPECT_TRUE(is_gone(pid));
  EXPECT_TRUE(ends.empty()) << "who destroys needs no telling";
  EXPECT_TRUE(destroy("c1"));
}

TEST_P(ProcessRuntimes, AreKilledWhenTheyIgnoreSigtermBeyondTheGrace) {
  settings.stop_grace = 20ms;
  script(std::string("trap '' TERM; ") + stay);
  ASSERT_TRUE(create("c1"));
  auto const pid = static_cast<pid_t>(std::stol(line_in("c1", "pid")));
  destroy("c1");
  EXPECT_TRUE(is_gone(pid));
}

TEST_P(ProcessRuntimes, TakeWithThemAllThatTheyEverStartedWhenTheyEndByThemselves) {
  script(std::string(run_away) + "exit 0");
  ASSERT_TRUE(create("c1"));
  wait_for_end();
  for (auto const* name : {"far", "deaf", "orphan"}) EXPECT_TRUE(is_gone(pid_in("c1", name))) << name;
}

TEST_P(ProcessRuntimes, TakeWithThemAllThatTheyEverStartedWhenTheyAreDestroyed) {
  script(std::string(run_away) + stay);
  ASSERT_TRUE(create("c1"));
  line_in("c1", "pid");
  destroy("c1");
  for (auto const* name : {"far", "deaf", "orphan"}) EXPECT_TRUE(is_gone(pid_in("c1", name))) << name;
}

TEST_P(ProcessRuntimes, HaveTheirDaemonsReapedWhileTheyRun) {
  script(std::string("(/usr/bin/setsid /bin/sh -c 'echo $$ > short' & ) & ") + stay);
  ASSERT_TRUE(create("c1"));
  auto const pid = pid_in("c1", "short");
  control.run_until([pid] { return is_gone(pid); });
  EXPECT_TRUE(ends.empty());
}

TEST_P(ProcessRuntimes, EndWithTheirKeeper) {
  script("echo $PPID > keeper; exec /bin/sleep 600");
  ASSERT_TRUE(create("c1"));
  auto const keeper = pid_in("c1", "keeper");
  EXPECT_EQ(read_file("/proc/" + std::to_string(keeper) + "/comm"), "nestgate-keeper\n");
  EXPECT_EQ(read_file("/proc/" + std::to_string(keeper) + "/environ").find("the-key"), std::string::npos);
  ::kill(keeper, SIGTERM);  // not by a signal that a whole group may get
  ::kill(keeper, SIGKILL);
  wait_for_end();
  EXPECT_EQ(ends.at(0), "c1 7 lost its keeper");
}

TEST_P(ProcessRuntimes, LeaveNeitherDescriptorsNorZombies) {
  script("/bin/sleep 600");
  auto const cycles = [this](int count) {
    for (int cycle = 0; cycle < count; ++cycle) {
      ASSERT_TRUE(create("c1"));
      ASSERT_TRUE(destroy("c1"));
    }
    restart();
  };
  cycles(1);
  auto const before = open_descriptors();
  cycles(100);
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
}

TEST_P(ProcessRuntimes, TellThatASignalEndedThem) {
  script("kill -9 $$");
  ASSERT_TRUE(create("c1"));
  wait_for_end();
  EXPECT_EQ(ends.at(0), "c1 7 killed by signal 9");
}

TEST_P(ProcessRuntimes, KeepTheirFilesUnlessToldOtherwise) {
  script(stay);
  ASSERT_TRUE(create("c1"));
  line_in("c1", "pid");
  destroy("c1");
  EXPECT_TRUE(fs::exists(folder_of("c1") / "workspace" / "pid"));
  ASSERT_TRUE(create("c1"));
  EXPECT_TRUE(destroy("c1", Leftovers::remove));
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST_P(ProcessRuntimes, SayThatTheirFilesRemain) {
  script(stay);
  ASSERT_TRUE(create("c1"));
  auto const aside = folder.path().string() + ".aside";
  fs::rename(folder.path(), aside);
  std::ofstream(folder.path()) << "in the way";
  auto const removed = destroy("c1", Leftovers::remove);
  fs::remove(folder.path());
  fs::rename(aside, folder.path());
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().fault.kind, FaultKind::internal);
  EXPECT_EQ(removed.error().reason, "remove: files: Not a directory");
  EXPECT_TRUE(destroy("c1", Leftovers::remove));
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST_P(ProcessRuntimes, GetNoFilesThatARemovalLeft) {
  script(stay);
  fs::create_directories(folder_of("c1") / "workspace");  // and no owner: a removal takes that first
  auto const created = create("c1");
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(created.error().reason, "create: this id has files of a removed conversation; delete it once more");
  EXPECT_TRUE(destroy("c1", Leftovers::remove));
  EXPECT_TRUE(create("c1"));
}

TEST_P(ProcessRuntimes, GetNoFilesOfAnotherOwnerAndCannotRemoveThem) {
  script(stay);
  ASSERT_TRUE(create("c1", "alice"));
  line_in("c1", "pid");
  restart();
  auto const created = create("c1", "bob");
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(created.error().reason, "create: this id has files that belong to someone else");
  EXPECT_TRUE(destroy("c1", Leftovers::remove));
  EXPECT_TRUE(fs::exists(folder_of("c1") / "workspace" / "pid"));
  EXPECT_TRUE(create("c1", "alice"));
}

TEST_P(ProcessRuntimes, FindTheTrashOfAnEarlierGatewayRemoved) {
  fs::create_directories(folder.path() / "~c1" / "workspace");
  fs::create_directories(folder_of("c2") / "workspace");
  script(stay);
  provider();
  control.run_until([this] { return !fs::exists(folder.path() / "~c1"); });
  EXPECT_TRUE(fs::exists(folder_of("c2")));
}

TEST_P(ProcessRuntimes, KeepTheEndOfTheirOutputAndNoMoreThanTheLimit) {
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

TEST_P(ProcessRuntimes, AreOnePerIdAndLimitedInNumber) {
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

TEST_P(ProcessRuntimes, KeepToTheirResourceLimits) {
  settings.limits.open_files = 77;
  script("ulimit -n > limit; exit 0");
  ASSERT_TRUE(create("c1"));
  wait_for_end();
  EXPECT_EQ(read_file(folder_of("c1") / "workspace" / "limit"), "77\n");
}

TEST_P(ProcessRuntimes, SayWhatTheSystemSaidWhenTheProgramCannotRun) {
  auto const program = folder.path() / "not-a-program";
  std::ofstream(program) << "\x7f"
                            "ELF";
  fs::permissions(program, fs::perms::owner_all);
  settings.command = {program.string()};
  auto const created = create("c1");
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().reason, "create: start of " + program.string() + ": Exec format error");
}

TEST_P(ProcessRuntimes, LeaveTheIdAsItWasWhenTheyCannotBeStarted) {
  script("echo kept > file; exec /bin/sleep 60");
  ASSERT_TRUE(create("c1"));
  line_in("c1", "file");
  restart();
  auto const program = folder.path() / "not-a-program";
  std::ofstream(program) << "\x7f"
                            "ELF";
  fs::permissions(program, fs::perms::owner_all);
  settings.command = {program.string()};
  auto spec = spec_of("c2");
  spec.wish.working_dir = "deep/below";
  EXPECT_FALSE(create(std::move(spec)));
  EXPECT_FALSE(fs::exists(folder_of("c2")));
  EXPECT_FALSE(create("c1"));
  EXPECT_EQ(read_file(folder_of("c1") / "workspace" / "file"), "kept\n");
  auto const listed = control.run(provider().list());
  ASSERT_EQ(listed->size(), 1U);
  EXPECT_EQ(listed->front().owner, "alice");

  restart();
  script(stay);
  EXPECT_TRUE(create("c2", "bob")) << "nobody has it";
}

TEST_P(ProcessRuntimes, EndWithAllThatTheyStartedWhenTheGatewayIsKilled) {
  // A child of ours plays the gateway.
  Launch launch;
  auto const keeper = (fs::read_symlink("/proc/self/exe").parent_path() / "nestgate-keeper").string();
  launch.program = "/bin/sh";
  launch.arguments = {"sh", "-c", std::string(run_away) + stay};
  launch.directory = folder.path();
  pid_t const gateway = ::fork();
  ASSERT_GE(gateway, 0);
  if (gateway == 0) {
    Control in_gateway;
    auto child = ChildProcess::prepare(in_gateway.executor(), keeper, {});
    in_gateway.run(child->report());
    [[maybe_unused]] auto const started = child->launch(launch);
    for (;;) ::pause();
  }
  auto const pid_of = [this](std::string_view name) {
    auto const path = folder.path() / name;
    control.run_until([&path] { return read_file(path).ends_with('\n'); });
    return static_cast<pid_t>(std::stol(read_file(path)));
  };
  pid_t const all[] = {pid_of("pid"), pid_of("far"), pid_of("deaf"), pid_of("orphan")};
  for (auto const pid : all) EXPECT_FALSE(is_gone(pid));
  ::kill(gateway, SIGKILL);
  ::waitpid(gateway, nullptr, 0);
  for (auto const pid : all) control.run_until([pid] { return is_gone(pid); });
}

TEST(MakeProvider, NamesTheProvidersThatThereAre) {
  Control control;
  EXPECT_EQ(make_provider("doker", {}, control.executor()).error().reason,
            "runtime.provider: 'doker' is none of: process, docker, remote");
}

TEST(ProblemWith, NamesTheSettingThatLetsNoRuntimeStart) {
  TemporaryFolder folder;
  ProcessSettings settings;
  auto const problem = [&settings] {
    auto const found = problem_with(settings);
    return found ? std::string(found->key) + ": " + found->what : "none";
  };
  settings.workspace_dir = folder.path();
  settings.command = {"x", "--port={prt}"};
  EXPECT_EQ(problem(), "runtime.process.command: {prt} is none of {port}, {id}, {workspace}");
  settings.command = {};
  EXPECT_EQ(problem(), "runtime.process.command: must name a program");
  settings.command = {"no-such-program-anywhere"};
  EXPECT_EQ(problem(), "runtime.process.command: no executable 'no-such-program-anywhere' beside the gateway or in PATH");
  settings.command = {"sh"};
  EXPECT_EQ(problem(), "none");
  settings.workspace_dir = folder.path() / "not" / "yet";
  EXPECT_EQ(problem(), "none");
  EXPECT_FALSE(fs::exists(folder.path() / "not"));
  auto const file = folder.path() / "file";
  std::ofstream(file) << "x";
  for (auto const& path : {file, file / "runtimes"}) {
    settings.workspace_dir = path;
    EXPECT_EQ(problem(), "runtime.process.workspace_dir: " + file.string() + ": Not a directory");
  }
  settings.workspace_dir = "/proc/runtimes";
  EXPECT_TRUE(problem().starts_with("runtime.process.workspace_dir: /proc: ")) << problem();
}

TEST_P(ProcessRuntimes, SayWhatTheyLackAtEachStartUntilItIsThere) {
  script("exec sleep 100");
  auto const file = folder.path() / "in-the-way";
  std::ofstream(file) << "x";
  settings.workspace_dir = file / "runtimes";
  auto const refused = create("c1");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault.kind, FaultKind::unavailable);
  EXPECT_EQ(refused.error().reason, "create: " + file.string() + ": Not a directory (runtime.process.workspace_dir)");
  fs::remove(file);
  EXPECT_TRUE(create("c1"));
  EXPECT_EQ(fs::status(settings.workspace_dir).permissions(), fs::perms::owner_all);
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

class RemoveTree : public testing::Test {
 protected:
  Result<> remove() { return remove_tree(root, stop); }
  void put(fs::path const& name) {
    fs::create_directories((root / name).parent_path());
    std::ofstream(root / name) << "x";
  }

  TemporaryFolder folder;
  fs::path const root = folder.path() / "root";
  std::atomic<bool> stop = false;
};

TEST_F(RemoveTree, TakesFilesFoldersAndLinksButNotWhatLinksLeadTo) {
  std::ofstream(folder.path() / "kept") << "x";
  fs::create_directories(folder.path() / "other");
  std::ofstream(folder.path() / "other" / "kept") << "x";
  put("a/b/c/file");
  put("1/2/3");  // names that the removal itself might use
  put("2");
  fs::create_directory_symlink(folder.path() / "other", root / "a" / "link");
  fs::create_symlink(folder.path() / "kept", root / "link");
  ASSERT_TRUE(remove());
  EXPECT_FALSE(fs::exists(root));
  EXPECT_TRUE(fs::exists(folder.path() / "kept"));
  EXPECT_TRUE(fs::exists(folder.path() / "other" / "kept"));
  EXPECT_TRUE(remove()) << "nothing there is success";
}

TEST_F(RemoveTree, GivesItselfTheRightsThatAFolderDenies) {
  put("cache/module/file");
  fs::permissions(root / "cache" / "module", fs::perms::owner_read | fs::perms::owner_exec);
  fs::permissions(root / "cache", fs::perms::none);
  ASSERT_TRUE(remove());
  EXPECT_FALSE(fs::exists(root));
}

TEST_F(RemoveTree, HoldsFewDescriptorsHoweverDeepTheFoldersAre) {
  constexpr int depth = 3000;  // beyond what a path can name
  fs::create_directory(root);
  int at = ::open(root.c_str(), O_RDONLY | O_DIRECTORY);
  for (int level = 0; level < depth; ++level) {
    ASSERT_EQ(::mkdirat(at, "deep", 0700), 0);
    int const next = ::openat(at, "deep", O_RDONLY | O_DIRECTORY);
    ::close(at);
    at = next;
  }
  ::close(at);
  rlimit usual{};
  ::getrlimit(RLIMIT_NOFILE, &usual);
  rlimit const few{static_cast<rlim_t>(open_descriptors()) + 8, usual.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &few);
  auto const removed = remove();
  ::setrlimit(RLIMIT_NOFILE, &usual);
  EXPECT_TRUE(removed);
  EXPECT_FALSE(fs::exists(root));
}

TEST_F(RemoveTree, StopsWhenToldTo) {
  put("file");
  stop = true;
  EXPECT_EQ(remove().error().kind, FaultKind::cancelled);
  EXPECT_TRUE(fs::exists(root / "file"));
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
