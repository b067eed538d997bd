#include "source_webhooks.hpp"

#include <algorithm>

#include "api/shapes.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestgate/event/expression.hpp"
#include "nestgate/event/source.hpp"

namespace nestgate::api {
namespace {

using codec::JsonWriter;

constexpr std::size_t source_length_max = 50;
constexpr std::size_t header_length_max = 100;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }

std::optional<std::string> good_source(std::string& source) {
  std::transform(source.begin(), source.end(), source.begin(), lower);
  auto const is_word = [](char c) { return is_digit(c) || is_letter(c); };
  bool const is_well = !source.empty() && source.size() <= source_length_max && is_word(source.front()) &&
                       is_word(source.back()) &&
                       std::all_of(source.begin(), source.end(), [&](char c) { return is_word(c) || c == '-'; });
  // A reserved name may have an underscore, which no other has.
  if (event::parse_builtin_source(source))
    return "'" + source + "' is a reserved source name. Built-in sources are set up by the operator";
  if (is_well) return std::nullopt;
  return "source must be 1 to 50 lowercase letters, digits and hyphens, and must not start or end with a hyphen";
}

std::optional<std::string> good_header(std::string& header) {
  bool const is_well = !header.empty() && is_letter(header.front()) && std::all_of(header.begin(), header.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '-';
  });
  if (is_well) return std::nullopt;
  return "must start with a letter and have only letters, digits and hyphens";
}

std::optional<std::string> good_expression(std::string& expression) {
  auto const parsed = event::Expression::parse(expression);
  if (parsed) return std::nullopt;
  return "Invalid JMESPath expression: " + parsed.error().text;
}

Rule<std::string> header_name() { return checked<std::string>(text(1, header_length_max), good_header); }
Rule<std::string> key_expression() { return checked<std::string>(text(1, 500), good_expression); }
Rule<std::string> scheme_name() {
  return one_of({std::string(scheme_hex), std::string(scheme_standard), std::string(scheme_slack)});
}

std::string header_of(std::string_view scheme) {
  if (scheme == scheme_standard) return "webhook-signature";
  return scheme == scheme_slack ? "X-Slack-Signature" : "X-Signature-256";
}

std::string kept_scheme(std::string scheme) { return scheme == scheme_hex ? std::string() : scheme; }

void write_members(JsonWriter& w, store::WebhookRow const& row, std::string_view base_url) {
  std::string url(base_url);
  url.append("/v1/events/").append(row.org_id).append("/").append(row.source);
  w.member("id", row.id).member("org_id", row.org_id).member("name", row.name).member("source", row.source);
  w.member("webhook_url", url).member("event_key_expr", row.event_key_expr);
  w.member("signature_header", row.signature_header);
  w.member("signature_scheme", row.signature_scheme.empty() ? scheme_hex : std::string_view(row.signature_scheme));
  w.key("event_id_header");
  if (row.event_id_header.empty()) {
    w.null();
  } else {
    w.value(row.event_id_header);
  }
  w.member("enabled", row.enabled).member("created_at", format_time(row.created_at));
  w.member("updated_at", format_time(row.updated_at));
}

}  // namespace

SourceBody read_source(Model in) {
  SourceBody out;
  in.need("name", out.name, text(1, 255));
  in.need("source", out.source, checked<std::string>(text(1), good_source));
  in.may("event_key_expr", out.event_key_expr, key_expression());
  in.may("signature_header", out.signature_header, header_name());
  in.may("signature_scheme", out.scheme, scheme_name());
  in.may("event_id_header", out.event_id_header, header_name());
  in.may("webhook_secret", out.secret, hidden_text(8, 255));
  in.done();
  return out;
}

SourceChange read_source_change(Model in) {
  SourceChange out;
  in.change("name", out.name, text(1, 255));
  in.change("event_key_expr", out.event_key_expr, key_expression());
  in.change("signature_header", out.signature_header, header_name());
  in.change("signature_scheme", out.scheme, scheme_name());
  in.change("event_id_header", out.event_id_header, header_name());
  in.change("enabled", out.enabled, flag());
  in.done();
  return out;
}

store::WebhookRow row_of(SourceBody body, std::string id, std::string org_id, Secret secret, store::Time now) {
  store::WebhookRow row;
  row.id = std::move(id);
  row.org_id = std::move(org_id);
  row.name = std::move(body.name);
  row.source = std::move(body.source);
  row.secret = std::move(secret);
  row.event_key_expr = std::move(body.event_key_expr);
  row.signature_header = body.signature_header ? *std::move(body.signature_header) : header_of(body.scheme);
  row.signature_scheme = kept_scheme(std::move(body.scheme));
  row.event_id_header = std::move(body.event_id_header).value_or(std::string());
  row.created_at = row.updated_at = now;
  return row;
}

void apply(SourceChange change, store::WebhookRow& row, store::Time now) {
  if (change.name) row.name = *std::move(change.name);
  if (change.event_key_expr) row.event_key_expr = *std::move(change.event_key_expr);
  if (change.scheme) row.signature_scheme = kept_scheme(*std::move(change.scheme));
  if (change.signature_header) row.signature_header = *std::move(change.signature_header);
  if (change.event_id_header.is_given) row.event_id_header = std::move(change.event_id_header.value).value_or(std::string());
  if (change.enabled) row.enabled = *change.enabled;
  row.updated_at = now;
}

std::string source_json(store::WebhookRow const& row, std::string_view base_url) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  write_members(w, row, base_url);
  w.end_object();
  return out;
}

std::string made_source_json(store::WebhookRow const& row, std::string_view base_url, Secret const* shown) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  write_members(w, row, base_url);
  w.key("webhook_secret");
  if (shown) {
    w.value(shown->reveal());  // tidy-ok(reveal): made here, and shown to its owner this once
  } else {
    w.null();
  }
  w.end_object();
  return out;
}

std::string sources_json(store::RowPage<store::WebhookRow> const& page, std::string_view base_url) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("webhooks").begin_array();
  for (auto const& row : page.rows) w.raw(source_json(row, base_url));
  w.end_array().member("total", page.total).end_object();
  return out;
}

std::string secret_json(Secret const& secret) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("webhook_secret");
  w.value(secret.reveal());  // tidy-ok(reveal): made here, and shown to its owner this once
  w.end_object();
  return out;
}

}  // namespace nestgate::api
