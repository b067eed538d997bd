#include "runs.hpp"

#include <algorithm>

#include "api/answers.hpp"
#include "api/detail_answers.hpp"
#include "api/shapes.hpp"
#include "authentication.hpp"
#include "automation_shapes.hpp"
#include "json_members.hpp"
#include "nestgate/api/output_stream.hpp"
#include "nestgate/base/text.hpp"
#include "ownership.hpp"
#include "report_body.hpp"
#include "run_body.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using proxy::ApiResponse;
using store::RunRow;
using store::RunStatus;

constexpr std::size_t report_bytes_max = 256 * 1024;
constexpr std::size_t idempotency_key_bytes_max = 255;
constexpr std::int64_t moments_max = 100;

store::Time now() { return std::chrono::system_clock::now(); }

Rule<RunStatus> run_status() {
  return [rule = one_of({"PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "SKIPPED"})](Value const& value,
                                                                                                RunStatus& out) {
    std::string word;
    if (!rule(value, word)) return false;
    out = *store::parse_run_status(word);
    return true;
  };
}

// Visible ASCII, as a key that is compared to the byte.
std::string idempotency_key_of(Faults& faults, proxy::ApiRequest const& request) {
  std::string const key(request.field("idempotency-key"));
  auto const is_visible = [](char c) { return c > ' ' && c < 0x7f; };
  bool const is_good = key.size() <= idempotency_key_bytes_max && std::all_of(key.begin(), key.end(), is_visible);
  if (!is_good)
    Value(faults, Loc{"header", "Idempotency-Key"}, std::string_view(key))
        .refuse_value("must be 1 to 255 visible ASCII characters");
  return key;
}

class Runs final : public EndpointGroup {
 public:
  Runs(automation::Service& service, std::shared_ptr<Secret const> local_key)
      : service_(service), local_key_(std::move(local_key)) {}
  std::vector<Endpoint> endpoints() override;

 private:
  Task<ApiResponse> dispatch(Call call);
  Task<ApiResponse> list_of_automation(Call call);
  Task<ApiResponse> schedule(Call call);
  Task<ApiResponse> skipped(Call call);
  Task<ApiResponse> submit(Call call);
  Task<ApiResponse> list(Call call);
  Task<ApiResponse> show(Call call);
  Task<ApiResponse> complete(Call call);
  Task<ApiResponse> cancel(Call call);
  Task<ApiResponse> phase(Call call);
  Task<ApiResponse> output(Call call);
  Task<ApiResponse> deliveries(Call call);
  Task<ApiResponse> resend(Call call);

  Task<ApiResponse> answer_list(store::RunFilter filter, store::PageOf page);
  // A run's script shows its token, anybody else a key: why this is neither.
  std::optional<ApiResponse> refuse_reporter(Call const& call) const;
  automation::Reporter reporter_of(Call& call) const;
  store::AutomationStore& rows() { return service_.rows(); }

  automation::Service& service_;
  std::shared_ptr<Secret const> local_key_;
};

std::vector<Endpoint> Runs::endpoints() {
  auto const caller = Access::caller;
  auto const short_max = short_body_bytes_max;
  return {
      {Method::get, "/v1/runs", caller, Body::none, short_max, by(this, &Runs::list)},
      {Method::post, "/v1/runs", caller, Body::raw, any_body_bytes, by(this, &Runs::submit)},
      {Method::get, "/v1/runs/{run_id}", caller, Body::none, short_max, by(this, &Runs::show)},
      {Method::post, "/v1/runs/{run_id}/complete", Access::own, Body::json, report_bytes_max, by(this, &Runs::complete)},
      {Method::post, "/v1/runs/{run_id}/phase", Access::own, Body::json, short_max, by(this, &Runs::phase)},
      {Method::post, "/v1/runs/{run_id}/cancel", caller, Body::none, short_max, by(this, &Runs::cancel)},
      {Method::get, "/v1/runs/{run_id}/output", caller, Body::none, short_max, by(this, &Runs::output)},
      {Method::get, "/v1/runs/{run_id}/deliveries", caller, Body::none, short_max, by(this, &Runs::deliveries)},
      {Method::post, "/v1/runs/{run_id}/deliveries/{delivery_id}/resend", caller, Body::none, short_max,
       by(this, &Runs::resend)},
      {Method::post, "/v1/{automation_id}/dispatch", caller, Body::none, short_max, by(this, &Runs::dispatch)},
      {Method::get, "/v1/{automation_id}/runs", caller, Body::none, short_max, by(this, &Runs::list_of_automation)},
      {Method::get, "/v1/{automation_id}/schedule", caller, Body::none, short_max, by(this, &Runs::schedule)},
      {Method::get, "/v1/{automation_id}/skipped", caller, Body::none, short_max, by(this, &Runs::skipped)},
  };
}

Task<ApiResponse> Runs::dispatch(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "automation_id", call.taken.front());
  auto key = idempotency_key_of(faults, call.request);
  if (!faults.empty()) co_return unprocessable(faults);
  auto is_theirs = [caller = *call.caller](store::AutomationRow const& row) { return sees(caller, row); };
  auto run = co_await service_.dispatch(std::move(id), std::move(is_theirs), std::move(key));
  if (!run) co_return detail_failure(run.error());
  co_return answer(201, run_json(*run));
}

Task<ApiResponse> Runs::answer_list(store::RunFilter filter, store::PageOf page) {
  auto found = co_await rows().list_runs(filter, page);
  if (!found) co_return detail_failure(found.error());
  auto counts = co_await rows().count_runs(std::move(filter));
  if (!counts) co_return detail_failure(counts.error());
  co_return answer(200, runs_json(*found, *counts));
}

Task<ApiResponse> Runs::list_of_automation(Call call) {
  Faults faults;
  Query const query(faults, call.request.query);
  store::RunFilter filter;
  filter.automation_id = path_uuid(faults, "automation_id", call.taken.front());
  auto const page = page_of(query);
  std::optional<RunStatus> status;
  query.may("status", status, run_status());
  if (!faults.empty()) co_return unprocessable(faults);
  auto row = co_await own_automation(rows(), *call.caller, filter.automation_id);
  if (!row) co_return detail_failure(row.error());
  if (status) filter.statuses.push_back(*status);
  co_return co_await answer_list(std::move(filter), page);
}

Task<ApiResponse> Runs::list(Call call) {
  Faults faults;
  Query const query(faults, call.request.query);
  store::RunFilter filter;
  std::optional<RunStatus> status;
  query.may("automation_id", filter.automation_id, uuid());
  query.may("status", status, run_status());
  query.may("conversation_id", filter.conversation, text(1, 255));
  query.may("created_from", filter.created_from, moment());
  query.may("created_until", filter.created_until, moment());
  auto const page = page_of(query);
  if (!faults.empty()) co_return unprocessable(faults);
  if (status) filter.statuses.push_back(*status);
  if (!call.caller->sees_all) filter.tenant = call.caller->tenant;
  co_return co_await answer_list(std::move(filter), page);
}

Task<ApiResponse> Runs::schedule(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "automation_id", call.taken.front());
  std::int64_t count = 10;
  Query(faults, call.request.query).may("count", count, whole(1, moments_max));
  if (!faults.empty()) co_return unprocessable(faults);
  auto row = co_await own_automation(rows(), *call.caller, std::move(id));
  if (!row) co_return detail_failure(row.error());
  co_return answer(200, moments_json(service_.next_moments(*row, static_cast<std::size_t>(count))));
}

