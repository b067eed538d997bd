#include "capabilities.hpp"

#include <algorithm>
#include <set>

#include "api/answers.hpp"
#include "api/detail_answers.hpp"
#include "automations.hpp"
#include "draft_body.hpp"
#include "event_match.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestgate/net/run_on.hpp"

namespace nestgate::api {
namespace {

using codec::JsonWriter;
using event::BuiltinSource;
using http::Method;
using proxy::ApiResponse;

constexpr std::size_t draft_bytes_max = 2 * 1024 * 1024;  // a prompt and a sample event
constexpr std::uint64_t sources_page = 100;

template <class Texts>
void write_texts(JsonWriter& w, std::string_view name, Texts const& texts) {
  w.key(name).begin_array();
  for (auto const& text : texts) w.value(std::string_view(text));
  w.end_array();
}

std::set<std::string, std::less<>> sources_of(Capabilities const& of) {
  std::set<std::string, std::less<>> out(of.custom_sources.begin(), of.custom_sources.end());
  if (of.has_builtin_sources)
    for (auto const name : event::builtin_source_names()) out.emplace(name);
  return out;
}

std::set<std::string_view> features_of(Capabilities const& of, bool has_sources) {
  std::set<std::string_view> out{"automationDescription", "conversationDispatch", "customTarball", "mcpTools",
                                 "presetPlugin",          "presetPrompt",         "repoClone"};
  if (has_sources) out.insert("webhookDelivery");
  if (of.has_kv) out.insert("kvStore");
  return out;
}

// A sample as its source would send it, and whether the trigger wants it.
struct Sampled {
  std::optional<bool> matched;
  std::optional<DraftError> error;
  std::vector<DraftError> undelivered;  // patterns that nothing will match
};

std::vector<DraftError> undelivered_in(automation::EventTrigger const& trigger) {
  std::vector<DraftError> out;
  for (auto const& pattern : trigger.on) {
    if (!event::is_delivered(BuiltinSource::github, pattern))
      out.push_back({"trigger.on", "event_type_not_delivered",
                     "Events of GitHub that match '" + pattern + "' are not taken in here."});
  }
  return out;
}

Sampled judge_sample(automation::EventTrigger const& trigger, EventReader const& reader, std::string_view sample_json) {
  Sampled out;
  auto const raw = event::Value::parse(sample_json);
  auto const key = event::Expression::parse(reader.builtin ? "@" : std::string_view(reader.key_expression));
  if (!raw || !key) {
    out.error = DraftError{"sampleEvent", "unparseable_sample_event", "The sample event cannot be read."};
    return out;
  }
  auto const found =
      reader.builtin ? event::recognise(*reader.builtin, *raw) : event::recognise_custom(reader.source, *key, *raw);
  if (auto const* event = std::get_if<event::Event>(&found)) {
    out.matched = wants(trigger, event->key, *raw, {}) == Wanted::yes;
    return out;
  }
  auto const* unrecognised = std::get_if<event::Unrecognised>(&found);
  auto const& why = unrecognised ? unrecognised->why : std::get<event::Unreadable>(found).why;
  out.error = DraftError{"sampleEvent", "unparseable_sample_event", why};
  return out;
}

class CapabilityEndpoints final : public EndpointGroup {
 public:
  CapabilityEndpoints(automation::Service& service, AutomationApiSettings settings)
      : service_(service), settings_(std::move(settings)) {}

  std::vector<Endpoint> endpoints() override {
    return {
        {Method::get, "/v1/capabilities", Access::caller, Body::none, short_body_bytes_max,
         by(this, &CapabilityEndpoints::tell)},
        {Method::post, "/v1/validate", Access::caller, Body::json, draft_bytes_max,
         by(this, &CapabilityEndpoints::validate)},
    };
  }

 private:
  Task<ApiResponse> tell(Call call);
  Task<ApiResponse> validate(Call call);

  bool has_builtin_sources() const noexcept { return settings_.webhook_secrets && !settings_.webhook_secrets->empty(); }
  Task<upstream::Outcome<std::vector<std::string>>> custom_sources(std::string org_id);
  // Nothing: nobody delivers its events here.
  Task<upstream::Outcome<std::optional<EventReader>>> reader_of(std::string org_id, std::string source);
  void judge_schedule(automation::CronTrigger const& trigger, std::vector<DraftError>& errors);
  struct Judged {
    std::vector<DraftError> errors;
    std::optional<bool> sample_matched;
  };
  Task<upstream::Outcome<Judged>> judge_event(std::string org_id, automation::EventTrigger trigger,
                                              std::optional<std::string> sample_json);

