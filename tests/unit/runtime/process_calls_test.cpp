#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <map>
#include <sstream>

#include "process_runtimes.hpp"
#include "runtime/keeper_line.hpp"
#include "runtime/keeper_pool.hpp"

namespace nestgate::runtime {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::read_file;

std::string proc(pid_t pid, std::string_view name) {
  return read_file("/proc/" + std::to_string(pid) + "/" + std::string(name));
}

char state_of(pid_t pid) {
  auto const stat = proc(pid, "stat");
  auto const at = stat.rfind(')');
  return at == stat.npos ? 'X' : stat.at(at + 2);
}

// Nanoseconds that it was on a processor.
unsigned long long time_on_cpu(pid_t pid) {
  unsigned long long out = 0;
  std::istringstream(proc(pid, "schedstat")) >> out;
  return out;
}

// The folder of the group that a process is in.
fs::path group_of(pid_t pid, Controller controller) {
  for (auto const& hierarchy : parse_hierarchies(proc(pid, "mountinfo"), proc(pid, "cgroup")))
    if (hierarchy.controllers.has(controller)) return hierarchy.own;
  return {};
}

class ProcessCalls : public ProcessRuntimes {
 protected:
  bool is_grouped() const { return GetParam() == Grouping::automatic; }
  Outcome<> pause(std::string_view id) { return control.run(provider().pause(id_of(id))); }
  Outcome<Instance> resume(std::string_view id) { return control.run(provider().resume(spec_of(id), in_time())); }
  Outcome<CommandResult> execute(std::string_view id, std::string text, Deadline by = in_time()) {
    return control.run(provider().execute(id_of(id), {"sh", "-c", std::move(text)}, by));
  }
  Outcome<std::string> log(std::string_view id, std::size_t bytes_max) {
    return control.run(provider().log(id_of(id), bytes_max));
  }
  std::map<std::string, Found> list() {
    std::map<std::string, Found> out;
    auto found = control.run(provider().list());
    for (auto& one : *found) out.emplace(one.id.text(), std::move(one));
    return out;
  }
  Spec dormant(std::string_view id) {
    auto spec = spec_of(id, "");
    spec.wakefulness = Spec::Wakefulness::dormant;
    return spec;
  }
  Outcome<Instance> assign(std::string_view from, Spec to) {
    return control.run(provider().assign(id_of(from), std::move(to)));
  }
  bool stands_still(pid_t pid) {
    if (is_grouped()) return read_file(group_of(pid, Controller::freezer) / "freezer.state") == "FROZEN\n";
    return state_of(pid) == 'T';
  }
};

INSTANTIATE_TEST_SUITE_P(Each, ProcessCalls, testing::Values(Grouping::off, Grouping::automatic),
                         [](auto const& info) { return info.param == Grouping::off ? "Plain" : "Grouped"; });

// A server and a daemon that never wait.
constexpr auto busy =
    "(/usr/bin/setsid /bin/sh -c 'echo $$ > far; while :; do :; done' & ) & "
    "trap 'echo > termed; exit 0' TERM; echo $$ > pid; while :; do :; done";

TEST_P(ProcessCalls, PauseStopsAllThatARuntimeRunsAndResumeLetsItGoOn) {
  script(busy);
  ASSERT_TRUE(create("c1"));
  pid_t const all[] = {pid_in("c1", "pid"), pid_in("c1", "far")};
  ASSERT_TRUE(pause("c1"));
  ASSERT_TRUE(pause("c1")) << "twice is as good as once";
  EXPECT_EQ(list().at("c1").presence, Presence::paused);
  std::array<unsigned long long, 2> before{};
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(stands_still(all[i]));
    before[i] = time_on_cpu(all[i]);
  }
  auto const until = Clock::now() + 50ms;
  control.run_until([until] { return Clock::now() > until; });
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(time_on_cpu(all[i]), before[i]);

  auto spec = spec_of("c1");
  spec.epoch = Epoch{8};
  auto const resumed = control.run(provider().resume(std::move(spec), in_time()));
  ASSERT_TRUE(resumed) << resumed.error().reason;
  EXPECT_TRUE(resume("c1"));
  EXPECT_EQ(list().at("c1").presence, Presence::running);
  for (std::size_t i = 0; i < 2; ++i) control.run_until([&] { return time_on_cpu(all[i]) > before[i]; });
}

