#include "automation/command_chain.hpp"
#include "nestgate/automation/command_text.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace nestgate::automation {
namespace {

namespace fs = std::filesystem;

std::string read_file(fs::path const& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream out;
  out << file.rdbuf();
  return out.str();
}

// Runs the real commands of one attempt with /bin/sh, in a home of its own, each as the leader of a process group.
class RunCommand : public testing::Test {
 protected:
  RunCommand() {
    std::string name = (fs::temp_directory_path() / "nestgate-chain-XXXXXX").string();
    home_ = ::mkdtemp(name.data());
    base = home_.string();
    EXPECT_EQ(run(private_folder_command(private_folder)), 0) << output();
    folder = parse_private_folder(output()).value_or("");
    paths = RunPaths("test-" + home_.filename().string(), 1, folder);
  }
  ~RunCommand() override {
    std::error_code ignored;
    fs::remove_all(home_, ignored);
    for (auto const& path : {paths.tarball, paths.environment, paths.event, paths.guard}) fs::remove(path, ignored);
  }

  static std::string quoted(std::string const& text) {
    std::string out = "'";
    for (char const c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
  }
  std::string line(std::string const& command) const {
    return "cd / && HOME=" + home_.string() + " PATH=/usr/bin:/bin setsid -w /bin/sh -c " + quoted(command) + " > " +
           (home_ / "out").string() + " 2>&1";
  }
  // As a nested server does: `sh -c command`.
  int run(std::string const& command) const {
    int const status = std::system(line(command).c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void pack(std::vector<std::pair<std::string, std::string>> const& files) const {
    auto const source = home_ / "source";
    fs::create_directories(source);
    for (auto const& [name, text] : files) std::ofstream(source / name) << text;
    ASSERT_EQ(run("tar -czf " + paths.tarball + " -C " + source.string() + " ."), 0);
  }
  void put_environment(std::vector<std::pair<std::string, Secret>> const& variables) const {
    std::ofstream(paths.environment) << environment_file(variables).reveal();
  }
  std::string start(std::uint64_t fence, std::string_view entrypoint = "sh main.sh", std::string_view setup = "") const {
    RunScript script;
    script.workspace_base = base;
    script.entrypoint = entrypoint;
    script.setup_script = setup;
    return start_command(paths, fence, script);
  }
  std::string output() const { return read_file(home_ / "out"); }
  bool has_guard() const { return fs::is_symlink(paths.guard); }
  fs::path home() const { return home_; }
  fs::path work() const { return fs::path(base) / paths.work_below_base; }

  std::string folder;
  RunPaths paths{"unset", 1};

 private:
  fs::path home_;

 protected:
  std::string base;
};

std::vector<std::pair<std::string, Secret>> variables_of(std::string name, std::string value) {
  std::vector<std::pair<std::string, Secret>> out;
  out.emplace_back(std::move(name), Secret(std::move(value)));
  return out;
}

TEST_F(RunCommand, GivesTheEntrypointItsEnvironmentAndLeavesNoFileBehind) {
  std::string const left = paths.tarball + " " + paths.environment;
  pack({{"main.sh", "echo \"value: $TRICKY\"; echo \"base: $WORKSPACE_BASE\"; ls " + left + " 2>/dev/null; pwd"}});
  std::string const tricky = "it's \"$HOME\" `id` \\ and\na second line";
  put_environment(variables_of("TRICKY", tricky));
  EXPECT_EQ(run(start(1)), 0) << output();
  EXPECT_EQ(output(), "value: " + tricky + "\nbase: " + work().string() + "\n" + work().string() + "\n")
      << "the files are gone before the entrypoint runs";
}

TEST_F(RunCommand, StartsOnceHoweverOftenItIsSent) {
  pack({{"main.sh", "echo started >> ../count"}});
  put_environment({});
  EXPECT_EQ(run(start(1)), 0) << output();
  pack({{"main.sh", "echo started >> ../count"}});
  put_environment(variables_of("A", "secret"));
  EXPECT_EQ(run(start(1)), started_before);
  EXPECT_EQ(run(start(2)), started_before) << "a later holder's start of the same attempt";
  EXPECT_EQ(read_file(work() / ".." / "count"), "started\n");
  paths = RunPaths(fs::path(paths.work_below_base).filename().string(), 2);
  EXPECT_EQ(run(start(3)), 0) << "another attempt: " << output();
  std::error_code ignored;
  fs::remove(RunPaths(fs::path(paths.work_below_base).filename().string(), 1).guard, ignored);
}

TEST_F(RunCommand, StartsNothingWhereItsEnvironmentIsGoneWithTheGuard) {
  pack({{"main.sh", "echo ran > ../ran"}});
  put_environment({});
  EXPECT_EQ(run(start(1)), 0) << output();
  fs::remove(work() / ".." / "ran");
  EXPECT_EQ(run(forget_command({paths.guard})), 0) << output();
  EXPECT_FALSE(has_guard());
  pack({{"main.sh", "echo ran > ../ran"}});
  EXPECT_EQ(run(start(1)), started_before) << "late as can be";
  EXPECT_FALSE(fs::exists(work() / ".." / "ran"));
  EXPECT_FALSE(has_guard()) << "it leaves none either";
}

TEST_F(RunCommand, ForgetsEveryGuardThatIsOldUnlessItsStartStillRuns) {
  auto const forget_at = [this](std::string const& age) {
    ASSERT_EQ(run("touch -h -d '" + age + " ago' " + paths.guard), 0) << output();
    ASSERT_EQ(run(forget_command({})), 0) << output();
  };
  pack({{"main.sh", "echo $$ > ../leader; sleep 600"}});
  put_environment({});
  ASSERT_EQ(std::system((line(start(1)) + " &").c_str()), 0);
  while (!read_file(work() / ".." / "leader").ends_with('\n')) std::this_thread::yield();
  forget_at("25 hours");
  EXPECT_TRUE(has_guard()) << "a stop reads it";
  EXPECT_EQ(run(stop_command(paths)), 0) << output();
  forget_at("23 hours");
  EXPECT_TRUE(has_guard()) << "a start may still come";
  forget_at("25 hours");
  EXPECT_FALSE(has_guard());
}

TEST_F(RunCommand, ForgetsVeryManyOldGuardsInTurns) {
  std::vector<fs::path> guards;
  for (int n = 0; n < old_guards_at_once_max + 10; ++n) {
    guards.push_back(home() / ("automation-" + std::to_string(n) + ".start-1"));
    fs::create_symlink("nestgate:1:999999999", guards.back());
    timespec const long_ago[2]{};
    ASSERT_EQ(::utimensat(AT_FDCWD, guards.back().c_str(), long_ago, AT_SYMLINK_NOFOLLOW), 0);
  }
  auto const left = [&] { return std::ranges::count_if(guards, [](fs::path const& path) { return fs::is_symlink(path); }); };
  EXPECT_EQ(run(forget_command({}, home().string())), 0) << output();
  EXPECT_EQ(left(), 10);
  EXPECT_EQ(run(forget_command({}, home().string())), 0) << output();
  EXPECT_EQ(left(), 0);
}

TEST_F(RunCommand, IsKnownByItsTextWithItsFence) {
  auto const command = start(17);
  EXPECT_EQ(fence_of(paths, command), 17U);
  EXPECT_EQ(fence_of(RunPaths("other", 1), command), std::nullopt);
  EXPECT_EQ(fence_of(paths, "ls " + paths.guard), std::nullopt);
}

TEST_F(RunCommand, RunsSetupShWhereTheTarballHasOneAndElseTheNamedScript) {
  pack({{"setup.sh", "echo default > made"}, {"prepare", "echo named > made"}, {"main.sh", "cat made"}});
  put_environment({});
  EXPECT_EQ(run(start(1)), 0) << output();
  EXPECT_EQ(output(), "default\n");
  fs::remove(paths.guard);
  pack({});
  put_environment({});
  EXPECT_EQ(run(start(1, "sh main.sh", "prepare")), 0) << output();
  EXPECT_EQ(output(), "named\n");
}

TEST_F(RunCommand, WorksInAFolderWithASpace) {
  base = (home() / "a b").string();
  pack({{"main.sh", "pwd"}});
  put_environment({});
  EXPECT_EQ(run(start(1)), 0) << output();
  EXPECT_EQ(output(), work().string() + "\n");
}

TEST_F(RunCommand, HasTheAgentServersUmaskInSetupAndEntrypoint) {
  pack({{"setup.sh", "umask"}, {"main.sh", "umask"}});
  put_environment({});
  EXPECT_EQ(run("umask 027; " + start(1)), 0) << output();
  EXPECT_EQ(output(), "0027\n0027\n");
  EXPECT_EQ(fs::status(work().parent_path()).permissions(), fs::perms::owner_all) << "what the chain makes is private";
}

TEST_F(RunCommand, HasItsSecretsWhereOnlyItsUserCanEnter) {
  EXPECT_EQ(folder, "/tmp/nestgate-private-" + std::to_string(::geteuid()));
  EXPECT_EQ(fs::path(paths.environment).parent_path(), folder);
  EXPECT_EQ(fs::path(paths.event).parent_path(), folder);
  auto const place = home() / "private";
  auto const make = [&] { return run(private_folder_command(place.string())); };
  EXPECT_EQ(make(), 0) << output();
  EXPECT_EQ(fs::status(place).permissions(), fs::perms::owner_all);
  fs::permissions(place, fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
  EXPECT_EQ(make(), 0) << output();
  EXPECT_EQ(fs::status(place).permissions(), fs::perms::owner_all);
  fs::remove(place);
  fs::create_directory_symlink(base, place);
  EXPECT_NE(make(), 0) << "another's choice of a place";
  fs::remove(place);
  std::ofstream(place) << "no folder";
  EXPECT_NE(make(), 0);
}

TEST_F(RunCommand, IsTidiedUpByWhoeverDoesNotKnowThePathOfThatFolder) {
  put_environment(variables_of("A", "secret"));
  std::ofstream(paths.event) << "{}";
  EXPECT_EQ(run(tidy_command(RunPaths("test-" + home().filename().string(), 1))), 0) << output();
  for (auto const& path : {paths.environment, paths.event}) EXPECT_FALSE(fs::exists(path)) << path;
}

TEST(APrivateFolder, IsNoOtherPath) {
  EXPECT_EQ(parse_private_folder("/tmp/nestgate-private-0\n"), "/tmp/nestgate-private-0");
  for (auto const* const other :
       {"", "\n", "/tmp/nestgate-private-", "/tmp/nestgate-private-0 x", "/tmp/x", "/tmp/nestgate-private-../x"})
    EXPECT_EQ(parse_private_folder(other), std::nullopt) << other;
}

TEST_F(RunCommand, EndsWithTheEntrypointsStatus) {
  pack({{"main.sh", "exit 7"}});
  put_environment({});
  EXPECT_EQ(run(start(1)), 7);
}

TEST_F(RunCommand, LeavesNoFileBehindWhenTheTarballIsNone) {
  std::ofstream(paths.tarball) << "not a tarball";
  std::ofstream(paths.event) << "{}";
  put_environment(variables_of("A", "secret"));
  EXPECT_NE(run(start(1)), 0);
  for (auto const& path : {paths.tarball, paths.environment, paths.event}) EXPECT_FALSE(fs::exists(path)) << path;
}

TEST_F(RunCommand, HoldsNoSecretItself) {
  auto const command = start(1, "python main.py", "setup");
  EXPECT_EQ(command.find("export SESSION"), std::string::npos);
  EXPECT_NE(command.find("&& bash setup && python main.py"), std::string::npos);
}

TEST_F(RunCommand, IsStoppedWithEveryProcessOfItsGroup) {
  pack({{"main.sh", "trap '' TERM; sleep 600 & echo $! > ../child; echo $$ > ../leader; wait; wait"}});
  put_environment({});
  ASSERT_EQ(std::system((line(start(1)) + " &").c_str()), 0);
  while (!read_file(work() / ".." / "leader").ends_with('\n')) std::this_thread::yield();
  auto const child = static_cast<pid_t>(std::stol(read_file(work() / ".." / "child")));
  ASSERT_EQ(::kill(child, 0), 0);
  EXPECT_EQ(run(stop_command(paths)), 0) << output();
  auto const leader = static_cast<pid_t>(std::stol(read_file(work() / ".." / "leader")));
  EXPECT_NE(::kill(leader, 0), 0);
  // Nobody may have waited for the orphan yet.
  auto const status = read_file("/proc/" + std::to_string(child) + "/stat");
  EXPECT_TRUE(status.empty() || status.find(") Z ") != status.npos) << status;
}

TEST_F(RunCommand, IsStoppedWithThoseThatLeftItsGroup) {
  pack({{"main.sh", "setsid sh -c 'echo $$ > ../child; exec sleep 600' & wait"}});
  auto const mark = paths.mark.find('=');
  put_environment(variables_of(paths.mark.substr(0, mark), paths.mark.substr(mark + 1)));
  ASSERT_EQ(std::system((line(start(1)) + " &").c_str()), 0);
  while (!read_file(work() / ".." / "child").ends_with('\n')) std::this_thread::yield();
  auto const child = static_cast<pid_t>(std::stol(read_file(work() / ".." / "child")));
  EXPECT_EQ(run(stop_command(paths)), 0) << output();
  auto const status = read_file("/proc/" + std::to_string(child) + "/stat");
  EXPECT_TRUE(status.empty() || status.find(") Z ") != status.npos) << status;
}

TEST_F(RunCommand, OneThatWasStoppedBeforeItCameNeverStarts) {
  pack({{"main.sh", "echo ran > ../ran"}});
  put_environment({});
  EXPECT_EQ(run(stop_command(paths)), 0) << output();
  EXPECT_FALSE(fs::exists(paths.tarball));
  EXPECT_FALSE(fs::exists(paths.environment));
  EXPECT_EQ(run(start(1)), started_before);
  EXPECT_FALSE(fs::exists(fs::path(base) / "automation-runs" / "ran"));
}

TEST(WhyNotACommand, SaysItInTheContractsWords) {
  EXPECT_EQ(why_not_a_command("entrypoint", "  "), "entrypoint must not be blank");
  EXPECT_EQ(why_not_a_command("entrypoint", "/bin/sh"), "entrypoint must be a relative path, not an absolute path");
  for (auto const* text : {"../x", "a/../b", "python ../x", "x/.."})
    EXPECT_EQ(why_not_a_command("setup_script", text), "setup_script must not contain path traversal (..)") << text;
  for (char const c : std::string_view(";&|`$(){}<>!\\\r\n\0", 16)) {
    auto const why = why_not_a_command("entrypoint", std::string("a") + c);
    ASSERT_TRUE(why) << static_cast<int>(c);
    EXPECT_TRUE(why->starts_with("entrypoint must not contain shell metacharacters")) << *why;
  }
  for (auto const* text : {"python main.py", "uv run main.py --flag='a b' x=1", "a..b", "run *.txt ~", "./go"})
    EXPECT_EQ(why_not_a_command("entrypoint", text), std::nullopt) << text;
}

}  // namespace
}  // namespace nestgate::automation
