#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/base/secret.hpp"

// What a run's shell command is made of. Pure.
namespace nestgate::automation {

// Why a command string (entrypoint, setup_script) is refused, in the words of automation.md 1.2; nothing when it is fine.
std::optional<std::string> why_not_a_command(std::string_view field, std::string_view text);

// `export NAME='value'` lines. Names must be variable names.
Secret environment_file(std::vector<std::pair<std::string, Secret>> const& variables);

// A run's private folder in its runtime: made with mode 700 before anything is put into it, so that what the upload
// writes there with the server's own umask is nobody else's to read.
struct RunPaths {
  explicit RunPaths(std::string_view run_id);
  std::string folder;  // /tmp/nestgate-run-ID
  std::string tarball;
  std::string environment;
  std::string work_below_home;  // automation-runs/ID
};

std::string make_folder_command(RunPaths const& paths);
std::string remove_folder_command(RunPaths const& paths);
// Reads the environment and removes its file, unpacks the tarball and removes that, changes to the work folder, runs the
// set-up script (`setup.sh` when none is named and the tarball has one) and the entrypoint. No secret is in it. Whatever
// fails on the way, the private folder goes.
std::string run_command(RunPaths const& paths, std::string_view setup_script, std::string_view entrypoint);

}  // namespace nestgate::automation
