#include <stdlib.h>
#include <sys/stat.h>

#include <array>
#include <climits>

#include "nestgate/base/result.hpp"
#include "nestlet/app.hpp"
#include "nestlet/request.hpp"
#include "nestlet/routes.hpp"

namespace nestgate::nestlet {
namespace {

std::string state_json(InitState state) {
  std::string text;
  codec::JsonWriter(text).begin_object().member("state", to_string(state)).key("error").null().end_object();
  return text;
}

Task<Answer> get_state(App& app, Request&) {
  if (app.init_state == InitState::not_deferred) co_return not_found();
  co_return json(state_json(app.init_state));
}

Refusal not_dormant() { return refuse(400, "The server is not dormant"); }

// Where commands run from now on: the HOME that was told. 500 when it is no directory.
Checked<std::string> directory_of(App const& app, InitRequest const& told) {
  for (auto const& [name, value] : told.environment) {
    if (name != "HOME") continue;
    std::array<char, PATH_MAX> resolved;
    struct stat about{};
    if (::realpath(value.c_str(), resolved.data()) == nullptr || ::stat(resolved.data(), &about) != 0 ||
        !S_ISDIR(about.st_mode))
      return refuse(500, "HOME is not a directory; the server is dormant still");
    return std::string(resolved.data());
  }
  return app.settings.workspace;
}

Task<Answer> initialise(App& app, Request& request) {
  if (app.init_state == InitState::not_deferred) {
    if (!app.keys.accept(request.session_key())) co_return refuse(401, "Unauthorized");
    co_return not_found();
  }
  bool const is_open = app.init_key.empty();
  if (!is_open && !app.init_key.equals(request.header("X-Init-API-Key"))) co_return refuse(401, "Unauthorized");
  if (app.init_state != InitState::dormant) co_return not_dormant();
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY(told, read_init(body));
  if (app.init_state != InitState::dormant) co_return not_dormant();  // another one was quicker
  NESTGATE_CO_TRY(directory, directory_of(app, told));
  if (told.keys) app.keys = std::move(*told.keys);
  app.settings.workspace = directory;
  app.commands.settle(std::move(directory), told.environment);
  app.webhooks.begin(std::move(told.webhooks), app.keys.first());
  app.init_state = InitState::ready;
  app.touch();
  co_return json(state_json(app.init_state));
}

constexpr Route routes[] = {
    {"GET", "/api/init", Access::open, get_state},
    {"POST", "/api/init", Access::open, initialise},
};

}  // namespace

std::span<Route const> init_routes() { return routes; }

}  // namespace nestgate::nestlet
