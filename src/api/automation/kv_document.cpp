#include "kv_document.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>

#include "kv_state.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::api {
namespace {

using codec::JsonWriter;
using event::Value;
using Kind = KvFault::Kind;
using What = KvOperation::What;

constexpr std::array<std::pair<What, std::string_view>, 9> words{{
    {What::set, "set"},
    {What::remove, "delete"},
    {What::increase, "incr"},
    {What::decrease, "decr"},
    {What::push_left, "lpush"},
    {What::push_right, "rpush"},
    {What::pop_left, "lpop"},
    {What::pop_right, "rpop"},
    {What::patch, "patch"},
}};

std::string json_of(Value const& value) {
  std::string out;
  event::append_json(out, value, event::JsonForm::compact, SIZE_MAX);
  return out;
}

KvAnswer refusal(unsigned status, std::string_view detail) {
  KvAnswer out{.status = status};
  JsonWriter(out.body).begin_object().member("detail", detail).end_object();
  return out;
}

KvAnswer unreadable() { return refusal(500, "The stored document cannot be read"); }

KvAnswer other_version(std::int64_t expected, std::uint64_t actual) {
  KvAnswer out{.status = 409, .may_be_tried_again = true};
  JsonWriter w(out.body);
  w.begin_object().key("detail").begin_object().member("error", "version_mismatch");
  w.member("message", "State was modified by another process").member("expected_version", expected);
  w.member("actual_version", actual).end_object().end_object();
  return out;
}

bool is_of_version(KvState const& state, std::optional<std::int64_t> wanted) {
  return !wanted || (*wanted >= 0 && static_cast<std::uint64_t>(*wanted) == state.version());
}

std::optional<KvAnswer> too_large(KvState const& state, KvLimits const& limits) {
  if (limits.document_bytes_max == 0) return std::nullopt;
  auto const size = state.python_size();
  if (size <= limits.document_bytes_max) return std::nullopt;
  return refusal(413, "State size (" + std::to_string(size) + " bytes) exceeds limit (" +
                          std::to_string(limits.document_bytes_max) + " bytes)");
}

std::string too_deep_text() { return "Value exceeds maximum nesting depth of " + std::to_string(kv_depth_max); }

KvAnswer refused(KvFault const& fault, std::string_view key) {
  switch (fault.kind) {
    case Kind::exists: {
      KvAnswer out{.status = 409};
      JsonWriter(out.body)
          .begin_object()
          .member("key", key)
          .member("created", false)
          .member("error", "key_exists")
          .end_object();
      return out;
    }
    case Kind::missing: return refusal(409, "key_not_exists");
    case Kind::not_found: return refusal(404, "key_not_found");
    case Kind::boolean: return refusal(400, "type_mismatch: value is boolean, not integer");
    case Kind::real: return refusal(400, "type_mismatch: value is float, not integer (integer required)");
    case Kind::not_integer: return refusal(400, "type_mismatch: value is not an integer");
    case Kind::beyond_64_bits: return refusal(400, "type_mismatch: value is beyond 64 bits");
    case Kind::not_list: return refusal(400, "type_mismatch: value is not a list");
    case Kind::not_object: return refusal(400, "type_mismatch: value is not an object");
    case Kind::path: return refusal(400, "invalid_path: " + fault.text);
    case Kind::too_deep: return refusal(400, "invalid_value: " + too_deep_text());
  }
  return unreadable();
}

std::string batch_text(KvFault const& fault, std::string const& key) {
  std::string const name = "key '" + key + "' ";
  switch (fault.kind) {
    case Kind::exists: return name + "already exists (nx=true)";
    case Kind::missing: return name + "does not exist (xx=true)";
    case Kind::not_found: return name + "does not exist";
    case Kind::boolean: return name + "is boolean, not integer";
    case Kind::real:
    case Kind::not_integer: return name + "is not an integer";
    case Kind::beyond_64_bits: return name + "is beyond 64 bits";
    case Kind::not_list: return name + "is not a list";
    case Kind::not_object: return name + "is not an object";
    case Kind::path: return fault.text;
    case Kind::too_deep: return too_deep_text();
  }
  return {};
}

KvAnswer batch_refusal(std::size_t index, KvOperation const& operation, std::string_view message) {
  KvAnswer out{.status = 400};
  JsonWriter w(out.body);
  w.begin_object().key("detail").begin_object().member("error", "operation_failed").member("message", message);
  w.member("operation_index", index).key("operation").begin_object().member("op", to_string(operation.what));
  w.member("key", operation.key).end_object().end_object().end_object();
  return out;
}

void add_outcome(JsonWriter& w, KvOperation const& operation, KvOutcome const& outcome) {
  switch (operation.what) {
    case What::set: w.member("created", !outcome.was_there); break;
    case What::remove: w.member("deleted", outcome.was_there); break;
    case What::push_left:
    case What::push_right: w.member("length", outcome.length); break;
    case What::increase:
    case What::decrease:
    case What::pop_left:
    case What::pop_right: w.key("value").raw(json_of(outcome.value)); break;
    case What::patch: break;
  }
}

std::string answer_of(KvOperation const& operation, KvOutcome const& outcome, std::string_view now) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("key", operation.key);
  if (operation.what == What::patch) w.member("path", operation.path);
  if (operation.what == What::set || operation.what == What::patch) w.key("value").raw(json_of(outcome.value));
  add_outcome(w, operation, outcome);
  if (operation.what == What::set) w.member("updated_at", now);
  w.end_object();
  return out;
}

}  // namespace

std::string_view to_string(What what) noexcept {
  for (auto const& [one, word] : words)
    if (one == what) return word;
  return "";
}