TEST_P(ProcessCalls, APausedRuntimeEndsOnSigterm) {
  script(busy);
  ASSERT_TRUE(create("c1"));
  pid_t const all[] = {pid_in("c1", "pid"), pid_in("c1", "far")};
  ASSERT_TRUE(pause("c1"));
  ASSERT_TRUE(destroy("c1"));
  EXPECT_TRUE(fs::exists(folder_of("c1") / "workspace" / "termed"));
  for (auto const pid : all) EXPECT_TRUE(is_gone(pid));
}

TEST_P(ProcessCalls, APausedRuntimeIsKilledWhenItIgnoresSigterm) {
  settings.stop_grace = 20ms;
  script(std::string("trap '' TERM; ") + stay);
  ASSERT_TRUE(create("c1"));
  auto const pid = pid_in("c1", "pid");
  ASSERT_TRUE(pause("c1"));
  ASSERT_TRUE(destroy("c1"));
  EXPECT_TRUE(is_gone(pid));
}

TEST_P(ProcessCalls, CreateOfAPausedRuntimeResumesItForItsOwner) {
  script(busy);
  auto const first = create("c1");
  ASSERT_TRUE(first);
  auto const pid = pid_in("c1", "pid");
  ASSERT_TRUE(pause("c1"));
  EXPECT_EQ(create("c1", "bob").error().fault.kind, FaultKind::conflict);
  auto const again = create("c1");
  ASSERT_TRUE(again) << again.error().reason;
  EXPECT_EQ(again->endpoint, first->endpoint);
  EXPECT_TRUE(again->existed);
  EXPECT_EQ(again->session_key->reveal(), "the-key");
  EXPECT_FALSE(stands_still(pid));
}

