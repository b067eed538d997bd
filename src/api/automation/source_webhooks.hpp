#pragma once

#include <string>

#include "model.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/store/automation_store.hpp"

// Custom event sources (automation.md 8.7): bodies, rows and answers. Pure.
namespace nestgate::api {

// How a source signs. The store keeps the first as "".
inline constexpr std::string_view scheme_hex = "hmac_sha256_hex";
inline constexpr std::string_view scheme_standard = "standard_webhooks";
inline constexpr std::string_view scheme_slack = "slack_v0";

struct SourceBody {
  std::string name;
  std::string source;
  std::string event_key_expr = "type";
  std::string scheme{scheme_hex};
  std::optional<std::string> signature_header;  // nothing: as the scheme has it
  std::optional<std::string> event_id_header;
  std::optional<std::string> secret;  // nothing: one is made
};
SourceBody read_source(Model in);

struct SourceChange {
  std::optional<std::string> name, event_key_expr, scheme, signature_header;
  Change<std::string> event_id_header;
  std::optional<bool> enabled;
};
SourceChange read_source_change(Model in);

// `secret` is the body's own where it has one.
store::WebhookRow row_of(SourceBody body, std::string id, std::string org_id, Secret secret, store::Time now);
void apply(SourceChange change, store::WebhookRow& row, store::Time now);

// `base_url` ends in /api/automation.
std::string source_json(store::WebhookRow const& row, std::string_view base_url);
// The same with webhook_secret, null for one that its caller gave.
std::string made_source_json(store::WebhookRow const& row, std::string_view base_url, Secret const* shown);
std::string sources_json(store::RowPage<store::WebhookRow> const& page, std::string_view base_url);
// {"webhook_secret"}
std::string secret_json(Secret const& secret);

}  // namespace nestgate::api
