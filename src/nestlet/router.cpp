#include "nestlet/router.hpp"

#include <optional>

namespace nestgate::nestlet {
namespace {

std::string_view take_segment(std::string_view& path) {
  auto const end = path.find('/', 1);
  auto const segment = path.substr(0, end);
  path.remove_prefix(segment.size());
  return segment;  // with its leading slash
}

std::optional<std::vector<std::string_view>> match(std::string_view pattern, std::string_view path) {
  std::vector<std::string_view> parameters;
  while (!pattern.empty() && !path.empty()) {
    auto const want = take_segment(pattern);
    auto const have = take_segment(path);
    if (want == "/{}" && have.size() > 1) {
      parameters.push_back(have.substr(1));
    } else if (want != have) {
      return std::nullopt;
    }
  }
  if (!pattern.empty() || !path.empty()) return std::nullopt;
  return parameters;
}

}  // namespace

std::variant<Match, NoSuchPath, WrongMethod> find_route(std::span<std::span<Route const> const> tables,
                                                        std::string_view method, std::string_view path) {
  std::string allow;
  for (auto const table : tables) {
    for (auto const& route : table) {
      auto parameters = match(route.pattern, path);
      if (!parameters) continue;
      if (route.method == method) return Match{&route, std::move(*parameters)};
      if (!allow.empty()) allow += ", ";
      allow += route.method;
    }
  }
  if (allow.empty()) return NoSuchPath{};
  return WrongMethod{std::move(allow)};
}

}  // namespace nestgate::nestlet
