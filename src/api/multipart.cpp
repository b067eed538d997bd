#include "multipart.hpp"

#include "nestgate/http/field.hpp"

namespace nestgate::api {
namespace {

constexpr std::size_t part_head_bytes_max = 8 * 1024;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The parameter of a header value such as `form-data; name="file"; filename=a`. Quoted pairs are taken apart.
std::optional<std::string> parameter(std::string_view value, std::string_view name) {
  auto at = value.find(';');
  while (at != value.npos) {
    value.remove_prefix(at + 1);
    auto const equals = value.find_first_of("=;");
    if (equals == value.npos) return std::nullopt;
    if (value[equals] == ';') {
      at = equals;
      continue;
    }
    bool const wanted = http::equals_ignoring_case(trimmed(value.substr(0, equals)), name);
    value.remove_prefix(equals + 1);
    std::string text;
    if (value.starts_with('"')) {
      std::size_t i = 1;
      for (; i < value.size() && value[i] != '"'; ++i) {
        if (value[i] == '\\' && i + 1 < value.size()) ++i;
        text += value[i];
      }
      if (i == value.size()) return std::nullopt;
      value.remove_prefix(i + 1);
    } else {
      auto const end = std::min(value.find(';'), value.size());
      text = trimmed(value.substr(0, end));
      value.remove_prefix(end);
    }
    if (wanted) return text;
    at = value.find(';');
  }
  return std::nullopt;
}

bool has_type(std::string_view value, std::string_view type) {
  return http::equals_ignoring_case(trimmed(value.substr(0, value.find(';'))), type);
}

// The `name` of the part's Content-Disposition.
std::optional<std::string> field_name(std::string_view head) {
  while (!head.empty()) {
    auto const end = std::min(head.find("\r\n"), head.size());
    std::string_view const line = head.substr(0, end);
    head.remove_prefix(std::min(end + 2, head.size()));
    auto const colon = line.find(':');
    if (colon == line.npos) return std::nullopt;
    if (!http::equals_ignoring_case(line.substr(0, colon), "content-disposition")) continue;
    auto const value = line.substr(colon + 1);
    if (!has_type(value, "form-data")) return std::nullopt;
    return parameter(value, "name");
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> multipart_boundary(std::string_view content_type) {
  if (!has_type(content_type, "multipart/form-data")) return std::nullopt;
  auto boundary = parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > 70) return std::nullopt;
  return boundary;
}

std::optional<std::vector<Part>> parse_multipart(std::string_view body, std::string_view boundary, std::size_t parts_max) {
  std::string const opening = "--" + std::string(boundary);
  std::string const delimiter = "\r\n" + opening;
  if (!body.starts_with(opening)) {  // a preamble is allowed, and ends with a line of its own
    auto const first = body.find(delimiter);
    if (first == body.npos) return std::nullopt;
    body.remove_prefix(first + 2);
  }
  body.remove_prefix(opening.size());
  std::vector<Part> parts;
  while (!body.starts_with("--")) {
    if (!body.starts_with("\r\n") || parts.size() == parts_max) return std::nullopt;
    body.remove_prefix(2);
    auto const head_end = body.substr(0, part_head_bytes_max).find("\r\n\r\n");
    if (head_end == body.npos) return std::nullopt;
    auto name = field_name(body.substr(0, head_end));
    if (!name || name->empty()) return std::nullopt;
    body.remove_prefix(head_end + 4);
    auto const end = body.find(delimiter);
    if (end == body.npos) return std::nullopt;
    parts.push_back(Part{std::move(*name), body.substr(0, end)});
    body.remove_prefix(end + delimiter.size());
  }
  return parts;
}

}  // namespace nestgate::api
