#include "automation_api.hpp"

#include "answers.hpp"
#include "nestgate/api/list_query.hpp"
#include "run_body.hpp"
#include "shapes.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using proxy::ApiRequest;
using proxy::ApiResponse;

constexpr std::string_view completion_pattern = "/api/automation/v1/runs/{id}/complete";

class AutomationApi final : public RouteFamily {
 public:
  explicit AutomationApi(automation::Service& runs) : runs_(runs) {}

  bool covers(std::string_view path) const noexcept override { return is_at_or_below("/api/automation", path); }
  bool admits_without_api_key(Method method, std::string_view path) const noexcept override {
    return method == Method::post && match_pattern(completion_pattern, path);
  }
  Task<ApiResponse> handle(ApiRequest request) override;
  std::vector<RouteName> routes() const override;

 private:
  using Taken = std::vector<std::string>;
  using Handler = Task<ApiResponse> (AutomationApi::*)(ApiRequest, Taken);
  static std::span<Route<Handler> const> table();

  Task<ApiResponse> submit(ApiRequest request, Taken);
  Task<ApiResponse> list(ApiRequest request, Taken);
  Task<ApiResponse> show(ApiRequest request, Taken taken);
  Task<ApiResponse> complete(ApiRequest request, Taken taken);

  automation::Service& runs_;
};

std::span<Route<AutomationApi::Handler> const> AutomationApi::table() {
  static constexpr Route<Handler> all[] = {
      {Method::get, "/api/automation/v1/runs", &AutomationApi::list},
      {Method::post, "/api/automation/v1/runs", &AutomationApi::submit, any_body_bytes},
      {Method::get, "/api/automation/v1/runs/{id}", &AutomationApi::show},
      {Method::post, completion_pattern, &AutomationApi::complete},
  };
  return all;
}

std::vector<RouteName> AutomationApi::routes() const {
  std::vector<RouteName> out;
  append_names(table(), out);
  return out;
}

Task<ApiResponse> AutomationApi::handle(ApiRequest request) {
  auto found = find_route(table(), request.method, request.path);
  if (!found.route && found.allow.empty()) co_return answer(404, detail_json("Not Found"));
  if (!found.route) co_return not_allowed(std::move(found.allow), detail_json("Method Not Allowed"));
  if (!request.principal && found.route->pattern != completion_pattern)
    co_return answer(401, detail_json("Authentication required"));
  co_return co_await (this->*found.route->handler)(std::move(request), std::move(found.taken));
}

Task<ApiResponse> AutomationApi::submit(ApiRequest request, Taken) {
  auto wanted = parse_run_body(request.content_type, request.body);
  WipedString().swap(request.body);  // an assignment would keep it
  if (!wanted) co_return answer(422, invalid_json(wanted.error()));
  wanted->by = *request.principal;
  wanted->base_url = request.origin + "/api/automation";
  auto run = co_await runs_.submit(std::move(*wanted));
  if (!run) co_return detail_failure(run.error());
  co_return answer(201, run_json(*run));
}

Task<ApiResponse> AutomationApi::list(ApiRequest request, Taken) {
  auto const limit = number_in(request.query, "limit", 50, 1, 100);
  auto const offset = number_in(request.query, "offset", 0, 0, SIZE_MAX);
  if (!limit) co_return answer(422, detail_json("limit: must be 1 to 100"));
  if (!offset) co_return answer(422, detail_json("offset: must be 0 or more"));
  auto page = co_await runs_.list(*request.principal, *limit, *offset);
  if (!page) co_return detail_failure(page.error());
  co_return answer(200, runs_json(*page));
}

Task<ApiResponse> AutomationApi::show(ApiRequest request, Taken taken) {
  auto found = co_await runs_.find(std::move(taken.front()), *request.principal);
  if (!found) co_return detail_failure(found.error());
  co_return answer(200, run_json(*found));
}

Task<ApiResponse> AutomationApi::complete(ApiRequest request, Taken taken) {
  auto report = parse_report_body(request.body);
  if (!report) co_return answer(422, invalid_json(report.error()));
  automation::Reporter by;
  by.principal = std::move(request.principal);
  by.token = std::move(request.bearer);
  auto run = co_await runs_.report(std::move(taken.front()), std::move(*report), std::move(by));
  if (!run) co_return detail_failure(run.error());
  co_return answer(200, run_json(*run));
}

}  // namespace

std::unique_ptr<RouteFamily> make_automation_api(automation::Service& runs) { return std::make_unique<AutomationApi>(runs); }

}  // namespace nestgate::api
