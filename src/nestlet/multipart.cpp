#include "nestlet/multipart.hpp"

#include <algorithm>

namespace nestgate::nestlet {
namespace {

constexpr std::string_view crlf = "\r\n";

bool iequal(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  auto const blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

// Takes one parameter off the front of `rest`, up to the next semicolon outside of quotes.
std::string_view take_parameter(std::string_view& rest) {
  bool quoted = false;
  std::size_t end = 0;
  for (; end < rest.size() && (quoted || rest[end] != ';'); ++end) {
    if (rest[end] == '"') quoted = !quoted;
    if (quoted && rest[end] == '\\') ++end;
  }
  auto const item = rest.substr(0, end);
  rest.remove_prefix(std::min(rest.size(), end + 1));
  return item;
}

std::string unquoted(std::string_view text) {
  if (!text.starts_with('"')) return std::string(text);
  std::string out;
  for (std::size_t i = 1; i < text.size() && text[i] != '"'; ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    out.push_back(text[i]);
  }
  return out;
}

// The value of `name=` in a header's parameters, unquoted. Leniently: blanks may be anywhere, and a parameter may be a flag.
std::optional<std::string> parameter(std::string_view header, std::string_view name) {
  take_parameter(header);
  while (!header.empty()) {
    auto const item = take_parameter(header);
    auto const equals = item.find('=');
    if (equals != item.npos && iequal(trimmed(item.substr(0, equals)), name))
      return unquoted(trimmed(item.substr(equals + 1)));
  }
  return std::nullopt;
}

// One header line of a part off the front of `lines`, each of which begins with CRLF; folded ones in one.
std::string take_line(std::string_view& lines) {
  std::string line;
  do {
    lines.remove_prefix(crlf.size());
    auto const piece = lines.substr(0, lines.find(crlf));
    line.append(piece);
    lines.remove_prefix(piece.size());
  } while (lines.size() > crlf.size() && (lines[crlf.size()] == ' ' || lines[crlf.size()] == '\t'));
  return line;
}

}  // namespace

std::optional<std::string> multipart_boundary(std::string_view content_type) {
  auto const type = trimmed(content_type.substr(0, content_type.find(';')));
  if (!iequal(type, "multipart/form-data")) return std::nullopt;
  auto boundary = parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > 70) return std::nullopt;
  return boundary;
}

// The first delimiter has no CRLF before it: read as if the body had begun with one.
MultipartReader::MultipartReader(std::string_view boundary, std::string field)
    : delimiter_(std::string(crlf) + "--" + std::string(boundary)), field_(std::move(field)), buffer_(crlf) {}

void MultipartReader::feed(std::string_view piece) {
  buffer_.erase(0, consumed_);
  consumed_ = 0;
  buffer_.append(piece);
}

MultipartReader::Step MultipartReader::next() {
  for (;;) {
    State const before = state_;
    Step step = Step::field_end;
    switch (state_) {
      case State::body: step = read_body(); break;
      case State::after_delimiter: step = read_after_delimiter(); break;
      case State::head: step = read_head(); break;
      case State::done: break;
    }
    if (step != Step::need_more || state_ == before) return step;
  }
}

MultipartReader::Step MultipartReader::read_body() {
  auto const text = unread();
  auto const at = text.find(delimiter_);
  if (at != text.npos) {
    data_ = text.substr(0, at);
    consumed_ += at + delimiter_.size();
    state_ = State::after_delimiter;
  } else {
    // The end may begin a delimiter that the next piece completes.
    data_ = text.substr(0, text.size() - std::min(text.size(), delimiter_.size() - 1));
    consumed_ += data_.size();
  }
  return wanted_ && !data_.empty() ? Step::data : Step::need_more;
}

MultipartReader::Step MultipartReader::read_after_delimiter() {
  if (wanted_) {
    state_ = State::done;
    return Step::field_end;
  }
  auto text = unread();
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  if (text.size() < 2) return Step::need_more;
  if (text.starts_with("--")) return Step::no_field;
  if (!text.starts_with(crlf)) return Step::malformed;
  consumed_ = buffer_.size() - text.size();  // the CRLF stays: a head may be empty, CRLF CRLF
  state_ = State::head;
  return Step::need_more;
}

MultipartReader::Step MultipartReader::read_head() {
  auto const text = unread();
  auto const end = text.find("\r\n\r\n");
  if (end == text.npos) return text.size() > part_head_bytes_max ? Step::malformed : Step::need_more;
  auto lines = text.substr(0, end);
  while (!lines.empty()) {
    auto const line = take_line(lines);
    auto const name = std::string_view(line).substr(0, line.find(':'));
    if (!iequal(trimmed(name), "content-disposition")) continue;
    wanted_ = parameter(line, "name") == field_;
    if (wanted_) filename_ = parameter(line, "filename").value_or("");
  }
  consumed_ += end + 4;
  state_ = State::body;
  return Step::need_more;
}

}  // namespace nestgate::nestlet
