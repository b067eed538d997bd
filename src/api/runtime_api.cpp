#include "runtime_api.hpp"

#include <algorithm>
#include <variant>

#include "answers.hpp"
#include "detail_answers.hpp"
#include "image_rule.hpp"
#include "nestgate/api/list_query.hpp"
#include "runtime_body.hpp"
#include "runtime_shapes.hpp"
#include "shapes.hpp"

namespace nestgate::api {
namespace {

using conversation::Purpose;
using conversation::RuntimeState;
using conversation::View;
using http::Method;
using proxy::ApiRequest;
using proxy::ApiResponse;

constexpr std::size_t start_bytes_max = 2 * 1024 * 1024;  // what a process may have of words and variables
constexpr std::size_t batch_max = 1'000;
constexpr std::size_t pod_log_bytes_max = 16 * 1024;

class RuntimeApi final : public RouteFamily {
 public:
  RuntimeApi(conversation::Manager& manager, RuntimeApiSettings settings)
      : manager_(manager), settings_(std::move(settings)), images_(settings_.images) {}

  bool covers(std::string_view path) const noexcept override;
  bool is_open_to(identity::Role role) const noexcept override { return role != identity::Role::automation; }
  Task<ApiResponse> handle(ApiRequest request) override;
  std::vector<RouteName> routes() const override;

 private:
  using Taken = std::vector<std::string>;
  using Handler = Task<ApiResponse> (RuntimeApi::*)(ApiRequest, Taken);
  static std::span<Route<Handler> const> table();

  Task<ApiResponse> start(ApiRequest request, Taken);
  Task<ApiResponse> stop(ApiRequest request, Taken);
  Task<ApiResponse> pause(ApiRequest request, Taken);
  Task<ApiResponse> resume(ApiRequest request, Taken);
  Task<ApiResponse> list(ApiRequest request, Taken);
  Task<ApiResponse> show_session(ApiRequest request, Taken taken);
  Task<ApiResponse> show_sessions(ApiRequest request, Taken);
  Task<ApiResponse> show_readiness(ApiRequest request, Taken taken);
  Task<ApiResponse> show_registry_prefix(ApiRequest request, Taken);
  Task<ApiResponse> show_image(ApiRequest request, Taken);

  std::optional<View> find(std::string_view id, identity::Principal const& by) const;
  // What the body names, or why there is no such thing.
  std::variant<View, ApiResponse> named_in_body(ApiRequest const& request) const;
  View with_key(View view) const;
  ApiResponse shown(ApiRequest const& request, View const& view) const {
    return answer(200, runtime_json(view, request.origin, request.domain));
  }

