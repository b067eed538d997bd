#pragma once

#include <functional>
#include <map>

#include "nestgate/net/net.hpp"
#include "nestgate/store/automation_rows.hpp"
#include "nestgate/upstream/failure.hpp"

namespace nestgate::store {

using upstream::Failure;
using upstream::Outcome;

template <class Row>
struct RowPage {
  std::vector<Row> rows;
  std::uint64_t total = 0;
};

// Which runs a list shows; members that are empty do not choose.
struct RunFilter {
  std::optional<Tenant> tenant{};
  std::string automation_id{};
  std::vector<RunStatus> statuses{};
  std::string conversation{};  // its sandbox, or what its script reported
  std::optional<Time> created_from{}, created_until{};
};

// How many runs may be RUNNING at once; 0: no limit.
// `of_runtime`: of one target that names a runtime ("conversation:…", "label:…"); a run's own concurrent_max holds besides.
struct RunCaps {
  std::uint32_t in_all = 0, of_user = 0, of_automation = 0, of_runtime = 0;
};

// What became of a run in a decision.
struct RunDecision {
  bool writes = false;
  RunRow run;                   // to be written, but for what it was made with: its input, policy, moment and tenant
  bool tells = false;           // its end goes to the outbox, with `payload`
  std::string payload;          // of endpoints
  std::string plain_payload;    // of the plain callback, where there is one
  Secret callback_json{};       // that of a run of its own; an automation's is looked up
  int automation_failures = 0;  // 0: its automation's count stays; 1: one more in a row; -1: begins anew
};
// A function of the row alone (without its event payload): it is called within the transaction, on whatever thread, maybe
// more than once. One that throws writes nothing; that is the fault internal.
using RunJudge = std::function<RunDecision(RunRow const&)>;
// The run that is made of an automation's row, of an id that is the same in each call; nothing: none is. As RunJudge.
using RunOfAutomation = std::function<std::optional<RunRow>(AutomationRow const&)>;

// What becomes of a moment while runs of its automation are open (pending or running).
enum class Overlap : std::uint8_t {
  allow,
  skip,            // no run
  queue_one,       // one that waits behind the one that runs, or is about to
  cancel_running,  // they end; of several moments at once the last is run
};

// What the planner wants of one automation whose moment has come.
struct Firing {
  std::string automation_id;
  std::optional<Time> expected_next_at;  // as it was planned: another gateway, or a change, was first where it differs
  std::optional<Time> new_next_at;
  Overlap overlap = Overlap::allow;
  RunJudge cancel;                    // of each open run, for `cancel_running`: must be given with it
  std::vector<RunRow> runs;           // in their order
  std::optional<Time> made_ahead_of;  // its runs count from then, and nobody claims them before (their not_before)
  std::vector<SkippedRow> skipped;
  bool disable = false;  // its schedule cannot be evaluated any more
  std::string disabled_reason, disabled_detail;
};

struct Fired {
  bool done = false;                   // false: somebody else was first; nothing was written
  std::vector<RunRow> made;            // as they are kept
  std::vector<SkippedRow> skipped;     // by the overlap policy
  std::vector<std::string> to_cancel;  // runs that `cancel_running` ends: they are CANCELLED already
};

struct Enqueued {
  RunRow run;
  bool is_new = true;  // false: one of that dedupe_key was there already, and this is it
};

// What a queue knows of a waiting run.
struct WaitingRun {
  std::string id, automation_id, user_id, target;
  std::int32_t priority = 0;
  std::uint32_t concurrent_max = 0;
  Time created_at{};
  std::optional<Time> not_before;
  std::uint64_t version = 0;
};

struct ClaimedRun {
  RunRow run;
  std::optional<AutomationRow> automation;  // as it is now, without its callback; also a deleted one
};

struct ClaimAnswer {
  enum class What : std::uint8_t { claimed, gone, at_cap } what = What::gone;
  std::optional<ClaimedRun> claimed;
};

struct JudgedRun {
  RunRow run;  // as it is now
  bool wrote = false;
  bool told = false;  // there are new deliveries
};

struct KvDocument {
  std::string json = "{}";  // key → {value, version, created_at, updated_at}, and the document's version
  bool is_there = false;
};
// What becomes of a document: nothing written, written, or removed. As RunJudge.
struct KvDecision {
  enum class What : std::uint8_t { keep, write, remove } what = What::keep;
  std::string json;
};
using KvJudge = std::function<KvDecision(KvDocument const&)>;

// Durable state of automations. Every call may be awaited on the control core; a cancel of the caller does not undo what
// was asked; a write is durable when it returns. Faults of all: unavailable, and where said not_found, conflict. What is
// marked sealed in the rows is encrypted at rest. Times of making and changing that are not given (Time{}) are the store's;
// a row that is replaced is changed now. Owned by its Store.
class AutomationStore {
 public:
  virtual ~AutomationStore() = default;

