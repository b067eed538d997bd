#include "app/operator_api.hpp"

#include <unordered_map>

#include "app/admin_answers.hpp"
#include "nestgate/api/list_query.hpp"

namespace nestgate::app {
namespace {

using api::number_in;
using api::text_in;
using conversation::RuntimeState;
using conversation::View;
using Method = AdminRequest::Method;

constexpr std::size_t page_max = 1000;
constexpr std::size_t log_bytes_max = 1024 * 1024;
constexpr std::string_view collection = "/api/conversations";

identity::Principal everybody() { return {"operator", identity::Role::admin, ""}; }

// The epoch stands for a moment that is not known.
std::optional<std::chrono::system_clock::time_point> known(std::chrono::system_clock::time_point time) {
  return time == std::chrono::system_clock::time_point{} ? std::nullopt : std::optional(time);
}

// What there is to say of it in few words: no key among them.
void write_short(codec::JsonWriter& w, View const& view) {
  w.member("id", view.id.text()).member("state", to_string(view.state));
  w.text_or_null("owner", view.owner);
  w.text_or_null("organisation", view.organisation);
  w.member("purpose", to_string(view.purpose));
  w.member("origin", view.origin == conversation::Origin::fixed ? "static" : "managed");
  w.text_or_null("reason", view.reason);
  w.text_or_null("progress", view.progress);
  time_or_null(w, "created_at", known(view.created_at));
  time_or_null(w, "changed_at", known(view.changed_at));
  time_or_null(w, "last_act_at", known(view.last_act_at));
}

std::string whole_json(View const& view) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object();
  write_short(w, view);
  w.text_or_null("address", view.endpoint.port() == 0 ? std::string() : upstream::url_of(view.endpoint).text());
  w.key("ports").begin_object();
  for (auto const& port : view.ports) w.member(port.name, port.number);
  w.end_object();
  w.text_or_null("image", view.image);
  w.text_or_null("handle", view.handle);
  w.text_or_null("spec_id", view.spec_id);
  w.text_or_null("server_status", view.nested_status.conversation);
  w.text_or_null("server_runtime_status", view.nested_status.runtime);
  w.member("epoch", view.epoch.get()).member("version", view.version).end_object();
  return out;
}

std::string page_json(conversation::Page const& page) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().key("results").begin_array();
  for (auto const& view : page.views) {
    w.begin_object();
    write_short(w, view);
    w.end_object();
  }
  w.end_array();
  w.text_or_null("next_page_id", page.has_more ? api::page_id_of(page.views.back()) : std::string());
  w.end_object();
  return out;
}

std::optional<RuntimeState> parse_state(std::string_view text) {
  for (auto const state : {RuntimeState::starting, RuntimeState::running, RuntimeState::paused, RuntimeState::stopping,
                           RuntimeState::stopped, RuntimeState::error}) {
    if (text == to_string(state)) return state;
  }
  return std::nullopt;
}

std::optional<std::int64_t> seconds_since(Clock::time_point then, Clock::time_point now) {
  if (then == Clock::time_point{}) return std::nullopt;
  return std::chrono::duration_cast<std::chrono::seconds>(now - then).count();
}

// By the proxy's count, or by what is remembered, whichever is later: the start is an act, and comes before all traffic.
std::optional<std::int64_t> seconds_since_act(View const& view, Clock::time_point counted, Clock::time_point now) {
  auto const by_count = seconds_since(counted, now);
  if (view.last_act_at == std::chrono::system_clock::time_point{}) return by_count;
  auto const ago = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now() - view.last_act_at).count();
  auto const remembered = std::max<std::int64_t>(ago, 0);
  return by_count ? std::min(*by_count, remembered) : remembered;
}

bool is_in_use(View const& view) { return view.state != RuntimeState::stopped && view.state != RuntimeState::error; }

std::string top_json(std::vector<View> const& views, UsageMeter::ById const& resources,
                     std::unordered_map<std::string, conversation::Activity const*> const& used) {
  auto const now = Clock::now();
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().key("results").begin_array();
  for (auto const& view : views) {
    auto const activity = used.find(view.id.canonical());
    bool const is_used = activity != used.end();
    auto const own = resources.find(view.id.canonical());
    nested::Resources const shown_resources = own == resources.end() ? nested::Resources{} : own->second;
    w.begin_object().member("id", view.id.text()).member("state", to_string(view.state));
    w.text_or_null("owner", view.owner);
    w.member("streams", is_used ? activity->second->streams : 0U);
    auto const never = Clock::time_point{};
    value_or_null(w, "seconds_since_act", seconds_since_act(view, is_used ? activity->second->last_act : never, now));
    value_or_null(w, "seconds_since_traffic", seconds_since(is_used ? activity->second->last_traffic : never, now));
    value_or_null(w, "memory_bytes", shown_resources.memory_bytes);
    value_or_null(w, "cpu_percent", shown_resources.cpu_percent);
    w.end_object();
  }
  w.end_array().end_object();
  return out;
}

}  // namespace

