#include "automation/command_chain.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace nestgate::automation {
namespace {

namespace fs = std::filesystem;

std::string read_file(fs::path const& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream out;
  out << file.rdbuf();
  return out.str();
}

// Runs the real commands of one run with /bin/sh, in a home of its own.
class RunCommand : public testing::Test {
 protected:
  RunCommand() {
    std::string name = (fs::temp_directory_path() / "nestgate-chain-XXXXXX").string();
    home_ = ::mkdtemp(name.data());
    std::string const unique = "test-" + home_.filename().string();
    paths = RunPaths(unique);
  }
  ~RunCommand() override {
    std::error_code ignored;
    fs::remove_all(home_, ignored);
    fs::remove_all(paths.folder, ignored);
  }

  static std::string quoted(std::string const& text) {
    std::string out = "'";
    for (char const c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
  }
  // As a nested server does: `sh -c command`.
  int run(std::string const& command) const {
    std::string const line = "cd / && HOME=" + home_.string() + " PATH=/usr/bin:/bin /bin/sh -c " + quoted(command) + " > " +
                             (home_ / "out").string() + " 2>&1";
    int const status = std::system(line.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void pack(std::vector<std::pair<std::string, std::string>> const& files) const {
    auto const source = home_ / "source";
    fs::create_directories(source);
    for (auto const& [name, text] : files) std::ofstream(source / name) << text;
    ASSERT_EQ(run(make_folder_command(paths)), 0);
    ASSERT_EQ(run("tar -czf " + paths.tarball + " -C " + source.string() + " ."), 0);
  }
  void put_environment(std::vector<std::pair<std::string, Secret>> const& variables) const {
    std::ofstream(paths.environment) << environment_file(variables).reveal();
  }
  std::string output() const { return read_file(home_ / "out"); }
  fs::path work() const { return home_ / paths.work_below_home; }

  RunPaths paths{"unset"};

 private:
  fs::path home_;
};

std::vector<std::pair<std::string, Secret>> variables_of(std::string name, std::string value) {
  std::vector<std::pair<std::string, Secret>> out;
  out.emplace_back(std::move(name), Secret(std::move(value)));
  return out;
}

TEST_F(RunCommand, GivesTheEntrypointItsEnvironmentAndLeavesNoFileBehind) {
  pack({{"main.sh", "echo \"value: $TRICKY\"; echo \"base: $WORKSPACE_BASE\"; ls " + paths.folder + " 2>&1; pwd"}});
  std::string const tricky = "it's \"$HOME\" `id` \\ and\na second line";
  put_environment(variables_of("TRICKY", tricky));
  struct stat info{};
  ASSERT_EQ(::stat(paths.folder.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  EXPECT_EQ(run(run_command(paths, "", "sh main.sh")), 0) << output();
  EXPECT_TRUE(output().starts_with("value: " + tricky + "\nbase: " + work().string() + "\n")) << output();
  EXPECT_TRUE(output().ends_with(work().string() + "\n")) << output();
  EXPECT_FALSE(fs::exists(paths.folder)) << "gone before the entrypoint runs";
}

TEST_F(RunCommand, RunsSetupShWhereTheTarballHasOneAndElseTheNamedScript) {
  pack({{"setup.sh", "echo default > made"}, {"prepare", "echo named > made"}, {"main.sh", "cat made"}});
  put_environment({});
  EXPECT_EQ(run(run_command(paths, "", "sh main.sh")), 0);
  EXPECT_EQ(output(), "default\n");
  pack({});
  put_environment({});
  EXPECT_EQ(run(run_command(paths, "prepare", "sh main.sh")), 0) << output();
  EXPECT_EQ(output(), "named\n");
}

TEST_F(RunCommand, EndsWithTheEntrypointsStatus) {
  pack({{"main.sh", "exit 7"}});
  put_environment({});
  EXPECT_EQ(run(run_command(paths, "", "sh main.sh")), 7);
}

TEST_F(RunCommand, LeavesNoSecretWhenTheTarballIsNone) {
  ASSERT_EQ(run(make_folder_command(paths)), 0);
  std::ofstream(paths.tarball) << "not a tarball";
  put_environment(variables_of("A", "secret"));
  EXPECT_NE(run(run_command(paths, "", "sh main.sh")), 0);
  EXPECT_FALSE(fs::exists(paths.folder));
}

TEST_F(RunCommand, DoesNotUseAFolderThatSomeoneElseMade) {
  fs::create_directories(paths.folder);
  EXPECT_NE(run(make_folder_command(paths)), 0);
}

TEST_F(RunCommand, HoldsNoSecretItself) {
  auto const command = run_command(paths, "setup", "python main.py");
  EXPECT_EQ(command.find("export SESSION"), std::string::npos);
  EXPECT_NE(command.find("&& bash setup && python main.py"), std::string::npos);
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