// What a nestlet answers when it is asked how it is; "" while it does not listen.
std::string answer_of(std::uint16_t port) {
  try {
    auto connection = test::Connection::to(port);
    connection.send("GET /alive HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    return connection.read_until("\r\n");
  } catch (std::exception const&) {
    return {};
  }
}

TEST_P(ProcessCalls, ANestletIsPausedAndAnswersAgainWhenItIsResumed) {
  settings.command[0] = NESTLET_PROGRAM;
  auto const made = create("c1");
  ASSERT_TRUE(made) << made.error().reason;
  auto const port = made->endpoint.port();
  control.run_until([port] { return answer_of(port).starts_with("HTTP/1.1 200"); });
  ASSERT_TRUE(pause("c1"));
  auto waiting = test::Connection::to(port);
  waiting.send("GET /alive HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  ASSERT_TRUE(resume("c1"));
  EXPECT_TRUE(waiting.read_until("\r\n").starts_with("HTTP/1.1 200")) << "what came meanwhile is answered";
  waiting.close();
  EXPECT_TRUE(destroy("c1"));
  EXPECT_EQ(answer_of(port), "");
}

// A nestlet, and a command that takes 32 MiB and a core.
TEST_P(ProcessCalls, WhatARuntimeUsesIsTold) {
  settings.command[0] = NESTLET_PROGRAM;
  auto const made = create("c1");
  ASSERT_TRUE(made) << made.error().reason;
  auto const port = made->endpoint.port();
  control.run_until([port] { return answer_of(port).starts_with("HTTP/1.1 200"); });
  auto const usage = [this] { return control.run(provider().usage(id_of("c1"), in_time())).value(); };
  auto const idle = usage();
  ASSERT_TRUE(idle.memory_bytes);
  ASSERT_TRUE(idle.cpu_time);
  EXPECT_GT(*idle.memory_bytes, 64U * 1024);
  EXPECT_LT(*idle.cpu_time, 5s);

  TaskGroup tasks(control.executor());
  auto const run = [](RuntimeProvider& provider) -> Task<> {
    std::vector<std::string> command = {
        "bash", "-c", "x=$(head -c 33554432 /dev/zero | tr '\\0' x); echo $$ > command; while :; do :; done"};
    [[maybe_unused]] auto const done = co_await provider.execute(id_of("c1"), std::move(command), in_time());
  };
  tasks.spawn("execute", run(provider()));
  pid_in("c1", "command");
  EXPECT_GT(*usage().memory_bytes, *idle.memory_bytes + 32U * 1024 * 1024);
  auto const before = *usage().cpu_time;
  control.run_until([&] { return *usage().cpu_time > before + 20ms; });
  ASSERT_TRUE(pause("c1"));
  EXPECT_GT(*usage().memory_bytes, 32U * 1024 * 1024) << "what is frozen keeps it";
  ASSERT_TRUE(destroy("c1"));
  control.run_until([&tasks] { return tasks.size() == 0; });
  EXPECT_EQ(control.run(provider().usage(id_of("c1"), in_time())).error().fault.kind, FaultKind::not_found);
}

TEST_P(ProcessCalls, WhatDoesNotExistIsNotFound) {
  EXPECT_EQ(pause("c1").error().fault.kind, FaultKind::not_found);
  EXPECT_EQ(resume("c1").error().fault.kind, FaultKind::not_found);
  EXPECT_EQ(execute("c1", "true").error().fault.kind, FaultKind::not_found);
  EXPECT_EQ(log("c1", 10).error().fault.kind, FaultKind::not_found);
  EXPECT_EQ(assign("c1", spec_of("c2")).error().fault.kind, FaultKind::not_found);
  EXPECT_FALSE(control.run(provider().inspect(id_of("c1"))).value());
  EXPECT_TRUE(list().empty());
}

// Plays a gateway; however the test ends, it goes.
class ChildGateway {
 public:
  explicit ChildGateway(pid_t pid) : pid_(pid) {}
  ChildGateway(ChildGateway const&) = delete;
  ~ChildGateway() { kill(); }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }

 private:
  pid_t pid_;
};

TEST_P(ProcessCalls, AGatewayThatIsKilledLeavesNothingOfAPausedRuntime) {
  script(busy);
  settings.workspace_dir = folder.path();
  pid_t const gateway = ::fork();
  ASSERT_GE(gateway, 0);
  if (gateway == 0) {
    // A child of ours plays the gateway.
    test::Control own;
    ProcessProvider made(settings, own.executor());
    auto const created = own.run(made.create(spec_of("c1"), in_time()));
    // Written, too: a shell may be frozen between the two.
    auto const says = [this](std::string_view file) {
      return test::read_file(folder_of("c1") / "workspace" / file).ends_with('\n');
    };
    own.run_until([&] { return says("pid") && says("far"); });
    if (created && own.run(made.pause(id_of("c1")))) std::ofstream(folder_of("c1") / "workspace" / "paused") << "yes\n";
    for (;;) ::pause();
  }
  ChildGateway child(gateway);
  pid_t const all[] = {pid_in("c1", "pid"), pid_in("c1", "far")};
  ASSERT_EQ(line_in("c1", "paused"), "yes");
  auto const group = group_of(all[0], Controller::freezer).parent_path();
  child.kill();
  for (auto const pid : all) control.run_until([pid] { return is_gone(pid); });
  if (!is_grouped()) return;
  EXPECT_NE(group.string().find("-" + std::to_string(gateway) + "-"), std::string::npos) << group;
  provider();
  control.run_until([&group] { return !fs::exists(group); });
}

TEST_P(ProcessCalls, ListTellsWhatRunsAndWhatAnEarlierGatewayLeft) {
  script(stay);
  ASSERT_TRUE(create("c1", "alice"));
  ASSERT_TRUE(create("c2", "bob"));
  line_in("c1", "pid");
  restart();
  ASSERT_TRUE(create("c2", "bob"));
  fs::create_directories(folder_of("c3") / "workspace");  // and no owner: a removal takes that first
  fs::create_directories(folder.path() / "not an id");
  auto const found = list();
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found.at("c1").presence, Presence::stopped);
  EXPECT_EQ(found.at("c1").owner, "alice");
  EXPECT_EQ(found.at("c1").instance.workspace, (folder_of("c1") / "workspace").string());
  EXPECT_EQ(found.at("c2").presence, Presence::running);
  EXPECT_EQ(found.at("c2").owner, "bob");
  EXPECT_NE(found.at("c2").instance.endpoint.port(), 0);
  EXPECT_TRUE(found.at("c2").instance.existed);
  EXPECT_EQ(found.at("c3").presence, Presence::failed);
  auto const one = control.run(provider().inspect(id_of("c1"))).value();
  ASSERT_TRUE(one);
  EXPECT_EQ(one->presence, Presence::stopped);
  EXPECT_TRUE(destroy("c1", Leftovers::remove)) << "a gateway that was started anew may remove what it knows";
  EXPECT_FALSE(fs::exists(folder_of("c1")));
}

