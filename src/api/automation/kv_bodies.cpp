#include "kv_bodies.hpp"

#include "json_value.hpp"

namespace nestgate::api {
namespace {

using What = KvOperation::What;

bool is_null(JsonBody const& body) { return body.state() == JsonBody::State::read && body.root().is_null(); }

bool has_value(What what) {
  return what == What::set || what == What::push_left || what == What::push_right || what == What::patch;
}

// What is beyond 64 bits comes as their ends, and is no amount.
Rule<std::int64_t> amount() { return whole(INT64_MIN + 2, INT64_MAX - 1); }

Rule<KvOperation> operation() {
  return [](Value const& value, KvOperation& out) {
    Model in(value, Extra::ignore);
    std::string word;
    auto const names_it = one_of({"set", "delete", "incr", "decr", "lpush", "rpush", "lpop", "rpop", "patch"});
    if (in.need("op", word, names_it)) out.what = parse_kv_operation(word).value_or(What::set);
    in.need("key", out.key, text(1, kv_key_length_max));
    if (has_value(out.what)) in.need("value", out.value, any_value());
    if (out.what == What::increase || out.what == What::decrease) in.may("by", out.by, amount());
    if (out.what == What::patch) in.need("path", out.path, text());
    if (out.what == What::set) {
      in.may("nx", out.only_new, flag());
      in.may("xx", out.only_known, flag());
    }
    if (!in.done()) return false;
    return !(out.only_new && out.only_known) || value.refuse_value("Cannot use both nx and xx");
  };
}

}  // namespace

KvBatch read_kv_batch(Faults& faults, JsonBody const& body) {
  KvBatch out;
  Model in(body_value(faults, body), Extra::ignore);
  in.may("if_version", out.if_version, whole());
  in.need("operations", out.operations, list_of(operation(), 1, kv_operations_max));
  in.done();
  return out;
}

KvOperation read_kv_patch(Faults& faults, JsonBody const& body) {
  KvOperation out;
  out.what = What::patch;
  Model in(body_value(faults, body), Extra::ignore);
  in.need("path", out.path, text());
  in.need("value", out.value, any_value());
  in.done();
  return out;
}

std::int64_t read_kv_by(Faults& faults, JsonBody const& body) {
  std::int64_t by = 1;
  bool const is_none =
      body.state() == JsonBody::State::absent || (body.state() == JsonBody::State::read && body.root().is_null());
  if (is_none) return by;
  Model in(body_value(faults, body), Extra::ignore);
  in.may("by", by, amount());
  in.done();
  return by;
}

event::Value read_kv_pushed(Faults& faults, JsonBody const& body) {
  event::Value out;
  Model in(body_value(faults, body), Extra::ignore);
  in.need("value", out, any_value());
  in.done();
  return out;
}

event::Value read_kv_value(Faults& faults, JsonBody const& body) {
  event::Value out;
  if (is_null(body)) return out;
  if (auto const value = body_value(faults, body)) any_value()(*value, out);
  return out;
}

}  // namespace nestgate::api
