#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/base/secret.hpp"

// What is kept of automations (automation.md 3). Ids are UUIDs in lower case with dashes. JSON members are texts; "" where
// the column is NULL.
namespace nestgate::store {

using Time = std::chrono::system_clock::time_point;

// Whose something is: automations, uploads and runs are a user's within an organisation, webhooks an organisation's.
struct Tenant {
  std::string user_id;
  std::string org_id;
  friend bool operator==(Tenant const&, Tenant const&) = default;
};

// Of a list.
struct PageOf {
  std::uint64_t limit = 50, offset = 0;
};

struct AutomationRow {
  std::string id;
  Tenant tenant;
  std::string owner;         // the user by name: whose its runtimes are
  std::string organisation;  // by name
  std::string name;
  std::optional<std::string> model, prompt, setup_script_path;
  std::string preset_metadata_json;
  std::string template_id;   // of preset_metadata.template; "": made from none
  std::string trigger_json;  // as it was taken, defaults filled in
  std::string trigger_kind;  // "cron", "event"
  std::string event_source;  // of an event trigger
  std::string tarball_path;
  std::string entrypoint;
  std::optional<std::int64_t> timeout_s;
  std::optional<bool> keep_alive;
  bool enabled = true;
  std::string disabled_reason, disabled_detail;
  std::optional<Time> disabled_at;
  std::string additions_json;    // members of later releases, as they were taken
  std::string policy_json;       // ours: target, priority, overlap, misfire, jitter, retries, caps
  bool target_by_admin = false;  // its target was set last by an admin, who may use every conversation
  Secret callback_json{};        // the plain completion callback: URL and bearer; sealed
  std::optional<Time> last_triggered_at;
  std::optional<Time> next_at;  // the next scheduled moment, jitter left out; nothing: none is planned
  std::uint32_t failures_in_row = 0;
  Time created_at{}, updated_at{};
  std::optional<Time> deleted_at;
  std::uint64_t version = 0;  // of its last change, over all automations

  AutomationRow clone() const;
  friend bool operator==(AutomationRow const&, AutomationRow const&) = default;
};

enum class RunStatus : std::uint8_t { pending, running, completed, failed, cancelled, skipped };
std::string_view to_string(RunStatus status) noexcept;  // "PENDING", …
std::optional<RunStatus> parse_run_status(std::string_view text);
constexpr bool is_terminal(RunStatus status) noexcept {
  return status != RunStatus::pending && status != RunStatus::running;
}

// What is left to be done in the runtime of a run that has ended.
enum class CleanUp : std::uint8_t {
  nothing,
  tidy,  // its folder; the runtime, where it was made for the run
  stop,  // the same, after its processes were ended
};
std::string_view to_string(CleanUp clean_up) noexcept;
std::optional<CleanUp> parse_clean_up(std::string_view text);

struct RunRow {
  std::string id;
  std::string automation_id;  // "": a run of its own
  Tenant tenant;
  std::string owner, organisation;
  RunStatus status = RunStatus::pending;
  std::string trigger_source;         // "cron", "event", "manual"
  std::string dedupe_key;             // unique with its automation (or tenant's user, where it has none); "": none
  std::optional<Time> scheduled_for;  // the moment of its schedule
  std::string target;                 // "fresh", "warm", "conversation:ID", "label:L"
  std::int32_t priority = 0;          // higher first
  std::uint32_t concurrent_max = 0;   // of its automation; 0: the settings' limit alone
  std::uint32_t attempt = 1;          // counts its tries
  std::uint32_t attempts_max = 1;
  std::int64_t retry_pause_s = 10;  // before the second try
  std::string attempts_json;        // of the tries before this one
  std::optional<Time> not_before;   // of the next try
  Secret wish_json{};               // of a run of its own: what it runs, with its environment; sealed
  bool is_unreadable = false;       // that cannot be opened with the secrets that there are: it is empty here
  std::string event_payload_json;   // of an event run
  // Dispatch. Every write of a worker names the fence under which it claimed the run.
  std::uint64_t fence = 0;
  std::string holder;               // the gateway that works on it; its lease is the gateway's
  std::string sandbox_id;           // the conversation it runs in, once known
  std::uint64_t runtime_epoch = 0;  // that life of it
  bool runtime_is_own = false;      // the runtime was made for this run
  std::string bash_command_id;
  // Results.
  std::string error_detail;
  bool error_is_guess = false;  // nobody said so: a late success is believed
  std::string status_detail_json;
  std::string conversation_id;  // as its script reported
  std::optional<double> cost;
  std::optional<std::int64_t> exit_code;
  std::string output_tail, error_tail;
  CleanUp clean_up = CleanUp::nothing;
  Time created_at{};
  std::optional<Time> started_at, timeout_at, completed_at;
  std::string additions_json;  // phase, metadata, … of later releases
  std::uint64_t version = 0;   // of its last change, over all runs