TEST_P(ProcessCalls, ADormantServerWaitsForItsKeyAndIsAssigned) {
  script("/usr/bin/env > env; cd /; while :; do [ -e \"$HOME/go\" ] && exit 3; /bin/sleep 0.01; done");
  auto const made = create(dormant("warm"));
  ASSERT_TRUE(made) << made.error().reason;
  control.run_until(
      [&] { return read_file(folder_of("warm") / "workspace" / "env").find("OH_SECRET_KEY=") != std::string::npos; });
  auto const environment = read_file(folder_of("warm") / "workspace" / "env");
  EXPECT_NE(environment.find("OH_DEFERRED_INIT=true\n"), std::string::npos) << environment;
  EXPECT_NE(environment.find("OH_SESSION_API_KEYS_0=the-key\n"), std::string::npos);
  EXPECT_NE(environment.find("OH_SECRET_KEY=the-key\n"), std::string::npos);
  EXPECT_EQ(environment.find("\nSESSION_API_KEY="), std::string::npos);

  auto spec = spec_of("c1", "alice");
  spec.epoch = Epoch{9};
  auto const assigned = assign("warm", std::move(spec));
  ASSERT_TRUE(assigned) << assigned.error().reason;
  EXPECT_EQ(assigned->endpoint, made->endpoint);
  EXPECT_EQ(assigned->workspace, (folder_of("c1") / "workspace").string()) << "what a later start has, too";
  EXPECT_TRUE(fs::is_symlink(folder_of("warm"))) << "the server sees its files where they were";
  auto const found = list();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.at("c1").owner, "alice");
  EXPECT_EQ(found.at("c1").presence, Presence::running);
  EXPECT_EQ(assign("c1", spec_of("c2")).error().fault.kind, FaultKind::conflict) << "it is dormant no more";

  std::ofstream(folder_of("c1") / "workspace" / "go") << "x";
  wait_for_end();
  EXPECT_EQ(ends.at(0), "c1 9 exited with status 3");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1) << "the link is gone";
}

TEST_P(ProcessCalls, AServerThatHasResolvedItsPathsKeepsThemWhenItIsAssigned) {
  script(
      "cd -P \"$3\"; at=$(pwd -P); echo $$ > pid; while ! [ -e \"$at/go\" ]; do /bin/sleep 0.01; done; "
      "cd / && cd \"$at\" && echo here > \"$3/again\"; while :; do /bin/sleep 60 & wait $!; done");
  auto spec = dormant("warm");
  spec.wish.working_dir = "below";
  ASSERT_TRUE(create(std::move(spec)));
  line_in("warm", "pid");
  ASSERT_TRUE(assign("warm", spec_of("c1")));
  std::ofstream(folder_of("c1") / "workspace" / "go") << "x";
  EXPECT_EQ(line_in("c1", "again"), "here");

  auto const workspace = (folder_of("c1") / "workspace").string();
  EXPECT_EQ(execute("c1", "pwd; echo $HOME")->output, workspace + "/below\n" + workspace + "\n");
  ASSERT_TRUE(pause("c1"));
  ASSERT_TRUE(resume("c1"));
  EXPECT_EQ(list().at("c1").instance.workspace, workspace);
  ASSERT_TRUE(destroy("c1"));
  EXPECT_FALSE(fs::is_symlink(folder_of("warm")));
  auto const cold = create("c1");
  ASSERT_TRUE(cold) << cold.error().reason;
  EXPECT_EQ(cold->workspace, workspace);
  EXPECT_TRUE(cold->existed);
}

