#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "event_match.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/proxy/own_routes.hpp"

// Where events come from, and how it is known that they do. Pure.
namespace nestgate::api {

// Built-in sources sign as GitHub does, whoever they are.
inline constexpr std::string_view builtin_signature_header = "X-Hub-Signature-256";

struct EventSource {
  EventReader reader;
  std::string scheme;  // as WebhookRow has it
  std::string signature_header = std::string(builtin_signature_header);
  std::string event_id_header;
  std::vector<Secret> secrets;  // each opens
};
EventSource builtin_source(event::BuiltinSource source, std::vector<Secret> const& secrets);
// `previous_until` is looked at.
EventSource custom_source(store::WebhookRow row, store::Time now);

// The fields of a delivery that its source has a use for.
struct DeliveryHead {
  std::string signature, id, timestamp;
  std::string delivery_id;  // what tells one event from another; "": nothing does
};
DeliveryHead head_of(EventSource const& source, proxy::ApiRequest const& request);

// Why a delivery that is not signed by its source is refused. Where its time is not good that is said whatever the
// signature is.
std::string why_not_signed(EventSource const& source, DeliveryHead const& head, store::Time now,
                           std::chrono::seconds tolerance);
bool is_signed_by(EventSource const& source, DeliveryHead const& head, std::string_view body, store::Time now,
                  std::chrono::seconds tolerance);

// {"source","event_types","event_detection_rules"}; `triggers`: of all who wait for it, where it names its events itself.
std::string requested_types_json(event::BuiltinSource source, std::vector<std::string> const& triggers);

}  // namespace nestgate::api
