#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/route_table.hpp"
#include "model.hpp"
#include "nestgate/automation/caller.hpp"
#include "nestgate/proxy/own_routes.hpp"

// What the groups of routes of the automation API are written with.
namespace nestgate::api {

// A request to one of them, past authentication.
struct Call {
  proxy::ApiRequest request;
  std::vector<std::string> taken;              // what the pattern's braces took
  std::optional<automation::Caller> caller{};  // there where the route asks for one; of Access::own, where one was shown
  JsonBody body{};                             // of Body::json
};

enum class Access : std::uint8_t {
  caller,  // an API key, or the local key; the service answers 401 without
  own,     // the route checks a credential of its own, or none
};

enum class Body : std::uint8_t {
  none,  // not looked at
  json,  // parsed; malformed JSON is 422 before anything else
  raw,   // the route's
};

struct Endpoint {
  http::Method method;
  std::string_view pattern;  // below /api/automation: "/v1/{automation_id}"
  Access access;
  Body body;
  std::size_t body_bytes_max;
  std::function<Task<proxy::ApiResponse>(Call)> handler;
  // A literal: what a longer body is told; "": the gateway's own words.
  std::string_view too_large = {};
};

// Routes that belong together. On the control core. What they refer to outlives them.
class EndpointGroup {
 public:
  virtual ~EndpointGroup() = default;
  virtual std::vector<Endpoint> endpoints() = 0;

 protected:
  // `group` outlives the handler; the call goes into the method's own frame.
  template <class Group>
  static std::function<Task<proxy::ApiResponse>(Call)> by(Group* group, Task<proxy::ApiResponse> (Group::*method)(Call)) {
    return [group, method](Call call) { return (group->*method)(std::move(call)); };
  }
};

// 422 with all faults.
proxy::ApiResponse unprocessable(Faults const& faults);
// An empty answer.
proxy::ApiResponse no_content();
// Elsewhere, without a body.
proxy::ApiResponse redirect(unsigned status, std::string location);

}  // namespace nestgate::api