  // Automations. `create` with a template_id that one of the tenant's living automations has returns that one (the oldest)
  // and writes nothing.
  struct Created {
    AutomationRow row;
    bool is_new = true;
  };
  virtual Task<Outcome<Created>> create(AutomationRow row) = 0;
  // Of that template, not deleted.
  virtual Task<Outcome<std::optional<AutomationRow>>> find_template(Tenant tenant, std::string template_id) = 0;
  // Also a deleted one.
  virtual Task<Outcome<std::optional<AutomationRow>>> find(std::string id) = 0;
  // Not deleted ones, newest first.
  virtual Task<Outcome<RowPage<AutomationRow>>> list(Tenant tenant, PageOf page) = 0;
  // Writes if the kept row still has row.version; the row as it is kept then, or nothing: somebody else wrote first. A
  // schedule that stays enabled with the same trigger keeps its next moment, which may have moved on since it was read.
  // Where its runs would be others, those that were made ahead of a moment (Firing::made_ahead_of) that has not come are
  // gone, and it is the next one again.
  virtual Task<Outcome<std::optional<AutomationRow>>> replace(AutomationRow row) = 0;
  // The same with a new upload in its tarball_path's place: it comes, and `gone` is marked deleted, in one transaction.
  virtual Task<Outcome<std::optional<AutomationRow>>> replace_with_upload(AutomationRow row, UploadRow upload,
                                                                          std::string bytes, std::string gone) = 0;
  // All that are enabled, not deleted, of cron triggers: for the planner. Changed behind `version` (0: all, those that need
  // no planning any more left out); the newest version. A moment that made runs changes no version: each gateway comes to
  // that moment by itself, and reads the row again where another was first.
  struct Planned {
    std::string id;
    Tenant tenant;
    std::string owner, organisation;
    bool is_live = true;  // enabled, not deleted, cron
    std::string trigger_json, policy_json;
    std::optional<Time> next_at;
    std::uint64_t version = 0;
  };
  virtual Task<Outcome<std::vector<Planned>>> plans_since(std::uint64_t version, std::size_t limit) = 0;
  // Enabled, not deleted ones of an organisation with an event trigger of that source; without their callbacks.
  virtual Task<Outcome<std::vector<AutomationRow>>> listening(std::string org_id, std::string source) = 0;
  // The triggers of all organisations' enabled event automations of a source.
  virtual Task<Outcome<std::vector<std::string>>> triggers_of(std::string source) = 0;
  // enabled = false where it is enabled; as for `replace`, no run is left of a moment that has not come.
  virtual Task<Outcome<>> disable(std::string id, std::string reason, std::string detail) = 0;

  // Schedules: each firing by itself, all in one transaction.
  virtual Task<Outcome<std::vector<Fired>>> fire(std::vector<Firing> firings) = 0;
  virtual Task<Outcome<RowPage<SkippedRow>>> skipped(std::string automation_id, PageOf page) = 0;

