#include "answers.hpp"

#include "nestgate/http/fault_status.hpp"
#include "shapes.hpp"

namespace nestgate::api {

using proxy::ApiRequest;
using proxy::ApiResponse;
using upstream::Failure;

namespace {

ApiResponse with_retry_hint(ApiResponse response, FaultKind kind) {
  bool const is_for_later = kind == FaultKind::overloaded || kind == FaultKind::unavailable;
  if (is_for_later) response.headers.emplace_back("Retry-After", "5");
  return response;
}

unsigned status_of(FaultKind kind) { return kind == FaultKind::bad_input ? 422 : http::http_status(kind); }

}  // namespace

ApiResponse answer(unsigned status, std::string body) {
  ApiResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

ApiResponse error(ApiRequest const& request, unsigned status, std::string_view code, std::string_view message) {
  return answer(status, error_json(code, message, request.request_id));
}

ApiResponse failure(ApiRequest const& request, Failure const& failure) {
  auto const kind = failure.fault.kind;
  if (failure.limit != 0) {
    ApiResponse refused = answer(429, limit_json(failure, request.request_id));
    return with_retry_hint(std::move(refused), kind);
  }
  return with_retry_hint(error(request, status_of(kind), to_string(kind), failure.reason), kind);
}

ApiResponse detail_failure(Failure const& failure) {
  auto const kind = failure.fault.kind;
  return with_retry_hint(answer(status_of(kind), detail_json(failure.reason)), kind);
}

ApiResponse not_allowed(std::string allow, std::string body) {
  ApiResponse response = answer(405, std::move(body));
  response.headers.emplace_back("Allow", std::move(allow));
  return response;
}

ApiResponse not_allowed(ApiRequest const& request, std::string const& allow) {
  return not_allowed(allow, error_json("method_not_allowed", "allowed: " + allow, request.request_id));
}

}  // namespace nestgate::api
