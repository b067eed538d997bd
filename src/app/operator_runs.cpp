#include "app/operator_runs.hpp"

#include "app/admin_answers.hpp"
#include "nestgate/api/list_query.hpp"
#include "nestgate/api/output_stream.hpp"

namespace nestgate::app {
namespace {

using Method = AdminRequest::Method;
using codec::JsonWriter;
using store::RunRow;

constexpr std::size_t page_max = 1000;
constexpr std::uint64_t deliveries_max = 100;  // of one run: its endpoints, and one plain callback
constexpr std::string_view collection = "/api/runs";

std::optional<std::int64_t> milliseconds_taken(RunRow const& run) {
  if (!run.started_at) return std::nullopt;
  auto const end = run.completed_at.value_or(std::chrono::system_clock::now());
  return std::max<std::int64_t>(std::chrono::floor<std::chrono::milliseconds>(end - *run.started_at).count(), 0);
}

void write_short(JsonWriter& w, RunRow const& run) {
  w.member("id", run.id);
  w.text_or_null("automation_id", run.automation_id);
  w.text_or_null("owner", run.owner);
  w.text_or_null("organisation", run.organisation);
  w.member("status", to_string(run.status));
  w.text_or_null("trigger", run.trigger_source);
  w.member("attempt", run.attempt).member("attempts_max", run.attempts_max);
  time_or_null(w, "created_at", run.created_at);
  time_or_null(w, "started_at", run.started_at);
  time_or_null(w, "completed_at", run.completed_at);
  value_or_null(w, "took_ms", milliseconds_taken(run));
  w.text_or_null("error", run.error_detail);
}

std::string page_json(store::RowPage<RunRow> const& page) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("results").begin_array();
  for (auto const& run : page.rows) {
    w.begin_object();
    write_short(w, run);
    w.end_object();
  }
  w.end_array().member("total", page.total).end_object();
  return out;
}

// The address of a plain callback is not shown: what guards it may stand in it.
void write_delivery(JsonWriter& w, store::DeliveryRow const& delivery,
                    std::vector<store::DeliveryAttemptRow> const& attempts) {
  w.begin_object().member("id", delivery.id).member("to", delivery.endpoint_id.empty() ? "callback" : "endpoint");
  w.text_or_null("endpoint_id", delivery.endpoint_id);
  w.member("state", to_string(delivery.state)).member("attempts", delivery.attempts);
  w.text_or_null("last_error", attempts.empty() ? std::string_view() : attempts.back().error);
  time_or_null(w, "created_at", delivery.created_at);
  bool const waits = delivery.state == store::DeliveryState::waiting;
  time_or_null(w, "next_attempt_at", waits ? std::optional(delivery.next_at) : std::nullopt);
  time_or_null(w, "ended_at", delivery.ended_at);
  w.end_object();
}

void write_rest(JsonWriter& w, RunRow const& run) {
  time_or_null(w, "scheduled_for", run.scheduled_for);
  time_or_null(w, "not_before", run.not_before);
  time_or_null(w, "timeout_at", run.timeout_at);
  w.text_or_null("target", run.target);
  w.member("priority", run.priority);
  w.text_or_null("sandbox_id", run.sandbox_id);
  w.text_or_null("bash_command_id", run.bash_command_id);
  w.text_or_null("gateway", run.holder);
  w.member("fence", run.fence);
  w.text_or_null("conversation_id", run.conversation_id);
  value_or_null(w, "cost", run.cost);
  value_or_null(w, "exit_code", run.exit_code);
  w.text_or_null("stdout_tail", run.output_tail);
  w.text_or_null("stderr_tail", run.error_tail);
  w.key("attempts_before").raw(run.attempts_json.empty() ? "[]" : run.attempts_json);
}

std::optional<std::string> parse_id(std::string_view segment) {
  auto const id = ConversationId::parse_in_path(segment);
  if (!id || !id->is_uuid()) return std::nullopt;
  return id->dashed();
}

AdminAnswer unknown_run() { return refuse(404, "not_found", "there is no such run"); }

}  // namespace

bool OperatorRuns::is_of(std::string_view path) {
  if (!path.starts_with(collection)) return false;
  path.remove_prefix(collection.size());
  return path.empty() || path.front() == '/';
}

Task<AdminAnswer> OperatorRuns::handle(AdminRequest request) {
  if (request.method != Method::get) co_return not_allowed("GET, HEAD");
  std::string_view below = request.path;
  below.remove_prefix(collection.size());
  if (below.empty()) co_return co_await list(std::move(request));
  below.remove_prefix(1);
  auto const id_end = std::min(below.find('/'), below.size());
  auto const verb = below.substr(id_end);
  if (!verb.empty() && verb != "/output") co_return refuse(404, "not_found", "no such admin route");
  auto id = parse_id(below.substr(0, id_end));
  if (!id) co_return unknown_run();
  if (verb.empty()) co_return co_await show(*std::move(id));
  co_return co_await follow(*std::move(id));
}

Task<AdminAnswer> OperatorRuns::list(AdminRequest request) {
  auto const limit = api::number_in(request.query, "limit", 100, 1, page_max);
  if (!limit) co_return refuse(400, "bad_input", "limit: must be 1 to " + std::to_string(page_max));
  store::RunFilter filter;
  if (auto const status = api::text_in(request.query, "status"); !status.empty()) {
    auto const parsed = store::parse_run_status(status);
    if (!parsed)
      co_return refuse(400, "bad_input", "status: must be PENDING, RUNNING, COMPLETED, FAILED, CANCELLED or SKIPPED");
    filter.statuses.push_back(*parsed);
  }
  if (auto const automation = api::text_in(request.query, "automation_id"); !automation.empty()) {
    auto id = parse_id(automation);
    if (!id) co_return refuse(400, "bad_input", "automation_id: must be a UUID");
    filter.automation_id = *std::move(id);
  }
  store::PageOf const page{*limit, 0};
  auto found = co_await automation_.rows().list_runs(std::move(filter), page);
  if (!found) co_return failed(found.error());
  co_return shown(page_json(*found));
}

Task<AdminAnswer> OperatorRuns::show(std::string id) {
  auto run = co_await automation_.rows().find_run(id);
  if (!run) co_return failed(run.error());
  if (!*run) co_return unknown_run();
  std::string body;
  JsonWriter w(body);
  w.begin_object();
  write_short(w, **run);
  write_rest(w, **run);
  w.key("deliveries").begin_array();
  store::PageOf const page{deliveries_max, 0};
  auto deliveries = co_await automation_.rows().list_deliveries(std::move(id), page);
  if (!deliveries) co_return failed(deliveries.error());
  for (auto const& delivery : deliveries->rows) {
    auto attempts = co_await automation_.rows().attempts(delivery.id);
    if (!attempts) co_return failed(attempts.error());
    write_delivery(w, delivery, *attempts);
  }
  w.end_array().end_object();
  co_return shown(std::move(body));
}

Task<AdminAnswer> OperatorRuns::follow(std::string id) {
  auto feed = co_await automation_.output(id);
  if (!feed && feed.error().fault.kind == FaultKind::not_found) co_return unknown_run();
  if (!feed) co_return failed(feed.error());
  AdminAnswer out;
  out.content_type = "text/event-stream";
  out.stream = api::make_output_stream(automation_.rows(), std::move(id), *std::move(feed));
  co_return out;
}

}  // namespace nestgate::app
