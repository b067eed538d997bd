#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/base/secret.hpp"

// What a run's script is started with: its environment file and one shell command (automation.md 5.5). Pure.
namespace nestgate::automation {

// Lines `export NAME='value'` (automation.md 5.3). Names match [A-Za-z_][A-Za-z0-9_]*, and no value holds a NUL, as who
// calls has checked.
Secret environment_file(std::vector<std::pair<std::string, Secret>> const& variables);

// Only the runtime's user may enter it: an agent server makes files by its umask, and these hold secrets. As a shell reads
// it, since users of one machine have one each.
inline constexpr std::string_view private_folder = "/tmp/nestgate-private-$(id -u)";
// Makes such a folder, or finds it made, and says its path. Exit 0: whoever else can write beside it has no way in.
std::string private_folder_command(std::string_view folder);
// The path that the command said; nothing: it said something else.
std::optional<std::string> parse_private_folder(std::string_view output);

// Where one attempt of a run has its files in the runtime. Words of a shell; with a folder's path they are paths.
struct RunPaths {
  RunPaths(std::string_view run_id, std::uint32_t attempt, std::string_view folder = private_folder);
  std::string folder;
  std::string tarball;      // "/tmp/automation-ID.tar.gz" (automation.md 5.5)
  std::string environment;  // in `folder`
  std::string event;        // an event that is too long for a variable
  // A symbolic link that only one start of the attempt can make; it leads nowhere and says "nestgate:FENCE:PID".
  std::string guard;
  std::string work_below_base;  // "automation-runs/ID"
  std::string mark;             // "AUTOMATION_RUN_ID=ID", which is in the environment of the run's processes
};

// What is in the text of a start of that attempt under that fence, and in no other command.
std::string start_mark(RunPaths const& paths, std::uint64_t fence);
// The fence in a start's text; nothing: it is no start of that attempt.
std::optional<std::uint64_t> fence_of(RunPaths const& paths, std::string_view command);

struct RunScript {
  std::string_view workspace_base;  // absolute; "": /workspace where it may be written to, else $HOME
  std::string_view tarball_url;     // "": the tarball was uploaded
  std::string_view setup_script;    // "": setup.sh where the tarball has one
  std::string_view entrypoint;
};
// Only one start of the attempt gets beyond the guard; any other ends with `started_before`, also one that finds neither
// guard nor environment. The environment is read and
// removed, and what was uploaded goes at the end in any case.
std::string start_command(RunPaths const& paths, std::uint64_t fence, RunScript const& script);
inline constexpr int started_before = 75;  // EX_TEMPFAIL

// Fetches an external tarball; exit 63: beyond the size (automation.md 5.5).
std::string fetch_command(RunPaths const& paths, std::string_view url, std::uint64_t bytes_max, std::uint32_t seconds_max);

// Ends the processes of an attempt that was started, and keeps one that is still on its way from starting; removes its
// files. Exit 0: nothing of its process group is left; 1: something did not go.
std::string stop_command(RunPaths const& paths);
// Removes these guards, of attempts of which no start can come any more, and any of this user's that is older than a day:
// it is from where that was never known.
std::string forget_command(std::vector<std::string> const& guards, std::string_view folder = "/tmp");
inline constexpr int guard_minutes_max = 24 * 60;
inline constexpr int old_guards_at_once_max = 500;
// Removes what a failed dispatch left; stops nothing.
std::string tidy_command(RunPaths const& paths);

}  // namespace nestgate::automation
