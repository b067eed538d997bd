#include "user_api.hpp"

#include <algorithm>

#include "answers.hpp"
#include "cloud_shapes.hpp"
#include "detail_answers.hpp"
#include "nestgate/api/list_query.hpp"
#include "nestgate/base/text.hpp"
#include "secret_name.hpp"
#include "session_caller.hpp"
#include "shapes.hpp"
#include "user_settings.hpp"

namespace nestgate::api {
namespace {

using conversation::View;
using http::Method;
using proxy::ApiRequest;
using proxy::ApiResponse;

constexpr std::string_view user_path = "/api/v1/users/me";
constexpr std::size_t settings_bytes_max = 2 * 1024 * 1024;  // of 1 MiB, however they are written
constexpr std::size_t secret_bytes_max = 512 * 1024;         // of 64 KiB, each byte escaped
constexpr std::size_t secrets_max = 1'000;

class UserApi final : public RouteFamily {
 public:
  UserApi(conversation::Manager& manager, store::Store& store, std::shared_ptr<KnownSecrets> secrets, Audit audit)
      : manager_(manager), store_(store), secrets_(std::move(secrets)), audit_(std::move(audit)) {}

  bool covers(std::string_view path) const noexcept override { return is_at_or_below(user_path, path); }
  bool is_open_to(identity::Role role) const noexcept override { return role != identity::Role::automation; }
  Task<ApiResponse> handle(ApiRequest request) override;
  std::vector<RouteName> routes() const override;

 private:
  using Taken = std::vector<std::string>;
  using Handler = Task<ApiResponse> (UserApi::*)(ApiRequest, Taken);
  static std::span<Route<Handler> const> table();

  Task<ApiResponse> show(ApiRequest request, Taken);
  Task<ApiResponse> change(ApiRequest request, Taken);
  Task<ApiResponse> list_secrets(ApiRequest request, Taken);
  Task<ApiResponse> put_secret(ApiRequest request, Taken taken);
  Task<ApiResponse> remove_secret(ApiRequest request, Taken taken);

  ApiResponse shown(std::string_view owner, Secret const& settings, Shown how) const;
  void tell(ApiRequest const& request, std::optional<View> const& caller, unsigned status) const;

