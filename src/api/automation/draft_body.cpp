#include "draft_body.hpp"

#include <algorithm>

#include "nestgate/codec/json_writer.hpp"
#include "nestgate/schedule/cron.hpp"
#include "nestgate/schedule/rule.hpp"
#include "preset_body.hpp"

namespace nestgate::api {
namespace {

constexpr std::string_view of_prompt = "/v1/preset/prompt";
constexpr std::string_view of_plugin = "/v1/preset/plugin";
constexpr int gaps_looked_at = 10;

// Both spellings name it; the one that is there is told of.
std::string_view spelling(Model const& in, std::string_view camel, std::string_view snake) {
  return !in.has(camel) && in.has(snake) ? snake : camel;
}

bool is_arm_of_trigger(Loc const& loc, std::size_t at) {
  if (at == 0) return false;
  auto const* before = std::get_if<std::string>(&loc[at - 1]);
  auto const* step = std::get_if<std::string>(&loc[at]);
  return before && step && *before == "trigger" && (*step == "cron" || *step == "event");
}

std::string field_of(Loc const& loc) {
  std::string out;
  for (std::size_t i = 0; i < loc.size(); ++i) {
    if (is_arm_of_trigger(loc, i)) continue;
    if (auto const* index = std::get_if<std::size_t>(&loc[i])) {
      out += "[" + std::to_string(*index) + "]";
    } else {
      if (!out.empty()) out += '.';
      out += std::get<std::string>(loc[i]);
    }
  }
  return out;
}

}  // namespace

DraftRequest read_draft_request(Model in) {
  DraftRequest out;
  in.need("endpoint", out.endpoint, one_of({"/v1", std::string(of_prompt), std::string(of_plugin)}));
  in.need("draft", out.draft_json, any_object());
  in.may(spelling(in, "automationId", "automation_id"), out.automation_id, text(0, 255));
  in.may(spelling(in, "sampleEvent", "sample_event"), out.sample_event_json, any_object());
  in.done();
  return out;
}

Draft read_draft(DraftRequest const& request, BodyRules const& rules) {
  Faults faults;
  Draft out;
  JsonBody const json("application/json", request.draft_json);
  Model in(Value(faults, Loc{}, json.root()));
  if (request.endpoint == of_prompt) {
    out.trigger = read_prompt_preset(std::move(in), rules).trigger;
  } else if (request.endpoint == of_plugin) {
    out.trigger = read_plugin_preset(std::move(in), rules).trigger;
  } else {
    auto const body = read_create(std::move(in), rules);
    out.trigger = body.trigger;
  }
  out.errors = draft_errors(faults);
  if (!out.errors.empty()) out.trigger.reset();
  return out;
}

std::vector<DraftError> draft_errors(Faults const& faults) {
  std::vector<DraftError> out;
  for (auto const& fault : faults.all()) out.push_back({field_of(fault.loc), fault.type, fault.message});
  return out;
}

std::optional<std::chrono::seconds> smallest_gap(std::string_view text, schedule::Zones& zones) {
  auto cron = schedule::Cron::parse(text);
  auto const utc = zones.find("UTC");
  if (!cron || !utc) return std::nullopt;
  schedule::Rule const rule{*std::move(cron), *utc};
  using namespace std::chrono;
  schedule::Now at = sys_days{year{2026} / 7 / 1};
  std::optional<seconds> smallest;
  std::optional<schedule::Moment> before;
  for (int i = 0; i <= gaps_looked_at; ++i) {
    auto const moment = rule.next(at);
    if (!moment) break;
    if (before) smallest = std::min(smallest.value_or(seconds::max()), *moment - *before);
    before = moment;
    at = *moment;
  }
  return smallest;
}

std::string verdict_json(std::vector<DraftError> const& errors, std::optional<bool> sample_matched) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("valid", errors.empty()).key("errors").begin_array();
  for (auto const& error : errors) {
    w.begin_object().key("field");
    if (error.field.empty()) {
      w.null();
    } else {
      w.value(error.field);
    }
    w.member("code", error.code).member("message", error.message).end_object();
  }
  w.end_array().key("sampleEventMatched");
  if (sample_matched) {
    w.value(*sample_matched);
  } else {
    w.null();
  }
  w.end_object();
  return out;
}

}  // namespace nestgate::api
