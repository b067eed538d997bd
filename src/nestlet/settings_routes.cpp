#include "nestgate/base/result.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestlet/app.hpp"
#include "nestlet/request.hpp"
#include "nestlet/routes.hpp"

namespace nestgate::nestlet {
namespace {

using codec::JsonWriter;

std::string one_member(std::string_view name, std::string_view value) {
  std::string text;
  JsonWriter(text).begin_object().member(name, value).end_object();
  return text;
}
Answer message(unsigned status, std::string_view text) { return {status, one_member("message", text)}; }

Task<Answer> store_settings(App& app, Request& request) {
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY_VOID(app.vault.store_settings(body));
  co_return message(200, "Settings stored");
}

Task<Answer> get_settings(App& app, Request&) {
  auto settings = app.vault.settings_json();
  if (!settings) co_return Answer(404, one_member("error", "Settings not found"));
  co_return json(std::move(*settings));
}

Task<Answer> patch_settings(App& app, Request& request) {
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY_VOID(app.vault.store_settings(body));
  co_return co_await get_settings(app, request);
}

Task<Answer> add_git_providers(App& app, Request& request) {
  NESTGATE_CO_TRY(body, co_await request.object());
  if (body.contains("provider_tokens")) {
    NESTGATE_CO_TRY(tokens, need_object(body, "provider_tokens"));
    NESTGATE_CO_TRY_VOID(app.vault.set_providers(tokens));
  }
  co_return message(200, "Git providers stored");
}

Task<Answer> unset_provider_tokens(App& app, Request&) {
  app.vault.clear_providers();
  co_return message(200, "Unset Git provider tokens");
}

std::string secrets_json(App& app, std::string_view list_name) {
  std::string text;
  JsonWriter w(text);
  w.begin_object().key(list_name).begin_array();
  for (auto const& [name, secret] : app.vault.secrets()) {
    w.begin_object().member("name", name).member("description", secret.description).end_object();
  }
  w.end_array().end_object();
  return text;
}

Task<Answer> list_custom_secrets(App& app, Request&) { co_return json(secrets_json(app, "custom_secrets")); }

Task<Answer> create_secret(App& app, Request& request) {
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY(name, need_string(body, "name"));
  NESTGATE_CO_TRY(value, need_string(body, "value"));
  NESTGATE_CO_TRY(description, maybe_string(body, "description"));
  if (app.vault.secrets().contains(name)) co_return message(400, "Secret " + name + " already exists");
  app.vault.put_secret(std::move(name), Secret(std::move(value)), description.value_or(""));
  co_return message(201, "Secret created successfully");
}

Answer no_such_secret(std::string_view name) {
  return Answer(404, one_member("error", "Secret with ID " + std::string(name) + " not found"));
}

// Changes the description only: the value cannot be changed (nested_server.md 3.2).
Task<Answer> update_secret(App& app, Request& request) {
  std::string const name(request.parameter(0));
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY(new_name, maybe_string(body, "name"));
  NESTGATE_CO_TRY(description, maybe_string(body, "description"));
  auto const& secrets = app.vault.secrets();
  auto const at = secrets.find(name);
  if (at == secrets.end()) co_return no_such_secret(name);
  if (new_name && *new_name != name) {
    if (secrets.contains(*new_name)) co_return message(400, "Secret " + *new_name + " already exists");
    app.vault.put_secret(*new_name, at->second.value.clone(), description.value_or(at->second.description));
    app.vault.remove_secret(name);
  } else if (description) {
    app.vault.describe_secret(name, std::move(*description));
  }
  co_return message(200, "Secret updated successfully");
}

Task<Answer> delete_custom_secret(App& app, Request& request) {
  if (app.vault.remove_secret(request.parameter(0)) == Vault::Done::no) co_return no_such_secret(request.parameter(0));
  co_return message(200, "Secret deleted successfully");
}

// ^[a-zA-Z][a-zA-Z0-9_]{0,63}$ (agent_server.md 1.4)
bool is_secret_name(std::string_view name) {
  constexpr std::size_t length_max = 64;
  auto const letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (name.empty() || name.size() > length_max || !letter(name.front())) return false;
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == name.npos;
}

Refusal bad_secret_name(std::string_view where) {
  return invalid(where, "name", "string_pattern_mismatch", "String should match pattern '^[a-zA-Z][a-zA-Z0-9_]{0,63}$'");
}

Task<Answer> list_secrets(App& app, Request&) { co_return json(secrets_json(app, "secrets")); }

Task<Answer> put_secret(App& app, Request& request) {
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY(name, need_string(body, "name"));
  NESTGATE_CO_TRY(value, need_string(body, "value"));
  NESTGATE_CO_TRY(description, maybe_string(body, "description"));
  if (!is_secret_name(name)) co_return bad_secret_name("body");
  std::string text;
  JsonWriter w(text);
  w.begin_object().member("name", name).key("description");
  if (description) {
    w.value(*description);
  } else {
    w.null();
  }
  w.end_object();
  app.vault.put_secret(std::move(name), Secret(std::move(value)), description.value_or(""));
  co_return json(std::move(text));
}

Task<Answer> get_secret(App& app, Request& request) {
  auto const name = request.parameter(0);
  if (!is_secret_name(name)) co_return bad_secret_name("path");
  if (!app.vault.secrets().contains(name)) co_return refuse(404, "Secret '" + std::string(name) + "' not found");
  co_return plain(std::string(app.vault.secret_value(name)));
}

Task<Answer> delete_secret(App& app, Request& request) {
  auto const name = request.parameter(0);
  if (!is_secret_name(name)) co_return bad_secret_name("path");
  if (app.vault.remove_secret(name) == Vault::Done::no)
    co_return refuse(404, "Secret '" + std::string(name) + "' not found");
  co_return json(R"({"deleted":true})");
}

constexpr Route routes[] = {
    {"POST", "/api/settings", Access::session, store_settings},
    {"GET", "/api/settings", Access::session, get_settings},
    {"PATCH", "/api/settings", Access::session, patch_settings},
    {"POST", "/api/add-git-providers", Access::session, add_git_providers},
    {"POST", "/api/unset-provider-tokens", Access::session, unset_provider_tokens},
    {"GET", "/api/secrets", Access::session, list_custom_secrets},
    {"POST", "/api/secrets", Access::session, create_secret},
    {"PUT", "/api/secrets/{}", Access::session, update_secret},
    {"DELETE", "/api/secrets/{}", Access::session, delete_custom_secret},
    {"GET", "/api/settings/secrets", Access::session, list_secrets},
    {"PUT", "/api/settings/secrets", Access::session, put_secret},
    {"GET", "/api/settings/secrets/{}", Access::session, get_secret},
    {"DELETE", "/api/settings/secrets/{}", Access::session, delete_secret},
};

}  // namespace

std::span<Route const> settings_routes() { return routes; }

}  // namespace nestgate::nestlet
