#include "service_routes.hpp"

#include "api/answers.hpp"
#include "api/detail_answers.hpp"
#include "api/document_api.hpp"
#include "json_members.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using proxy::ApiResponse;

// The release whose routes these are.
constexpr std::string_view package_version = "1.8.0";
constexpr std::string_view consent_key = "telemetry_consent";
constexpr auto store_answer_max = std::chrono::seconds(1);  // a probe does not wait for long
constexpr std::size_t consents_max = 1'000;
constexpr std::string_view no_git_sync = "Git sync is not part of this service: automations live in the gateway's store";
constexpr std::string_view no_drafts =
    "Drafts are not part of this service: check a draft with POST /v1/validate, or create it with enabled=false";
constexpr std::string_view no_plugin_spec = "Plugin specifications are not part of this service";

std::string member_json(std::string_view name, std::string_view value) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member(name, value).end_object();
  return out;
}

class ServiceRoutes final : public EndpointGroup {
 public:
  ServiceRoutes(automation::Service& service, std::string sdk_version)
      : service_(service), sdk_version_(std::move(sdk_version)) {}
  std::vector<Endpoint> endpoints() override;

 private:
  Task<ApiResponse> health(Call call);
  Task<ApiResponse> ready(Call call);
  Task<ApiResponse> sdk_version(Call call);
  Task<ApiResponse> server_info(Call call);
  Task<ApiResponse> document(Call call);
  Task<ApiResponse> consent(Call call);
  Task<ApiResponse> git_sync(Call call);
  Task<ApiResponse> draft(Call call);
  Task<ApiResponse> plugin_spec(Call call);

  automation::Service& service_;
  std::string sdk_version_;
};

std::vector<Endpoint> ServiceRoutes::endpoints() {
  auto const max = short_body_bytes_max;
  auto const open = [&](std::string_view pattern, Task<ApiResponse> (ServiceRoutes::*method)(Call)) {
    return Endpoint{Method::get, pattern, Access::own, Body::none, max, by(this, method)};
  };
  auto const guarded = [&](Method verb, std::string_view pattern, Task<ApiResponse> (ServiceRoutes::*method)(Call)) {
    return Endpoint{verb, pattern, Access::caller, Body::none, max, by(this, method)};
  };
  using Self = ServiceRoutes;
  return {
      open("/health", &Self::health),
      open("/ready", &Self::ready),
      open("/sdk-version", &Self::sdk_version),
      open("/server_info", &Self::server_info),
      open("/openapi.json", &Self::document),
      {Method::post, "/v1/telemetry/consent", Access::caller, Body::json, max, by(this, &Self::consent)},
      guarded(Method::get, "/v1/git-sync/status", &Self::git_sync),
      guarded(Method::put, "/v1/git-sync/config", &Self::git_sync),
      guarded(Method::post, "/v1/git-sync/check", &Self::git_sync),
      guarded(Method::post, "/v1/git-sync/sync", &Self::git_sync),
      guarded(Method::get, "/v1/drafts", &Self::draft),
      guarded(Method::post, "/v1/drafts", &Self::draft),
      guarded(Method::get, "/v1/drafts/{draft_id}", &Self::draft),
      guarded(Method::patch, "/v1/drafts/{draft_id}", &Self::draft),
      guarded(Method::delete_, "/v1/drafts/{draft_id}", &Self::draft),
      guarded(Method::post, "/v1/drafts/{draft_id}/dispatch", &Self::draft),
      guarded(Method::post, "/v1/plugin-spec", &Self::plugin_spec),
  };
}

Task<ApiResponse> ServiceRoutes::health(Call) { co_return answer(200, R"({"status":"ok"})"); }

Task<ApiResponse> ServiceRoutes::ready(Call) {
  bool const is_there = co_await service_.is_store_there(Deadline::in(store_answer_max));
  if (is_there) co_return answer(200, R"({"status":"ready"})");
  co_return answer(503, R"({"status":"not_ready","error":"database unavailable"})");
}

Task<ApiResponse> ServiceRoutes::sdk_version(Call) { co_return answer(200, member_json("version", sdk_version_)); }

Task<ApiResponse> ServiceRoutes::server_info(Call) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("package_version", package_version).member("sdk_version", sdk_version_).end_object();
  co_return answer(200, std::move(out));
}

Task<ApiResponse> ServiceRoutes::document(Call) { co_return answer(200, std::string(openapi_document())); }

// Kept by the front end's id; nothing is ever sent anywhere.
Task<ApiResponse> ServiceRoutes::consent(Call call) {
  Faults faults;
  Model in(body_value(faults, call.body));
  bool granted = false;
  std::optional<std::string> id;
  in.need("consent_granted", granted, flag());
  in.may("frontend_distinct_id", id, text(0, 256));
  in.done();
  if (!faults.empty()) co_return unprocessable(faults);
  auto known = co_await service_.rows().metadata(std::string(consent_key));
  if (!known) co_return detail_failure(known.error());
  JsonMembers consents(known->reveal());  // tidy-ok(reveal): who agreed to what is no secret, its column is
  if (consents.count() >= consents_max && consents.find(id.value_or("")).empty())
    co_return refusal(409, "Consent of " + std::to_string(consents_max) + " front ends is kept already");
  consents.set(id.value_or(""), granted ? "true" : "false");
  bool const is_any_granted = consents.has_value("true");
  auto kept = co_await service_.rows().put_metadata(std::string(consent_key), Secret(consents.json()));
  if (!kept) co_return detail_failure(kept.error());
  std::string body = R"({"consent_granted":)";
  body += is_any_granted ? "true}" : "false}";
  co_return answer(200, std::move(body));
}

Task<ApiResponse> ServiceRoutes::git_sync(Call) { co_return refusal(501, no_git_sync); }
Task<ApiResponse> ServiceRoutes::draft(Call) { co_return refusal(501, no_drafts); }
Task<ApiResponse> ServiceRoutes::plugin_spec(Call) { co_return refusal(501, no_plugin_spec); }

}  // namespace

std::unique_ptr<EndpointGroup> make_service_routes(automation::Service& service, AutomationApiSettings const& settings) {
  return std::make_unique<ServiceRoutes>(service, settings.sdk_version);
}

}  // namespace nestgate::api
