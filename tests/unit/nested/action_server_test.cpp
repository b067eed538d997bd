#include "nestgate/nested/action_server.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "support/temp_folder.hpp"

namespace nestgate::nested {
namespace {

std::string joined(std::vector<std::string> const& words) {
  std::string out;
  for (auto const& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

TEST(StartCommand, OfTheActionServerInARuntimeImage) {
  ActionServerCommand wanted;
  wanted.prefix = runtime_image_prefix();
  wanted.port = 31234;
  wanted.plugins = {"agent_skills", "jupyter", "vscode"};
  EXPECT_EQ(joined(start_command(wanted)),
            "/openhands/micromamba/bin/micromamba run -n openhands poetry run python -u -m "
            "openhands.runtime.action_execution_server 31234 --working-dir /workspace --plugins agent_skills jupyter vscode "
            "--username openhands --user-id 1000");
}

TEST(StartCommand, OfTheActionServerAsRootWithEverythingElse) {
  ActionServerCommand wanted;
  wanted.python = "/usr/bin/python3";
  wanted.working_dir = "/w o";
  wanted.run_as_openhands = false;
  wanted.browsergym_eval_env = "browsergym/miniwob  extra";
  wanted.enable_browser = false;
  std::vector<std::string> const expected{"/usr/bin/python3",
                                          "-u",
                                          "-m",
                                          "openhands.runtime.action_execution_server",
                                          "60000",
                                          "--working-dir",
                                          "/w o",
                                          "--username",
                                          "root",
                                          "--user-id",
                                          "0",
                                          "--browsergym-eval-env",
                                          "browsergym/miniwob",
                                          "extra",
                                          "--no-enable-browser"};
  EXPECT_EQ(start_command(wanted), expected);
}

TEST(StartCommand, OfTheActionServerTakesAnotherUserAndModule) {
  ActionServerCommand wanted;
  wanted.module = ServerModule::nested;
  wanted.runtime_username = "agent";
  wanted.runtime_uid = "10001";
  EXPECT_EQ(joined(start_command(wanted)),
            "python -u -m openhands.server 60000 --working-dir /workspace --username agent --user-id 10001");
  wanted.username = "other";
  wanted.user_id = "7";
  EXPECT_EQ(joined(start_command(wanted)),
            "python -u -m openhands.server 60000 --working-dir /workspace --username other --user-id 7");
}

TEST(StartCommand, OfTheAgentServer) {
  AgentServerCommand wanted;
  EXPECT_EQ(joined(start_command(wanted)), "/usr/local/bin/openhands-agent-server --port 8000");
  wanted.form = AgentServerCommand::Form::python_module;
  wanted.program = "python";
  wanted.port = 60000;
  wanted.host = "0.0.0.0";
  EXPECT_EQ(joined(start_command(wanted)), "python -m openhands.agent_server --port 60000 --host 0.0.0.0");
}

// Runs it to its end and gives its exit code.
int run(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t const pid = ::fork();
  if (pid == 0) {
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(InBackground, ReturnsWhileTheCommandRunsAndKeepsItsWordsAndItsOutput) {
  test::TempFolder const folder;
  auto const at = [&folder](std::string const& name) { return (folder.path() / name).string(); };
  ASSERT_EQ(::mkfifo(at("gate").c_str(), 0600), 0);
  std::string const script = "echo \"$1\"; read line <" + at("gate") + "; echo err >&2; echo $$ >" + at("done");
  ASSERT_EQ(run(in_background({"/bin/sh", "-c", script, "sh", "a  $b \"'"}, at("log"))), 0)
      << "it returned although the command waits at the gate";
  std::ofstream(at("gate")) << "\n";
  while (test::read_file(at("done")).empty()) std::this_thread::yield();
  EXPECT_EQ(test::read_file(at("log")), "a  $b \"'\nerr\n");
}

TEST(InBackground, PutsTheCommandIntoASessionOfItsOwn) {
  test::TempFolder const folder;
  auto const log = (folder.path() / "log").string();
  ASSERT_EQ(run(in_background({"/bin/sh", "-c", "cut -d' ' -f6 /proc/$$/stat; echo end"}, log)), 0);
  while (test::read_file(log).find("end") == std::string::npos) std::this_thread::yield();
  EXPECT_NE(test::read_file(log), std::to_string(::getsid(0)) + "\nend\n");
}

}  // namespace
}  // namespace nestgate::nested
