#include "cloud_api.hpp"

#include <algorithm>

#include "answers.hpp"
#include "cloud_shapes.hpp"
#include "detail_answers.hpp"
#include "nestgate/api/list_query.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/upstream/random.hpp"
#include "session_caller.hpp"
#include "shapes.hpp"

namespace nestgate::api {
namespace {

using conversation::RuntimeState;
using conversation::View;
using http::Method;
using proxy::ApiRequest;
using proxy::ApiResponse;

constexpr std::string_view sandboxes_path = "/api/v1/sandboxes";
constexpr std::string_view specs_path = "/api/v1/sandbox-specs";
constexpr std::string_view secrets_pattern = "/api/v1/sandboxes/{id}/settings/secrets";
constexpr std::string_view secret_pattern = "/api/v1/sandboxes/{id}/settings/secrets/{name}";
constexpr std::size_t batch_max = 100;

class CloudApi final : public RouteFamily {
 public:
  CloudApi(conversation::Manager& manager, std::shared_ptr<KnownSecrets> secrets, CloudSettings settings, Audit audit)
      : manager_(manager), secrets_(std::move(secrets)), settings_(std::move(settings)), audit_(std::move(audit)) {}

  bool covers(std::string_view path) const noexcept override {
    return is_at_or_below(sandboxes_path, path) || is_at_or_below(specs_path, path);
  }
  bool admits_without_api_key(Method method, std::string_view path) const noexcept override {
    return method == Method::get && (match_pattern(secrets_pattern, path) || match_pattern(secret_pattern, path));
  }
  bool is_open_to(identity::Role role) const noexcept override { return role != identity::Role::automation; }
  Task<ApiResponse> handle(ApiRequest request) override;
  std::vector<RouteName> routes() const override;

 private:
  using Taken = std::vector<std::string>;
  using Handler = Task<ApiResponse> (CloudApi::*)(ApiRequest, Taken);
  static std::span<Route<Handler> const> table();

  Task<ApiResponse> search(ApiRequest request, Taken);
  Task<ApiResponse> show_many(ApiRequest request, Taken);
  Task<ApiResponse> start(ApiRequest request, Taken);
  Task<ApiResponse> pause(ApiRequest request, Taken taken);
  Task<ApiResponse> resume(ApiRequest request, Taken taken);
  Task<ApiResponse> remove(ApiRequest request, Taken taken);
  Task<ApiResponse> list_secrets(ApiRequest request, Taken taken);
  Task<ApiResponse> show_secret(ApiRequest request, Taken taken);
  Task<ApiResponse> search_specs(ApiRequest request, Taken);
  Task<ApiResponse> show_specs(ApiRequest request, Taken);

  std::optional<View> find(std::string_view segment, identity::Principal const& by) const;
  SandboxSpec const* spec(std::string_view id) const;
  std::optional<ApiResponse> refuse_key(std::optional<View> const& caller, std::string_view wanted) const;
  ApiResponse audited(ApiRequest const& request, std::optional<View> const& caller, std::string_view name,
                      ApiResponse response) const;