TEST_P(ProcessCalls, NothingFollowsTheLinkOfAServerThatWasAssigned) {
  script(stay);
  ASSERT_TRUE(create(dormant("warm")));
  line_in("warm", "pid");
  ASSERT_TRUE(assign("warm", spec_of("c1", "alice")));
  EXPECT_FALSE(control.run(provider().inspect(id_of("warm"))).value());
  EXPECT_EQ(list().size(), 1U);
  EXPECT_EQ(log("warm", 10).error().fault.kind, FaultKind::not_found);
  EXPECT_EQ(create("warm", "alice").error().fault.kind, FaultKind::conflict);
  ASSERT_TRUE(create(dormant("other")));
  line_in("other", "pid");
  EXPECT_EQ(assign("other", spec_of("warm", "alice")).error().fault.kind, FaultKind::conflict);

  EXPECT_TRUE(destroy("warm", Leftovers::remove));
  EXPECT_TRUE(fs::is_symlink(folder_of("warm"))) << "its server runs on";
  EXPECT_EQ(test::read_file(folder_of("c1") / "owner"), "alice");
  EXPECT_TRUE(fs::exists(folder_of("c1") / "workspace" / "pid"));
  ASSERT_TRUE(destroy("c1", Leftovers::remove));
  EXPECT_FALSE(fs::is_symlink(folder_of("warm")));
  EXPECT_FALSE(fs::exists(folder_of("c1")));
  EXPECT_TRUE(create("warm", "alice")) << "the id is free again";
}

TEST_P(ProcessCalls, ALinkThatCannotBeTakenAwayWithItsServerGoesWithItsId) {
  script(stay);
  ASSERT_TRUE(create("c1"));
  line_in("c1", "pid");
  fs::create_directory_symlink("c1", folder_of("warm"));
  EXPECT_TRUE(destroy("warm", Leftovers::remove));
  EXPECT_FALSE(fs::is_symlink(folder_of("warm")));
  EXPECT_TRUE(fs::exists(folder_of("c1") / "owner"));
}

TEST_P(ProcessCalls, ADormantServerStaysAsItIsWhereTheIdIsTaken) {
  script(stay);
  ASSERT_TRUE(create("c1", "alice"));
  ASSERT_TRUE(create("c2", "bob"));
  line_in("c2", "pid");
  ASSERT_TRUE(destroy("c2"));
  ASSERT_TRUE(create(dormant("warm")));
  line_in("warm", "pid");
  EXPECT_EQ(assign("warm", spec_of("c1", "alice")).error().reason, "assign: the id has a runtime already");
  EXPECT_EQ(assign("warm", spec_of("c2", "bob")).error().reason, "assign: this id has files already");
  auto wishing = spec_of("c3");
  wishing.wish.command = {"true"};
  EXPECT_EQ(assign("warm", std::move(wishing)).error().fault.kind, FaultKind::conflict);
  auto const found = list();
  EXPECT_EQ(found.at("warm").presence, Presence::running);
  EXPECT_EQ(found.at("warm").owner, "");
  EXPECT_EQ(found.at("c2").owner, "bob");
  EXPECT_TRUE(assign("warm", spec_of("c3")));
}

TEST_P(ProcessCalls, LinksThatLeadNowhereGoAndThoseOfOperatorsStay) {
  test::TempFolder elsewhere;
  fs::create_directory_symlink("c1", folder_of("warm-1"));
  fs::create_directories(folder_of("c2") / "workspace");
  std::ofstream(folder_of("c2") / "workspace" / "file") << "x";
  fs::create_directory_symlink("c2", folder_of("warm-2"));
  fs::create_directory_symlink(elsewhere.path(), folder_of("c3"));
  script(stay);
  provider();
  EXPECT_FALSE(fs::is_symlink(folder_of("warm-1"))) << "that leads nowhere";
  EXPECT_TRUE(fs::is_symlink(folder_of("warm-2"))) << "its server may be one of a gateway that lives";
  EXPECT_TRUE(fs::exists(folder_of("c2") / "workspace" / "file"));
  EXPECT_TRUE(create("c3")) << "a folder that is kept on another disk";
}

TEST_P(ProcessCalls, ExecuteRunsInTheRuntimesFolderWithItsEnvironmentButNotItsKey) {
  settings.environment = {{"EXTRA", "yes"}};
  script(stay);
  auto spec = spec_of("c1");
  spec.wish.environment.emplace_back("WISHED", Secret("too"));
  ASSERT_TRUE(create(std::move(spec)));
  auto const done = execute("c1", "pwd; /usr/bin/env; echo oops >&2; exit 5");
  ASSERT_TRUE(done) << done.error().reason;
  EXPECT_EQ(done->exit_code, 5);
  EXPECT_TRUE(done->output.starts_with((folder_of("c1") / "workspace").string() + "\n")) << done->output;
  EXPECT_NE(done->output.find("\nEXTRA=yes\n"), std::string::npos);
  EXPECT_NE(done->output.find("\nWISHED=too\n"), std::string::npos);
  EXPECT_EQ(done->output.find("the-key"), std::string::npos);
  EXPECT_TRUE(done->output.ends_with("oops\n"));
  EXPECT_EQ(execute("c1", "kill -9 $$")->exit_code, 137);
  ASSERT_EQ(execute("c1", "echo 'exit 9' > run; chmod +x run; cp /bin/sh interpreter")->exit_code, 0);
  EXPECT_EQ(control.run(provider().execute(id_of("c1"), {"./interpreter", "run"}, in_time()))->exit_code, 9);
  auto const unknown = control.run(provider().execute(id_of("c1"), {"no-such-program"}, in_time()));
  EXPECT_EQ(unknown->exit_code, 127);
}

