#include "runtime/cgroup.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "runtime/child_process.hpp"
#include "support/control.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::runtime {
namespace {

namespace fs = std::filesystem;
using test::read_file;
using Version = Hierarchy::Version;

constexpr Controllers only(Controller controller) { return Controllers{controller}; }

TEST(ParseHierarchies, FindsThoseOfVersionOneAndThisProcessInThem) {
  auto const found = parse_hierarchies(
      "23 1 8:1 / / rw - ext4 /dev/root rw\n"
      "33 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
      "36 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "37 31 0:33 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n"
      "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
      "42 31 0:39 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
      "9:name=systemd:/\n8:pids:/\n4:memory:/user/a:b\n1:cpu,cpuacct:/user\n0::/unit\n");
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0].own, "/sys/fs/cgroup/cpu,cpuacct/user");
  EXPECT_EQ(found[0].controllers, only(Controller::cpu));
  EXPECT_EQ(found[1].own, "/sys/fs/cgroup/memory/user/a:b");
  EXPECT_EQ(found[2].own, "/sys/fs/cgroup/pids");
  EXPECT_EQ(found[3].own, "/sys/fs/cgroup/unified/unit");
  EXPECT_EQ(found[3].version, Version::v2);
  EXPECT_EQ(found[3].controllers, only(Controller::freezer));
}

TEST(ParseHierarchies, FollowsAMountOfAPartAndLeavesOutWhatLiesOutsideOfIt) {
  auto const own = [](std::string const& root, std::string const& group) {
    auto const found = parse_hierarchies("29 1 0:26 " + root + " /cg\\040roup rw - cgroup2 none rw\n", "0::" + group + "\n");
    return found.empty() ? std::string("none") : found.at(0).own.string();
  };
  EXPECT_EQ(own("/", "/"), "/cg roup");
  EXPECT_EQ(own("/", "/a.service"), "/cg roup/a.service");
  EXPECT_EQ(own("/docker/1", "/docker/1"), "/cg roup");
  EXPECT_EQ(own("/docker/1", "/docker/1/a"), "/cg roup/a");
  EXPECT_EQ(own("/docker/1", "/docker/12"), "none");
  EXPECT_EQ(own("/docker/1", "/"), "none");
  EXPECT_EQ(own("/", "/../other"), "none");
}

TEST(ParseHierarchies, TakesNothingFromLinesThatAreNone) {
  EXPECT_TRUE(parse_hierarchies("", "").empty());
  EXPECT_TRUE(parse_hierarchies("x\n - \n - cgroup2\n1 2 3 / /a rw - cgroup2 a b\n", "::\n7:memory\n\n").empty());
}

TEST(Cgroup, WritesTheLimitsOfVersionTwo) {
  test::TempFolder folder;
  Controllers const all{Controller::memory, Controller::cpu, Controller::pids};
  auto const group = Cgroup::make({{Version::v2, folder.path(), all}}, "1");
  ASSERT_TRUE(group);
  for (auto const* name : {"memory.max", "memory.swap.max", "cpu.max", "pids.max"})
    std::ofstream(folder.path() / "1" / name);
  ASSERT_TRUE(group->limit({1'000'000, 1.5, 77}));
  EXPECT_EQ(read_file(folder.path() / "1" / "memory.max"), "1000000");
  EXPECT_EQ(read_file(folder.path() / "1" / "memory.swap.max"), "0");
  EXPECT_EQ(read_file(folder.path() / "1" / "cpu.max"), "150000 100000");
  EXPECT_EQ(read_file(folder.path() / "1" / "pids.max"), "77");
  std::ofstream(folder.path() / "1" / "memory.events") << "max 3\noom 2\noom_kill 0\noom_group_kill 0\n";
  EXPECT_FALSE(group->had_out_of_memory());
  std::ofstream(folder.path() / "1" / "memory.events") << "max 3\noom 2\noom_kill 1\n";
  EXPECT_TRUE(group->had_out_of_memory());
}