std::optional<What> parse_kv_operation(std::string_view given) noexcept {
  for (auto const& [what, word] : words)
    if (word == given) return what;
  return std::nullopt;
}

std::optional<std::string> why_not_a_kv_key(std::string_view key) {
  if (key.empty()) return "key cannot be empty";
  if (key.find_first_not_of(" \t\n\r\f\v") == key.npos) return "key cannot be whitespace-only";
  if (!simdjson::validate_utf8(key.data(), key.size())) return "key is not UTF-8";
  if (key.starts_with('$')) return "keys starting with '$' are reserved for system use";
  auto const length = characters_in(key);
  if (length > kv_key_length_max)
    return "key exceeds " + std::to_string(kv_key_length_max) + " chars (" + std::to_string(length) + " given)";
  auto const is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; };
  auto const control = std::find_if(key.begin(), key.end(), is_control);
  if (control == key.end()) return std::nullopt;
  std::string out = "control character \\x";
  constexpr std::string_view digits = "0123456789abcdef";
  out += digits[static_cast<unsigned char>(*control) >> 4];
  out += digits[static_cast<unsigned char>(*control) & 15];
  auto const before = characters_in(std::string_view(key.begin(), control));
  return out + " at position " + std::to_string(before);
}

KvAnswer no_kv_key(std::string_view why) { return refusal(400, "invalid_key: " + std::string(why)); }

KvAnswer list_kv(store::KvDocument const& document, std::size_t limit, std::size_t offset) {
  auto const state = KvState::parse(document);
  if (!state) return unreadable();
  auto const total = state->entries().size();
  auto const first = std::min(offset, total);
  auto const count = std::min(limit, total - first);
  KvAnswer out;
  JsonWriter w(out.body);
  w.begin_object().key("keys").begin_array();
  for (std::size_t i = first; i < first + count; ++i) w.value(state->entries()[i].key);
  w.end_array().member("count", count).member("limit", limit).member("offset", offset).member("total", total).end_object();
  return out;
}

KvAnswer get_kv(store::KvDocument const& document, std::string_view key, std::string_view path, bool with_meta) {
  auto const state = KvState::parse(document);
  if (!state) return unreadable();
  auto const* entry = state->find(key);
  if (!entry) return refusal(404, "key_not_found");
  KvAnswer out;
  JsonWriter w(out.body);
  w.begin_object().member("key", key);
  if (!path.empty()) {
    auto const segments = parse_kv_path(path);
    if (!segments) return refused(segments.error(), key);
    auto const value = value_at(entry->value, *segments);
    if (!value) return refusal(404, "invalid_path");
    w.member("path", path).key("value").raw(json_of(*value)).end_object();
    return out;
  }
  w.key("value").raw(json_of(entry->value));
  if (with_meta)
    w.member("version", state->version()).member("created_at", entry->created_at).member("updated_at", entry->updated_at);
  w.end_object();
  return out;
}

KvAnswer count_kv(store::KvDocument const& document, std::string_view key) {
  auto const state = KvState::parse(document);
  if (!state) return unreadable();
  auto const* entry = state->find(key);
  if (!entry) return refusal(404, "key_not_found");
  if (!entry->value.is_array()) return refused(KvFault{Kind::not_list, {}}, key);
  KvAnswer out;
  JsonWriter(out.body).begin_object().member("key", key).member("length", entry->value.as_array().size()).end_object();
  return out;
}

KvAnswer change_kv(store::KvDocument const& document, KvOperation const& operation, KvChange const& change) {
  auto state = KvState::parse(document);
  if (!state) return unreadable();
  if (!is_of_version(*state, change.if_version)) return other_version(*change.if_version, state->version());
  auto const now = rfc3339(change.now, 6);
  auto const outcome = state->apply(operation, false, now);
  if (!outcome) return refused(outcome.error(), operation.key);
  if (auto refused_size = too_large(*state, change.limits); outcome->changes && refused_size) return *refused_size;
  KvAnswer out;
  out.status = operation.what == What::set && !outcome->was_there ? 201 : 200;
  out.body = answer_of(operation, *outcome, now);
  if (!outcome->changes) return out;
  bool const is_empty = operation.what == What::remove && state->entries().empty();
  if (is_empty) out.decision = {store::KvDecision::What::remove, {}};
  if (!is_empty) out.decision = {store::KvDecision::What::write, state->written()};
  return out;
}

KvAnswer change_kv_batch(store::KvDocument const& document, std::span<KvOperation const> operations,
                         KvChange const& change) {
  auto state = KvState::parse(document);
  if (!state) return unreadable();
  if (!is_of_version(*state, change.if_version)) return other_version(*change.if_version, state->version());
  auto const now = rfc3339(change.now, 6);
  std::string results;
  JsonWriter list(results);
  list.begin_array();
  for (std::size_t i = 0; i < operations.size(); ++i) {
    auto const& operation = operations[i];
    if (auto const why = why_not_a_kv_key(operation.key)) return batch_refusal(i, operation, *why);
    auto const outcome = state->apply(operation, true, now);
    if (!outcome) return batch_refusal(i, operation, batch_text(outcome.error(), operation.key));
    list.begin_object().member("op", to_string(operation.what)).member("key", operation.key).member("success", true);
    add_outcome(list, operation, *outcome);
    list.end_object();
  }
  list.end_array();
  if (auto refused_size = too_large(*state, change.limits)) return *refused_size;
  KvAnswer out;
  out.decision = {store::KvDecision::What::write, state->written()};
  JsonWriter(out.body).begin_object().member("version", state->version()).key("results").raw(results).end_object();
  return out;
}

}  // namespace nestgate::api