  RunRow clone() const;
  friend bool operator==(RunRow const&, RunRow const&) = default;
};

// Moments of a schedule, or events, that did not become runs.
struct SkippedRow {
  std::string automation_id;
  Time first{}, last{};     // the moments
  std::uint64_t count = 1;  // at least so many
  std::string reason;       // "overlap", "missed", "queue_full", …
  std::string detail;
  Time at{};  // when it was decided

  friend bool operator==(SkippedRow const&, SkippedRow const&) = default;
};

struct UploadRow {
  std::string id;
  Tenant tenant;
  bool is_listed = true;  // false: the tarball of one run of its own
  std::string name;
  std::optional<std::string> description;
  std::string status;  // "UPLOADING", "COMPLETED", "FAILED"
  std::string error_message;
  std::optional<std::int64_t> size_bytes;
  Time created_at{}, updated_at{};
  std::optional<Time> deleted_at;

  friend bool operator==(UploadRow const&, UploadRow const&) = default;
};

// A custom event source of an organisation.
struct WebhookRow {
  std::string id;
  std::string org_id;
  std::string name;
  std::string source;
  Secret secret{};           // sealed
  Secret previous_secret{};  // sealed; opens until previous_until
  std::optional<Time> previous_until;
  bool enabled = true;
  std::string event_key_expr = "type";
  std::string signature_header = "X-Signature-256";
  std::string signature_scheme;  // "": hex HMAC of the body; "standard_webhooks"
  std::string event_id_header;   // "": none
  Time created_at{}, updated_at{};

  friend bool operator==(WebhookRow const&, WebhookRow const&) = default;
};

// Where completions are posted.
struct EndpointRow {
  std::string id;
  Tenant tenant;
  std::string automation_id;  // "": of all the tenant's automations
  std::string url;
  std::vector<Secret> secrets{};  // newest first; sealed together
  bool is_unreadable = false;     // they cannot be opened with the secrets that there are (of due deliveries only)
  bool enabled = true;
  std::string disabled_reason;  // "": by hand
  std::optional<Time> failing_since;
  Time created_at{}, updated_at{};

  friend bool operator==(EndpointRow const&, EndpointRow const&) = default;
};

enum class DeliveryState : std::uint8_t { waiting, delivered, failed };
std::string_view to_string(DeliveryState state) noexcept;
std::optional<DeliveryState> parse_delivery_state(std::string_view text);

// One completion on its way to one endpoint, or to a plain callback: the outbox.
struct DeliveryRow {
  std::string id;  // the webhook-id at each attempt
  std::string run_id;
  Tenant tenant;
  std::string endpoint_id;     // "": a plain callback, whose url and bearer are its automation's
  Secret callback_json{};      // of a plain callback: URL and bearer; sealed
  bool is_unreadable = false;  // that cannot be opened with the secrets that there are: it is empty here
  std::string payload;
  DeliveryState state = DeliveryState::waiting;
  std::uint32_t attempts = 0;
  Time next_at{};  // of its next attempt
  Time created_at{};
  std::optional<Time> ended_at;
  std::uint64_t fence = 0;  // counts its claims

  friend bool operator==(DeliveryRow const&, DeliveryRow const&) = default;
};

struct DeliveryAttemptRow {
  std::string delivery_id;
  std::uint32_t number = 0;
  Time at{};
  std::int64_t duration_ms = 0;
  std::int64_t status_code = 0;  // 0: no answer
  std::string error;             // one sentence; "": it was taken

  friend bool operator==(DeliveryAttemptRow const&, DeliveryAttemptRow const&) = default;
};

}  // namespace nestgate::store