TEST(Cgroup, TellsWhatItsFoldersCount) {
  test::TempFolder one, two;
  auto const v1 = Cgroup::make({{Version::v1, one.path(), Controllers{Controller::memory, Controller::cpu}}}, "1");
  auto const v2 = Cgroup::make({{Version::v2, two.path(), Controllers{Controller::memory, Controller::freezer}}}, "1");
  ASSERT_TRUE(v1 && v2);
  EXPECT_FALSE(v1->usage().memory_bytes);
  EXPECT_FALSE(v1->usage().cpu_time) << "where cpuacct is mounted apart";
  auto const write = [](fs::path const& path, std::string_view text) { std::ofstream(path) << text; };
  write(one.path() / "1" / "memory.usage_in_bytes", "9000\n");
  write(one.path() / "1" / "memory.stat", "inactive_file 1\ntotal_inactive_file 1000\n");
  write(one.path() / "1" / "cpuacct.usage", "5000000\n");
  EXPECT_EQ(v1->usage().memory_bytes, 8000U);
  EXPECT_EQ(v1->usage().cpu_time, std::chrono::milliseconds(5));
  write(two.path() / "1" / "memory.current", "700\n");
  write(two.path() / "1" / "memory.stat", "anon 3\ninactive_file 900\n");
  write(two.path() / "1" / "cpu.stat", "usage_usec 77\nuser_usec 70\n");
  EXPECT_EQ(v2->usage().memory_bytes, 0U);
  EXPECT_EQ(v2->usage().cpu_time, std::chrono::microseconds(77));
}

TEST(Cgroup, SaysThatItCannotLimitWhatItHasNoControllerFor) {
  test::TempFolder folder;
  auto const group = Cgroup::make({{Version::v2, folder.path(), only(Controller::freezer)}}, "1");
  ASSERT_TRUE(group);
  EXPECT_FALSE(group->limit({1'000'000, {}, {}}));
  EXPECT_TRUE(group->limit({}));
}

// Version 2 beside version 1 has no controllers, but its freezer and its kill.
class VersionTwo : public testing::Test {
 protected:
  void SetUp() override {
    auto hierarchies = parse_hierarchies(read_file("/proc/self/mountinfo"), read_file("/proc/self/cgroup"));
    std::erase_if(hierarchies, [](Hierarchy const& one) { return one.version == Version::v1; });
    parent = CgroupParent::make(hierarchies);
    if (!parent) GTEST_SKIP() << "no groups of version 2 can be made here";
  }

  test::Control control;
  test::TempFolder folder;
  std::optional<CgroupParent> parent;
};

TEST_F(VersionTwo, FreezesThawsAndKillsWhatIsFrozen) {
  auto group = parent->add();
  ASSERT_TRUE(group);
  auto const events = [&group] { return read_file(group->folders().at(0).own / "cgroup.events"); };
  auto const keeper = (fs::read_symlink("/proc/self/exe").parent_path() / "nestgate-keeper").string();
  auto child = ChildProcess::prepare(control.executor(), keeper, group->seat().value());
  ASSERT_TRUE(child);
  ASSERT_EQ(control.run(child->report()).what, Told::seated);
  Launch launch;
  launch.program = "/bin/sh";
  launch.arguments = {"sh", "-c", "while :; do :; done"};
  launch.directory = folder.path();
  ASSERT_TRUE(child->launch(launch));
  auto const told = [&] {
    auto const report = control.run(child->report());
    return std::pair{report.what, report.value};
  };
  child->pause();
  EXPECT_EQ(told(), (std::pair{Told::paused, 0}));
  EXPECT_NE(events().find("frozen 1\n"), std::string::npos);
  child->resume();
  EXPECT_EQ(told(), (std::pair{Told::resumed, 0}));
  EXPECT_NE(events().find("frozen 0\n"), std::string::npos);
  child->pause();
  EXPECT_EQ(told(), (std::pair{Told::paused, 0}));
  child->signal(SIGKILL);
  auto const last = control.run(child->ended());
  EXPECT_EQ(describe(last), "killed by signal 9");
  control.run(group->clear());
  EXPECT_TRUE(group->folders().empty());
  parent->remove();
}

}  // namespace
}  // namespace nestgate::runtime
