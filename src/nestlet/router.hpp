#pragma once

#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "nestlet/answer.hpp"
#include "nestlet/net.hpp"

namespace nestgate::nestlet {

struct App;
class Request;

// Who may call a route, checked before its body is read.
enum class Access : std::uint8_t {
  open,
  session,            // X-Session-API-Key, or 401 (agent_server.md 1.2)
  session_or_bearer,  // or Authorization: Bearer
  action,             // X-Session-API-Key, or 403 (nested_server.md 5.2)
};

struct Route {
  std::string_view method;
  std::string_view pattern;  // "/api/bash/bash_events/{}": {} is one segment that is not empty
  Access access;
  Task<Answer> (*handle)(App&, Request&);
};

struct Match {
  Route const* route = nullptr;
  std::vector<std::string_view> parameters;  // views into `path`
};
struct NoSuchPath {};
struct WrongMethod {
  std::string allow;
};

// Pure. Earlier routes win, so a literal stands before the {} it would match.
std::variant<Match, NoSuchPath, WrongMethod> find_route(std::span<std::span<Route const> const> tables,
                                                        std::string_view method, std::string_view path);

}  // namespace nestgate::nestlet
