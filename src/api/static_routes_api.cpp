#include "static_routes_api.hpp"

#include "answers.hpp"
#include "nestgate/api/list_query.hpp"
#include "shapes.hpp"
#include "static_routes_body.hpp"

namespace nestgate::api {
namespace {

using conversation::Origin;
using conversation::RuntimeState;
using http::Method;
using proxy::ApiRequest;
using proxy::ApiResponse;

constexpr std::size_t page_max = 1000;

// It was taken, and its name is looked up until it is found.
bool is_only_unresolved(FaultKind kind) { return kind == FaultKind::upstream || kind == FaultKind::timed_out; }

// Adds those of one list that failed, and returns how many were done.
std::size_t take_refused(std::vector<StaticChanges::Refused>& into, std::string_view list,
                         std::vector<conversation::Outcome<>> const& outcomes, std::vector<std::size_t> const& places,
                         std::vector<std::string> ids) {
  std::size_t done = 0;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i]) {
      ++done;
    } else {
      auto const& failure = outcomes[i].error();
      into.push_back({list, places[i], std::move(ids[i]), to_string(failure.fault.kind), failure.reason});
    }
  }
  return done;
}

class StaticRoutesApi final : public RouteFamily {
 public:
  explicit StaticRoutesApi(conversation::Manager& manager) : manager_(manager) {}

  bool covers(std::string_view path) const noexcept override { return is_at_or_below("/api/routes", path); }
  bool is_open_to(identity::Role role) const noexcept override { return role == identity::Role::admin; }
  Task<ApiResponse> handle(ApiRequest request) override;
  std::vector<RouteName> routes() const override;

 private:
  using Taken = std::vector<std::string>;
  using Handler = Task<ApiResponse> (StaticRoutesApi::*)(ApiRequest, Taken);
  static std::span<Route<Handler> const> table();

  Task<ApiResponse> list(ApiRequest request, Taken);
  Task<ApiResponse> change(ApiRequest request, Taken);
  Task<ApiResponse> put(ApiRequest request, Taken taken);
  Task<ApiResponse> remove(ApiRequest request, Taken taken);

  conversation::Manager& manager_;
};

std::span<Route<StaticRoutesApi::Handler> const> StaticRoutesApi::table() {
  static constexpr Route<Handler> all[] = {
      {Method::get, "/api/routes", &StaticRoutesApi::list},
      {Method::post, "/api/routes", &StaticRoutesApi::change, any_body_bytes},
      {Method::put, "/api/routes/{id}", &StaticRoutesApi::put},
      {Method::delete_, "/api/routes/{id}", &StaticRoutesApi::remove},
  };
  return all;
}

std::vector<RouteName> StaticRoutesApi::routes() const {
  std::vector<RouteName> out;
  append_names(table(), out);
  return out;
}

Task<ApiResponse> StaticRoutesApi::handle(ApiRequest request) {
  if (!request.principal) co_return error(request, 401, "unauthorized", "an API key is needed");
  if (!is_open_to(request.principal->role)) co_return error(request, 403, "forbidden", "only an admin's API key opens this");
  auto found = find_route(table(), request.method, request.path);
  if (!found.route && found.allow.empty()) co_return error(request, 404, "not_found", "there is no such route");
  if (!found.route) co_return not_allowed(request, found.allow);
  co_return co_await (this->*found.route->handler)(std::move(request), std::move(found.taken));
}

Task<ApiResponse> StaticRoutesApi::list(ApiRequest request, Taken) {
  auto const limit = number_in(request.query, "limit", 100, 1, page_max);
  if (!limit) co_return error(request, 400, "bad_input", "limit: must be 1 to " + std::to_string(page_max));
  auto const page_id = text_in(request.query, "page_id");
  auto const after = parse_page_id(page_id);
  if (!after && !page_id.empty()) co_return error(request, 400, "bad_input", "page_id: must be a next_page_id of this list");
  conversation::Filter filter;
  filter.origin = Origin::fixed;
  auto const page = manager_.list(*request.principal, *limit, after, filter);
  co_return answer(200, static_routes_json(page));
}

Task<ApiResponse> StaticRoutesApi::change(ApiRequest request, Taken) {
  auto parsed = parse_static_changes(request.body);
  WipedString().swap(request.body);  // an assignment would keep it
  if (!parsed) co_return error(request, 400, "bad_input", message_of(parsed.error()));
  auto& wanted = *parsed;
  std::vector<std::string> put_ids, removed_ids;
  put_ids.reserve(wanted.put.size());
  removed_ids.reserve(wanted.removed.size());
  for (auto const& fixed : wanted.put) put_ids.push_back(fixed.id.text());
  for (auto const& id : wanted.removed) removed_ids.push_back(id.text());
  auto changed = co_await manager_.change_statics(std::move(wanted.put), std::move(wanted.removed));
  if (!changed) co_return failure(request, changed.error());
  auto const put = take_refused(wanted.refused, "put", changed->put, wanted.put_places, std::move(put_ids));
  auto const removed =
      take_refused(wanted.refused, "remove", changed->removed, wanted.removed_places, std::move(removed_ids));
  co_return answer(200, static_changes_json(put, removed, wanted.refused));
}

Task<ApiResponse> StaticRoutesApi::put(ApiRequest request, Taken taken) {
  auto id = ConversationId::parse_in_path(taken.front());
  if (!id) co_return error(request, 400, "bad_input", "id: must be 1 to 128 of A-Za-z0-9._-");
  if (auto const why = http::why_not_an_id(id->text()))
    co_return error(request, 400, "bad_input", "id: " + std::string(*why));
  auto parsed = parse_static_route(*id, request.body);
  WipedString().swap(request.body);
  if (!parsed) co_return error(request, 400, "bad_input", message_of(parsed.error()));
  std::vector<conversation::StaticRuntime> one;
  one.push_back(std::move(*parsed));
  auto changed = co_await manager_.change_statics(std::move(one), {});
  if (!changed) co_return failure(request, changed.error());
  auto const& outcome = changed->put.front();
  if (!outcome && !is_only_unresolved(outcome.error().fault.kind)) co_return failure(request, outcome.error());
  auto const view = manager_.find(*id);
  if (!view) co_return error(request, 409, "conflict", "it was removed meanwhile");
  unsigned const status = outcome ? 200 : 202;
  co_return answer(status, static_route_json(*view));
}

Task<ApiResponse> StaticRoutesApi::remove(ApiRequest request, Taken taken) {
  auto const id = ConversationId::parse_in_path(taken.front());
  auto const view = id ? manager_.find(*id) : std::nullopt;
  if (!view || view->origin != Origin::fixed) co_return error(request, 404, "not_found", "there is no such route");
  std::vector<ConversationId> one{*id};
  auto changed = co_await manager_.change_statics({}, std::move(one));
  if (!changed) co_return failure(request, changed.error());
  if (auto const& outcome = changed->removed.front(); !outcome) co_return failure(request, outcome.error());
  co_return answer(204, {});
}

}  // namespace

std::unique_ptr<RouteFamily> make_static_routes_api(conversation::Manager& manager) {
  return std::make_unique<StaticRoutesApi>(manager);
}

}  // namespace nestgate::api