  // Runs, pending: their automations were triggered by them, unless their trigger_source is "event". Ids that grow with time
  // (UUID version 7) are the cheapest to keep. Each with a dedupe_key that is known already is not made again.
  // `waiting_max`: beyond it the fault overloaded (0: no limit).
  virtual Task<Outcome<std::vector<Enqueued>>> enqueue(std::vector<RunRow> runs, std::uint64_t waiting_max) = 0;
  // One of an automation, made of its row as it is now, and claimed as well by `gateway` ("": not) where it is new and the
  // caps have room: in one transaction. Faults: not_found (no such automation, or `make` makes nothing of it).
  struct Begun {
    Enqueued enqueued;  // as it was made
    ClaimAnswer claim;
  };
  virtual Task<Outcome<Begun>> enqueue_of(std::string automation_id, RunOfAutomation make, std::uint64_t waiting_max,
                                          std::string gateway, RunCaps caps) = 0;
  // A run of its own with its tarball.
  virtual Task<Outcome<Enqueued>> enqueue_own(RunRow run, UploadRow upload, std::string bytes,
                                              std::uint64_t waiting_max) = 0;
  // An event's runs, once for a delivery id ("": always); what the first of that id made is returned for a later one.
  struct EventTaken {
    bool is_new = true;
    std::vector<std::string> run_ids;
    std::vector<RunRow> made;
    std::uint64_t matched = 0;
  };
  virtual Task<Outcome<EventTaken>> take_event(std::string org_id, std::string source, std::string delivery_id,
                                               std::vector<RunRow> runs, std::uint64_t waiting_max) = 0;
  // PENDING ones changed behind `version`, by version: at most `limit`.
  virtual Task<Outcome<std::vector<WaitingRun>>> waiting_since(std::uint64_t version, std::size_t limit) = 0;
  // In the order of `ids`. PENDING ones within the caps become RUNNING: fence + 1, held by `gateway`, started_at now. One
  // whose not_before is more than a second ahead is at_cap: a gateway's clock need not be the store's.
  virtual Task<Outcome<std::vector<ClaimAnswer>>> claim(std::vector<std::string> ids, std::string gateway, RunCaps caps) = 0;
  // RUNNING runs, and ended ones with something to clean up, whose holder is another gateway that does not live: they get a
  // new fence and this holder.
  virtual Task<Outcome<std::vector<ClaimedRun>>> take_over(std::string gateway, std::size_t limit) = 0;
  // Ended runs that this gateway holds and has something to clean up of: also such as another gateway cancelled.
  virtual Task<Outcome<std::vector<RunRow>>> to_clean_up(std::string gateway, std::size_t limit) = 0;
  virtual Task<Outcome<std::optional<RunRow>>> find_run(std::string id) = 0;
  // Newest first (created_at, then id), without their wishes and event payloads, and without runs that were made ahead of a
  // moment that has not come.
  virtual Task<Outcome<RowPage<RunRow>>> list_runs(RunFilter filter, PageOf page) = 0;
  // How many of these runs are in each status; `filter.statuses` leaves none out.
  virtual Task<Outcome<std::map<RunStatus, std::uint64_t>>> count_runs(RunFilter filter) = 0;
  // Reads, judges and writes in one transaction; with the end of a run go its deliveries. With a `fence` nothing is done
  // unless the run has it still. Those that are asked for together are decided each by itself, in their order. Faults:
  // not_found.
  virtual Task<Outcome<JudgedRun>> judge(std::string id, std::optional<std::uint64_t> fence, RunJudge judge) = 0;

  // Uploads.
  virtual Task<Outcome<>> add_upload(UploadRow upload, std::string bytes) = 0;
  // Also a deleted one.
  virtual Task<Outcome<std::optional<UploadRow>>> find_upload(std::string id) = 0;
  // Nothing: there are none of it (deleted, or failed).
  virtual Task<Outcome<std::optional<std::string>>> upload_bytes(std::string id) = 0;
  // Not deleted, listed ones; newest first. `status` "": any.
  virtual Task<Outcome<RowPage<UploadRow>>> list_uploads(Tenant tenant, std::string status, PageOf page) = 0;
  // Marks it deleted and drops its bytes. Again is well.
  virtual Task<Outcome<>> remove_upload(std::string id) = 0;

