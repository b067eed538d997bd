#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/http/head.hpp"

// Routes as tables: which one a request is for, and which methods its path has. Pure.
namespace nestgate::api {

// What a route takes that says nothing else: one without a body, or with a few short members.
inline constexpr std::size_t short_body_bytes_max = 64 * 1024;
// Only the settings' limits hold.
inline constexpr std::size_t any_body_bytes = SIZE_MAX;

// A route by name: "POST /api/conversations/{id}/stop".
struct RouteName {
  http::Method method;
  std::string_view pattern;
  std::size_t body_bytes_max = short_body_bytes_max;
};

// A segment of `pattern` in braces takes any segment that is not empty.
template <class Handler>
struct Route {
  http::Method method;
  std::string_view pattern;
  Handler handler;
  std::size_t body_bytes_max = short_body_bytes_max;
};

// What the braces took, in their order; nothing when the path is another. One slash at the end is as none.
std::optional<std::vector<std::string>> match_pattern(std::string_view pattern, std::string_view path);
// "GET"; empty for what no route has.
std::string_view method_name(http::Method method) noexcept;

template <class Handler>
struct FoundRoute {
  Route<Handler> const* route = nullptr;
  std::vector<std::string> taken;
  std::string allow;  // where the path is known and the method is not: those that it has
};

template <class Handler>
FoundRoute<Handler> find_route(std::span<Route<Handler> const> table, http::Method method, std::string_view path) {
  FoundRoute<Handler> found;
  for (auto const& route : table) {
    auto taken = match_pattern(route.pattern, path);
    if (!taken) continue;
    if (route.method == method) return {&route, *std::move(taken), {}};
    if (!found.allow.empty()) found.allow += ", ";
    found.allow += method_name(route.method);
    if (route.method == http::Method::get) found.allow += ", HEAD";
  }
  return found;
}

template <class Handler>
void append_names(std::span<Route<Handler> const> table, std::vector<RouteName>& out) {
  for (auto const& route : table) out.push_back({route.method, route.pattern, route.body_bytes_max});
}

}  // namespace nestgate::api