Task<ApiResponse> Runs::skipped(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "automation_id", call.taken.front());
  auto const page = page_of(Query(faults, call.request.query));
  if (!faults.empty()) co_return unprocessable(faults);
  auto row = co_await own_automation(rows(), *call.caller, std::move(id));
  if (!row) co_return detail_failure(row.error());
  auto found = co_await rows().skipped(row->id, page);
  if (!found) co_return detail_failure(found.error());
  co_return answer(200, skipped_json(*found));
}

Task<ApiResponse> Runs::submit(Call call) {
  auto wanted = parse_run_body(call.request.content_type, call.request.body);
  WipedString().swap(call.request.body);  // an assignment would keep it
  if (!wanted) co_return answer(422, invalid_json(wanted.error()));
  wanted->by = *call.caller;
  wanted->base_url = call.request.origin + call.request.mount + "/api/automation";
  auto run = co_await service_.submit(std::move(*wanted));
  if (!run) co_return detail_failure(run.error());
  co_return answer(201, run_json(*run));
}

Task<ApiResponse> Runs::show(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "run_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto run = co_await own_run(rows(), *call.caller, std::move(id));
  if (!run) co_return detail_failure(run.error());
  co_return answer(200, run_json(*run, Tails::shown));
}

std::optional<ApiResponse> Runs::refuse_reporter(Call const& call) const {
  if (call.caller) return std::nullopt;
  auto const* const key = shown_key(call.request);
  Faults ignored;
  if (key != nullptr && service_.is_token_of(path_uuid(ignored, "run_id", call.taken.front()), *key)) return std::nullopt;
  return refusal(401, authenticate(call.request, local_key_.get()).refusal);
}

automation::Reporter Runs::reporter_of(Call& call) const {
  automation::Reporter by;
  by.caller = std::move(call.caller);
  if (auto const* const key = shown_key(call.request)) by.token = key->clone();
  return by;
}