TEST_P(ProcessCalls, ExecuteKeepsTheEndOfTheOutput) {
  script(stay);
  ASSERT_TRUE(create("c1"));
  auto const done = execute("c1", "head -c 1000000 /dev/zero; echo the end");
  ASSERT_TRUE(done);
  EXPECT_EQ(done->output.size(), 64U * 1024);
  EXPECT_TRUE(done->output.ends_with("the end\n"));
}

TEST_P(ProcessCalls, NothingOfACommandOutlivesIt) {
  script(stay);
  ASSERT_TRUE(create("c1"));
  ASSERT_TRUE(execute("c1", std::string(run_away) + "exit 0"));
  for (auto const* name : {"far", "deaf", "orphan"}) EXPECT_TRUE(is_gone(pid_in("c1", name))) << name;
  EXPECT_FALSE(is_gone(pid_in("c1", "pid"))) << "the server goes on";
}

TEST_P(ProcessCalls, ACommandIsKilledAtItsDeadline) {
  script(stay);
  ASSERT_TRUE(create("c1"));
  auto const late = execute("c1", std::string(run_away) + "sleep 600", Deadline::in(500ms));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().fault.kind, FaultKind::timed_out);
  for (auto const* name : {"far", "deaf", "orphan"})
    if (fs::exists(folder_of("c1") / "workspace" / name)) EXPECT_TRUE(is_gone(pid_in("c1", name))) << name;
}

TEST_P(ProcessCalls, ACommandEndsWithItsRuntimeAndStandsStillWithIt) {
  script(stay);
  ASSERT_TRUE(create("c1"));
  std::optional<Outcome<CommandResult>> result;
  auto const run = [](RuntimeProvider& provider, std::optional<Outcome<CommandResult>>& out) -> Task<> {
    std::vector<std::string> command = {"sh", "-c", "echo $$ > command; while :; do :; done"};
    out.emplace(co_await provider.execute(id_of("c1"), std::move(command), in_time()));
  };
  TaskGroup tasks(control.executor());
  tasks.spawn("execute", run(provider(), result));
  auto const pid = pid_in("c1", "command");
  ASSERT_TRUE(pause("c1"));
  control.run_until([this, pid] { return stands_still(pid); });
  EXPECT_EQ(execute("c1", "true").error().fault.kind, FaultKind::conflict);
  ASSERT_TRUE(destroy("c1"));
  EXPECT_TRUE(is_gone(pid));
  control.run_until([&result] { return result.has_value(); });
  control.run_until([&tasks] { return tasks.size() == 0; });
}

TEST_P(ProcessCalls, LogIsTheNewestOfBothFilesAlsoOfAStoppedRuntime) {
  settings.output_bytes_max = 2000;
  script("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo last words; exit 0");
  ASSERT_TRUE(create("c1"));
  wait_for_end();
  auto const all = log("c1", 1'000'000);
  ASSERT_TRUE(all);
  EXPECT_LE(all->size(), 2000U);
  EXPECT_GE(all->size(), 1000U);
  EXPECT_TRUE(all->ends_with("line 1999\nlast words\n"));
  EXPECT_EQ(*log("c1", 6), "words\n");
}

TEST_P(ProcessCalls, AMebibyteOfOutputAtTheStartHoldsNobodyUp) {
  script("/usr/bin/head -c 1048576 /dev/zero; echo through > through; while :; do /bin/sleep 60 & wait $!; done");
  ASSERT_TRUE(create("c1"));
  EXPECT_EQ(line_in("c1", "through"), "through");
}

