#include "messages.hpp"

#include <simdjson.h>

#include "nestgate/codec/json_writer.hpp"

namespace nestgate::nested {
namespace {

namespace dom = simdjson::dom;

void text_or_null(codec::JsonWriter& w, std::string_view name, std::string const& value) {
  w.key(name);
  if (value.empty()) {
    w.null();
  } else {
    w.value(value);
  }
}

std::string text_of(dom::object const& object, std::string_view name) {
  std::string_view text;
  return object[name].get_string().get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

CommandOutput output_of(dom::object const& object) {
  CommandOutput output;
  std::int64_t exit_code = 0;
  if (object["exit_code"].get_int64().get(exit_code) == simdjson::SUCCESS) output.exit_code = static_cast<int>(exit_code);
  output.standard_output = text_of(object, "stdout");
  output.standard_error = text_of(object, "stderr");
  return output;
}

}  // namespace

std::string git_providers_body(std::vector<GitToken> const& tokens) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().key("provider_tokens").begin_object();
  for (auto const& token : tokens) {
    w.key(token.provider).begin_object().member("token", token.token.reveal());
    text_or_null(w, "user_id", token.user_id);
    text_or_null(w, "host", token.host);
    w.end_object();
  }
  w.end_object().end_object();
  return out;
}

std::string secret_body(std::string_view name, Secret const& value, std::string_view description) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("name", name).member("value", value.reveal()).member("description", description).end_object();
  return out;
}

std::string command_body(std::string_view command, std::chrono::seconds time_max) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("command", command).member("timeout", time_max.count()).end_object();
  return out;
}

std::string file_part_body(std::string_view boundary, std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + 256);
  out.append("--").append(boundary);
  out +=
      "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"upload\"\r\nContent-Type: "
      "application/octet-stream\r\n\r\n";
  out.append(bytes).append("\r\n--").append(boundary).append("--\r\n");
  return out;
}

std::string query_encoded(std::string_view text) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (char const c : text) {
    bool const plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                       c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      auto const byte = static_cast<unsigned char>(c);
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

bool says_already_exists(std::string_view answer) { return answer.find("already exists") != answer.npos; }

std::optional<std::string> parse_id(std::string_view answer) {
  dom::parser parser;
  std::string_view id;
  if (parser.parse(answer.data(), answer.size())["id"].get_string().get(id) || id.empty()) return std::nullopt;
  return std::string(id);
}

std::optional<CommandOutput> parse_output(std::string_view answer) {
  dom::parser parser;
  dom::object object;
  if (parser.parse(answer.data(), answer.size()).get_object().get(object)) return std::nullopt;
  return output_of(object);
}

std::optional<std::optional<CommandOutput>> parse_newest_output(std::string_view answer) {
  dom::parser parser;
  dom::array items;
  if (parser.parse(answer.data(), answer.size())["items"].get_array().get(items)) return std::nullopt;
  for (auto const item : items) {
    dom::object object;
    if (item.get_object().get(object)) return std::nullopt;
    return std::optional(output_of(object));
  }
  return std::optional<CommandOutput>();
}

}  // namespace nestgate::nested