  automation::Service& service_;
  AutomationApiSettings settings_;
};

Task<upstream::Outcome<std::vector<std::string>>> CapabilityEndpoints::custom_sources(std::string org_id) {
  std::vector<std::string> out;
  for (std::uint64_t offset = 0;; offset += sources_page) {
    store::PageOf const page{sources_page, offset};
    NESTGATE_CO_TRY(found, co_await service_.rows().list_webhooks(org_id, page));
    for (auto const& row : found.rows)
      if (row.enabled) out.push_back(row.source);
    if (found.rows.size() < sources_page) break;
  }
  co_return out;
}

Task<ApiResponse> CapabilityEndpoints::tell(Call call) {
  auto sources = co_await custom_sources(call.caller->tenant.org_id);
  if (!sources) co_return detail_failure(sources.error());
  Capabilities of;
  of.run_time_max = service_.settings().run_time_max;
  of.cron_interval_min = settings_.cron_interval_min;
  of.has_builtin_sources = has_builtin_sources();
  auto const& kv_secret = service_.settings().kv_secret;
  of.has_kv = kv_secret && !kv_secret->empty();
  of.custom_sources = std::move(*sources);
  of.zones = service_.zones().names();
  co_return answer(200, capabilities_json(of));
}

Task<upstream::Outcome<std::optional<EventReader>>> CapabilityEndpoints::reader_of(std::string org_id, std::string source) {
  std::optional<EventReader> out;
  if (auto const builtin = event::parse_builtin_source(source)) {
    if (has_builtin_sources()) out = EventReader{std::move(source), builtin, {}};
    co_return out;
  }
  NESTGATE_CO_TRY(row, co_await service_.rows().find_source(std::move(org_id), std::move(source)));
  if (row && row->enabled) out = EventReader{row->source, std::nullopt, row->event_key_expr};
  co_return out;
}

void CapabilityEndpoints::judge_schedule(automation::CronTrigger const& trigger, std::vector<DraftError>& errors) {
  auto const gap = smallest_gap(trigger.schedule, service_.zones());
  if (!gap || *gap >= settings_.cron_interval_min) return;
  errors.push_back({"trigger.schedule", "interval_too_short",
                    "The smallest interval between two runs here is " + std::to_string(settings_.cron_interval_min.count()) +
                        " seconds."});
}

Task<upstream::Outcome<CapabilityEndpoints::Judged>> CapabilityEndpoints::judge_event(
    std::string org_id, automation::EventTrigger trigger, std::optional<std::string> sample_json) {
  Judged out;
  NESTGATE_CO_TRY(reader, co_await reader_of(std::move(org_id), trigger.source));
  if (!reader) {
    out.errors.push_back({"trigger.source", "event_source_not_configured",
                          "No webhook is configured that delivers events of '" + trigger.source + "' here."});
    co_return out;
  }
  bool const is_github = reader->builtin == BuiltinSource::github;
  auto work = [trigger = std::move(trigger), reader = *std::move(reader), sample = std::move(sample_json), is_github] {
    Sampled sampled = sample ? judge_sample(trigger, reader, *sample) : Sampled();
    if (is_github) sampled.undelivered = undelivered_in(trigger);
    return sampled;
  };
  auto sampled = co_await run_on(service_.workers(), std::move(work));
  std::move(sampled.undelivered.begin(), sampled.undelivered.end(), std::back_inserter(out.errors));
  if (sampled.error) out.errors.push_back(*std::move(sampled.error));
  out.sample_matched = sampled.matched;
  co_return out;
}

Task<ApiResponse> CapabilityEndpoints::validate(Call call) {
  Faults faults;
  auto request = read_draft_request(Model(body_value(faults, call.body)));
  if (!faults.empty()) co_return unprocessable(faults);
  auto const rules = body_rules(service_);
  auto draft = read_draft(request, rules);
  if (!draft.trigger) co_return answer(200, verdict_json(draft.errors, std::nullopt));
  if (auto const* cron = std::get_if<automation::CronTrigger>(&*draft.trigger)) {
    judge_schedule(*cron, draft.errors);
    co_return answer(200, verdict_json(draft.errors, std::nullopt));
  }
  auto trigger = std::get<automation::EventTrigger>(*draft.trigger);
  auto judged = co_await judge_event(call.caller->tenant.org_id, std::move(trigger), std::move(request.sample_event_json));
  if (!judged) co_return detail_failure(judged.error());
  co_return answer(200, verdict_json(judged->errors, judged->sample_matched));
}

}  // namespace

std::string capabilities_json(Capabilities const& of) {
  auto const sources = sources_of(of);
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("ready", true).member("maxAutomationTimeoutSeconds", of.run_time_max.count());
  w.key("triggerKinds").begin_array().value("cron");
  if (!sources.empty()) w.value("event");
  w.end_array();
  write_texts(w, "eventSources", sources);
  w.key("eventTypes").begin_array();
  if (of.has_builtin_sources)
    for (auto const type : event::event_key_patterns(BuiltinSource::github)) w.value(type);
  w.end_array().key("triggers").begin_object();
  w.key("cron").begin_object().member("minIntervalSeconds", of.cron_interval_min.count());
  write_texts(w, "timezones", of.zones);
  w.end_object();
  if (!sources.empty()) {
    w.key("event").begin_object().member("filterLanguage", "jmespath");
    write_texts(w, "filterFunctions", event::function_names());
    w.end_object();
  }
  w.end_object();
  write_texts(w, "features", features_of(of, !sources.empty()));
  write_texts(w, "repoProviders", std::vector<std::string_view>{"bitbucket", "github", "gitlab"});
  w.end_object();
  return out;
}

std::unique_ptr<EndpointGroup> make_capability_endpoints(automation::Service& service, AutomationApiSettings settings) {
  return std::make_unique<CapabilityEndpoints>(service, std::move(settings));
}

}  // namespace nestgate::api
