#include "runtime_body.hpp"

#include <simdjson.h>

#include "body_values.hpp"
#include "nestgate/base/result.hpp"
#include "nestgate/http/route.hpp"
#include "wish_body.hpp"

namespace nestgate::api {
namespace {

namespace dom = simdjson::dom;

Checked<ConversationId> session_of(dom::element value) {
  NESTGATE_TRY(text, line_of(value, "session_id", ConversationId::length_max));
  if (auto const why = http::why_not_an_id(text)) return Invalid("string_pattern_mismatch", "session_id", std::string(*why));
  return *ConversationId::parse(text);
}

Checked<std::vector<std::string>> command_line_of(std::string_view line) {
  if (line.size() > value_bytes_max) return over("string_too_long", "command", value_bytes_max);
  if (line.find('\0') != line.npos) return Invalid("string_pattern_mismatch", "command", "must not have NUL bytes");
  auto words = split_command(line);
  if (!words) return Invalid("value_error", "command", "must not leave a quote open");
  return *std::move(words);
}

}  // namespace

std::optional<std::vector<std::string>> split_command(std::string_view line) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = '\0';
  for (std::size_t i = 0; i < line.size(); ++i) {
    char const c = line[i];
    bool const is_space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (quote == '\0' && is_space) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (c == quote) {
      quote = '\0';
    } else if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == '\\' && quote != '\'') {
      if (++i == line.size()) return std::nullopt;
      bool const is_kept = quote == '"' && line[i] != '"' && line[i] != '\\';
      if (is_kept) words.back() += '\\';
      words.back() += line[i];
    } else {
      words.back() += c;
    }
  }
  if (quote != '\0') return std::nullopt;
  return words;
}

Checked<RuntimeStartBody> parse_runtime_start_body(std::string_view body) {
  dom::parser parser;
  NESTGATE_TRY(members, members_of(parser, body));
  std::optional<ConversationId> session;
  runtime::Wish wish;
  for (auto const [key, value] : members) {
    std::string_view line;
    if (value.is_null()) continue;
    if (key == "session_id") {
      NESTGATE_TRY(id, session_of(value));
      session = std::move(id);
    } else if (key == "command" && !value.get_string().get(line)) {
      NESTGATE_TRY(words, command_line_of(line));
      wish.command = std::move(words);
    } else if (auto taken = take_wish(wish, key, value); !taken) {
      return taken.error();
    }
  }
  if (!session) return Invalid("missing", "session_id", "Field required");
  return RuntimeStartBody{*std::move(session), std::move(wish)};
}

Checked<std::string> parse_runtime_id_body(std::string_view body) {
  dom::parser parser;
  NESTGATE_TRY(members, members_of(parser, body));
  dom::element value;
  if (members.at_key("runtime_id").get(value)) return Invalid("missing", "runtime_id", "Field required");
  return line_of(value, "runtime_id", ConversationId::length_max);
}

}  // namespace nestgate::api
