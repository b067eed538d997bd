#include "nestgate/codec/json_writer.hpp"
#include "nestlet/app.hpp"
#include "nestlet/request.hpp"
#include "nestlet/routes.hpp"

namespace nestgate::nestlet {
namespace {

Task<Answer> alive(App&, Request&) { co_return json(R"({"status":"ok"})"); }
Task<Answer> ready(App&, Request&) { co_return json(R"({"status":"ready"})"); }

Task<Answer> server_info(App& app, Request&) {
  auto const seconds_since = [](Clock::time_point then) {
    return std::chrono::duration<double>(Clock::now() - then).count();
  };
  std::string body;
  codec::JsonWriter w(body);
  w.begin_object().member("uptime", seconds_since(app.started)).member("idle_time", seconds_since(app.last_activity));
  w.member("title", "nestlet").member("version", NESTGATE_VERSION).key("sdk_version").null();
  w.key("tools_version").null().key("workspace_version").null();
  w.key("usable_tools").begin_array().end_array().key("runtime_idle_timeout_seconds").null();
  w.key("capabilities").begin_array().end_array().key("max_foreground_terminal_timeout_seconds").null();
  w.end_object();
  co_return json(std::move(body));
}

Task<Answer> models(App&, Request&) { co_return json(R"({"object":"list","data":[]})"); }

constexpr Route routes[] = {
    {"GET", "/alive", Access::open, alive},  {"GET", "/health", Access::open, alive},
    {"GET", "/ready", Access::open, ready},  {"GET", "/server_info", Access::open, server_info},
    {"GET", "/", Access::open, server_info}, {"GET", "/v1/models", Access::session_or_bearer, models},
};

}  // namespace

std::span<Route const> server_routes() { return routes; }

}  // namespace nestgate::nestlet
