#include "nestgate/http/chunked.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "http/scan.hpp"

namespace nestgate::http {
namespace {

// White space, visible ASCII and obs-text.
constexpr bool is_text_char(char c) noexcept { return !scan::is_control(c); }

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) noexcept {
  return equals_ignoring_case(text.substr(0, prefix.size()), prefix);
}

// RFC 9110 section 6.5.1: what frames, routes, authenticates, or says how the content is to be read cannot come late. All
// that the gateway looks at is of that kind, and so are these.
bool may_be_trailer(std::string_view name) noexcept {
  constexpr std::array<std::string_view, 6> families = {"content-", "x-forwarded-", "sec-websocket-",
                                                        "if-",      "proxy-",       "www-"};
  constexpr std::array<std::string_view, 6> names = {"range", "cache-control", "pragma", "max-forwards", "age", "vary"};
  auto starts = [name](std::string_view family) { return starts_with_ignoring_case(name, family); };
  auto equals = [name](std::string_view other) { return equals_ignoring_case(name, other); };
  return field_id(name) == FieldId::other && std::none_of(families.begin(), families.end(), starts) &&
         std::none_of(names.begin(), names.end(), equals);
}

}  // namespace

Refusal ChunkScanner::take_size(char c) noexcept {
  if (int const digit = scan::hex_value(c); digit >= 0) {
    if (++digits_ > 16) return Refusal::bad_chunk_size;
    left_ = left_ << 4 | static_cast<std::uint64_t>(digit);
    return Refusal::none;
  }
  if (digits_ == 0) return Refusal::bad_chunk_size;
  if (c == '\r') {
    state_ = State::size_lf;
  } else if (c == ';' || scan::is_white_space(c)) {
    state_ = State::extension_space;
    return take_extension(c);
  } else {
    return Refusal::bad_chunk_size;
  }
  return Refusal::none;
}

// chunk-ext of RFC 9112 section 7.1.1, with the white space that a recipient must bear with. A CR ends the line wherever an
// extension may end.
Refusal ChunkScanner::take_extension(char c) noexcept {
  if (++extension_bytes_ > limits_.extension_bytes_max) return Refusal::bad_chunk_extension;
  bool const space = scan::is_white_space(c);
  bool may_end = false;
  bool accepted = false;
  auto go = [&](State next) {
    state_ = next;
    accepted = true;
  };
  switch (state_) {
    case State::extension_space:
      if (space) go(State::extension_space);
      if (c == ';') go(State::extension_start);
      break;
    case State::extension_start:
      if (space) go(State::extension_start);
      if (scan::is_token_char(c)) go(State::extension_name);
      break;
    case State::extension_name:
    case State::extension_equals:
      may_end = state_ == State::extension_name;
      if (scan::is_token_char(c) && state_ == State::extension_name) go(State::extension_name);
      if (space) go(State::extension_equals);
      if (c == '=') go(State::extension_value_start);
      if (c == ';') go(State::extension_start);
      break;
    case State::extension_value_start:
      if (space) go(State::extension_value_start);
      if (c == '"') go(State::extension_quoted);
      if (scan::is_token_char(c)) go(State::extension_value);
      break;
    case State::extension_value:
    case State::extension_end:
      may_end = true;
      if (scan::is_token_char(c) && state_ == State::extension_value) go(State::extension_value);
      if (space) go(State::extension_space);
      if (c == ';') go(State::extension_start);
      break;
    case State::extension_quoted:
      if (is_text_char(c))
        go(c == '"' ? State::extension_end : c == '\\' ? State::extension_escape : State::extension_quoted);
      break;
    case State::extension_escape:
      if (is_text_char(c)) go(State::extension_quoted);
      break;
    default: break;
  }
  if (may_end && c == '\r') go(State::size_lf);
  return accepted ? Refusal::none : Refusal::bad_chunk_extension;
}

Refusal ChunkScanner::end_size_line() noexcept {
  digits_ = 0;
  state_ = left_ == 0 ? State::trailer_start : State::data;
  return Refusal::none;
}

Refusal ChunkScanner::take_trailer(char c) noexcept {
  if (++trailer_bytes_ > limits_.trailer_bytes_max) return Refusal::trailer_too_large;
  switch (state_) {
    case State::trailer_start:
      name_length_ = 0;
      state_ = State::trailer_name;
      [[fallthrough]];
    case State::trailer_name:
      if (c == ':') {
        if (name_length_ == 0 || !may_be_trailer({name_.data(), name_length_})) return Refusal::bad_trailer;
        state_ = State::trailer_value;
        return Refusal::none;
      }
      if (!scan::is_token_char(c)) return Refusal::bad_trailer;
      if (name_length_ < name_.size()) name_[name_length_++] = c;
      return Refusal::none;
    case State::trailer_value:
      if (c == '\r') {
        state_ = State::trailer_lf;
        return Refusal::none;
      }
      return is_text_char(c) ? Refusal::none : Refusal::bad_trailer;
    default: return Refusal::bad_trailer;
  }
}

Refusal ChunkScanner::take(char c) noexcept {
  switch (state_) {
    case State::size: return take_size(c);
    case State::extension_space:
    case State::extension_start:
    case State::extension_name:
    case State::extension_equals:
    case State::extension_value_start:
    case State::extension_value:
    case State::extension_quoted:
    case State::extension_escape:
    case State::extension_end: return take_extension(c);
    case State::size_lf: return c == '\n' ? end_size_line() : Refusal::bad_chunk_size;
    case State::data_cr: state_ = State::data_lf; return c == '\r' ? Refusal::none : Refusal::bad_chunk_end;
    case State::data_lf: state_ = State::size; return c == '\n' ? Refusal::none : Refusal::bad_chunk_end;
    case State::trailer_start:
      if (c == '\r') {
        state_ = State::end_lf;
        return Refusal::none;
      }
      return take_trailer(c);
    case State::trailer_name:
    case State::trailer_value: return take_trailer(c);
    case State::trailer_lf: state_ = State::trailer_start; return c == '\n' ? Refusal::none : Refusal::bad_trailer;
    case State::end_lf: state_ = State::done; return c == '\n' ? Refusal::none : Refusal::bad_chunk_end;
    case State::data:
    case State::done:
    case State::refused: break;
  }
  return why_;
}

ChunkScanner::Step ChunkScanner::advance(std::string_view piece, std::string_view& payload) noexcept {
  Step step;
  if (state_ == State::refused) {
    step.why = why_;
    return step;
  }
  std::size_t at = 0;
  while (at < piece.size() && state_ != State::done) {
    if (state_ == State::data) {
      payload = piece.substr(at, static_cast<std::size_t>(std::min<std::uint64_t>(left_, piece.size() - at)));
      at += payload.size();
      left_ -= payload.size();
      if (left_ == 0) state_ = State::data_cr;
      break;
    }
    Refusal const why = take(piece[at]);
    if (why != Refusal::none) {
      state_ = State::refused;
      step.why = why_ = why;
      break;
    }
    ++at;
  }
  step.consumed = static_cast<std::uint32_t>(at);
  return step;
}

ChunkScanner::Step ChunkScanner::feed(std::string_view piece) noexcept {
  return feed(piece, [](std::string_view) {});
}

void append_chunk(std::string& out, std::string_view payload) {
  std::array<char, 16> digits;
  auto const end = std::to_chars(digits.data(), digits.data() + digits.size(), payload.size(), 16).ptr;
  out.append(digits.data(), end).append("\r\n").append(payload).append("\r\n");
}

}  // namespace nestgate::http
