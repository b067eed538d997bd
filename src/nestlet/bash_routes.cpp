#include "nestgate/base/result.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestlet/app.hpp"
#include "nestlet/command_request.hpp"
#include "nestlet/filters.hpp"
#include "nestlet/request.hpp"
#include "nestlet/routes.hpp"

namespace nestgate::nestlet {
namespace {

Task<Answer> start_command(App& app, Request& request) {
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY(command, read_command(body, app.settings.limits));
  app.touch();
  NESTGATE_CO_TRY(event, app.commands.start(std::move(command)));
  co_return json(*event);
}

Task<Answer> execute_command(App& app, Request& request) {
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY(command, read_command(body, app.settings.limits));
  app.touch();
  NESTGATE_CO_TRY(output, co_await app.commands.execute(std::move(command)));
  if (!output) co_return refuse(503, "The server is shutting down");
  co_return json(*output);
}

Task<Answer> stop_command(App& app, Request& request) {
  auto const id = uuid_hex(request.parameter(0));
  if (!id) co_return invalid("path", "command_id", "uuid_parsing", "Input should be a valid UUID");
  if (app.commands.stop(*id) == Commands::Stopped::yes || app.commands.log().find(*id) != nullptr) co_return success();
  co_return not_found();
}

Task<Answer> search_events(App& app, Request& request) {
  auto const& query = request.query();
  constexpr std::chrono::seconds utc{0};
  NESTGATE_CO_TRY(limit, page_limit(query));
  NESTGATE_CO_TRY(order, sort_order(query));
  NESTGATE_CO_TRY(from, moment(query, "timestamp__gte", utc));
  NESTGATE_CO_TRY(before, moment(query, "timestamp__lt", utc));
  NESTGATE_CO_TRY(after_order, integer(query, "order__gt"));
  auto const kind = query.get("kind__eq");
  if (kind && *kind != "BashCommand" && *kind != "BashOutput") {
    co_return invalid("query", "kind__eq", "literal_error", "Input should be 'BashCommand' or 'BashOutput'");
  }
  std::optional<std::string> command_id;
  if (auto const text = query.get("command_id__eq")) {
    command_id = uuid_hex(*text);
    if (!command_id) co_return invalid("query", "command_id__eq", "uuid_parsing", "Input should be a valid UUID");
  }
  auto const wanted = [&](LogEntry const& entry) {
    return (!kind || entry.kind == *kind) && (!command_id || entry.command_id == *command_id) &&
           (!from || entry.at >= *from) && (!before || entry.at < *before) &&
           (!after_order || entry.kind != "BashOutput" || entry.order > *after_order);
  };
  // The order is asked before paging, unlike agent_server.md 4: a client that knows no pages gets past the first hundred.
  auto const page = app.commands.log().page(wanted, order, query.get("page_id").value_or(""), limit);
  co_return json(page_json(page));
}

Task<Answer> get_event(App& app, Request& request) {
  auto const id = uuid_hex(request.parameter(0));
  auto const* entry = id ? app.commands.log().find(*id) : nullptr;
  if (entry == nullptr) co_return not_found();
  co_return json(*entry->json);
}

Task<Answer> get_events(App& app, Request& request) {
  NESTGATE_CO_TRY(text, co_await request.body());
  NESTGATE_CO_TRY(ids, parse_string_list(text));
  std::string body;
  codec::JsonWriter w(body);
  w.begin_array();
  for (auto const& id : ids) {
    auto const hex = uuid_hex(id);
    auto const* entry = hex ? app.commands.log().find(*hex) : nullptr;
    w.raw(entry == nullptr ? "null" : *entry->json);
  }
  w.end_array();
  co_return json(std::move(body));
}

Task<Answer> clear_events(App& app, Request&) {
  std::string body;
  codec::JsonWriter(body).begin_object().member("cleared_count", app.commands.log().clear()).end_object();
  co_return json(std::move(body));
}

constexpr Route routes[] = {
    {"POST", "/api/bash/start_bash_command", Access::session, start_command},
    {"POST", "/api/bash/execute_bash_command", Access::session, execute_command},
    {"POST", "/api/bash/bash_commands/{}/stop", Access::session, stop_command},
    {"GET", "/api/bash/bash_events/search", Access::session, search_events},
    {"GET", "/api/bash/bash_events/", Access::session, get_events},
    {"GET", "/api/bash/bash_events/{}", Access::session, get_event},
    {"DELETE", "/api/bash/bash_events", Access::session, clear_events},
};

}  // namespace

std::span<Route const> bash_routes() { return routes; }

}  // namespace nestgate::nestlet
