#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nestlet/answer.hpp"
#include "nestlet/child_process.hpp"
#include "nestlet/event_log.hpp"
#include "nestlet/process_groups.hpp"
#include "nestlet/settings.hpp"
#include "nestlet/task_group.hpp"

namespace nestgate::nestlet {

struct CommandRequest {
  std::string command;
  std::optional<std::string> directory;  // none: the workspace
  std::uint64_t timeout_seconds = 300;
};

// What a command without events gave: for the action server's `run`.
struct CommandResult {
  int exit_code = 0;  // -1: timed out or could not be started
  std::string out;
  std::string err;
};

// Runs shell commands and keeps their events (agent_server.md 4): a BashCommand when one starts, a BashOutput each time a
// stream passes the limit and one at the end; of one that nobody waits for also while it runs, soon after it said something.
// Lives on the server's thread.
class Commands {
 public:
  // `environment` is what every command gets. `groups` outlives this.
  Commands(Executor executor, Limits const& limits, std::string workspace, std::vector<std::string> environment,
           ProcessGroups& groups);

  // From now on commands run in `workspace`, with these variables beside or instead of those of the same name.
  void settle(std::string workspace, std::vector<std::pair<std::string, std::string>> const& variables);

  // The BashCommand event, at once. All three are refused with 429 past the limit of running commands. A command that
  // cannot be started still gets its BashOutput, with exit code -1.
  Checked<Frame> start(CommandRequest request);
  // The last BashOutput, when the command has ended. Cancelling the caller does not stop the command (agent_server_live.md
  // 2, row 4); it gets null then.
  Task<Checked<Frame>> execute(CommandRequest request);
  // Runs a command that leaves no events. `extra` is added to its environment. Output past the limit is cut.
  Task<Checked<CommandResult>> run_unlogged(CommandRequest request, std::vector<std::string> extra);
  // SIGTERM to the group, a second later SIGKILL. False when no such command is running.
  enum class Stopped : bool { no, yes };
  Stopped stop(std::string_view command_id);

  EventLog& log() noexcept { return log_; }
  Feed& feed() noexcept { return feed_; }

  // Stops everything that runs and returns when it has ended. From then on nothing is started (503).
  Task<> shut_down();

 private:
  struct Running;
  struct Launched {
    Frame event;
    std::shared_ptr<Running> command;
  };

  Checked<std::shared_ptr<Running>> admit();
  enum class Flush : bool { at_the_end, while_it_runs };
  Checked<Launched> launch(CommandRequest request, Flush flush);
  Task<> wait_for(std::shared_ptr<Running> command);
  Task<> run(std::shared_ptr<Running> command, CommandLine line, Clock::duration timeout);
  Task<int> await_exit(Running& command, ChildProcess& child, Clock::duration timeout);
  void take_in(Running& command, CharBuffer Running::* into, std::string_view piece);
  Task<> flush_while_it_runs(Running& command);
  Clock::duration pause_until_flush(Running const& command) const;
  void publish_output(Running& command, std::optional<int> exit_code, std::optional<std::string> out,
                      std::optional<std::string> err);
  CommandLine line_of(CommandRequest const& request, std::vector<std::string> const& extra) const;
  Moment tick();

  Executor executor_;
  Limits limits_;
  std::string workspace_;
  std::vector<std::string> environment_;
  ProcessGroups& groups_;
  EventLog log_;
  Feed feed_;
  TaskGroup tasks_;
  std::unordered_map<std::string, std::shared_ptr<Running>> running_;
  Moment last_event_{};
  bool closing_ = false;
};

}  // namespace nestgate::nestlet
