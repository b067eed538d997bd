#include "nestgate/codec/wire_messages.hpp"

#include <simdjson.h>

#include "nestgate/codec/json_writer.hpp"

namespace nestgate::codec {
namespace {

// Depth is bounded by simdjson (1024), size by the caller.
std::optional<simdjson::dom::object> parse_object(simdjson::dom::parser& parser, std::string_view json) {
  simdjson::dom::element document;
  simdjson::dom::object object;
  if (parser.parse(json.data(), json.size()).get(document) || document.get(object)) return std::nullopt;
  return object;
}

}  // namespace

std::optional<Secret> session_key_in_auth_frame(std::string_view json) {
  simdjson::dom::parser parser;
  auto const object = parse_object(parser, json);
  std::string_view type, key;
  if (!object || (*object)["type"].get(type) || type != "auth" || (*object)["session_api_key"].get(key)) return std::nullopt;
  return Secret(std::string(key));
}

std::string auth_frame(std::string_view session_key) {
  std::string out;
  JsonWriter(out).begin_object().member("type", "auth").member("session_api_key", session_key).end_object();
  return out;
}

std::optional<std::string> conversation_id_in_answer(std::string_view json) {
  simdjson::dom::parser parser;
  auto const object = parse_object(parser, json);
  std::string_view id;
  if (!object || ((*object)["conversation_id"].get(id) && (*object)["id"].get(id))) return std::nullopt;
  return std::string(id);
}

std::optional<std::string> engine_io_sid(std::string_view payload) {
  constexpr std::string_view mark = R"("sid":")";
  auto at = payload.find(mark);
  if (at == payload.npos) return std::nullopt;
  at += mark.size();
  auto const end = payload.find('"', at);
  constexpr std::size_t sid_length_max = 64;
  if (end == payload.npos || end == at || end - at > sid_length_max) return std::nullopt;
  return std::string(payload.substr(at, end - at));
}

}  // namespace nestgate::codec