  conversation::Manager& manager_;
  RuntimeApiSettings settings_;
  ImageRule images_;
};

std::span<Route<RuntimeApi::Handler> const> RuntimeApi::table() {
  static constexpr Route<Handler> all[] = {
      {Method::post, "/start", &RuntimeApi::start, start_bytes_max},
      {Method::post, "/stop", &RuntimeApi::stop},
      {Method::post, "/pause", &RuntimeApi::pause},
      {Method::post, "/resume", &RuntimeApi::resume},
      {Method::get, "/list", &RuntimeApi::list},
      {Method::get, "/sessions/batch", &RuntimeApi::show_sessions},
      {Method::get, "/sessions/{session_id}", &RuntimeApi::show_session},
      {Method::get, "/runtime/{runtime_id}", &RuntimeApi::show_readiness},
      {Method::get, "/registry_prefix", &RuntimeApi::show_registry_prefix},
      {Method::get, "/image_exists", &RuntimeApi::show_image},
  };
  return all;
}

std::vector<RouteName> RuntimeApi::routes() const {
  std::vector<RouteName> out;
  append_names(table(), out);
  return out;
}

bool RuntimeApi::covers(std::string_view path) const noexcept {
  return std::any_of(table().begin(), table().end(), [path](auto const& route) {
    auto const root = route.pattern.substr(0, route.pattern.find("/{"));
    return is_at_or_below(root, path);
  });
}

Task<ApiResponse> RuntimeApi::handle(ApiRequest request) {
  auto found = find_route(table(), request.method, request.path);
  if (!found.route) co_return no_such_route(std::move(found.allow));
  if (auto refused = refuse_principal(request.principal)) co_return *std::move(refused);
  co_return co_await (this->*found.route->handler)(std::move(request), std::move(found.taken));
}

// With its key in any state: clients read it from the answer to a start, or before they resume, and not again.
View RuntimeApi::with_key(View view) const {
  view.client_key = manager_.client_key(view.id);
  return view;
}

std::optional<View> RuntimeApi::find(std::string_view id, identity::Principal const& by) const {
  auto const parsed = ConversationId::parse_in_path(id);
  if (!parsed || !manager_.knows(*parsed, by)) return std::nullopt;
  return with_key(*manager_.find(*parsed));
}

std::variant<View, ApiResponse> RuntimeApi::named_in_body(ApiRequest const& request) const {
  auto const id = parse_runtime_id_body(request.body);
  if (!id) return answer(422, invalid_json(id.error()));
  auto view = find(*id, *request.principal);
  if (!view) return refusal(404, "Runtime not found");
  return *std::move(view);
}

// Answers as soon as the runtime is on its way: clients poll its session.
Task<ApiResponse> RuntimeApi::start(ApiRequest request, Taken) {
  auto body = parse_runtime_start_body(request.body);
  WipedString().swap(request.body);
  if (!body) co_return answer(422, invalid_json(body.error()));
  if (!images_.allows(*request.principal, body->wish.image)) co_return refusal(422, ImageRule::refusal);
  conversation::StartRequest wanted;
  wanted.id = std::move(body->session);
  wanted.by = *request.principal;
  wanted.wish = std::move(body->wish);
  if (settings_.command == RuntimeApiSettings::Command::of_settings) {
    wanted.wish.command.clear();
    wanted.wish.working_dir.clear();
  }
  wanted.purpose = Purpose::runtime;
  auto started = co_await manager_.begin_start(std::move(wanted));
  if (!started) co_return refusal(request, started.error());
  co_return shown(request, with_key(std::move(started->view)));
}

// The end of what /start made: its files go with it, since nobody would remove them later. Anything else is only stopped.
Task<ApiResponse> RuntimeApi::stop(ApiRequest request, Taken) {
  auto named = named_in_body(request);
  if (auto* const refused = std::get_if<ApiResponse>(&named)) co_return std::move(*refused);
  auto const& view = std::get<View>(named);
  if (view.purpose == Purpose::runtime) {
    auto removed = co_await manager_.remove(view.id);
    if (!removed) co_return refusal(request, removed.error());
    co_return success();
  }
  auto stopped = co_await manager_.stop(view.id);
  if (!stopped) co_return refusal(request, stopped.error());
  co_return success();
}

Task<ApiResponse> RuntimeApi::pause(ApiRequest request, Taken) {
  auto named = named_in_body(request);
  if (auto* const refused = std::get_if<ApiResponse>(&named)) co_return std::move(*refused);
  auto const& view = std::get<View>(named);
  bool const is_down = view.state == RuntimeState::paused || view.state == RuntimeState::stopped;
  if (is_down) co_return shown(request, view);
  auto paused = co_await manager_.pause(view.id);
  if (!paused) co_return refusal(request, paused.error());
  co_return shown(request, with_key(*std::move(paused)));
}

Task<ApiResponse> RuntimeApi::resume(ApiRequest request, Taken) {
  auto named = named_in_body(request);
  if (auto* const refused = std::get_if<ApiResponse>(&named)) co_return std::move(*refused);
  auto const& view = std::get<View>(named);
  bool const is_up = view.state == RuntimeState::running || view.state == RuntimeState::starting;
  if (is_up) co_return shown(request, view);
  auto resumed = co_await manager_.begin_resume(view.id);
  if (!resumed) co_return refusal(request, resumed.error());
  co_return shown(request, with_key(*std::move(resumed)));
}

// Only what was started here: a client may take whatever is in its list for its own.
Task<ApiResponse> RuntimeApi::list(ApiRequest request, Taken) {
  conversation::Filter filter;
  filter.purpose = Purpose::runtime;
  auto const page = manager_.list(*request.principal, SIZE_MAX, std::nullopt, filter);
  co_return answer(200, runtimes_json("runtimes", page.views, request.origin, request.domain));
}

Task<ApiResponse> RuntimeApi::show_session(ApiRequest request, Taken taken) {
  auto const view = find(taken.front(), *request.principal);
  if (!view) co_return refusal(404, "Session not found");
  if (view->state != RuntimeState::error) co_return shown(request, *view);
  auto const said = co_await manager_.log(view->id, pod_log_bytes_max);
  std::string const log = said ? *said : std::string();
  co_return answer(200, runtime_json(*view, request.origin, request.domain, log));
}

Task<ApiResponse> RuntimeApi::show_sessions(ApiRequest request, Taken) {
  auto const ids = texts_in(request.query, "ids", batch_max);
  if (ids.size() > batch_max)
    co_return refusal(400, "Cannot request more than " + std::to_string(batch_max) + " sessions at once");
  std::vector<View> views;
  views.reserve(ids.size());
  for (auto const& id : ids) {
    if (auto view = find(id, *request.principal)) views.push_back(*std::move(view));
  }
  co_return answer(200, runtimes_json({}, views, request.origin, request.domain));
}

Task<ApiResponse> RuntimeApi::show_readiness(ApiRequest request, Taken taken) {
  auto const view = find(taken.front(), *request.principal);
  if (!view) co_return refusal(404, "Runtime not found");
  co_return answer(200, readiness_json(*view));
}

Task<ApiResponse> RuntimeApi::show_registry_prefix(ApiRequest, Taken) {
  co_return answer(200, registry_prefix_json(settings_.registry_prefix));
}

Task<ApiResponse> RuntimeApi::show_image(ApiRequest request, Taken) {
  auto const image = text_in(request.query, "image");
  if (image.empty()) co_return invalid_query("image", "missing", "Field required");
  if (!images_.allows(*request.principal, image)) co_return answer(200, image_json(false));
  auto const found = co_await manager_.has_image(image);
  if (!found) co_return refusal(request, found.error());
  co_return answer(200, image_json(found->value_or(true)));
}

}  // namespace

std::unique_ptr<RouteFamily> make_runtime_api(conversation::Manager& manager, RuntimeApiSettings settings) {
  return std::make_unique<RuntimeApi>(manager, std::move(settings));
}

}  // namespace nestgate::api