TEST_P(ProcessCalls, TheReasonOfAnEndHoldsTheLastLineButNoSecret) {
  script("echo first; printf 'fatal: the-key and hush-hush\\002\\n\\n' >&2; exit 3");
  auto spec = spec_of("c1");
  spec.wish.environment.emplace_back("TOKEN", Secret("hush-hush"));
  ASSERT_TRUE(create(std::move(spec)));
  wait_for_end();
  EXPECT_EQ(ends.at(0), "c1 7 exited with status 3: fatal: *** and ***?");
}

TEST_P(ProcessCalls, AWishHasItsOwnCommandEnvironmentAndDirectory) {
  script("exit 1");
  settings.environment = {{"EXTRA", "yes"}};
  auto spec = spec_of("c1");
  spec.wish.image = "ghcr.io/some/image:1";  // there are none here
  spec.wish.command = {"sh", "-c", "pwd > \"$0/cwd\"; /usr/bin/env > \"$0/env\"; echo {port} ${x} > \"$0/args\"",
                       "{workspace}"};
  spec.wish.working_dir = "/openhands/code/";
  spec.wish.environment.emplace_back("EXTRA", Secret("own"));
  spec.wish.environment.emplace_back("SESSION_API_KEY", Secret("theirs"));
  auto const made = create(std::move(spec));
  ASSERT_TRUE(made) << made.error().reason;
  wait_for_end();
  auto const workspace = folder_of("c1") / "workspace";
  EXPECT_EQ(read_file(workspace / "cwd"), (workspace / "openhands/code").string() + "\n");
  EXPECT_EQ(read_file(workspace / "args"), std::to_string(made->endpoint.port()) + "\n");
  auto const environment = read_file(workspace / "env");
  EXPECT_NE(environment.find("EXTRA=own\n"), std::string::npos);
  EXPECT_NE(environment.find("SESSION_API_KEY=the-key\n"), std::string::npos);
  EXPECT_EQ(environment.find("theirs"), std::string::npos);
}

TEST_P(ProcessCalls, AWishThatCannotBeIsBadInput) {
  script(stay);
  auto const kind = [this](auto change) {
    auto spec = spec_of("c1");
    change(spec.wish);
    auto const made = create(std::move(spec));
    return made ? std::optional<FaultKind>() : made.error().fault.kind;
  };
  EXPECT_EQ(kind([](Wish& wish) { wish.command = {"no-such-program"}; }), FaultKind::bad_input);
  EXPECT_EQ(kind([](Wish& wish) { wish.command = {"sh", std::string("a\0b", 3)}; }), FaultKind::bad_input);
  EXPECT_EQ(kind([](Wish& wish) { wish.resource_factor = 3; }), FaultKind::bad_input);
  EXPECT_EQ(kind([](Wish& wish) { wish.working_dir = "../.."; }), FaultKind::bad_input);
  EXPECT_EQ(kind([](Wish& wish) { wish.environment.emplace_back("A=B", Secret("x")); }), FaultKind::bad_input);
  EXPECT_TRUE(fs::is_empty(folder.path())) << "nothing is left of what could not be started";
  ASSERT_TRUE(create("c1"));
  ASSERT_TRUE(destroy("c1"));
  fs::create_directory_symlink("/tmp", folder_of("c1") / "workspace" / "out");
  EXPECT_EQ(kind([](Wish& wish) { wish.working_dir = "out/there"; }), FaultKind::bad_input);
  EXPECT_FALSE(fs::exists("/tmp/there"));
  EXPECT_EQ(kind([](Wish&) {}), std::nullopt);
}

TEST_P(ProcessCalls, AHogOfMemoryEndsWithAReason) {
  settings.memory_bytes = 48 * 1024 * 1024;
  script("exec /usr/bin/tail /dev/zero");
  ASSERT_TRUE(create("c1"));
  wait_for_end();
  EXPECT_TRUE(
      ends.at(0).starts_with(is_grouped() ? "c1 7 killed by signal 9, out of memory" : "c1 7 exited with status 1: "))
      << ends.at(0);
}

class GroupedRuntimes : public ProcessCalls {};
INSTANTIATE_TEST_SUITE_P(Only, GroupedRuntimes, testing::Values(Grouping::automatic), [](auto const&) { return "Grouped"; });

