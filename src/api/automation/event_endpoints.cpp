#include "event_endpoints.hpp"

#include "api/answers.hpp"
#include "api/detail_answers.hpp"
#include "event_source.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestgate/net/run_on.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using proxy::ApiResponse;
using std::chrono::system_clock;

// One delivery on its way. Shared with the worker that looks at it; only one side uses it at a time.
struct Delivery {
  std::string org_id;
  EventSource source;
  DeliveryHead head;
  WipedString body;
  ReadEvent read;
};

std::string received_json(std::uint64_t matched, std::vector<std::string> const& run_ids) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("received", true).member("matched", matched).key("runs_created").begin_array();
  for (auto const& id : run_ids) w.value(id);
  // Events start runs here; none is carried on in a conversation.
  w.end_array().key("conversations_continued").begin_array().end_array().end_object();
  return out;
}

class EventEndpoints final : public EndpointGroup {
 public:
  EventEndpoints(automation::Service& service, AutomationApiSettings settings, std::shared_ptr<EventStats> stats)
      : service_(service), settings_(std::move(settings)), stats_(std::move(stats)) {}

  std::vector<Endpoint> endpoints() override {
    return {
        {Method::get, "/v1/events/{source}/requested-types", Access::own, Body::none, short_body_bytes_max,
         by(this, &EventEndpoints::requested_types)},
        {Method::post, "/v1/events/{org_id}/{source}", Access::own, Body::raw, settings_.event_body_bytes_max,
         by(this, &EventEndpoints::receive)},
    };
  }

 private:
  Task<ApiResponse> requested_types(Call call);
  Task<ApiResponse> receive(Call call);

  std::vector<Secret> const* builtin_secrets() const noexcept {
    auto const* secrets = settings_.webhook_secrets.get();
    return secrets && !secrets->empty() ? secrets : nullptr;
  }
  // Nothing: there is no such source, or it is switched off.
  Task<upstream::Outcome<std::optional<EventSource>>> find(std::string org_id, std::string name);
  Task<bool> is_signed(std::shared_ptr<Delivery> delivery, store::Time now);
  Task<ApiResponse> take(std::shared_ptr<Delivery> delivery);
  Task<ApiResponse> start_runs(std::shared_ptr<Delivery> delivery, std::vector<store::AutomationRow> waiting);

  automation::Service& service_;
  AutomationApiSettings settings_;
  std::shared_ptr<EventStats> stats_;
};

Task<upstream::Outcome<std::optional<EventSource>>> EventEndpoints::find(std::string org_id, std::string name) {
  std::optional<EventSource> out;
  if (auto const builtin = event::parse_builtin_source(name)) {
    if (auto const* secrets = builtin_secrets()) out = builtin_source(*builtin, *secrets);
    co_return out;
  }
  if (!is_storable(name)) co_return out;
  NESTGATE_CO_TRY(row, co_await service_.rows().find_source(std::move(org_id), std::move(name)));
  if (row && row->enabled) out = custom_source(*std::move(row), system_clock::now());
  co_return out;
}

Task<ApiResponse> EventEndpoints::requested_types(Call call) {
  auto const name = percent_decoded(call.taken.front()).value_or(call.taken.front());
  auto const builtin = event::parse_builtin_source(name);
  auto const* secrets = builtin_secrets();
  if (!builtin || !secrets) co_return refusal(404, "Unknown builtin webhook source: " + name);
  auto const source = builtin_source(*builtin, *secrets);
  auto const head = head_of(source, call.request);
  auto const now = system_clock::now();
  bool const is_theirs = !head.signature.empty() && is_signed_by(source, head, name, now, settings_.event_time_tolerance);
  if (!is_theirs) co_return refusal(401, why_not_signed(source, head, now, settings_.event_time_tolerance));
  std::vector<std::string> triggers;
  if (event::event_types(*builtin).empty()) {
    auto found = co_await service_.rows().triggers_of(name);
    if (!found) co_return detail_failure(found.error());
    triggers = std::move(*found);
  }
  co_return answer(200, requested_types_json(*builtin, triggers));
}

