#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace nestgate::runtime {

// Limits of one runtime's processes (setrlimit), each inherited by what it starts. Unset: as the gateway's.
struct ResourceLimits {
  std::optional<std::uint64_t> address_space_bytes;
  std::optional<std::uint64_t> open_files;
  std::optional<std::uint64_t> processes;  // of the user, as the kernel counts them
  std::optional<std::uint64_t> cpu_seconds;
  std::optional<std::uint64_t> file_bytes;  // the largest file it may write
};

// Whether runtimes are held in control groups (version 1 or 2) where this process may make some. Without them a runtime's
// processes have no limit in common, and a pause stops each of them.
enum class Grouping : bool { off, automatic };

// `[runtime.process]`.
struct ProcessSettings {
  // `{port}`, `{id}` and `{workspace}` are replaced in each argument. A program without a slash is looked for beside the
  // gateway's own, then in PATH. The server must set SO_REUSEADDR on its listening socket, as nearly every one does.
  std::vector<std::string> command = {"nestlet", "--listen", "127.0.0.1:{port}"};
  // Besides PATH, HOME, LANG, LOG_JSON and SESSION_API_KEY. What stands here is readable by the agent's commands.
  std::vector<std::pair<std::string, std::string>> environment;
  // Holds one folder for each conversation: `workspace/`, `output.log`, `output.log.1`.
  std::filesystem::path workspace_dir = "runtimes";
  std::uint32_t runtimes_max = 256;
  std::uint64_t output_bytes_max = 8 * 1024 * 1024;  // of a runtime's output are kept
  std::chrono::milliseconds stop_grace{10'000};      // from SIGTERM to SIGKILL
  ResourceLimits limits;
  // Of all processes of one runtime together; memory and CPU times a wish's resource_factor.
  Grouping cgroup = Grouping::automatic;
  std::optional<std::uint64_t> memory_bytes;      // without groups: of the data of each process (RLIMIT_DATA)
  std::optional<double> cpus;                     // 1.5: one and a half; without groups there is no limit
  std::optional<std::uint64_t> pids_max = 4'096;  // processes and threads; without groups there is no limit
};

}  // namespace nestgate::runtime