Task<AdminAnswer> OperatorApi::handle(AdminRequest request) {
  if (request.path == "/api/top") {
    if (request.method != Method::get) co_return not_allowed("GET, HEAD");
    co_return co_await top();
  }
  if (OperatorRuns::is_of(request.path)) co_return co_await runs_.handle(std::move(request));
  std::string_view below = request.path;
  bool const is_known = below.starts_with(collection);
  if (is_known) below.remove_prefix(collection.size());
  if (is_known && below.empty()) {
    if (request.method != Method::get) co_return not_allowed("GET, HEAD");
    co_return co_await list(std::move(request));
  }
  if (!is_known || below.front() != '/') co_return refuse(404, "not_found", "no such admin route");
  below.remove_prefix(1);
  auto const id_end = std::min(below.find('/'), below.size());
  std::string const verb(below.substr(id_end));
  auto id = ConversationId::parse_in_path(below.substr(0, id_end));
  bool const posts = verb == "/stop";
  if (!verb.empty() && verb != "/log" && !posts) co_return refuse(404, "not_found", "no such admin route");
  if (posts && request.method != Method::post) co_return not_allowed("POST");
  if (!posts && request.method != Method::get) co_return not_allowed("GET, HEAD");
  if (!id || !manager_.find(*id)) co_return refuse(404, "not_found", "there is no such conversation");
  if (posts) co_return co_await stop(std::move(request), std::move(*id));
  if (verb == "/log") co_return co_await show_log(std::move(request), std::move(*id));
  co_return co_await show(std::move(request), std::move(*id));
}

Task<AdminAnswer> OperatorApi::list(AdminRequest request) {
  auto const limit = number_in(request.query, "limit", 100, 1, page_max);
  if (!limit) co_return refuse(400, "bad_input", "limit: must be 1 to " + std::to_string(page_max));
  auto const page_id = text_in(request.query, "page_id");
  auto const after = api::parse_page_id(page_id);
  if (!after && !page_id.empty()) co_return refuse(400, "bad_input", "page_id: must be a next_page_id of this list");
  conversation::Filter filter;
  if (auto const status = text_in(request.query, "status"); !status.empty()) {
    filter.state = parse_state(status);
    if (!filter.state)
      co_return refuse(400, "bad_input", "status: must be starting, running, paused, stopping, stopped or error");
  }
  co_return shown(page_json(manager_.list(everybody(), *limit, after, filter)));
}

Task<AdminAnswer> OperatorApi::show(AdminRequest, ConversationId id) { co_return shown(whole_json(*manager_.find(id))); }

Task<AdminAnswer> OperatorApi::show_log(AdminRequest request, ConversationId id) {
  auto const bytes = number_in(request.query, "bytes", 64 * 1024, 1, log_bytes_max);
  if (!bytes) co_return refuse(400, "bad_input", "bytes: must be 1 to " + std::to_string(log_bytes_max));
  auto log = co_await manager_.log(std::move(id), *bytes);
  if (!log) co_return failed(log.error());
  AdminAnswer out;
  out.content_type = "text/plain; charset=utf-8";
  out.body = std::move(*log);
  co_return out;
}

Task<AdminAnswer> OperatorApi::stop(AdminRequest, ConversationId id) {
  auto stopped = co_await manager_.stop(std::move(id));
  if (!stopped) co_return failed(stopped.error());
  co_return shown(whole_json(*stopped));
}

Task<AdminAnswer> OperatorApi::top() {
  auto page = manager_.list(everybody(), SIZE_MAX, std::nullopt);
  std::erase_if(page.views, [](View const& view) { return !is_in_use(view); });
  auto const activities = co_await publisher_.activity();
  std::unordered_map<std::string, conversation::Activity const*> used;
  for (auto const& activity : activities) used.emplace(activity.id.canonical(), &activity);
  auto const resources = co_await meter_.look(page.views);
  co_return shown(top_json(page.views, resources, used));
}

}  // namespace nestgate::app