Task<ApiResponse> EventEndpoints::receive(Call call) {
  Faults faults;
  auto const delivery = std::make_shared<Delivery>();
  delivery->org_id = path_uuid(faults, "org_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto const name = percent_decoded(call.taken.back()).value_or(call.taken.back());
  auto source = co_await find(delivery->org_id, name);
  if (!source) co_return detail_failure(source.error());
  if (!*source) {
    stats_->refused.add();
    co_return refusal(404, "Unknown webhook source: " + name);
  }
  delivery->source = **std::move(source);
  delivery->head = head_of(delivery->source, call.request);
  delivery->body.swap(call.request.body);
  auto const now = system_clock::now();
  bool const is_theirs = !delivery->head.signature.empty() && co_await is_signed(delivery, now);
  if (!is_theirs) {
    stats_->refused.add();
    co_return refusal(401, why_not_signed(delivery->source, delivery->head, now, settings_.event_time_tolerance));
  }
  stats_->received.add();
  co_return co_await take(delivery);
}

Task<bool> EventEndpoints::is_signed(std::shared_ptr<Delivery> delivery, store::Time now) {
  auto work = [delivery, now, tolerance = settings_.event_time_tolerance] {
    return is_signed_by(delivery->source, delivery->head, delivery->body, now, tolerance);
  };
  co_return co_await run_on(service_.workers(), std::move(work));
}

Task<ApiResponse> EventEndpoints::take(std::shared_ptr<Delivery> delivery) {
  auto work = [delivery] {
    delivery->read = read_event(delivery->source.reader, delivery->body);
    WipedString().swap(delivery->body);
    return true;
  };
  co_await run_on(service_.workers(), std::move(work));
  auto const& read = delivery->read;
  if (read.status != 200) co_return refusal(read.status, read.detail);
  if (!read.event) {
    stats_->unrecognised.add();
    co_return answer(200, received_json(0, {}));
  }
  auto waiting = co_await service_.rows().listening(delivery->org_id, delivery->source.reader.source);
  if (!waiting) co_return detail_failure(waiting.error());
  co_return co_await start_runs(delivery, std::move(*waiting));
}

Task<ApiResponse> EventEndpoints::start_runs(std::shared_ptr<Delivery> delivery, std::vector<store::AutomationRow> waiting) {
  MatchLimits limits;
  limits.time_max = settings_.event_match_time_max;
  auto const rows = std::make_shared<std::vector<store::AutomationRow>>(std::move(waiting));
  auto work = [delivery, rows, limits] {
    auto matched = match_event(delivery->read, std::move(*rows), limits);
    // A tree of megabytes takes its time to go, too.
    delivery->read = {};
    return matched;
  };
  auto matched = co_await run_on(service_.workers(), std::move(work));
  stats_->filters_over_budget.add(matched.over_budget);
  stats_->filters_failed.add(matched.failed);
  if (matched.is_too_large) co_return refusal(413, "The event is too large for all automations that it matches");
  auto const& id = delivery->head.delivery_id;
  // One that nobody wants is noted all the same where it can come again: its answer stays what it was.
  if (matched.matches.empty() && id.empty()) co_return answer(200, received_json(0, {}));
  auto taken =
      co_await service_.take_event(delivery->org_id, delivery->source.reader.source, id, std::move(matched.matches));
  if (!taken) co_return detail_failure(taken.error());
  if (taken->is_new) stats_->runs.add(taken->run_ids.size());
  if (!taken->is_new) stats_->redelivered.add();
  co_return answer(200, received_json(taken->matched, taken->run_ids));
}

}  // namespace

std::unique_ptr<EndpointGroup> make_event_endpoints(automation::Service& service, AutomationApiSettings settings,
                                                    std::shared_ptr<EventStats> stats) {
  return std::make_unique<EventEndpoints>(service, std::move(settings), std::move(stats));
}

}  // namespace nestgate::api
