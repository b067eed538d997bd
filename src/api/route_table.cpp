#include "route_table.hpp"

#include <algorithm>

namespace nestgate::api {
namespace {

// The text up to the next slash, which goes with it.
std::string_view take_segment(std::string_view& text) {
  auto const end = std::min(text.find('/'), text.size());
  auto const segment = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return segment;
}

}  // namespace

std::optional<std::vector<std::string>> match_pattern(std::string_view pattern, std::string_view path) {
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (std::count(path.begin(), path.end(), '/') != std::count(pattern.begin(), pattern.end(), '/')) return std::nullopt;
  std::vector<std::string> taken;
  while (!pattern.empty()) {
    auto const wanted = take_segment(pattern);
    auto const segment = take_segment(path);
    if (wanted.starts_with('{')) {
      if (segment.empty()) return std::nullopt;
      taken.emplace_back(segment);
    } else if (wanted != segment) {
      return std::nullopt;
    }
  }
  return taken;
}

std::string_view method_name(http::Method method) noexcept {
  switch (method) {
    case http::Method::get: return "GET";
    case http::Method::head: return "HEAD";
    case http::Method::post: return "POST";
    case http::Method::put: return "PUT";
    case http::Method::delete_: return "DELETE";
    case http::Method::patch: return "PATCH";
    case http::Method::connect:
    case http::Method::options:
    case http::Method::trace:
    case http::Method::other: return "";
  }
  return "";
}

}  // namespace nestgate::api