Task<ApiResponse> Runs::complete(Call call) {
  if (auto refused = refuse_reporter(call)) co_return *std::move(refused);
  Faults faults;
  auto id = path_uuid(faults, "run_id", call.taken.front());
  auto report = read_report(Model(body_value(faults, call.body)), now());
  if (!faults.empty()) co_return unprocessable(faults);
  auto run = co_await service_.report(std::move(id), std::move(report), reporter_of(call));
  if (!run) co_return detail_failure(run.error());
  co_return answer(200, run_json(*run));
}

Task<ApiResponse> Runs::phase(Call call) {
  if (auto refused = refuse_reporter(call)) co_return *std::move(refused);
  Faults faults;
  auto id = path_uuid(faults, "run_id", call.taken.front());
  auto const phase = read_phase(Model(body_value(faults, call.body)));
  if (!faults.empty()) co_return unprocessable(faults);
  if (call.caller) {
    auto known = co_await own_run(rows(), *call.caller, id);
    if (!known) co_return detail_failure(known.error());
  }
  store::RunJudge set_phase = [json = json_text(phase)](RunRow const& run) {
    store::RunDecision decision;
    decision.run = run.clone();
    JsonMembers later(run.additions_json);
    later.set("current_phase", json);
    decision.run.additions_json = later.json();
    decision.writes = run.status == RunStatus::running;
    return decision;
  };
  auto judged = co_await rows().judge(std::move(id), std::nullopt, std::move(set_phase));
  if (!judged) co_return refusal(judged.error().fault.kind == FaultKind::not_found ? 404 : 503, judged.error().reason);
  if (!judged->wrote) co_return refusal(409, "Run is " + std::string(to_string(judged->run.status)) + ", expected RUNNING");
  co_return answer(200, run_json(judged->run));
}

Task<ApiResponse> Runs::cancel(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "run_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto known = co_await rows().find_run(id);
  if (!known) co_return detail_failure(known.error());
  if (!*known) co_return refusal(404, "Run not found");
  if (!owns(*call.caller, (*known)->tenant)) co_return refusal(403, "Not your automation");
  auto run = co_await service_.cancel(std::move(id));
  if (!run) co_return detail_failure(run.error());
  co_return answer(200, run_json(*run));
}

Task<ApiResponse> Runs::output(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "run_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto run = co_await own_run(rows(), *call.caller, id);
  if (!run) co_return detail_failure(run.error());
  bool const wants_events = call.request.field("accept").find("text/event-stream") != std::string_view::npos;
  if (!wants_events) co_return answer(200, output_json(*run));
  auto feed = co_await service_.output(id);
  if (!feed) co_return detail_failure(feed.error());
  ApiResponse response;
  response.content_type = "text/event-stream";
  response.stream = make_output_stream(rows(), std::move(id), *std::move(feed));
  co_return response;
}

Task<ApiResponse> Runs::deliveries(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "run_id", call.taken.front());
  auto const page = page_of(Query(faults, call.request.query));
  if (!faults.empty()) co_return unprocessable(faults);
  auto run = co_await own_run(rows(), *call.caller, id);
  if (!run) co_return detail_failure(run.error());
  auto found = co_await rows().list_deliveries(std::move(id), page);
  if (!found) co_return detail_failure(found.error());
  std::vector<DeliveryShape> shown;
  for (auto& row : found->rows) {
    auto attempts = co_await rows().attempts(row.id);
    if (!attempts) co_return detail_failure(attempts.error());
    shown.push_back({std::move(row), *std::move(attempts)});
  }
  co_return answer(200, deliveries_json(shown, found->total));
}

Task<ApiResponse> Runs::resend(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "run_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto delivery_id = percent_decoded(call.taken.back()).value_or(std::string());
  auto run = co_await own_run(rows(), *call.caller, id);
  if (!run) co_return detail_failure(run.error());
  if (!is_storable(delivery_id)) co_return refusal(404, "Delivery not found");
  auto again = co_await rows().resend(std::move(id), std::move(delivery_id));
  bool const is_unknown = !again && again.error().fault.kind == FaultKind::not_found;
  if (is_unknown) co_return refusal(404, "Delivery not found");
  if (!again) co_return detail_failure(again.error());
  service_.wake();
  DeliveryShape shape;
  shape.delivery = *std::move(again);
  co_return answer(200, delivery_json(shape));
}

}  // namespace

std::unique_ptr<EndpointGroup> make_runs(automation::Service& service, std::shared_ptr<Secret const> local_key) {
  return std::make_unique<Runs>(service, std::move(local_key));
}

}  // namespace nestgate::api
