#include "nestgate/automation/status_detail.hpp"

#include <simdjson.h>

#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::automation {
namespace {

std::string fingerprint_of(StatusDetail const& detail) {
  std::string const status = detail.status_code ? std::to_string(*detail.status_code) : std::string();
  if (detail.transient && detail.phase != "callback")
    return detail.source + ":" + detail.operation + ":" + detail.kind + ":" + status;
  std::string out;
  for (auto const& part : {detail.phase, detail.source, detail.operation, detail.kind, status}) {
    if (part.empty()) continue;
    if (!out.empty()) out += ':';
    out += part;
  }
  return out;
}

struct Seen {
  std::string first_seen_at;
  std::int64_t count = 0;
};

Seen seen_before(std::string_view previous, std::string_view fingerprint) {
  namespace dom = simdjson::dom;
  Seen seen;
  dom::parser parser;
  dom::object object;
  if (previous.empty() || parser.parse(previous.data(), previous.size()).get_object().get(object)) return seen;
  std::string_view before;
  if (object["fingerprint"].get_string().get(before) || before != fingerprint) return seen;
  std::string_view first;
  if (!object["first_seen_at"].get_string().get(first)) seen.first_seen_at = first;
  if (object["count"].get_int64().get(seen.count)) seen.count = 0;
  return seen;
}

// As Python's isoformat() writes a time in UTC.
std::string iso(store::Time time) {
  auto out = rfc3339(time, 6);
  out.pop_back();
  return out + "+00:00";
}

}  // namespace

std::string to_json(StatusDetail const& detail, std::string_view previous, store::Time now) {
  auto const fingerprint = fingerprint_of(detail);
  auto seen = seen_before(previous, fingerprint);
  auto const at = iso(now);
  if (seen.first_seen_at.empty()) seen.first_seen_at = at;
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("phase", detail.phase).member("kind", detail.kind).member("detail", detail.detail);
  w.member("transient", detail.transient).member("fingerprint", fingerprint).member("first_seen_at", seen.first_seen_at);
  w.member("last_seen_at", at).member("count", seen.count + 1);
  if (!detail.source.empty()) w.member("source", detail.source);
  if (!detail.operation.empty()) w.member("operation", detail.operation);
  if (!detail.code.empty()) w.member("code", detail.code);
  if (detail.status_code) w.member("status_code", *detail.status_code);
  for (auto const& [name, json] : detail.extras) w.key(name).raw(json);
  w.end_object();
  return out;
}

}  // namespace nestgate::automation
