#include "run_body.hpp"

#include <simdjson.h>

#include <charconv>
#include <set>

#include "api/body_values.hpp"
#include "api/multipart.hpp"
#include "nestgate/http/field.hpp"
#include "nestgate/http/route.hpp"
#include "nestgate/identity/base64.hpp"

namespace nestgate::api {
namespace {

namespace dom = simdjson::dom;
using automation::RunRequest;

constexpr std::size_t parts_max = 16;
constexpr std::string_view extra = "Extra inputs are not permitted";

Checked<dom::object> object_in(dom::parser& parser, std::string_view json, std::string const& field) {
  NESTGATE_TRY(root, json_of(parser, json, field));
  dom::object object;
  if (root.get_object().get(object)) return Invalid("dict_type", field, "Input should be an object");
  return object;
}

Checked<std::string> string_of(dom::element value, std::string const& field) {
  std::string_view text;
  if (value.get_string().get(text)) return Invalid("string_type", field, "Input should be a valid string");
  return std::string(text);
}

Checked<std::vector<std::pair<std::string, Secret>>> environment_of(dom::object members) {
  std::vector<std::pair<std::string, Secret>> out;
  for (auto const [name, value] : members) {
    NESTGATE_TRY(text, string_of(value, "env." + std::string(name)));
    out.emplace_back(std::string(name), Secret(std::move(text)));
  }
  return out;
}

// The members that both forms share. False: it is none of them.
Checked<bool> set_text(RunRequest& out, std::string_view name, std::string text) {
  if (name == "entrypoint") {
    out.entrypoint = std::move(text);
  } else if (name == "setup_script") {
    out.setup_script = std::move(text);
  } else if (name == "callback_url") {
    out.callback_url = std::move(text);
  } else if (name == "conversation_id") {
    out.conversation = ConversationId::parse(text);
    if (!out.conversation)
      return Invalid("string_pattern_mismatch", "conversation_id", std::string(http::why_not_an_id(text).value()));
  } else {
    return false;
  }
  return true;
}

Checked<RunRequest> parse_form(std::string_view body, std::string_view boundary) {
  auto const parts = parse_multipart(body, boundary, parts_max);
  if (!parts)
    return Invalid("value_error", "", "is not multipart/form-data of at most " + std::to_string(parts_max) + " named parts");
  RunRequest out;
  std::set<std::string_view> seen;
  for (auto const& part : *parts) {
    if (!seen.insert(part.name).second) return Invalid("value_error", part.name, "is given twice");
    if (part.name == "tarball") {
      out.tarball = part.body;
    } else if (part.name == "env") {
      dom::parser parser;
      NESTGATE_TRY(members, object_in(parser, part.body, "env"));
      NESTGATE_TRY(variables, environment_of(members));
      out.environment = std::move(variables);
    } else if (part.name == "timeout") {
      std::int64_t seconds = 0;
      auto const [end, ec] = std::from_chars(part.body.data(), part.body.data() + part.body.size(), seconds);
      if (ec != std::errc{} || end != part.body.data() + part.body.size())
        return Invalid("int_parsing", "timeout", "Input should be a valid integer");
      out.time_max_s = seconds;
    } else {
      NESTGATE_TRY(known, set_text(out, part.name, std::string(part.body)));
      if (!known) return Invalid("extra_forbidden", part.name, std::string(extra));
    }
  }
  return out;
}

Checked<RunRequest> parse_json(std::string_view body) {
  dom::parser parser;
  NESTGATE_TRY(members, object_in(parser, body, ""));
  RunRequest out;
  for (auto const [key, value] : members) {
    std::string const field(key);
    if (value.is_null()) continue;
    if (key == "tarball_base64") {
      NESTGATE_TRY(text, string_of(value, field));
      auto bytes = identity::decode_base64(text);
      if (!bytes) return Invalid("value_error", field, "must be padded base64");
      out.tarball = std::move(*bytes);
    } else if (key == "env") {
      dom::object environment;
      if (value.get_object().get(environment)) return Invalid("dict_type", field, "Input should be an object");
      NESTGATE_TRY(variables, environment_of(environment));
      out.environment = std::move(variables);
    } else if (key == "timeout") {
      std::int64_t seconds = 0;
      if (value.get_int64().get(seconds)) return Invalid("int_type", field, "Input should be a valid integer");
      out.time_max_s = seconds;
    } else {
      NESTGATE_TRY(text, string_of(value, field));
      NESTGATE_TRY(known, set_text(out, key, std::move(text)));
      if (!known) return Invalid("extra_forbidden", field, std::string(extra));
    }
  }
  return out;
}

}  // namespace

Checked<RunRequest> parse_run_body(std::string_view content_type, std::string_view body) {
  if (auto const boundary = multipart_boundary(content_type)) return parse_form(body, *boundary);
  std::string_view const type = content_type.substr(0, content_type.find_first_of("; \t"));
  if (http::equals_ignoring_case(type, "application/json")) return parse_json(body);
  return Invalid("value_error", "", "Content-Type must be multipart/form-data with a boundary, or application/json");
}

}  // namespace nestgate::api
