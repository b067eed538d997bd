#include "nestlet/multipart.hpp"

#include <algorithm>

namespace nestgate::nestlet {
namespace {

constexpr std::string_view crlf = "\r\n";

bool iequal(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

// The value of `name=` in a header's parameters, unquoted.
std::optional<std::string> parameter(std::string_view header, std::string_view name) {
  std::size_t at = header.find(';');
  while (at != header.npos) {
    ++at;
    while (at < header.size() && (header[at] == ' ' || header[at] == '\t')) ++at;
    auto const equals = header.find('=', at);
    if (equals == header.npos) return std::nullopt;
    auto const key = header.substr(at, equals - at);
    std::string value;
    std::size_t end = equals + 1;
    if (end < header.size() && header[end] == '"') {
      for (++end; end < header.size() && header[end] != '"'; ++end) {
        if (header[end] == '\\' && end + 1 < header.size()) ++end;
        value.push_back(header[end]);
      }
      at = header.find(';', std::min(end, header.size()));
    } else {
      at = header.find(';', end);
      value = header.substr(end, at == header.npos ? at : at - end);
      while (value.ends_with(' ')) value.pop_back();
    }
    if (iequal(key, name)) return value;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> multipart_boundary(std::string_view content_type) {
  if (!iequal(content_type.substr(0, content_type.find(';')), "multipart/form-data")) return std::nullopt;
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
    lines.remove_prefix(crlf.size());
    auto const line = lines.substr(0, lines.find(crlf));
    lines.remove_prefix(line.size());
    auto const colon = line.find(':');
    if (colon == line.npos || !iequal(line.substr(0, colon), "content-disposition")) continue;
    wanted_ = parameter(line, "name") == field_;
    if (wanted_) filename_ = parameter(line, "filename").value_or("");
  }
  consumed_ += end + 4;
  state_ = State::body;
  return Step::need_more;
}

}  // namespace nestgate::nestlet
