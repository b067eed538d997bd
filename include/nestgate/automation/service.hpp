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
#include "nestgate/base/conversation_id.hpp"
#include "nestgate/net/net.hpp"
#include "nestgate/schedule/zones.hpp"
#include "nestgate/store/automation_store.hpp"
#include "nestgate/upstream/failure.hpp"

namespace nestgate::automation {

using upstream::Failure;
using upstream::Outcome;

// A run that is asked for with its own tarball.
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

// Who reports: the run's own token, or a caller.
struct Reporter {
  std::optional<Caller> caller;
  Secret token;
};

// An automation that an event matched.
struct Match {
  store::AutomationRow automation;
  std::string payload_json;
};

struct OutputPiece {
  bool is_error_stream = false;
  std::string text;
};

// What a run's command says. On the control core; ends with its owner.
class OutputFeed {
 public:
  virtual ~OutputFeed() = default;
  // Nothing: the end; the run is terminal then.
  virtual Task<Outcome<std::optional<OutputPiece>>> next() = 0;
};

// Automations and their runs. Lives on the control core.
class Service {
 public:
  Task<Outcome<store::AutomationStore::Created>> create(store::AutomationRow row);
  // Nothing: changed meanwhile, read anew.
  Task<Outcome<std::optional<store::AutomationRow>>> replace(store::AutomationRow row);
  Task<Outcome<std::optional<store::AutomationRow>>> replace_with_upload(store::AutomationRow row, store::UploadRow upload,
                                                                         std::string bytes, std::string gone);
  std::vector<store::Time> next_moments(store::AutomationRow const& row, std::size_t count) const;

  Task<Outcome<store::RunRow>> dispatch(store::AutomationRow automation, std::string idempotency_key);
  Task<Outcome<store::AutomationStore::EventTaken>> take_event(std::string org_id, std::string source,
                                                               std::string delivery_id, std::vector<Match> matches);
  Task<Outcome<store::RunRow>> submit(RunRequest request);
  Task<Outcome<store::RunRow>> report(std::string run_id, Report report, Reporter by);
  Task<Outcome<store::RunRow>> cancel(std::string run_id);
  Task<Outcome<std::unique_ptr<OutputFeed>>> output(std::string run_id);
  // Whether this is the run's own token.
  bool is_token_of(std::string_view run_id, Secret const& token) const;

  store::AutomationStore& rows();
  schedule::Zones& zones();
  Settings const& settings() const;
  Stats const& stats() const;
  asio::thread_pool& workers();
};

}  // namespace nestgate::automation
