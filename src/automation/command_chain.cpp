#include "command_chain.hpp"

#include <charconv>

#include "nestgate/automation/command_text.hpp"
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

// As one word for a POSIX shell.
void append_quoted(std::string& out, std::string_view text) {
  out += '\'';
  for (char const c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  out += '\'';
}

std::string quoted(std::string_view text) {
  std::string out;
  append_quoted(out, text);
  return out;
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n\v\f") == text.npos; }

}  // namespace

std::optional<std::string> why_not_a_command(std::string_view field, std::string_view text) {
  std::string const name(field);
  if (is_blank(text)) return name + " must not be blank";
  if (text.size() > command_bytes_max)
    return name + " must not be longer than " + std::to_string(command_bytes_max) + " bytes";
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
    out.append("export ").append(name).append("=");
    append_quoted(out, value.reveal());
    out += '\n';
  }
  NESTGATE_INVARIANT(out.size() <= size, "the room was counted from what is written");
  return Secret(std::move(out));
}

std::string private_folder_command(std::string_view folder) {
  return "f=" + std::string(folder) +
         R"(; mkdir -m 700 "$f" 2>/dev/null || { [ -d "$f" ] && [ ! -L "$f" ] && [ -O "$f" ] && chmod 700 "$f"; } && echo "$f")";
}

std::optional<std::string> parse_private_folder(std::string_view output) {
  constexpr std::string_view begin = private_folder.substr(0, private_folder.find('$'));
  if (output.ends_with('\n')) output.remove_suffix(1);
  bool const is_whole = output.starts_with(begin) && output.size() > begin.size() &&
                        output.find_first_not_of("0123456789", begin.size()) == output.npos;
  return is_whole ? std::optional(std::string(output)) : std::nullopt;
}

RunPaths::RunPaths(std::string_view run_id, std::uint32_t attempt, std::string_view its_folder) : folder(its_folder) {
  std::string const stem = "/tmp/automation-" + std::string(run_id);
  tarball = stem + ".tar.gz";
  std::string const private_stem = folder + "/automation-" + std::string(run_id);
  environment = private_stem + ".env";
  event = private_stem + ".event.json";
  guard = stem + ".start-" + std::to_string(attempt);
  work_below_base = "automation-runs/" + std::string(run_id);
  mark = "AUTOMATION_RUN_ID=" + std::string(run_id);
}

std::string start_mark(RunPaths const& paths, std::uint64_t fence) {
  return "ln -s nestgate:" + std::to_string(fence) + ":$$ " + paths.guard + " ";
}

std::optional<std::uint64_t> fence_of(RunPaths const& paths, std::string_view command) {
  constexpr std::string_view before = "ln -s nestgate:";
  auto const at = command.find(before);
  if (at == command.npos) return std::nullopt;
  auto const rest = command.substr(at + before.size());
  std::uint64_t fence = 0;
  auto const [end, ec] = std::from_chars(rest.data(), rest.data() + rest.size(), fence);
  if (ec != std::errc{} || !command.substr(at).starts_with(start_mark(paths, fence))) return std::nullopt;
  return fence;
}

std::string start_command(RunPaths const& paths, std::uint64_t fence, RunScript const& script) {
  std::string out = "set +x; { [ -e " + paths.environment + " ] && " + start_mark(paths, fence) +
                    "2>/dev/null; } || { echo 'this run was started before' >&2; exit " + std::to_string(started_before) +
                    "; }; ";
  out += "trap '" + tidy_command(paths) + "' EXIT";
  // Where /tmp was emptied the agent server made the folder again, by its umask.
  out += "; chmod 700 " + paths.folder + " 2>/dev/null; chmod 600 " + paths.environment + " && . " + paths.environment +
         " && rm -f -- " + paths.environment;
  std::string work;
  if (script.workspace_base.empty()) {
    out += " && base=/workspace && { [ -w \"$base\" ] || base=${HOME:-/tmp}; }";
    work = "\"$base\"/" + paths.work_below_base;
  } else {
    work = quoted(std::string(script.workspace_base) + "/" + paths.work_below_base);
  }
  // The script gets the umask that the agent server has: what the chain makes is private, what the script makes is its own.
  out += " && ( umask 077 && mkdir -p -- " + work + " && tar xzf " + paths.tarball + " -C " + work + " )";
  out += " && rm -f -- " + paths.tarball;
  out += " && cd -- " + work + " && export WORKSPACE_BASE=\"$PWD\" && unset base";
  if (script.setup_script.empty()) {
    out += " && if [ -f setup.sh ]; then bash setup.sh; fi";
  } else {
    out.append(" && bash ").append(script.setup_script);
  }
  out.append(" && ").append(script.entrypoint);
  return out;
}

std::string fetch_command(RunPaths const& paths, std::string_view url, std::uint64_t bytes_max, std::uint32_t seconds_max) {
  return "umask 077 && curl -fsSL --proto '=https' --max-filesize " + std::to_string(bytes_max) + " --max-time " +
         std::to_string(seconds_max) + " -o " + paths.tarball + " " + quoted(url);
}

std::string tidy_command(RunPaths const& paths) {
  return "rm -f -- " + paths.tarball + " " + paths.environment + " " + paths.event;
}

// One whose start still runs stays: a stop reads it. A process is known by its command, since its number may be another's.
// What is more than the command has time for goes with the next.
std::string forget_command(std::vector<std::string> const& guards, std::string_view folder) {
  std::string out = "rm -f --";
  for (auto const& guard : guards) out.append(" ").append(guard);
  out += "; find " + std::string(folder) + " -maxdepth 1 -name 'automation-*.start-*' -type l -user $(id -u) -mmin +" +
         std::to_string(guard_minutes_max) + " 2>/dev/null | head -n " + std::to_string(old_guards_at_once_max);
  out += " | while read -r g; do p=$(readlink \"$g\"); p=/proc/${p##*:}; ";
  out += "[ -d \"$p\" ] && grep -qF \"$g\" \"$p/cmdline\" 2>/dev/null || echo \"$g\"; done | xargs rm -f --";
  return out;
}

// A group is signalled only where the shell leads it: another's group would not be the run's alone. "kill -TERM -- -1" is
// no command of every shell's: dash wants the signal as an option's value. A process that left the group is known by its
// environment.
std::string stop_command(RunPaths const& paths) {
  std::string const is_left = "{ kill -s 0 -- \"-$p\" || kill -0 \"$p\"; } 2>/dev/null";
  std::string const wait = "n=0; while " + is_left + " && [ $n -lt 20 ]; do n=$((n+1)); sleep 0.1; done";
  std::string out = "ln -sn nestgate:stopped: " + paths.guard + " 2>/dev/null; " + tidy_command(paths);
  out += "; p=$(readlink " + paths.guard + "); p=${p##*:}; [ -n \"$p\" ] || exit 0; ";
  out += "{ kill -s TERM -- \"-$p\" || kill -TERM \"$p\"; } 2>/dev/null; " + wait + "; ";
  out += "{ kill -s KILL -- \"-$p\" || kill -KILL \"$p\"; } 2>/dev/null; ";
  out += "n=0; k=1; while [ -n \"$k\" ] && [ $n -lt 20 ]; do k=; for e in $(grep -ls " + paths.mark +
         " /proc/[0-9]*/environ 2>/dev/null); do e=${e%/environ}; kill -KILL \"${e#/proc/}\" 2>/dev/null && k=1; done; " +
         "n=$((n+1)); [ -z \"$k\" ] || sleep 0.1; done; " + wait + "; ! " + is_left;
  return out;
}

}  // namespace nestgate::automation
