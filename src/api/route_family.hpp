#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "nestgate/proxy/own_routes.hpp"
#include "route_table.hpp"

namespace nestgate::api {

// The routes below one path, with their own rules and shapes of errors. On the control core, but for what is said to be
// pure.
class RouteFamily {
 public:
  virtual ~RouteFamily() = default;
  // Pure; any core.
  virtual bool covers(std::string_view path) const noexcept = 0;
  // As OwnRoutes has it, of a path that it covers.
  virtual bool admits_without_api_key(http::Method, std::string_view /*path*/) const noexcept { return false; }
  // Whether a key of this role may use any of them; pure, any core.
  virtual bool is_open_to(identity::Role) const noexcept { return true; }
  // As OwnRoutes has it; nothing: that of its route, whoever asks.
  virtual std::optional<proxy::BodyLimit> body_limit(proxy::ApiRequest const&) const noexcept { return std::nullopt; }
  virtual Task<proxy::ApiResponse> handle(proxy::ApiRequest request) = 0;
  virtual std::vector<RouteName> routes() const = 0;
};

// `root` itself or anything below it.
constexpr bool is_at_or_below(std::string_view root, std::string_view path) noexcept {
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}

}  // namespace nestgate::api
