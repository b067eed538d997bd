#include "postgres_text.hpp"

#include <algorithm>
#include <cstdint>

#include "nestgate/base/text.hpp"

namespace nestgate::store {
namespace {

constexpr std::size_t sentence_bytes_max = 200;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// How much of `text` is one piece that is passed on as it is: a quoted one, a comment, or one byte.
std::size_t piece(std::string_view text) {
  auto const up_to = [text](std::string_view end, std::size_t from) {
    auto const at = text.find(end, from);
    return at == text.npos ? text.size() : at + end.size();
  };
  if (text.front() == '\'' || text.front() == '"') return up_to(text.substr(0, 1), 1);
  if (text.starts_with("--")) return up_to("\n", 2);
  if (text.starts_with("/*")) return up_to("*/", 2);
  return 1;
}

// An SQLSTATE at the end of the message: "…: FATAL:  28P01".
std::string_view sqlstate_at_end(std::string_view message) {
  constexpr std::size_t size = 5;
  constexpr std::string_view before = ":  ";
  if (message.size() < size + before.size()) return {};
  auto const state = message.substr(message.size() - size);
  bool const is_state =
      std::all_of(state.begin(), state.end(), [](char c) { return is_digit(c) || (c >= 'A' && c <= 'Z'); });
  message.remove_suffix(size);
  return is_state && message.ends_with(before) ? state : std::string_view();
}

// Names of hosts, users and files stand in quotes, addresses in brackets.
std::string without_names(std::string_view text) {
  std::string out;
  char until = 0;
  for (char const c : text) {
    if (until != 0) {
      if (c == until) until = 0;
      continue;
    }
    if (c == '"') {
      until = '"';
      out += "…";
    } else if (c == '(') {
      until = ')';
      out += "…";
    } else {
      out += c >= ' ' && c < 0x7F ? c : ' ';
    }
  }
  return out;
}

}  // namespace

std::string with_dollars(std::string_view statement) {
  constexpr std::string_view skip_locked = "/*skip locked*/", for_update = "/*for update*/";
  std::string out;
  out.reserve(statement.size());
  while (!statement.empty()) {
    bool const is_parameter = statement.size() > 1 && statement[0] == '?' && is_digit(statement[1]);
    auto const size = piece(statement);
    if (is_parameter) {
      out += '$';
    } else if (statement.starts_with(skip_locked)) {
      out += "FOR UPDATE SKIP LOCKED";
    } else if (statement.starts_with(for_update)) {
      out += "FOR UPDATE";
    } else {
      out += statement.substr(0, size);
    }
    statement.remove_prefix(size);
  }
  return out;
}

Refusal refusal_of(std::string_view sqlstate, std::string_view severity) {
  bool const ends = severity == "FATAL" || severity == "PANIC" || sqlstate.starts_with("08") || sqlstate.empty();
  if (ends) return Refusal::of_connection;
  return sqlstate == "40001" || sqlstate == "40P01" ? Refusal::of_moment : Refusal::of_statement;
}

ConnectFault connect_fault_of(std::string_view message) {
  while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.remove_suffix(1);
  auto const state = sqlstate_at_end(message);
  if (state.starts_with("28")) return {true, "the server refuses the user or the password"};
  if (state == "3D000") return {true, "the server has no such database"};
  if (state == "42501") return {true, "the server does not let the user into the database"};
  if (!state.empty()) return {false, "the server takes no connection now (" + std::string(state) + ")"};
  if (message.find("no password supplied") != message.npos)
    return {true, "the server asks for a password, and there is none"};
  constexpr std::string_view failed = "failed: ";
  if (auto const at = message.rfind(failed); at != message.npos) message.remove_prefix(at + failed.size());
  auto sentence = without_names(message.substr(0, message.find('\n')).substr(0, sentence_bytes_max));
  return {false, "the server cannot be reached: " + sentence};
}

}  // namespace nestgate::store
