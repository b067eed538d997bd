#include "nestgate/api/control_api.hpp"

#include <algorithm>

#include "answers.hpp"
#include "api/automation/automation_family.hpp"
#include "api/automation/automations.hpp"
#include "api/automation/capabilities.hpp"
#include "api/automation/completion_endpoints.hpp"
#include "api/automation/event_endpoints.hpp"
#include "api/automation/kv_endpoints.hpp"
#include "api/automation/preset_endpoints.hpp"
#include "api/automation/runs.hpp"
#include "api/automation/service_routes.hpp"
#include "api/automation/source_endpoints.hpp"
#include "api/automation/uploads.hpp"
#include "cloud_api.hpp"
#include "conversation_api.hpp"
#include "document_api.hpp"
#include "families.hpp"
#include "runtime_api.hpp"
#include "static_routes_api.hpp"
#include "user_api.hpp"
#include "webhook_api.hpp"

namespace nestgate::api {
namespace {

using proxy::ApiRequest;
using proxy::ApiResponse;

class ControlApi final : public proxy::OwnRoutes {
 public:
  explicit ControlApi(std::vector<std::unique_ptr<RouteFamily>> families) : families_(std::move(families)) {
    for (auto const& family : families_) {
      for (auto const& route : family->routes()) routes_.push_back(route);
    }
  }

  bool admits_without_api_key(http::Method method, std::string_view path) const noexcept override {
    auto const* const family = family_of(path);
    return family != nullptr && family->admits_without_api_key(as_asked(method), path);
  }

  proxy::BodyLimit body_limit(ApiRequest const& request) const noexcept override {
    proxy::BodyLimit limit{short_body_bytes_max};
    auto const* const family = family_of(request.path);
    if (family == nullptr) return limit;
    if (auto const own = family->body_limit(request)) return *own;
    if (request.principal && !family->is_open_to(request.principal->role)) return limit;
    auto const route = std::find_if(routes_.begin(), routes_.end(), [&](RouteName const& one) {
      return one.method == request.method && match_pattern(one.pattern, request.path);
    });
    if (route != routes_.end()) limit.bytes_max = route->body_bytes_max;
    return limit;
  }

  Task<ApiResponse> handle(ApiRequest request) override {
    request.method = as_asked(request.method);
    auto* const family = family_of(request.path);
    if (family == nullptr) co_return error(request, 404, "not_found", "there is no such route");
    co_return co_await family->handle(std::move(request));
  }

 private:
  // HEAD is answered as GET; the proxy leaves the body out.
  static http::Method as_asked(http::Method method) noexcept {
    return method == http::Method::head ? http::Method::get : method;
  }
  RouteFamily* family_of(std::string_view path) const noexcept {
    for (auto const& family : families_) {
      if (family->covers(path)) return family.get();
    }
    return nullptr;
  }

  std::vector<std::unique_ptr<RouteFamily>> families_;
  std::vector<RouteName> routes_;  // of them all
};

// Those with fixed segments before those that take any.
std::vector<std::unique_ptr<EndpointGroup>> automation_groups(Surroundings const& with) {
  std::vector<std::unique_ptr<EndpointGroup>> out;
  out.push_back(make_service_routes(with.runs, with.settings.automation));
  out.push_back(make_uploads(with.runs));
  out.push_back(make_completion_endpoints(with.runs));
  auto const& settings = with.settings.automation;
  out.push_back(make_preset_endpoints(with.runs));
  out.push_back(make_event_endpoints(with.runs, settings, with.event_stats));
  out.push_back(make_source_endpoints(with.runs, settings));
  out.push_back(make_capability_endpoints(with.runs, settings));
  out.push_back(make_kv_endpoints(with.runs, {settings.kv_document_bytes_max}));
  out.push_back(make_runs(with.runs, settings.local_key));
  out.push_back(make_automations(with.runs));
  return out;
}

}  // namespace

std::vector<std::unique_ptr<RouteFamily>> make_families(Surroundings const& with) {
  auto const secrets = std::make_shared<KnownSecrets>(with.store, with.settings.cloud.secrets_age_max);
  std::vector<std::unique_ptr<RouteFamily>> out;
  out.push_back(make_conversation_api(with.manager, with.publisher, ImageRule(with.settings.runtime.images)));
  out.push_back(make_automation_family(automation_groups(with), with.settings.automation));
  out.push_back(make_static_routes_api(with.manager));
  out.push_back(make_document_api());
  out.push_back(make_cloud_api(with.manager, secrets, with.settings.cloud, with.audit));
  out.push_back(make_user_api(with.manager, with.store, secrets, with.audit));
  out.push_back(make_webhook_api(with.manager, with.settings.webhooks));
  out.push_back(make_runtime_api(with.manager, with.settings.runtime));
  return out;
}

std::unique_ptr<proxy::OwnRoutes> make_control_api(Surroundings const& surroundings) {
  return std::make_unique<ControlApi>(make_families(surroundings));
}

}  // namespace nestgate::api
