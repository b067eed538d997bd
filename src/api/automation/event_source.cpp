#include "event_source.hpp"

#include <algorithm>
#include <set>

#include "nestgate/automation/trigger.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestgate/identity/digest.hpp"
#include "nestgate/identity/webhook_signature.hpp"
#include "source_webhooks.hpp"

namespace nestgate::api {
namespace {

constexpr std::string_view github_delivery_header = "x-github-delivery";
constexpr std::string_view standard_id_header = "webhook-id";
constexpr std::size_t delivery_id_bytes_max = 200;

std::string field_of(proxy::ApiRequest const& request, std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return std::string(request.field(name));
}

// It is a column's text: what is long or none by its hash.
std::string bounded(std::string id) {
  if (id.size() <= delivery_id_bytes_max && is_storable(id)) return id;
  std::string out = "sha256:";
  identity::append_hex(out, identity::as_text(identity::sha256({id})));
  return out;
}

std::vector<std::string> types_in(std::vector<std::string> const& triggers) {
  std::set<std::string> types;
  for (auto const& json : triggers) {
    auto const trigger = automation::parse_trigger(json);
    auto const* event = trigger ? std::get_if<automation::EventTrigger>(&*trigger) : nullptr;
    if (!event) continue;
    for (auto const& pattern : event->on) {
      auto const type = event::type_of_pattern(pattern);
      if (type == "*") return {"*"};
      if (!type.empty()) types.emplace(type);
    }
  }
  return {types.begin(), types.end()};
}

}  // namespace

EventSource builtin_source(event::BuiltinSource source, std::vector<Secret> const& secrets) {
  EventSource out;
  out.reader.source = event::to_string(source);
  out.reader.builtin = source;
  out.event_id_header = github_delivery_header;
  for (auto const& secret : secrets) out.secrets.push_back(secret.clone());
  return out;
}

EventSource custom_source(store::WebhookRow row, store::Time now) {
  EventSource out;
  out.reader.source = std::move(row.source);
  out.reader.key_expression = std::move(row.event_key_expr);
  out.scheme = std::move(row.signature_scheme);
  out.signature_header = std::move(row.signature_header);
  out.event_id_header = std::move(row.event_id_header);
  bool const is_standard = out.scheme == scheme_standard;
  if (is_standard && out.event_id_header.empty()) out.event_id_header = standard_id_header;
  auto const add = [&](Secret secret) {
    if (!secret.empty()) out.secrets.push_back(is_standard ? identity::webhook_key_of(secret) : std::move(secret));
  };
  add(std::move(row.secret));
  if (row.previous_until && *row.previous_until > now) add(std::move(row.previous_secret));
  return out;
}

DeliveryHead head_of(EventSource const& source, proxy::ApiRequest const& request) {
  DeliveryHead out;
  out.signature = field_of(request, source.signature_header);
  out.id = field_of(request, std::string(standard_id_header));
  bool const is_slack = source.scheme == scheme_slack;
  out.timestamp = field_of(request, is_slack ? "x-slack-request-timestamp" : "webhook-timestamp");
  if (!source.event_id_header.empty()) out.delivery_id = bounded(field_of(request, source.event_id_header));
  return out;
}

std::string why_not_signed(EventSource const& source, DeliveryHead const& head, store::Time now,
                           std::chrono::seconds tolerance) {
  if (head.signature.empty()) return "Missing signature header: " + source.signature_header;
  bool const has_time = source.scheme == scheme_standard || source.scheme == scheme_slack;
  if (has_time && !identity::is_fresh(head.timestamp, {now, tolerance}))
    return "Timestamp out of tolerance: it must be within " + std::to_string(tolerance.count()) + " seconds of now";
  return "Invalid signature";
}

bool is_signed_by(EventSource const& source, DeliveryHead const& head, std::string_view body, store::Time now,
                  std::chrono::seconds tolerance) {
  identity::SignedHeaders const headers{head.id, head.timestamp, head.signature};
  identity::FreshWithin const fresh{now, tolerance};
  if (source.scheme == scheme_standard) return identity::verify_webhook(source.secrets, headers, body, fresh);
  if (source.scheme == scheme_slack) return identity::verify_slack_webhook(source.secrets, headers, body, fresh);
  return identity::verify_hex_signature(source.secrets, head.signature, body);
}

std::string requested_types_json(event::BuiltinSource source, std::vector<std::string> const& triggers) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("source", event::to_string(source)).key("event_types").begin_array();
  auto const known = event::event_types(source);
  for (auto const type : known) w.value(type);
  if (known.empty())
    for (auto const& type : types_in(triggers)) w.value(type);
  w.end_array().key("event_detection_rules").begin_array();
  for (auto const& rule : event::detection_rules(source))
    w.begin_object().member("event_type", rule.event_type).member("jmespath", rule.jmespath()).end_object();
  w.end_array().end_object();
  return out;
}

}  // namespace nestgate::api
