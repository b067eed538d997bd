#include "command_chain.hpp"

#include "nestgate/base/invariant.hpp"
#include "nestgate/base/text.hpp"

namespace nestgate::automation {
namespace {

bool has_upward_segment(std::string_view text) {
  for (auto at = text.find(".."); at != text.npos; at = text.find("..", at + 1)) {
    bool const starts = at == 0 || text[at - 1] == '/' || text[at - 1] == ' ';
    bool const ends = at + 2 == text.size() || text[at + 2] == '/' || text[at + 2] == ' ';
    if (starts && ends) return true;
  }
  return false;
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t") == text.npos; }

}  // namespace

std::optional<std::string> why_not_a_command(std::string_view field, std::string_view text) {
  std::string const name(field);
  if (is_blank(text)) return name + " must not be blank";
  if (text.size() > 4096) return name + " must not be longer than 4096 bytes";
  if (text.starts_with('/')) return name + " must be a relative path, not an absolute path";
  if (has_upward_segment(text)) return name + " must not contain path traversal (..)";
  if (text.find_first_of(std::string_view(";&|`$(){}<>!\\\r\n\0", 16)) != text.npos)
    return name + " must not contain shell metacharacters (; & | ` $ ( ) { } < > ! \\ CR LF NUL)";
  return std::nullopt;
}

Secret environment_file(std::vector<std::pair<std::string, Secret>> const& variables) {
  std::size_t size = 0;
  for (auto const& [name, value] : variables) size += name.size() + value.size() * 4 + 16;
  std::string out;
  out.reserve(size);  // never grows, so no copy is left behind
  for (auto const& [name, value] : variables) {
    NESTGATE_INVARIANT(is_variable_name(name), "names are checked when a run is taken");
    out.append("export ").append(name).append("='");
    for (char const c : value.reveal()) {
      if (c == '\'') {
        out += "'\\''";
      } else {
        out += c;
      }
    }
    out += "'\n";
  }
  NESTGATE_INVARIANT(out.size() <= size, "the room was counted from what is written");
  return Secret(std::move(out));
}

RunPaths::RunPaths(std::string_view run_id) : folder("/tmp/nestgate-run-" + std::string(run_id)) {
  tarball = folder + "/tarball.tar.gz";
  environment = folder + "/environment";
  work_below_home = "automation-runs/" + std::string(run_id);
}

// Without -p: a folder that is there already is not ours.
std::string make_folder_command(RunPaths const& paths) { return "umask 077 && mkdir -m 700 -- " + paths.folder; }

std::string remove_folder_command(RunPaths const& paths) { return "rm -rf -- " + paths.folder; }

std::string run_command(RunPaths const& paths, std::string_view setup_script, std::string_view entrypoint) {
  std::string const work = "\"${HOME:-/tmp}\"/" + paths.work_below_home;
  std::string out = "set +x; trap '" + remove_folder_command(paths) + "' EXIT; umask 077";
  out += " && chmod 600 " + paths.environment + " && . " + paths.environment + " && rm -f -- " + paths.environment;
  out += " && mkdir -p -- " + work + " && tar -xzf " + paths.tarball + " -C " + work + " && " + remove_folder_command(paths);
  out += " && cd -- " + work + " && export WORKSPACE_BASE=\"$PWD\"";
  if (setup_script.empty()) {
    out += " && if [ -f setup.sh ]; then bash setup.sh; fi";
  } else {
    out.append(" && bash ").append(setup_script);
  }
  out.append(" && ").append(entrypoint);
  return out;
}

}  // namespace nestgate::automation
