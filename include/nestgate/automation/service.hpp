#pragma once

#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nestgate/automation/caller.hpp"
#include "nestgate/automation/run_machine.hpp"
#include "nestgate/automation/settings.hpp"
#include "nestgate/automation/stats.hpp"
#include "nestgate/base/deadline.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/schedule/zones.hpp"
#include "nestgate/store/automation_store.hpp"
#include "nestgate/store/store.hpp"

namespace nestgate::automation {

using upstream::Failure;
using upstream::Outcome;

// A run that is asked for with its own tarball.
struct RunRequest {
  Caller by;
  std::optional<ConversationId> conversation;
  std::string tarball;  // gzipped tar
  std::string entrypoint;
  std::string setup_script;  // empty: setup.sh where the tarball has one
  std::string callback_url;  // empty: none
  std::vector<std::pair<std::string, Secret>> environment;
  std::optional<std::int64_t> time_max_s;
  std::string base_url;  // used where the settings name none
};

// Who reports: the run's own token, or a caller.
struct Reporter {
  std::optional<Caller> caller;
  Secret token;
};

// An automation that an event matched, and what its run is told of the event.
struct Match {
  store::AutomationRow automation;
  std::string payload_json;
};

// A piece of what a run's command has said.
struct OutputPiece {
  bool is_error_stream = false;
  std::string text;
};

// What a run's command says, piece by piece. On the control core; the service outlives it.
class OutputFeed {
 public:
  virtual ~OutputFeed() = default;
  // Waits for more; nothing: it has ended. Cancelled with its caller.
  virtual Task<Outcome<std::optional<OutputPiece>>> next() = 0;
};

// Automations: their schedules, their runs from the trigger to the callback. What it acknowledged is durable. Lives on the
// control core; several gateways on one store share the work.
class Service {
 public:
  // `manager` and `store` outlive it. `gateway`: its name in the store, by which it holds runs.
  Service(Executor control, conversation::Manager& manager, store::Store& store, std::string gateway,
          std::shared_ptr<identity::KeyRing const> keys, Settings settings);
  ~Service();

  // Where scripts reach this gateway, ".../api/automation", as long as neither settings nor a run's client say it. Before
  // start().
  void use_own_address(std::string base_url);
  // Begins to plan, claim, post; once the manager has recovered.
  void start();
  // New secrets: run tokens of the old ones are good as long as they are among them.
  void replace_keys(std::shared_ptr<identity::KeyRing const> keys);
  // Another gateway on the store may have made runs.
  void wake();

  // Automations. `next_at`, `updated_at` and `version` are set here: a schedule that is new, changed or switched on begins
  // now.
  Task<Outcome<store::AutomationStore::Created>> create(store::AutomationRow row);
  // The row as it is kept; nothing: it was changed meanwhile.
  Task<Outcome<std::optional<store::AutomationRow>>> replace(store::AutomationRow row);
  Task<Outcome<std::optional<store::AutomationRow>>> replace_with_upload(store::AutomationRow row, store::UploadRow upload,
                                                                         std::string bytes, std::string gone);
  // The next moments of its schedule, where it has one.
  std::vector<store::Time> next_moments(store::AutomationRow const& row, std::size_t count);

  // A run by hand of an automation that `may` allows, asked on whatever thread within the transaction; with a key only one,
  // however often it is asked for. Faults: not_found (it is not there, or not allowed), overloaded (too many wait),
  // unavailable (it closes).
  using MayDispatch = std::function<bool(store::AutomationRow const&)>;
  Task<Outcome<store::RunRow>> dispatch(std::string automation_id, MayDispatch may, std::string idempotency_key);
  Task<Outcome<store::AutomationStore::EventTaken>> take_event(std::string org_id, std::string source,
                                                               std::string delivery_id, std::vector<Match> matches);
  // Faults: bad_input (names the field), too_large (the tarball), not_found (no such conversation, or another's), conflict
  // (it does not run), overloaded, unavailable.
  Task<Outcome<store::RunRow>> submit(RunRequest request);
  // Faults: not_found, forbidden (another's), unauthorized (not its token), conflict (settled otherwise).
  Task<Outcome<store::RunRow>> report(std::string run_id, Report report, Reporter by);
  // Whose run it is has been checked. Faults: not_found, conflict.
  Task<Outcome<store::RunRow>> cancel(std::string run_id);
  // Whether it is that run's token.
  bool is_token_of(std::string_view run_id, Secret const& token) const;
  // Fault not_found.
  Task<Outcome<std::unique_ptr<OutputFeed>>> output(std::string run_id);

  // Whether the store answers by then. False, too: it closes.
  Task<bool> is_store_there(Deadline by);

  store::AutomationStore& rows() noexcept;
  schedule::Zones& zones() noexcept;
  Settings const& settings() const noexcept;
  Stats const& stats() const noexcept;
  // For what would stall the control core: large bodies, hostile patterns, tarballs.
  asio::thread_pool& workers() noexcept;

  // Takes nothing new from now on.
  void begin_closing();
  // Deliveries under way come to their end by then; runs go on where they are and are the next gateway's.
  Task<> stop(Deadline by);

 private:
  struct Parts;
  struct StoreAnswer;
  static Task<Result<>> has_come(std::shared_ptr<StoreAnswer> answer);
  std::unique_ptr<Parts> parts_;
};

}  // namespace nestgate::automation