TEST_P(GroupedRuntimes, HaveTheirLimitsTimesTheirFactor) {
  settings.memory_bytes = 64 * 1024 * 1024;
  settings.cpus = 0.5;
  settings.pids_max = 30;
  script(stay);
  auto spec = spec_of("c1");
  spec.wish.resource_factor = 4;
  ASSERT_TRUE(create(std::move(spec)));
  auto const pid = pid_in("c1", "pid");
  auto const text = [pid](Controller controller, std::string_view v1, std::string_view v2) {
    auto const folder = group_of(pid, controller);
    return fs::exists(folder / v1) ? read_file(folder / v1) : read_file(folder / v2);
  };
  EXPECT_EQ(text(Controller::memory, "memory.limit_in_bytes", "memory.max"), std::to_string(256 * 1024 * 1024) + "\n");
  EXPECT_TRUE(text(Controller::cpu, "cpu.cfs_quota_us", "cpu.max").starts_with("200000"));
  EXPECT_EQ(text(Controller::pids, "pids.max", "pids.max"), "30\n");
}

TEST_P(GroupedRuntimes, BoundAForkBombAndKillAllOfIt) {
  settings.pids_max = 60;
  settings.stop_grace = 20ms;
  // The server itself forks no more: a shell that cannot fork ends.
  script("trap '' TERM; echo $$ > pid; b() { b | b & b; }; (while :; do (b 2>/dev/null); done) & exec sleep 1000");
  ASSERT_TRUE(create("c1"));
  auto const group = group_of(pid_in("c1", "pid"), Controller::pids);
  control.run_until([&group] { return !read_file(group / "pids.events").starts_with("max 0\n"); });
  EXPECT_LE(std::stoi(read_file(group / "pids.current")), 60);
  ASSERT_TRUE(destroy("c1"));
  EXPECT_TRUE(list().at("c1").presence == Presence::stopped);
  EXPECT_FALSE(fs::exists(group));
}

TEST_P(GroupedRuntimes, LeaveNoFolderOfAGroup) {
  script(stay);
  ASSERT_TRUE(create("c1"));
  auto const group = group_of(pid_in("c1", "pid"), Controller::memory);
  EXPECT_TRUE(fs::exists(group));
  ASSERT_TRUE(destroy("c1"));
  EXPECT_FALSE(fs::exists(group));
  EXPECT_TRUE(fs::exists(group.parent_path()));
  restart();
  EXPECT_FALSE(fs::exists(group.parent_path()));
}

// Makes each new descriptor fail while it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &usual_);
    rlimit const none{3, usual_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  NoDescriptors(NoDescriptors const&) = delete;
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &usual_); }

 private:
  rlimit usual_{};
};

TEST_P(GroupedRuntimes, LeaveNoFolderOfAGroupThatCouldNotBeOpened) {
  auto const keeper = (fs::read_symlink("/proc/self/exe").parent_path() / keeper_program).string();
  KeeperPool pool(control.executor(), settings.cgroup);
  std::vector<Place> places;
  auto first = control.run(pool.take(keeper));
  ASSERT_TRUE(first);
  auto const folders = first->group->folders();
  places.push_back(std::move(*first));
  {
    NoDescriptors const none;
    std::optional<Fault> fault;
    while (!fault) {
      auto more = control.run(pool.take(keeper));
      if (more) {
        places.push_back(std::move(*more));  // it was made before
      } else {
        fault = more.error();
      }
    }
    EXPECT_EQ(fault->cause.value(), EMFILE);
  }
  for (auto& place : places) pool.give_up(std::move(place));
  control.run(pool.close());
  for (auto const& folder : folders) EXPECT_FALSE(fs::exists(folder.own.parent_path())) << folder.own;
}

TEST_P(GroupedRuntimes, GoWithTheirGroupWhenTheirKeeperIsKilled) {
  script(std::string(run_away) + "echo $PPID > keeper; " + stay);
  ASSERT_TRUE(create("c1"));
  line_in("c1", "pid");
  ::kill(pid_in("c1", "keeper"), SIGKILL);
  wait_for_end();
  EXPECT_EQ(ends.at(0), "c1 7 lost its keeper");
  for (auto const* name : {"far", "deaf", "orphan"}) control.run_until([this, name] { return is_gone(pid_in("c1", name)); });
}

}  // namespace
}  // namespace nestgate::runtime
