#include "webhook_api.hpp"

#include <map>

#include "answers.hpp"
#include "detail_answers.hpp"
#include "shapes.hpp"
#include "webhook_body.hpp"

namespace nestgate::api {
namespace {

using conversation::View;
using http::Method;
using proxy::ApiRequest;
using proxy::ApiResponse;

constexpr std::string_view webhooks_path = "/api/v1/webhooks";

// What the manager is to be told, the newest of each conversation. It is told behind the answer: a server ends its run only
// once that is there (agent_server_live.md 2, row 3.5).
class News : public std::enable_shared_from_this<News> {
 public:
  News(conversation::Manager& manager, std::size_t pending_max) : manager_(manager), pending_max_(pending_max) {}

  // Beyond the limit it is left out: the next push says it again.
  void take(ConversationId const& id, Pushed pushed, Executor const& executor) {
    if (pushed.execution_status.empty() && pushed.title.empty() && !pushed.is_act) return;
    auto known = pending_.find(id);
    if (known == pending_.end()) {
      if (pending_.size() >= pending_max_) return;
      known = pending_.emplace(id, Pushed{}).first;
    }
    known->second.is_act |= pushed.is_act;
    if (!pushed.execution_status.empty()) known->second.execution_status = std::move(pushed.execution_status);
    if (!pushed.title.empty()) known->second.title = std::move(pushed.title);
    if (pending_.size() > 1 || is_posted_) return;
    is_posted_ = true;
    asio::post(executor, [weak = weak_from_this()] {
      if (auto const self = weak.lock()) self->tell();
    });
  }

 private:
  void tell() {
    is_posted_ = false;
    for (auto& [id, pushed] : std::exchange(pending_, {})) {
      nested::Status status;
      status.conversation = std::move(pushed.execution_status);
      if (pushed.is_act) status.idle_for = std::chrono::seconds(0);
      manager_.note_pushed_status(id, std::move(status));
      if (!pushed.title.empty()) manager_.note_pushed_title(id, std::move(pushed.title));
    }
  }

  conversation::Manager& manager_;
  std::size_t pending_max_;
  std::map<ConversationId, Pushed> pending_;
  bool is_posted_ = false;
};

class WebhookApi final : public RouteFamily {
 public:
  WebhookApi(conversation::Manager& manager, WebhookSettings settings)
      : manager_(manager), news_(std::make_shared<News>(manager, settings.pending_max)) {}

  bool covers(std::string_view path) const noexcept override { return is_at_or_below(webhooks_path, path); }
  bool admits_without_api_key(Method method, std::string_view path) const noexcept override {
    return find_route(table(), method, path).route != nullptr;
  }
  Task<ApiResponse> handle(ApiRequest request) override;
  std::vector<RouteName> routes() const override;

 private:
  using Parse = Checked<Pushed> (*)(std::string_view body);
  struct Handler {
    Parse parse;
    enum class Names : bool { no_sandbox, sandbox } names;  // `{sandbox_id}` stands first in the pattern
  };
  static std::span<Route<Handler> const> table();

  conversation::Manager& manager_;
  std::shared_ptr<News> news_;
};

std::span<Route<WebhookApi::Handler> const> WebhookApi::table() {
  using Names = Handler::Names;
  static constexpr Route<Handler> all[] = {
      {Method::post, "/api/v1/webhooks/conversations", {parse_pushed_conversation, Names::no_sandbox}},
      {Method::post, "/api/v1/webhooks/events/{conversation_id}", {parse_pushed_events, Names::no_sandbox}},
      {Method::post, "/api/v1/webhooks/{sandbox_id}/conversations", {parse_pushed_conversation, Names::sandbox}},
      {Method::post, "/api/v1/webhooks/{sandbox_id}/events/{conversation_id}", {parse_pushed_events, Names::sandbox}},
  };
  return all;
}

std::vector<RouteName> WebhookApi::routes() const {
  std::vector<RouteName> out;
  append_names(table(), out);
  return out;
}

// By its key alone, whatever its state: what a server says while it stops is true as well.
Task<ApiResponse> WebhookApi::handle(ApiRequest request) {
  auto const found = find_route(table(), request.method, request.path);
  if (!found.route) co_return no_such_route(found.allow);
  std::optional<View> sender;
  // tidy-ok(reveal): looked up in constant time
  if (!request.session_key.empty()) sender = manager_.find_by_key(request.session_key.reveal());
  if (!sender) co_return refusal(401, "Invalid session API key");
  if (found.route->handler.names == Handler::Names::sandbox) {
    auto const id = ConversationId::parse_in_path(found.taken.front());
    if (!id || *id != sender->id) co_return refusal(403, "Session API key does not match sandbox");
  }
  auto pushed = found.route->handler.parse(request.body);
  if (!pushed) co_return answer(422, invalid_json(pushed.error()));
  auto const executor = co_await asio::this_coro::executor;
  news_->take(sender->id, *std::move(pushed), executor);
  co_return success();
}

}  // namespace

std::unique_ptr<RouteFamily> make_webhook_api(conversation::Manager& manager, WebhookSettings settings) {
  return std::make_unique<WebhookApi>(manager, settings);
}

}  // namespace nestgate::api
