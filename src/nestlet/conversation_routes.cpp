#include <algorithm>
#include <limits>

#include "nestgate/base/result.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestlet/app.hpp"
#include "nestlet/filters.hpp"
#include "nestlet/request.hpp"
#include "nestlet/routes.hpp"

namespace nestgate::nestlet {
namespace {

using codec::JsonWriter;
using Found = std::shared_ptr<Conversation>;

Checked<Found> conversation_of(App& app, Request const& request) {
  auto const hex = uuid_hex(request.parameter(0));
  auto found = app.conversations.find(hex ? std::string_view(*hex) : request.parameter(0));
  if (found) return found;
  if (!hex) return invalid("path", "conversation_id", "uuid_parsing", "Input should be a valid UUID");
  return not_found();
}

// The older server's POST /api/conversations is on the same path; its body has keys of its own (nested_server.md 3.2).
bool is_older_body(JsonObject const& body) {
  constexpr std::string_view own[] = {"initial_user_msg", "image_urls",        "replay_json",
                                      "repository",       "git_provider",      "selected_branch",
                                      "suggested_task",   "create_microagent", "conversation_instructions"};
  if (body.contains("agent")) return false;
  return std::any_of(std::begin(own), std::end(own), [&](std::string_view key) { return body.contains(key); });
}

Answer older_created(std::string_view id) {
  std::string text;
  JsonWriter w(text);
  w.begin_object().member("status", "ok").member("conversation_id", id).key("message").null();
  w.member("conversation_status", "STARTING").end_object();
  return json(std::move(text));
}

Checked<std::string> wanted_id(JsonObject const& body, std::string_view field) {
  NESTGATE_TRY(text, maybe_string(body, field));
  if (!text) return new_id();
  auto hex = uuid_hex(*text);
  if (!hex) return invalid("body", field, "uuid_parsing", "Input should be a valid UUID");
  return std::move(*hex);
}

// What an older server takes for an id (nested_server.md 3.3).
bool is_older_id(std::string_view id) {
  constexpr std::size_t length_max = 100;
  auto const is_plain = [](char c) { return c >= ' ' && c != '\x7f' && c != '/' && c != '\\'; };
  return !id.empty() && id.size() <= length_max && id.find("..") == id.npos && std::all_of(id.begin(), id.end(), is_plain);
}

// An agent server has UUIDs only; what names no agent may be an older server's bare call.
Checked<std::string> id_to_create(JsonObject const& body) {
  auto const* id = body.if_contains("conversation_id");
  if (id != nullptr && id->is_string() && !body.contains("agent") && !uuid_hex(id->get_string()) &&
      is_older_id(id->get_string()))
    return std::string(id->get_string());
  return wanted_id(body, "conversation_id");
}

Task<Answer> create_older(App& app, JsonObject body, std::string hex) {
  if (auto const fault = app.vault.why_not_ready()) {
    std::string text;
    JsonWriter w(text);
    w.begin_object().member("status", "error").member("message", fault->message).member("msg_id", fault->id).end_object();
    co_return Answer(400, std::move(text));
  }
  NESTGATE_CO_TRY(said, maybe_string(body, "initial_user_msg"));
  auto existing = app.conversations.find(hex);
  if (existing) co_return older_created(existing->id());
  NESTGATE_CO_TRY(created, app.conversations.create(std::move(hex), {}));
  if (said && !said->empty()) {
    JsonObject const message{{"role", "user"}, {"content", *said}};
    NESTGATE_CO_TRY(event, created->add_message(message));
    static_cast<void>(event);
    NESTGATE_CO_TRY_VOID(app.conversations.run(created));
  }
  co_return older_created(created->id());
}

Task<Answer> create(App& app, Request& request) {
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY(hex, id_to_create(body));
  app.touch();
  if (is_older_body(body)) co_return co_await create_older(app, std::move(body), std::move(hex));
  if (auto const existing = app.conversations.find(hex)) co_return json(existing->info_json());
  std::optional<JsonObject> first;
  if (auto const* message = body.if_contains("initial_message"); message != nullptr && !message->is_null()) {
    NESTGATE_CO_TRY(object, need_object(body, "initial_message"));
    first = std::move(object);
  }
  NESTGATE_CO_TRY(created, app.conversations.create(std::move(hex), body));
  if (first) {
    auto const added = created->add_message(*first);
    if (!added) {
      app.conversations.remove(created->hex());
      co_return added.error();
    }
    NESTGATE_CO_TRY_VOID(app.conversations.run(created));
  }
  co_return Answer(201, created->info_json());
}

std::string info_page(std::vector<Found> const& items, std::string_view list_name, std::string_view next_page_id) {
  std::string text;
  JsonWriter w(text);
  w.begin_object().key(list_name).begin_array();
  for (auto const& conversation : items) w.raw(conversation->info_json());
  w.end_array().key("next_page_id");
  if (next_page_id.empty()) {
    w.null();
  } else {
    w.value(next_page_id);
  }
  w.end_object();
  return text;
}

// Up to `limit` of `found`, from the one named by the query's page id on.
std::string page_of(std::vector<Found> const& found, Query const& query, std::size_t limit, std::string_view list_name) {
  auto at = found.begin();
  if (auto const page = query.get("page_id")) {
    auto const hex = uuid_hex(*page);
    at = std::find_if(found.begin(), found.end(), [&](Found const& c) { return hex == c->hex(); });
  }
  auto const end = at + std::min(found.end() - at, static_cast<std::ptrdiff_t>(limit));
  std::vector<Found> const items(at, end);
  return info_page(items, list_name, end == found.end() ? "" : (*end)->hex());
}

// With ids the agent server's list with nulls, without them the older server's page, newest first.
Task<Answer> list(App& app, Request& request) {
  constexpr std::size_t ids_max = 100;
  constexpr std::size_t older_limit = 20;
  auto const ids = request.query().all("ids");
  if (ids.empty()) {
    NESTGATE_CO_TRY(limit, page_limit(request.query(), older_limit));
    auto const& all = app.conversations.all();
    std::vector<Found> const newest_first(all.rbegin(), all.rend());
    co_return json(page_of(newest_first, request.query(), limit, "results"));
  }
  if (ids.size() >= ids_max) co_return invalid("query", "ids", "too_long", "At most 99 ids");
  std::string text;
  JsonWriter w(text);
  w.begin_array();
  for (auto const id : ids) {
    auto const hex = uuid_hex(id);
    if (!hex) co_return invalid("query", "ids", "uuid_parsing", "Input should be a valid UUID");
    auto const found = app.conversations.find(*hex);
    w.raw(found ? found->info_json() : "null");
  }
  w.end_array();
  co_return json(std::move(text));
}

std::vector<Found> with_status(App& app, Request const& request) {
  auto out = app.conversations.all();
  if (auto const status = request.query().get("status")) {
    std::erase_if(out, [&](Found const& c) { return to_string(c->status()) != *status; });
  }
  return out;
}

Task<Answer> search(App& app, Request& request) {
  NESTGATE_CO_TRY(limit, page_limit(request.query()));
  auto const order = request.query().get("sort_order").value_or("CREATED_AT_DESC");
  bool const by_update = order.starts_with("UPDATED_AT");
  bool const descending = order.ends_with("_DESC");
  if (!by_update && !order.starts_with("CREATED_AT")) {
    co_return invalid("query", "sort_order", "enum", "Input should be CREATED_AT or UPDATED_AT, or one of these with _DESC");
  }
  auto found = with_status(app, request);
  std::sort(found.begin(), found.end(), [&](Found const& a, Found const& b) {
    auto const x = std::pair(by_update ? a->updated_at() : a->created_at(), a->hex());
    auto const y = std::pair(by_update ? b->updated_at() : b->created_at(), b->hex());
    return descending ? y < x : x < y;
  });
  co_return json(page_of(found, request.query(), limit, "items"));
}

Task<Answer> count(App& app, Request& request) { co_return json(std::to_string(with_status(app, request).size())); }

Task<Answer> get(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  co_return json(conversation->info_json());
}

Task<Answer> patch(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY(title, maybe_string(body, "title"));
  constexpr std::size_t title_max = 200;
  if (title && (title->empty() || title->size() > title_max)) {
    co_return invalid("body", "title", "string_too_long", "A title has 1 to 200 characters");
  }
  if (body.contains("tags")) {
    NESTGATE_CO_TRY(tags, need_object(body, "tags"));
    conversation->set_tags(std::move(tags));
  }
  if (title) conversation->set_title(std::move(*title));
  co_return success();
}

Task<Answer> remove(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  app.conversations.remove(conversation->hex());
  co_return success();
}

Task<Answer> run(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  app.touch();
  NESTGATE_CO_TRY_VOID(app.conversations.run(conversation));
  co_return success();
}

Task<Answer> pause(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  app.conversations.pause(*conversation, "PauseEvent");
  co_return success();
}

Task<Answer> interrupt(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  app.conversations.pause(*conversation, "InterruptEvent");
  co_return success();
}

// The older server's stop: `conversation_status` is what it was before (nested_server.md 3.3).
Task<Answer> stop(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  bool const ran = conversation->status() != RunStatus::paused;
  if (ran) conversation->pause_run("PauseEvent");
  std::string text;
  JsonWriter w(text);
  w.begin_object().member("status", "ok").member("conversation_id", conversation->id());
  w.member("message", ran ? "Conversation stopped successfully" : "Conversation was not running");
  w.member("conversation_status", ran ? "RUNNING" : "STOPPED").end_object();
  co_return json(std::move(text));
}

// A secret is text or {"kind":"StaticSecret","value"} or {"kind":"LookupSecret",...}; the latter is taken and not used.
Task<Answer> set_secrets(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY(secrets, need_object(body, "secrets"));
  for (auto const& secret : secrets) {
    auto const* object = secret.value().if_object();
    auto const* value = object == nullptr ? &secret.value() : object->if_contains("value");
    if (object == nullptr && !secret.value().is_string()) {
      co_return invalid("body", "secrets", "string_type", "A secret should be a string or an object");
    }
    if (value == nullptr || !value->is_string()) continue;
    conversation->set_secret(secret.key(), Secret(std::string(value->get_string())));
  }
  co_return success();
}

Task<Answer> fork(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  NESTGATE_CO_TRY(text, co_await request.body());
  JsonObject body;
  if (!text.empty()) {
    NESTGATE_CO_TRY(parsed, parse_object(text));
    body = std::move(parsed);
  }
  NESTGATE_CO_TRY(hex, wanted_id(body, "id"));
  NESTGATE_CO_TRY(title, maybe_string(body, "title"));
  if (app.conversations.find(hex)) co_return refuse(409, "Conversation id is already in use");
  NESTGATE_CO_TRY(copy, app.conversations.fork(*conversation, std::move(hex)));
  if (title && !title->empty()) copy->set_title(std::move(*title));
  co_return Answer(201, copy->info_json());
}

Task<Answer> config(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  std::string text;
  JsonWriter(text)
      .begin_object()
      .member("runtime_id", conversation->hex())
      .member("session_id", conversation->id())
      .end_object();
  co_return json(std::move(text));
}

bool is_kind(LogEntry const& entry, std::string_view wanted) {
  // Fully qualified or short (agent_server_live.md 3).
  return wanted.substr(wanted.rfind('.') + 1) == entry.kind;
}

Task<Answer> search_events(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  auto const& query = request.query();
  auto const naive = local_offset(now());
  NESTGATE_CO_TRY(limit, page_limit(query));
  NESTGATE_CO_TRY(order, sort_order(query));
  NESTGATE_CO_TRY(from, moment(query, "timestamp__gte", naive));
  NESTGATE_CO_TRY(before, moment(query, "timestamp__lt", naive));
  auto const kind = query.get("kind");
  auto const source = query.get("source");
  auto const body = query.get("body");
  auto const wanted = [&](LogEntry const& entry) {
    return (!kind || is_kind(entry, *kind)) && (!source || entry.source == *source) && (!from || entry.at >= *from) &&
           (!before || entry.at < *before) && (!body || entry.json->find(*body) != std::string::npos);
  };
  co_return json(page_json(conversation->log().page(wanted, order, query.get("page_id").value_or(""), limit)));
}

Task<Answer> count_events(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  auto const kind = request.query().get("kind");
  auto const wanted = [&](LogEntry const& entry) { return !kind || is_kind(entry, *kind); };
  co_return json(std::to_string(conversation->log().count(wanted)));
}

Task<Answer> get_event(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  auto const* entry = conversation->log().find(request.parameter(1));
  if (entry == nullptr) co_return not_found();
  co_return json(*entry->json);
}

struct OlderRange {
  std::uint64_t first;
  std::uint64_t last;
  std::uint64_t limit;
  Order order;
};

// The older server's page: {"events":[...],"has_more":bool}. Both ids are inclusive; in reverse it begins at the end.
Answer older_events(EventLog const& log, OlderRange range) {
  auto const first = std::max(range.first, log.first_seq());
  auto const end = std::min(range.last + 1, log.next_seq());
  auto const count = first < end ? end - first : 0;
  std::string text;
  JsonWriter w(text);
  w.begin_object().key("events").begin_array();
  for (std::uint64_t step = 0; step < std::min(count, range.limit); ++step) {
    w.raw(*log.at(range.order == Order::descending ? end - 1 - step : first + step).json);
  }
  w.end_array().member("has_more", count > range.limit).end_object();
  return json(std::move(text));
}

Checked<OlderRange> older_range(Query const& query) {
  constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();
  NESTGATE_TRY(start, integer(query, "start_id"));
  NESTGATE_TRY(end, integer(query, "end_id"));
  NESTGATE_TRY(limit, integer(query, "limit"));
  NESTGATE_TRY(reverse, boolean(query, "reverse"));
  if (limit && (*limit < 0 || *limit > 100)) return refuse(400, "Invalid limit: from 0 to 100");
  if (start.value_or(0) < 0) return refuse(400, "Invalid start_id: not negative");
  if (end.value_or(0) < 0) return refuse(400, "Invalid end_id: not negative");
  return OlderRange{static_cast<std::uint64_t>(start.value_or(0)), static_cast<std::uint64_t>(end.value_or(last)),
                    static_cast<std::uint64_t>(limit.value_or(20)), reverse ? Order::descending : Order::ascending};
}

// With a JSON body of ids the agent server's list, without one the older server's page.
Task<Answer> get_events(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  NESTGATE_CO_TRY(text, co_await request.body());
  if (text.empty()) {
    NESTGATE_CO_TRY(range, older_range(request.query()));
    co_return older_events(conversation->log(), range);
  }
  NESTGATE_CO_TRY(ids, parse_string_list(text));
  std::string out;
  JsonWriter w(out);
  w.begin_array();
  for (auto const& id : ids) {
    auto const* entry = conversation->log().find(id);
    w.raw(entry == nullptr ? "null" : *entry->json);
  }
  w.end_array();
  co_return json(std::move(out));
}

Task<Answer> add_event(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  NESTGATE_CO_TRY(body, co_await request.object());
  app.touch();
  if (body.contains("action") && !body.contains("content")) {
    conversation->add_raw(std::move(body));
    co_return success();
  }
  NESTGATE_CO_TRY(run_too, flag(body, "run"));
  NESTGATE_CO_TRY(event, conversation->add_message(body));
  static_cast<void>(event);
  if (run_too && conversation->status() != RunStatus::running) NESTGATE_CO_TRY_VOID(app.conversations.run(conversation));
  co_return success();
}

Task<Answer> add_message(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY(text, need_string(body, "message"));
  app.touch();
  JsonObject const message{{"role", "user"}, {"content", text}};
  NESTGATE_CO_TRY(event, conversation->add_message(message));
  static_cast<void>(event);
  if (conversation->status() != RunStatus::running) NESTGATE_CO_TRY_VOID(app.conversations.run(conversation));
  co_return success();
}

// Server-sent events: the snapshot, then what happens from now on.
Task<Answer> stream_events(App& app, Request& request) {
  NESTGATE_CO_TRY(conversation, conversation_of(app, request));
  if (conversation->feed().size() >= app.settings.limits.event_subscribers_max) {
    co_return refuse(429, "Too many connections for this conversation");
  }
  auto const& limits = app.settings.limits;
  auto const closing_max = std::chrono::seconds(limits.close_seconds);
  auto const outbox = std::make_shared<Outbox>(app.executor, limits.subscriber_queue_bytes_max, closing_max);
  outbox->push(make_frame(conversation->snapshot_event()));
  Answer answer;
  answer.content_type = "text/event-stream";
  EventStream stream;
  stream.events = outbox;
  stream.seats.push_back(std::make_unique<Feed::Seat>(app.sockets, outbox));
  stream.seats.push_back(std::make_unique<Feed::Seat>(conversation->feed(), outbox));
  stream.source = std::move(conversation);
  answer.body = std::move(stream);
  co_return answer;
}

constexpr Route routes[] = {
    {"POST", "/api/conversations", Access::session, create},
    {"GET", "/api/conversations", Access::session, list},
    {"GET", "/api/conversations/search", Access::session, search},
    {"GET", "/api/conversations/count", Access::session, count},
    {"GET", "/api/conversations/{}", Access::session, get},
    {"PATCH", "/api/conversations/{}", Access::session, patch},
    {"DELETE", "/api/conversations/{}", Access::session, remove},
    {"POST", "/api/conversations/{}/run", Access::session, run},
    {"POST", "/api/conversations/{}/pause", Access::session, pause},
    {"POST", "/api/conversations/{}/interrupt", Access::session, interrupt},
    {"POST", "/api/conversations/{}/stop", Access::session, stop},
    {"POST", "/api/conversations/{}/secrets", Access::session, set_secrets},
    {"POST", "/api/conversations/{}/fork", Access::session, fork},
    {"POST", "/api/conversations/{}/message", Access::session, add_message},
    {"GET", "/api/conversations/{}/config", Access::session, config},
    {"GET", "/api/conversations/{}/events/search", Access::session, search_events},
    {"GET", "/api/conversations/{}/events/count", Access::session, count_events},
    {"GET", "/api/conversations/{}/events/stream", Access::session, stream_events},
    {"GET", "/api/conversations/{}/events/{}", Access::session, get_event},
    {"GET", "/api/conversations/{}/events", Access::session, get_events},
    {"POST", "/api/conversations/{}/events", Access::session, add_event},
};

}  // namespace

std::span<Route const> conversation_routes() { return routes; }

}  // namespace nestgate::nestlet