  // Custom event sources. Fault conflict: the organisation has that source already.
  virtual Task<Outcome<>> add_webhook(WebhookRow webhook) = 0;
  virtual Task<Outcome<std::optional<WebhookRow>>> find_webhook(std::string org_id, std::string id) = 0;
  virtual Task<Outcome<std::optional<WebhookRow>>> find_source(std::string org_id, std::string source) = 0;
  virtual Task<Outcome<RowPage<WebhookRow>>> list_webhooks(std::string org_id, PageOf page) = 0;
  // But for its source. One that was read is written only where nobody wrote since (`updated_at`). Faults: not_found,
  // conflict.
  virtual Task<Outcome<>> replace_webhook(WebhookRow webhook) = 0;
  virtual Task<Outcome<>> remove_webhook(std::string org_id, std::string id) = 0;

  // Completion endpoints. One that was read (it has an `updated_at`) is written only where it is there and nobody wrote
  // since. Fault: conflict.
  virtual Task<Outcome<>> put_endpoint(EndpointRow endpoint) = 0;
  virtual Task<Outcome<std::optional<EndpointRow>>> find_endpoint(std::string id) = 0;
  virtual Task<Outcome<RowPage<EndpointRow>>> list_endpoints(Tenant tenant, PageOf page) = 0;
  virtual Task<Outcome<>> remove_endpoint(std::string id) = 0;

  // The outbox. Claims waiting ones that are due, oldest first, for `lease`: nobody else gets them until then, as long as
  // `gateway` lives. Each with its endpoint, where it has one (nothing: it was removed).
  struct DueDelivery {
    DeliveryRow delivery;
    std::optional<EndpointRow> endpoint;
  };
  virtual Task<Outcome<std::vector<DueDelivery>>> claim_deliveries(std::string gateway, std::chrono::milliseconds lease,
                                                                   std::size_t limit) = 0;
  // Those that other gateways claimed and that do not live any more are due at once. How many.
  virtual Task<Outcome<std::uint64_t>> free_deliveries(std::string gateway) = 0;
  // When the next one is due; nothing: none waits.
  virtual Task<Outcome<std::optional<Time>>> next_delivery_at() = 0;
  // What came of an attempt, which gets its number here, and with it of the endpoint's health (failing_since); one that
  // another claimed meanwhile (fence) is noted, but leaves the delivery as it is.
  struct DeliveryResult {
    std::string delivery_id;
    std::uint64_t fence = 0;
    DeliveryAttemptRow attempt;
    DeliveryState state = DeliveryState::waiting;
    Time next_at{};
    std::string endpoint_id;
    std::string disable_endpoint_reason;  // not empty: the endpoint is switched off
  };
  // How many endpoints were switched off.
  virtual Task<Outcome<std::uint64_t>> record_deliveries(std::vector<DeliveryResult> results) = 0;
  virtual Task<Outcome<RowPage<DeliveryRow>>> list_deliveries(std::string run_id, PageOf page) = 0;
  virtual Task<Outcome<std::vector<DeliveryAttemptRow>>> attempts(std::string delivery_id) = 0;
  // Waits again, due now. Fault not_found.
  virtual Task<Outcome<DeliveryRow>> resend(std::string run_id, std::string delivery_id) = 0;

  // Key-value documents (sealed), one an automation.
  virtual Task<Outcome<KvDocument>> kv(std::string automation_id) = 0;
  virtual Task<Outcome<>> change_kv(std::string automation_id, KvJudge judge) = 0;

  // Small settings of the service by key (sealed); empty: none.
  virtual Task<Outcome<Secret>> metadata(std::string key) = 0;
  virtual Task<Outcome<>> put_metadata(std::string key, Secret value) = 0;

  // Removes at most `limit` ended runs (nothing to clean up, no delivery waiting) that were completed before, with all that
  // belongs to them; skipped rows and event delivery ids older than that, too, and what was deleted before: uploads, and
  // automations that have no runs any more; of each at most `limit`. How many of that of which there were most: `limit`
  // says that there may be more.
  virtual Task<Outcome<std::uint64_t>> purge(Time before, std::size_t limit) = 0;
};

}  // namespace nestgate::store
