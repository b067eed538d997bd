#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nestgate/automation/run_store.hpp"
#include "nestgate/automation/settings.hpp"
#include "nestgate/base/counter.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/upstream/failure.hpp"

namespace nestgate::automation {

using upstream::Failure;
using upstream::Outcome;

// A run that is asked for.
struct RunRequest {
  identity::Principal by;
  std::optional<ConversationId> conversation;
  std::string tarball;  // gzipped tar
  std::string entrypoint;
  std::string setup_script;  // empty: setup.sh where the tarball has one
  std::string callback_url;  // empty: none
  std::vector<std::pair<std::string, Secret>> environment;
  std::optional<std::int64_t> time_max_s;
  std::string base_url;  // used where the settings name none
};

// What a script reports of its run.
struct Report {
  RunStatus status = RunStatus::completed;  // completed or failed
  std::string error;                        // of a failed one; empty: it did not say
  std::string conversation_id;              // empty: not said
  std::optional<double> cost;
};

// Who reports: the run's own token, or an API key.
struct Reporter {
  std::optional<identity::Principal> principal;
  Secret token;
};

struct Stats {
  Counter submitted, completed, failed, callbacks_delivered, callback_attempts_failed, callbacks_given_up;
  Gauge in_flight;
};

// Runs tarballs in the runtimes of conversations: takes a run, puts it into the runtime, watches it, takes the script's
// report, tells the completion. Lives on the control core; each run is one task that ends with the service.
class Service {
 public:
  // `manager` outlives the service.
  Service(Executor control, conversation::Manager& manager, std::unique_ptr<RunStore> store, Settings settings);
  ~Service();

  // The run as it was written, still pending. Faults: bad_input (names the field), too_large (the tarball), not_found (no
  // such conversation, or another's), conflict (it does not run), overloaded.
  Task<Outcome<Run>> submit(RunRequest request);
  // Faults: not_found (also for another's), unauthorized, conflict (settled otherwise).
  Task<Outcome<Run>> report(std::string run_id, Report report, Reporter by);
  Task<Outcome<Run>> find(std::string run_id, identity::Principal by);
  Task<Outcome<RunPage>> list(identity::Principal by, std::size_t limit, std::size_t offset);
  // Cancels what runs here (not in the runtimes) and joins it.
  Task<> stop();

  Settings const& settings() const noexcept { return settings_; }
  Stats const& stats() const noexcept { return stats_; }

 private:
  struct Job;
  struct Changed {
    Effect effect;
    Run run;
  };
  template <class Edit>
  Task<Outcome<Run>> edit(std::string id, Edit change);
  Task<Outcome<Changed>> apply(std::string id, RunEvent event, std::optional<Report> report = std::nullopt);
  Task<> run(std::shared_ptr<Job> job);
  Task<Outcome<>> dispatch(Job& job, nested::Client& client);
  Task<Outcome<>> upload(nested::Client& client, std::string path, std::string_view bytes);
  Task<> watch(Job& job, nested::Client& client);
  void after(Changed const& changed);
  Secret environment_for(RunRequest const& request, Run const& run, std::string_view token,
                         conversation::View const& runtime) const;
  Task<> deliver(Run run);
  Task<Outcome<>> post_completion(Run const& run);
  bool runtime_is_there(Job const& job) const;

  conversation::Manager& manager_;
  std::unique_ptr<RunStore> store_;
  Settings settings_;
  Stats stats_;
  bool is_closing_ = false;
  std::map<std::string, std::shared_ptr<Job>> jobs_;  // by run id: those whose task lives
  TaskGroup tasks_;
};

}  // namespace nestgate::automation
