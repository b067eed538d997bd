#include "nestgate/nested/action_server.hpp"

#include <algorithm>
#include <initializer_list>
#include <iterator>

namespace nestgate::nested {
namespace {

void append_words(std::vector<std::string>& out, std::string_view text) {
  while (!text.empty()) {
    auto const word = text.substr(0, text.find(' '));
    if (!word.empty()) out.emplace_back(word);
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
}

// The first that is not empty; the last one is not.
std::string_view first_of(std::initializer_list<std::string_view> texts) {
  return *std::find_if(texts.begin(), texts.end(), [](std::string_view text) { return !text.empty(); });
}

std::string_view name_of(ServerModule module) {
  return module == ServerModule::nested ? "openhands.server" : "openhands.runtime.action_execution_server";
}

}  // namespace

std::vector<std::string> runtime_image_prefix() {
  return {"/openhands/micromamba/bin/micromamba", "run", "-n", "openhands", "poetry", "run"};
}

std::vector<std::string> start_command(ActionServerCommand const& wanted) {
  auto out = wanted.prefix;
  auto const append = [&out](auto... words) { (out.emplace_back(words), ...); };
  append(wanted.python, "-u", "-m", name_of(wanted.module), std::to_string(wanted.port));
  append("--working-dir", wanted.working_dir);
  if (!wanted.plugins.empty()) {
    append("--plugins");
    out.insert(out.end(), wanted.plugins.begin(), wanted.plugins.end());
  }
  append("--username", first_of({wanted.username, wanted.runtime_username, wanted.run_as_openhands ? "openhands" : "root"}));
  append("--user-id", first_of({wanted.user_id, wanted.runtime_uid, wanted.run_as_openhands ? "1000" : "0"}));
  if (!wanted.browsergym_eval_env.empty()) {
    append("--browsergym-eval-env");
    append_words(out, wanted.browsergym_eval_env);
  }
  if (!wanted.enable_browser) append("--no-enable-browser");
  return out;
}

std::vector<std::string> start_command(AgentServerCommand const& wanted) {
  std::vector<std::string> out{wanted.program};
  if (wanted.form == AgentServerCommand::Form::python_module) out.insert(out.end(), {"-m", "openhands.agent_server"});
  out.insert(out.end(), {"--port", std::to_string(wanted.port)});
  if (!wanted.host.empty()) out.insert(out.end(), {"--host", wanted.host});
  return out;
}

std::vector<std::string> in_background(std::vector<std::string> command, std::string_view log_file) {
  // The words of the command are the shell's arguments and never a part of its text.
  constexpr std::string_view script =
      "log=$1; shift; command -v setsid >/dev/null 2>&1 && set -- setsid \"$@\"; "
      "nohup \"$@\" </dev/null >\"$log\" 2>&1 &";
  std::vector<std::string> out{"/bin/sh", "-c", std::string(script), "sh", std::string(log_file)};
  out.insert(out.end(), std::make_move_iterator(command.begin()), std::make_move_iterator(command.end()));
  return out;
}

}  // namespace nestgate::nested
