#include "app/admin_answers.hpp"

#include "nestgate/base/text.hpp"
#include "nestgate/http/fault_status.hpp"

namespace nestgate::app {

AdminAnswer refuse(unsigned status, std::string_view code, std::string message) {
  AdminAnswer out;
  out.status = status;
  out.code = code;
  out.message = std::move(message);
  return out;
}

AdminAnswer not_allowed(std::string allow) {
  auto out = refuse(405, "method_not_allowed", "allowed: " + allow);
  out.allow = std::move(allow);
  return out;
}

AdminAnswer failed(upstream::Failure const& failure) {
  auto const kind = failure.fault.kind;
  return refuse(http::http_status(kind), to_string(kind), failure.reason);
}

AdminAnswer shown(std::string body) {
  AdminAnswer out;
  out.body = std::move(body);
  return out;
}

void time_or_null(codec::JsonWriter& w, std::string_view name,
                  std::optional<std::chrono::system_clock::time_point> const& time) {
  w.text_or_null(name, time ? rfc3339(*time, 3) : std::string());
}

}  // namespace nestgate::app
