#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "command_chain.hpp"
#include "nestgate/automation/settings.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/identity/session_key.hpp"
#include "nestgate/net/task_group.hpp"
#include "run_book.hpp"
#include "runtime_connections.hpp"
#include "tarballs.hpp"

namespace nestgate::automation {

// What a run's task talks to. All outlive the workers.
struct WorkSurroundings {
  store::Store& store;
  store::AutomationStore& rows;  // of it
  conversation::Manager& manager;
  RunBook& book;
  Settings const& settings;
  Stats& stats;
  std::shared_ptr<identity::KeyRing const>& keys;  // as they are now
};

// Claimed runs, one task each: its runtime is found or made, its script put there and started once, watched to its end, and
// what is left of it cleaned up. Lives on the control core.
class Workers {
 public:
  enum class Claim : bool { fresh, taken_over };
  struct Listeners {
    std::function<void(store::RunRow const&)> has_left_room;  // it is in flight no more: settled, or its task is over
    std::function<void()> ended;                              // its task, which may clean up for long
  };
  Workers(Executor control, WorkSurroundings around, Listeners listeners);
  ~Workers();

  void begin(store::ClaimedRun claimed, Claim how);
  // Its verdict stands, or another attempt was decided: its task learns of it.
  void note_settled(store::RunRow const& run);
  std::size_t running() const noexcept { return jobs_.size(); }
  // Runs go on where they are; their tasks end now, and who takes over the runs goes on with them.
  Task<> stop();

 private:
  struct Job;
  struct Runtime;
  struct Followed;
  using JobPtr = std::shared_ptr<Job>;

  void leave_room(Job& job);
  Task<> work(JobPtr job);
  Task<> live(Job& job);
  // Where it runs.
  Task<Outcome<Runtime>> reach(Job& job);
  Task<Outcome<Runtime>> reach_existing(Job& job, ConversationId id);
  Task<Outcome<Runtime>> provision(Job& job);
  Task<Outcome<conversation::View>> start_runtime(Job& job, ConversationId id);
  Task<Outcome<ConversationId>> named_runtime(Job& job, Target const& target);
  // The command that runs its script; started here, unless an earlier holder started it.
  Task<Outcome<std::string>> command_of(Job& job, Runtime const& runtime);
  Task<Outcome<std::string>> dispatch(Job& job, Runtime const& runtime);
  Task<Outcome<std::string>> dispatch_once(Job& job, Runtime const& runtime);
  Task<Outcome<>> end_earlier(Job& job, nested::Client& client);
  Task<Outcome<std::string>> make_private_folder(Runtime const& runtime, nested::Client& client);
  Task<Outcome<>> put_tarball(Job& job, nested::Client& client);
  Task<Outcome<>> fetch_tarball(Job& job, nested::Client& client);
  Task<Outcome<std::string>> start(Job& job, nested::Client& client);
  Task<Outcome<std::optional<std::string>>> find_start(Job& job, nested::Client& client);
  Task<bool> note_command(Job& job, Runtime const& runtime, std::string command_id);
  Task<> watch(Job& job, Runtime const& runtime, std::string command_id);
  Task<> watch_to_the_end(Job& job, Runtime const& runtime, Followed const& followed, std::string& command_id);
  enum class Seen : std::uint8_t { ended, goes_on, nothing };  // nothing: the server did not say
  Task<Outcome<nested::OutputTail>> output_tail_of(nested::Client& client, std::string const& command_id,
                                                   nested::CommandOutput newest);
  Task<Seen> look(Job& job, Runtime const& runtime, std::string& command_id);
  Task<> wait_for_look(Job& job);
  static void look_soon(Job& job, Clock::time_point at);
  void look_at_all(Life const& life);
  Clock::duration pause_between_looks(Followed const& followed, Clock::time_point look_began) const;
  // Follows a runtime's server as long as runs are watched in it.
  Followed& join(Runtime const& runtime);
  void leave(Runtime const& runtime);
  Task<> follow(Life life, upstream::Place place, Secret session_key);
  std::optional<std::string> why_lost(Runtime const& runtime) const;
  Task<> fail_dispatch(Job& job, Failure failure);
  Task<> disable_automation(Job const& job, std::string detail);
  Task<> keep_first_outcome(JobPtr job);
  Task<> clean_up(Job& job, Runtime const* runtime);
  Task<bool> insist(Runtime const& runtime, std::string command);
  void forget_soon(Runtime const& runtime, std::string guard);
  Task<> forget_guards(Life life, upstream::Place place, Secret session_key);
  Task<bool> pause(Job& job, Clock::duration time);
  Task<> apply(Job& job, RunEvent event);
  Task<bool> note(Job& job, RunBook::Edit edit);

  WorkSurroundings with_;
  Listeners listeners_;
  Tarballs tarballs_;
  std::map<std::string, JobPtr, std::less<>> jobs_;
  std::map<std::pair<Life, std::string>, Job*> by_command_;  // those that are watched
  std::map<Life, Followed> followed_;
  std::map<Life, std::vector<std::string>> spent_guards_;
  std::map<Life, std::string> private_folders_;
  TaskGroup tasks_;
  RuntimeConnections connections_;
};

}  // namespace nestgate::automation
