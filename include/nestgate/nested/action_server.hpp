#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// The commands that start a server in an empty sandbox (nested_server.md 5.1, agent_server.md 3.1). Pure.
namespace nestgate::nested {

enum class ServerModule : std::uint8_t {
  action_execution,  // openhands.runtime.action_execution_server
  nested,            // openhands.server: takes its port from the environment and leaves the rest of the line alone
};

struct ActionServerCommand {
  std::vector<std::string> prefix;  // what enters the image's Python: "micromamba", "run", …; none on a plain host
  std::string python = "python";
  ServerModule module = ServerModule::action_execution;
  std::uint16_t port = 60'000;
  std::string working_dir = "/workspace";
  std::vector<std::string> plugins;  // "agent_skills", "jupyter", "vscode"
  // Who it serves as: the first that is not empty of what is asked for here, what the environment's RUNTIME_USERNAME and
  // RUNTIME_UID say, and openhands with 1000 or root with 0.
  std::string username, runtime_username;
  std::string user_id, runtime_uid;
  bool run_as_openhands = true;
  std::string browsergym_eval_env;  // "": none; several words are several arguments
  bool enable_browser = true;
};

// The prefix of OpenHands' own runtime images.
std::vector<std::string> runtime_image_prefix();
std::vector<std::string> start_command(ActionServerCommand const& wanted);

struct AgentServerCommand {
  enum class Form : std::uint8_t { binary, python_module } form = Form::binary;
  std::string program = "/usr/local/bin/openhands-agent-server";  // of a module: the Python
  std::uint16_t port = 8000;
  std::string host;  // "": the server's own choice: loopback without a key, every address with one
};

std::vector<std::string> start_command(AgentServerCommand const& wanted);

// A command that starts `command` in the background and ends at once: in a session of its own where the sandbox has
// setsid, deaf to hang-ups, its input empty and its output in `log_file`.
std::vector<std::string> in_background(std::vector<std::string> command, std::string_view log_file);

}  // namespace nestgate::nested
