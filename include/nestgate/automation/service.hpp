#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nestgate/automation/run_store.hpp"
#include "nestgate/automation/settings.hpp"
#include "nestgate/automation/stats.hpp"
#include "nestgate/base/deadline.hpp"
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

class Deliveries;

// Runs tarballs in the runtimes of conversations: takes a run, puts it into the runtime, watches it, takes the script's
// report, tells the completion. Lives on the control core; each run is one task that ends with the service.
class Service {
 public:
  // `manager` outlives the service.
  Service(Executor control, conversation::Manager& manager, std::unique_ptr<RunStore> store, Settings settings);
  ~Service();

  // The run as it was written, still pending. Faults: bad_input (names the field), too_large (the tarball), not_found (no
  // such conversation, or another's), conflict (it does not run), overloaded, unavailable (it closes).
  Task<Outcome<Run>> submit(RunRequest request);
  // Faults: not_found (also for another's), unauthorized, conflict (settled otherwise).
  Task<Outcome<Run>> report(std::string run_id, Report report, Reporter by);
  Task<Outcome<Run>> find(std::string run_id, identity::Principal by);
  Task<Outcome<RunPage>> list(identity::Principal by, std::size_t limit, std::size_t offset);
  // No new runs from now on; waits for nothing.
  void begin_closing();
  // Runs go on until they end or `by`; the rest is given up as failed (not in the runtimes), and told if that can be done
  // within two seconds more.
  Task<> stop(Deadline by);

  Settings const& settings() const noexcept { return settings_; }
  Stats const& stats() const noexcept { return stats_; }

 private:
  struct Job;
  struct Changed {
    Effect effect;
    Run run;
  };
  Task<Outcome<Changed>> apply(std::string id, RunEvent event, std::optional<Report> report = std::nullopt);
  Task<> run(std::shared_ptr<Job> job);
  Task<Outcome<>> dispatch(Job& job, nested::Client& client);
  Task<Outcome<>> upload(Job& job, nested::Client& client, std::string path, std::string_view bytes);
  Task<> watch(Job& job, nested::Client& client);
  void after(Changed const& changed);
  Secret environment_for(RunRequest const& request, Run const& run, Secret const& token,
                         conversation::View const& runtime) const;
  // Why its runtime cannot end it any more; nothing while it can.
  std::optional<std::string> why_lost(Job const& job) const;
  void release_tarball(Job& job);

  conversation::Manager& manager_;
  std::unique_ptr<RunStore> store_;
  Settings settings_;
  Stats stats_;
  bool is_closing_ = false;   // takes no runs
  bool is_stopping_ = false;  // what is left of them is cut
  std::uint64_t tarball_bytes_held_ = 0;
  std::unique_ptr<Deliveries> deliveries_;
  std::map<std::string, std::shared_ptr<Job>> jobs_;  // by run id: those whose task lives
  TaskGroup tasks_;
};

}  // namespace nestgate::automation