  conversation::Manager& manager_;
  store::Store& store_;
  std::shared_ptr<KnownSecrets> secrets_;
  Audit audit_;
  Turns changes_;  // by owner
};

std::span<Route<UserApi::Handler> const> UserApi::table() {
  static constexpr Route<Handler> all[] = {
      {Method::get, "/api/v1/users/me", &UserApi::show},
      {Method::patch, "/api/v1/users/me", &UserApi::change, settings_bytes_max},
      {Method::get, "/api/v1/users/me/secrets", &UserApi::list_secrets},
      {Method::put, "/api/v1/users/me/secrets/{name}", &UserApi::put_secret, secret_bytes_max},
      {Method::delete_, "/api/v1/users/me/secrets/{name}", &UserApi::remove_secret},
  };
  return all;
}

std::vector<RouteName> UserApi::routes() const {
  std::vector<RouteName> out;
  append_names(table(), out);
  return out;
}

Task<ApiResponse> UserApi::handle(ApiRequest request) {
  auto found = find_route(table(), request.method, request.path);
  if (!found.route) co_return no_such_route(std::move(found.allow));
  if (auto refused = refuse_principal(request.principal)) co_return *std::move(refused);
  if (request.principal->owner.empty()) co_return refusal(403, "This API key belongs to no user");
  co_return co_await (this->*found.route->handler)(std::move(request), std::move(found.taken));
}

ApiResponse UserApi::shown(std::string_view owner, Secret const& settings, Shown how) const {
  auto body = user_json(owner, settings, how);
  return body ? answer(200, *std::move(body)) : refusal(500, "The user's settings cannot be read");
}

void UserApi::tell(ApiRequest const& request, std::optional<View> const& caller, unsigned status) const {
  SecretAccess access;
  access.route = "user";
  if (caller) access.sandbox = caller->id.text();
  access.owner = request.principal->owner;
  access.status = status;
  access.request_id = request.request_id;
  if (audit_) audit_(access);
}

// An API key alone shows no secret: beside it the key of a running sandbox of the same user is needed.
Task<ApiResponse> UserApi::show(ApiRequest request, Taken) {
  auto const owner = request.principal->owner;
  auto const exposed = flag_in(request.query, "expose_secrets", false);
  if (!exposed) co_return invalid_query("expose_secrets", "bool_parsing", "Input should be true or false");
  bool const is_asked = *exposed;
  auto const caller = running_by_key(manager_, request.session_key);
  bool const is_own = caller && caller->owner == owner;
  if (is_asked && !is_own) {
    auto refused = caller ? refusal(403, "Session API key does not belong to the authenticated user")
                          : refusal(401, "Invalid session API key");
    tell(request, caller, refused.status);
    co_return refused;
  }
  auto const settings = co_await store_.user_settings(owner);
  if (!settings) co_return refusal(request, settings.error());
  if (is_asked) tell(request, caller, 200);
  auto const unmasked = is_asked ? Shown::all_secrets : Shown::tool_servers;
  co_return shown(owner, *settings, is_own ? unmasked : Shown::no_secrets);
}

Task<ApiResponse> UserApi::change(ApiRequest request, Taken) {
  auto const owner = request.principal->owner;
  auto const turn = co_await changes_.take(owner);
  auto const settings = co_await store_.user_settings(owner);
  if (!settings) co_return refusal(request, settings.error());
  auto merged = merge_settings(*settings, request.body);
  WipedString().swap(request.body);
  if (!merged) co_return answer(422, invalid_json(merged.error()));
  auto put = co_await store_.put_user_settings(owner, merged->clone());
  if (!put) co_return refusal(request, put.error());
  co_return shown(owner, *merged, Shown::no_secrets);
}

Task<ApiResponse> UserApi::list_secrets(ApiRequest request, Taken) {
  auto const known = co_await secrets_->of_user(request.principal->owner);
  if (!known) co_return refusal(request, known.error());
  std::vector<SecretName> names;
  names.reserve((*known)->size());
  for (auto const& secret : **known) names.push_back({secret.name, secret.description});
  std::sort(names.begin(), names.end(), [](auto const& a, auto const& b) { return a.name < b.name; });
  co_return answer(200, secret_names_json(names));
}

bool has_secret(std::vector<store::UserSecretRow> const& rows, std::string_view name) {
  return std::any_of(rows.begin(), rows.end(), [name](auto const& row) { return row.name == name; });
}

Task<ApiResponse> UserApi::put_secret(ApiRequest request, Taken taken) {
  auto const owner = request.principal->owner;
  auto const name = percent_decoded(taken.front());
  if (!name || !is_secret_name(*name)) co_return refusal(422, "name: " + std::string(why_not_a_secret_name));
  auto body = parse_secret_body(request.body);
  WipedString().swap(request.body);
  if (!body) co_return answer(422, invalid_json(body.error()));
  auto const turn = co_await changes_.take(owner);
  auto const known = co_await store_.user_secrets(owner);
  if (!known) co_return refusal(request, known.error());
  if (known->size() >= secrets_max && !has_secret(*known, *name))
    co_return refusal(409, "A user may have " + std::to_string(secrets_max) + " secrets");
  SecretName const answered{*name, body->description};
  store::UserSecretRow row{*name, std::move(body->description), std::move(body->value)};
  auto put = co_await store_.put_user_secret(owner, std::move(row));
  secrets_->forget_user(owner);
  if (!put) co_return refusal(request, put.error());
  co_return answer(200, secret_name_json(answered));
}

Task<ApiResponse> UserApi::remove_secret(ApiRequest request, Taken taken) {
  auto const owner = request.principal->owner;
  auto const name = percent_decoded(taken.front()).value_or(std::string());
  auto const turn = co_await changes_.take(owner);
  auto const known = co_await store_.user_secrets(owner);
  if (!known) co_return refusal(request, known.error());
  if (!has_secret(*known, name)) co_return refusal(404, "Secret not found");
  auto removed = co_await store_.remove_user_secret(owner, name);
  secrets_->forget_user(owner);
  if (!removed) co_return refusal(request, removed.error());
  co_return success();
}

}  // namespace

std::unique_ptr<RouteFamily> make_user_api(conversation::Manager& manager, store::Store& store,
                                           std::shared_ptr<KnownSecrets> secrets, Audit audit) {
  return std::make_unique<UserApi>(manager, store, std::move(secrets), std::move(audit));
}

}  // namespace nestgate::api
