#include "conversation_api.hpp"

#include <simdjson.h>

#include "answers.hpp"
#include "body_values.hpp"
#include "nestgate/api/list_query.hpp"
#include "nestgate/net/task_group.hpp"
#include "open_streams.hpp"
#include "progress_stream.hpp"
#include "shapes.hpp"
#include "start_body.hpp"

namespace nestgate::api {
namespace {

using conversation::RuntimeState;
using conversation::View;
using http::Method;
using proxy::ApiRequest;
using proxy::ApiResponse;
using upstream::Outcome;

constexpr std::size_t start_bytes_max = 64 * 1024 * 1024;  // 32 MiB of `replay_json`, which is JSON escaped as a text
constexpr std::size_t change_bytes_max = 4 * 1024 * 1024;  // 1 MiB of settings, and secrets
constexpr std::size_t event_bytes_max = 16 * 1024 * 1024;  // images may be in it
constexpr std::size_t page_max = 1000;
constexpr std::size_t log_bytes_max = 1024 * 1024;
// Of a call whose end nobody waits for: so that what cannot be done at all is told by its own status.
constexpr std::chrono::milliseconds first_word_time_max{50};
constexpr std::chrono::seconds wake_time_max{30};
constexpr std::chrono::seconds event_time_max{30};

bool is_json_object(std::string_view body) {
  simdjson::dom::parser parser;
  return members_of(parser, body).has_value();
}

// RFC 7240 section 4.1, or the query's short form of it.
bool wants_no_waiting(ApiRequest const& request) {
  if (flag_in(request.query, "wait", true) == false) return true;
  std::string_view list = request.prefer;
  while (!list.empty()) {
    auto const comma = std::min(list.find(','), list.size());
    auto preference = list.substr(0, std::min(list.find_first_of(";,"), list.size()));
    while (preference.starts_with(' ') || preference.starts_with('\t')) preference.remove_prefix(1);
    while (preference.ends_with(' ') || preference.ends_with('\t')) preference.remove_suffix(1);
    if (http::equals_ignoring_case(preference, "respond-async")) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

Task<Result<>> keep_outcome(Task<Outcome<View>> work, std::optional<Outcome<View>>& out) {
  out.emplace(co_await std::move(work));
  co_return Result<>{};
}

class ConversationApi final : public RouteFamily {
 public:
  ConversationApi(conversation::Manager& manager, conversation::DirectoryPublisher& publisher, ImageRule images)
      : manager_(manager), streams_(publisher), images_(std::move(images)) {}

  bool covers(std::string_view path) const noexcept override { return is_at_or_below("/api/conversations", path); }
  bool is_open_to(identity::Role role) const noexcept override { return role != identity::Role::automation; }
  Task<ApiResponse> handle(ApiRequest request) override;
  std::vector<RouteName> routes() const override;

 private:
  using OnAll = Task<ApiResponse> (ConversationApi::*)(ApiRequest);
  using OnOne = Task<ApiResponse> (ConversationApi::*)(ApiRequest, ConversationId);
  static std::span<Route<OnAll> const> routes_of_all();
  static std::span<Route<OnOne> const> routes_of_one();

  Task<ApiResponse> start(ApiRequest request);
  Task<ApiResponse> list(ApiRequest request);
  Task<ApiResponse> show(ApiRequest request, ConversationId id);
  Task<ApiResponse> remove(ApiRequest request, ConversationId id);
  Task<ApiResponse> reconfigure(ApiRequest request, ConversationId id);
  Task<ApiResponse> stop(ApiRequest request, ConversationId id);
  Task<ApiResponse> pause(ApiRequest request, ConversationId id);
  Task<ApiResponse> resume(ApiRequest request, ConversationId id);
  Task<ApiResponse> send_event(ApiRequest request, ConversationId id);
  Task<ApiResponse> withdraw_key(ApiRequest request, ConversationId id);
  Task<ApiResponse> show_log(ApiRequest request, ConversationId id);
  Task<ApiResponse> show_progress(ApiRequest request, ConversationId id);

  Task<ApiResponse> finish(ApiRequest request, ConversationId id, Task<Outcome<View>> work);
  Task<ApiResponse> shown(ApiRequest request, unsigned status, View view);

  conversation::Manager& manager_;
  OpenStreams streams_;
  ImageRule images_;
};

std::span<Route<ConversationApi::OnAll> const> ConversationApi::routes_of_all() {
  static constexpr Route<OnAll> all[] = {
      {Method::get, "/api/conversations", &ConversationApi::list},
      {Method::post, "/api/conversations", &ConversationApi::start, start_bytes_max},
  };
  return all;
}

std::span<Route<ConversationApi::OnOne> const> ConversationApi::routes_of_one() {
  static constexpr Route<OnOne> all[] = {
      {Method::get, "/api/conversations/{id}", &ConversationApi::show},
      {Method::patch, "/api/conversations/{id}", &ConversationApi::reconfigure, change_bytes_max},
      {Method::delete_, "/api/conversations/{id}", &ConversationApi::remove},
      {Method::post, "/api/conversations/{id}/stop", &ConversationApi::stop},
      {Method::post, "/api/conversations/{id}/pause", &ConversationApi::pause},
      {Method::post, "/api/conversations/{id}/resume", &ConversationApi::resume},
      {Method::post, "/api/conversations/{id}/events", &ConversationApi::send_event, event_bytes_max},
      {Method::post, "/api/conversations/{id}/session-key/revoke", &ConversationApi::withdraw_key},
      {Method::get, "/api/conversations/{id}/log", &ConversationApi::show_log},
      {Method::get, "/api/conversations/{id}/progress", &ConversationApi::show_progress},
  };
  return all;
}

std::vector<RouteName> ConversationApi::routes() const {
  std::vector<RouteName> out;
  append_names(routes_of_all(), out);
  append_names(routes_of_one(), out);
  return out;
}

Task<ApiResponse> ConversationApi::handle(ApiRequest request) {
  if (!request.principal) co_return error(request, 401, "unauthorized", "an API key is needed");
  if (!is_open_to(request.principal->role))
    co_return error(request, 403, "forbidden", "this API key is for the automation API only");
  if (!flag_in(request.query, "wait", true)) co_return error(request, 400, "bad_input", "wait: must be true or false");
  auto const on_all = find_route(routes_of_all(), request.method, request.path);
  if (on_all.route) co_return co_await (this->*on_all.route->handler)(std::move(request));
  if (!on_all.allow.empty()) co_return not_allowed(request, on_all.allow);
  auto const on_one = find_route(routes_of_one(), request.method, request.path);
  if (!on_one.route && on_one.allow.empty()) co_return error(request, 404, "not_found", "there is no such route");
  if (!on_one.route) co_return not_allowed(request, on_one.allow);
  auto id = ConversationId::parse_in_path(on_one.taken.front());
  if (!id || !manager_.knows(*id, *request.principal))
    co_return error(request, 404, "not_found", "there is no such conversation");
  co_return co_await (this->*on_one.route->handler)(std::move(request), std::move(*id));
}

Task<ApiResponse> ConversationApi::shown(ApiRequest request, unsigned status, View view) {
  ConversationShape shape{request.origin, request.domain};
  shape.streams = co_await streams_.counts();
  co_return answer(status, conversation_json(view, shape));
}

Task<ApiResponse> ConversationApi::start(ApiRequest request) {
  auto body = parse_start_body(request.body);
  WipedString().swap(request.body);  // an assignment would keep it
  if (!body) co_return error(request, 400, "bad_input", message_of(body.error()));
  if (!images_.allows(*request.principal, body->wish.image)) co_return error(request, 403, "forbidden", ImageRule::refusal);
  conversation::StartRequest wanted;
  wanted.id = std::move(body->id);
  wanted.by = *request.principal;
  wanted.configuration = std::move(body->configuration);
  wanted.wish = std::move(body->wish);
  wanted.about = std::move(body->about);
  wanted.again = body->again;
  if (wants_no_waiting(request)) {
    auto begun = co_await manager_.begin_start(std::move(wanted));
    if (!begun) co_return failure(request, begun.error());
    unsigned const status = begun->view.state == RuntimeState::running ? 200 : 202;
    co_return co_await shown(std::move(request), status, std::move(begun->view));
  }
  auto started = co_await manager_.start(std::move(wanted));
  if (!started) co_return failure(request, started.error());
  unsigned const status = started->what == conversation::Started::What::made ? 201 : 200;
  co_return co_await shown(std::move(request), status, std::move(started->view));
}

Task<ApiResponse> ConversationApi::list(ApiRequest request) {
  auto const limit = number_in(request.query, "limit", 20, 1, page_max);
  if (!limit) co_return error(request, 400, "bad_input", "limit: must be 1 to " + std::to_string(page_max));
  auto const page_id = text_in(request.query, "page_id");
  auto const after = parse_page_id(page_id);
  if (!after && !page_id.empty()) co_return error(request, 400, "bad_input", "page_id: must be a next_page_id of this list");
  conversation::Filter filter;
  if (auto const status = text_in(request.query, "status"); !status.empty()) {
    filter.state = parse_status_word(status);
    if (!filter.state)
      co_return error(request, 400, "bad_input", "status: must be STARTING, RUNNING, PAUSED, STOPPING, STOPPED or ERROR");
  }
  if (auto const purpose = text_in(request.query, "purpose"); !purpose.empty()) {
    filter.purpose = parse_purpose(purpose);
    if (!filter.purpose) co_return error(request, 400, "bad_input", "purpose: must be conversation, sandbox or runtime");
  }
  filter.owner = text_in(request.query, "owner");
  if (!filter.owner.empty() && !request.principal->may_use(filter.owner))
    co_return error(request, 403, "forbidden", "owner: only an admin sees what is others'");
  auto const page = manager_.list(*request.principal, *limit, after, filter);
  ConversationShape shape{request.origin, request.domain};
  shape.streams = co_await streams_.counts();
  co_return answer(200, conversations_json(page, shape));
}

Task<ApiResponse> ConversationApi::show(ApiRequest request, ConversationId id) {
  auto view = manager_.find(id);
  co_return co_await shown(std::move(request), 200, std::move(*view));
}

Task<ApiResponse> ConversationApi::remove(ApiRequest request, ConversationId id) {
  auto removed = co_await manager_.remove(std::move(id));
  if (!removed) co_return failure(request, removed.error());
  co_return answer(204, {});
}

Task<ApiResponse> ConversationApi::reconfigure(ApiRequest request, ConversationId id) {
  auto change = parse_change_body(request.body);
  WipedString().swap(request.body);
  if (!change) co_return error(request, 400, "bad_input", message_of(change.error()));
  auto changed = co_await manager_.reconfigure(std::move(id), std::move(*change));
  if (!changed) co_return failure(request, changed.error());
  co_return co_await shown(std::move(request), 200, std::move(*changed));
}

// What the manager began goes on when its caller is cancelled.
Task<ApiResponse> ConversationApi::finish(ApiRequest request, ConversationId id, Task<Outcome<View>> work) {
  std::optional<Outcome<View>> outcome;
  if (!wants_no_waiting(request)) {
    outcome.emplace(co_await std::move(work));
  } else {
    auto const in_time = co_await with_deadline(Deadline::in(first_word_time_max), keep_outcome(std::move(work), outcome));
    if (!in_time) {
      auto view = manager_.find(id);
      if (!view) co_return error(request, 404, "not_found", "there is no such conversation");
      co_return co_await shown(std::move(request), 202, std::move(*view));
    }
  }
  if (!*outcome) co_return failure(request, outcome->error());
  co_return co_await shown(std::move(request), 200, std::move(**outcome));
}

Task<ApiResponse> ConversationApi::stop(ApiRequest request, ConversationId id) {
  auto work = manager_.stop(id);
  co_return co_await finish(std::move(request), std::move(id), std::move(work));
}

Task<ApiResponse> ConversationApi::pause(ApiRequest request, ConversationId id) {
  auto work = manager_.pause(id);
  co_return co_await finish(std::move(request), std::move(id), std::move(work));
}

Task<ApiResponse> ConversationApi::resume(ApiRequest request, ConversationId id) {
  if (!wants_no_waiting(request)) {
    auto work = manager_.resume(id);
    co_return co_await finish(std::move(request), std::move(id), std::move(work));
  }
  auto begun = co_await manager_.begin_resume(std::move(id));
  if (!begun) co_return failure(request, begun.error());
  unsigned const status = begun->state == RuntimeState::running ? 200 : 202;
  co_return co_await shown(std::move(request), status, std::move(*begun));
}

// An act of its user: it wakes, as one that comes through the proxy does.
Task<ApiResponse> ConversationApi::send_event(ApiRequest request, ConversationId id) {
  if (!is_json_object(request.body)) co_return error(request, 400, "bad_input", "the body: must be a JSON object");
  bool const is_awake = co_await manager_.wake(id, Deadline::in(wake_time_max));
  if (!is_awake) co_return failure(request, manager_.why_asleep(id));
  auto const view = manager_.find(id);
  nested::Client server(view->endpoint, view->session_key.clone());
  auto sent = co_await server.send_event(view->id, request.body, Deadline::in(event_time_max));
  if (!sent) co_return failure(request, sent.error());
  ApiResponse response = answer(sent->status, std::move(sent->body));
  response.content_type = std::move(sent->content_type);
  co_return response;
}

Task<ApiResponse> ConversationApi::withdraw_key(ApiRequest request, ConversationId id) {
  auto withdrawn = co_await manager_.withdraw_key(std::move(id));
  if (!withdrawn) co_return failure(request, withdrawn.error());
  co_return co_await shown(std::move(request), 200, std::move(*withdrawn));
}

Task<ApiResponse> ConversationApi::show_log(ApiRequest request, ConversationId id) {
  auto const bytes = number_in(request.query, "bytes", 64 * 1024, 1, log_bytes_max);
  if (!bytes) co_return error(request, 400, "bad_input", "bytes: must be 1 to " + std::to_string(log_bytes_max));
  auto log = co_await manager_.log(std::move(id), *bytes);
  if (!log) co_return failure(request, log.error());
  ApiResponse response = answer(200, std::move(*log));
  response.content_type = "text/plain; charset=utf-8";
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");  // it is the agent's to write
  co_return response;
}

Task<ApiResponse> ConversationApi::show_progress(ApiRequest, ConversationId id) {
  ApiResponse response;
  response.content_type = "text/event-stream";
  response.stream = make_progress_stream(manager_, std::move(id));
  co_return response;
}

}  // namespace

std::unique_ptr<RouteFamily> make_conversation_api(conversation::Manager& manager,
                                                   conversation::DirectoryPublisher& publisher, ImageRule images) {
  return std::make_unique<ConversationApi>(manager, publisher, std::move(images));
}

}  // namespace nestgate::api