  conversation::Manager& manager_;
  std::shared_ptr<KnownSecrets> secrets_;
  CloudSettings settings_;
  Audit audit_;
  SpecTime specs_since_ = std::chrono::system_clock::now();
};

std::span<Route<CloudApi::Handler> const> CloudApi::table() {
  static constexpr Route<Handler> all[] = {
      {Method::get, "/api/v1/sandboxes/search", &CloudApi::search},
      {Method::get, "/api/v1/sandboxes", &CloudApi::show_many},
      {Method::post, "/api/v1/sandboxes", &CloudApi::start},
      {Method::post, "/api/v1/sandboxes/{id}/pause", &CloudApi::pause},
      {Method::post, "/api/v1/sandboxes/{id}/resume", &CloudApi::resume},
      {Method::delete_, "/api/v1/sandboxes/{id}", &CloudApi::remove},
      {Method::get, secrets_pattern, &CloudApi::list_secrets},
      {Method::get, secret_pattern, &CloudApi::show_secret},
      {Method::get, "/api/v1/sandbox-specs/search", &CloudApi::search_specs},
      {Method::get, "/api/v1/sandbox-specs", &CloudApi::show_specs},
  };
  return all;
}

std::vector<RouteName> CloudApi::routes() const {
  std::vector<RouteName> out;
  append_names(table(), out);
  return out;
}

Task<ApiResponse> CloudApi::handle(ApiRequest request) {
  auto found = find_route(table(), request.method, request.path);
  if (!found.route) co_return no_such_route(std::move(found.allow));
  bool const by_session_key = found.route->pattern == secrets_pattern || found.route->pattern == secret_pattern;
  if (!by_session_key) {
    if (auto refused = refuse_principal(request.principal)) co_return *std::move(refused);
  }
  co_return co_await (this->*found.route->handler)(std::move(request), std::move(found.taken));
}

// What is there and `by` may use, however it was started: a run's sandbox is the conversation that it was sent to.
std::optional<View> CloudApi::find(std::string_view segment, identity::Principal const& by) const {
  auto const id = ConversationId::parse_in_path(segment);
  if (!id || !manager_.knows(*id, by)) return std::nullopt;
  return manager_.find(*id);
}

SandboxSpec const* CloudApi::spec(std::string_view id) const {
  if (id.empty()) return &settings_.specs.front();
  auto const found =
      std::find_if(settings_.specs.begin(), settings_.specs.end(), [id](auto const& spec) { return spec.id == id; });
  return found == settings_.specs.end() ? nullptr : &*found;
}

Task<ApiResponse> CloudApi::search(ApiRequest request, Taken) {
  auto const limit = number_in(request.query, "limit", 100, 1, 100);
  if (!limit) co_return invalid_query("limit", "int_parsing", "Input should be an integer from 1 to 100");
  auto const page_id = text_in(request.query, "page_id");
  auto const after = parse_page_id(page_id);
  if (!after && !page_id.empty())
    co_return invalid_query("page_id", "value_error", "Input should be a next_page_id of this list");
  conversation::Filter filter;
  filter.purpose = conversation::Purpose::sandbox;
  auto const page = manager_.list(*request.principal, *limit, after, filter);
  co_return answer(200, sandbox_page_json(page, request.origin, request.domain));
}

// Clients poll it while a sandbox starts, and give up and delete it on any answer but 200.
Task<ApiResponse> CloudApi::show_many(ApiRequest request, Taken) {
  auto const ids = texts_in(request.query, "id", batch_max);
  if (ids.empty()) co_return invalid_query("id", "missing", "Field required");
  if (ids.size() > batch_max)
    co_return refusal(400, "Cannot request more than " + std::to_string(batch_max) + " sandboxes at once");
  std::vector<std::optional<View>> views;
  views.reserve(ids.size());
  for (auto const& id : ids) views.push_back(find(id, *request.principal));
  co_return answer(200, sandboxes_json(views, request.origin, request.domain));
}

Task<ApiResponse> CloudApi::start(ApiRequest request, Taken) {
  auto const* const wanted_spec = spec(text_in(request.query, "sandbox_spec_id"));
  if (!wanted_spec) co_return invalid_query("sandbox_spec_id", "value_error", "There is no such sandbox specification");
  conversation::StartRequest wanted;
  wanted.id = ConversationId::parse(upstream::random_uuid_hex());
  wanted.by = *request.principal;
  wanted.purpose = conversation::Purpose::sandbox;
  wanted.spec_id = wanted_spec->id;
  wanted.wish.image = wanted_spec->image;
  wanted.wish.command = wanted_spec->command;
  wanted.wish.working_dir = wanted_spec->working_dir;
  wanted.wish.resource_factor = wanted_spec->resource_factor;
  for (auto const& [name, value] : wanted_spec->environment) wanted.wish.environment.emplace_back(name, Secret(value));
  auto started = co_await manager_.begin_start(std::move(wanted));
  if (!started) co_return refusal(request, started.error());
  co_return answer(200, sandbox_json(started->view, request.origin, request.domain));
}

Task<ApiResponse> CloudApi::pause(ApiRequest request, Taken taken) {
  auto const view = find(taken.front(), *request.principal);
  if (!view) co_return refusal(404, "Not Found");
  bool const is_down = view->state == RuntimeState::paused || view->state == RuntimeState::stopped;
  if (is_down) co_return success();
  auto paused = co_await manager_.pause(view->id);
  if (!paused) co_return refusal(request, paused.error());
  co_return success();
}

Task<ApiResponse> CloudApi::resume(ApiRequest request, Taken taken) {
  auto const view = find(taken.front(), *request.principal);
  if (!view) co_return refusal(404, "Not Found");
  bool const is_up = view->state == RuntimeState::running || view->state == RuntimeState::starting;
  if (is_up) co_return success();
  auto resumed = co_await manager_.begin_resume(view->id);
  if (!resumed) co_return refusal(request, resumed.error());
  co_return success();
}

Task<ApiResponse> CloudApi::remove(ApiRequest request, Taken taken) {
  auto const view = find(taken.front(), *request.principal);
  if (!view) co_return refusal(404, "Not Found");
  auto const repeated = text_in(request.query, "sandbox_id");
  if (!repeated.empty() && ConversationId::parse(repeated) != view->id)
    co_return invalid_query("sandbox_id", "value_error", "Must be the sandbox of the path, or be left out");
  auto removed = co_await manager_.remove(view->id);
  if (!removed) co_return refusal(request, removed.error());
  co_return success();
}

// The same for an id that is another's and for one that nobody has.
std::optional<ApiResponse> CloudApi::refuse_key(std::optional<View> const& caller, std::string_view wanted) const {
  if (!caller) return refusal(401, "Invalid session API key");
  auto const id = ConversationId::parse_in_path(wanted);
  if (!id || *id != caller->id) return refusal(403, "Session API key does not match sandbox");
  return std::nullopt;
}

ApiResponse CloudApi::audited(ApiRequest const& request, std::optional<View> const& caller, std::string_view name,
                              ApiResponse response) const {
  SecretAccess access;
  access.route = "sandbox";
  if (caller) access.sandbox = caller->id.text();
  if (caller) access.owner = caller->owner;
  access.name = name;
  access.status = response.status;
  access.request_id = request.request_id;
  if (audit_) audit_(access);
  return response;
}

Task<ApiResponse> CloudApi::list_secrets(ApiRequest request, Taken taken) {
  auto const caller = running_by_key(manager_, request.session_key);
  if (auto refused = refuse_key(caller, taken[0])) co_return audited(request, caller, {}, *std::move(refused));
  auto const known = co_await secrets_->of(*caller);
  if (!known) co_return audited(request, caller, {}, refusal(request, known.error()));
  co_return audited(request, caller, {}, answer(200, secret_names_json(known->names())));
}

Task<ApiResponse> CloudApi::show_secret(ApiRequest request, Taken taken) {
  auto const name = percent_decoded(taken[1]).value_or(std::string());
  auto const caller = running_by_key(manager_, request.session_key);
  if (auto refused = refuse_key(caller, taken[0])) co_return audited(request, caller, name, *std::move(refused));
  auto const known = co_await secrets_->of(*caller);
  if (!known) co_return audited(request, caller, name, refusal(request, known.error()));
  auto const* const value = known->find(name);
  if (!value) co_return audited(request, caller, name, refusal(404, "Secret not found"));
  // tidy-ok(reveal): the sandbox that it belongs to asked for it
  auto response = answer(200, std::string(value->reveal()));
  response.content_type = "text/plain; charset=utf-8";
  co_return audited(request, caller, name, std::move(response));
}

Task<ApiResponse> CloudApi::search_specs(ApiRequest, Taken) {
  co_return answer(200, specs_page_json(settings_.specs, specs_since_));
}

Task<ApiResponse> CloudApi::show_specs(ApiRequest request, Taken) {
  auto const ids = texts_in(request.query, "id", batch_max);
  if (ids.empty()) co_return invalid_query("id", "missing", "Field required");
  if (ids.size() > batch_max)
    co_return refusal(400, "Cannot request more than " + std::to_string(batch_max) + " specifications at once");
  std::vector<SandboxSpec const*> found;
  found.reserve(ids.size());
  for (auto const& id : ids) found.push_back(id.empty() ? nullptr : spec(id));
  co_return answer(200, specs_json(found, specs_since_));
}

}  // namespace

std::unique_ptr<RouteFamily> make_cloud_api(conversation::Manager& manager, std::shared_ptr<KnownSecrets> secrets,
                                            CloudSettings settings, Audit audit) {
  return std::make_unique<CloudApi>(manager, std::move(secrets), std::move(settings), std::move(audit));
}

}  // namespace nestgate::api
