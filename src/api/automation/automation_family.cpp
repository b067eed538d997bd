#include "automation_family.hpp"

#include <algorithm>
#include <deque>

#include "api/answers.hpp"
#include "api/detail_answers.hpp"
#include "authentication.hpp"
#include "cors.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using proxy::ApiRequest;
using proxy::ApiResponse;

constexpr std::string_view root = "/api/automation";

bool is_at_the_root(std::string_view path) { return path == "/sdk-version" || path == "/server_info"; }

// The path below the root; the two routes outside of it are the same below.
std::string_view below_root(std::string_view path) { return is_at_the_root(path) ? path : path.substr(root.size()); }

ApiResponse answer_fault(ModelFault const& fault) {
  Faults faults;
  faults.add(fault);
  return unprocessable(faults);
}

class AutomationFamily final : public RouteFamily {
 public:
  AutomationFamily(std::vector<std::unique_ptr<EndpointGroup>> groups, AutomationApiSettings settings);

  bool covers(std::string_view path) const noexcept override { return is_at_or_below(root, path) || is_at_the_root(path); }
  bool admits_without_api_key(Method, std::string_view) const noexcept override { return true; }
  std::optional<proxy::BodyLimit> body_limit(ApiRequest const& request) const noexcept override;
  Task<ApiResponse> handle(ApiRequest request) override;
  std::vector<RouteName> routes() const override;

 private:
  struct Found {
    Endpoint const* endpoint = nullptr;
    std::vector<std::string> taken;
    std::string allow;  // where the path is known and the method is not
  };
  Found find(Method method, std::string_view path) const;
  Task<ApiResponse> answer_request(ApiRequest request);
  std::optional<ApiResponse> redirect_from_slash(ApiRequest const& request) const;
  Secret const* local_key() const noexcept { return settings_.local_key.get(); }

  std::vector<std::unique_ptr<EndpointGroup>> groups_;
  AutomationApiSettings settings_;
  std::vector<Endpoint> endpoints_;
  std::deque<std::string> whole_patterns_;  // by endpoint
};

AutomationFamily::AutomationFamily(std::vector<std::unique_ptr<EndpointGroup>> groups, AutomationApiSettings settings)
    : groups_(std::move(groups)), settings_(std::move(settings)) {
  for (auto const& group : groups_) {
    for (auto& endpoint : group->endpoints()) {
      whole_patterns_.push_back(std::string(root).append(endpoint.pattern));
      endpoints_.push_back(std::move(endpoint));
    }
  }
}

std::vector<RouteName> AutomationFamily::routes() const {
  std::vector<RouteName> out;
  out.reserve(endpoints_.size() + 2);
  for (std::size_t i = 0; i < endpoints_.size(); ++i)
    out.push_back({endpoints_[i].method, whole_patterns_[i], endpoints_[i].body_bytes_max});
  out.push_back({Method::get, "/sdk-version"});
  out.push_back({Method::get, "/server_info"});
  return out;
}

AutomationFamily::Found AutomationFamily::find(Method method, std::string_view path) const {
  Found found;
  if (path.ends_with('/')) return found;
  std::string_view known;  // the first pattern that the path has: its methods are told
  for (auto const& endpoint : endpoints_) {
    auto taken = match_pattern(endpoint.pattern, path);
    if (!taken) continue;
    if (endpoint.method == method) return {&endpoint, *std::move(taken), {}};
    if (known.empty()) known = endpoint.pattern;
    if (endpoint.pattern != known) continue;
    if (!found.allow.empty()) found.allow += ", ";
    found.allow += method_name(endpoint.method);
    if (endpoint.method == Method::get) found.allow += ", HEAD";
  }
  return found;
}

std::optional<proxy::BodyLimit> AutomationFamily::body_limit(ApiRequest const& request) const noexcept {
  using From = proxy::BodyLimit::From;
  proxy::BodyLimit limit{short_body_bytes_max};
  auto const found = find(request.method, below_root(request.path));
  if (found.endpoint == nullptr) return limit;
  limit.bytes_max = found.endpoint->body_bytes_max;
  limit.refusal = found.endpoint->too_large;
  bool const is_open = found.endpoint->access == Access::own || is_known(request, local_key());
  limit.from = is_open ? From::known : From::strangers;
  return limit;
}

std::optional<ApiResponse> AutomationFamily::redirect_from_slash(ApiRequest const& request) const {
  std::string_view path = below_root(request.path);
  if (!path.ends_with('/')) return std::nullopt;
  path.remove_suffix(1);
  auto const found = find(request.method, path);
  if (found.endpoint == nullptr && found.allow.empty()) return std::nullopt;
  std::string location = request.mount + request.path.substr(0, request.path.size() - 1);
  if (!request.query.empty()) location += "?" + request.query;
  return redirect(307, std::move(location));
}

Task<ApiResponse> AutomationFamily::handle(ApiRequest request) {
  if (auto preflight = answer_preflight(request, settings_.cors_origins)) co_return *std::move(preflight);
  auto more = cross_origin_headers(request, settings_.cors_origins);
  auto response = co_await answer_request(std::move(request));
  std::move(more.begin(), more.end(), std::back_inserter(response.headers));
  response.challenge = ApiResponse::Challenge::no;
  co_return response;
}

Task<ApiResponse> AutomationFamily::answer_request(ApiRequest request) {
  if (auto elsewhere = redirect_from_slash(request)) co_return *std::move(elsewhere);
  auto found = find(request.method, below_root(request.path));
  if (found.endpoint == nullptr) co_return no_such_route(std::move(found.allow));
  Call call;
  if (found.endpoint->body == Body::json) {
    call.body = JsonBody(request.content_type, request.body);
    WipedString().swap(request.body);  // an assignment would keep it
    if (call.body.state() == JsonBody::State::malformed) co_return answer_fault(call.body.fault());
    if (call.body.state() == JsonBody::State::not_text) co_return refusal(400, "There was an error parsing the body");
  }
  auto authentication = authenticate(request, local_key());
  if (!authentication.caller && found.endpoint->access == Access::caller) co_return refusal(401, authentication.refusal);
  call.caller = std::move(authentication.caller);
  call.request = std::move(request);
  call.taken = std::move(found.taken);
  co_return co_await found.endpoint->handler(std::move(call));
}

}  // namespace

std::unique_ptr<RouteFamily> make_automation_family(std::vector<std::unique_ptr<EndpointGroup>> groups,
                                                    AutomationApiSettings settings) {
  return std::make_unique<AutomationFamily>(std::move(groups), std::move(settings));
}

}  // namespace nestgate::api
