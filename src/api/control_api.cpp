#include "nestgate/api/control_api.hpp"

#include <charconv>

#include "nestgate/http/fault_status.hpp"
#include "run_body.hpp"
#include "shapes.hpp"
#include "start_body.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using identity::Principal;
using proxy::ApiRequest;
using proxy::ApiResponse;
using upstream::Failure;

constexpr std::string_view conversations_path = "/api/conversations";
constexpr std::string_view runs_path = "/api/automation/v1/runs";

ApiResponse answer(unsigned status, std::string body) {
  ApiResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

ApiResponse not_allowed(std::string allow, std::string body) {
  ApiResponse response = answer(405, std::move(body));
  response.headers.emplace_back("Allow", std::move(allow));
  return response;
}

// A path below a collection: `/{id}` or `/{id}/{verb}`; empty id: the collection itself.
struct Item {
  std::string_view id;
  std::string_view verb;
};

std::optional<Item> item_below(std::string_view collection, std::string_view path) {
  if (!path.starts_with(collection)) return std::nullopt;
  path.remove_prefix(collection.size());
  if (path.empty() || path == "/") return Item{};
  if (path.front() != '/') return std::nullopt;
  path.remove_prefix(1);
  auto const slash = path.find('/');
  Item item;
  item.id = path.substr(0, slash);
  if (slash != path.npos) item.verb = path.substr(slash + 1);
  if (item.id.empty() || (slash != path.npos && item.verb.empty())) return std::nullopt;
  return item;
}

// `fallback` when it is not there; nothing when it is no number within the bounds.
std::optional<std::size_t> number_in(std::string_view query, std::string_view name, std::size_t fallback, std::size_t min,
                                     std::size_t max) {
  auto const text = http::query_value(query, name).value;  // not decoded: numbers need no encoding
  if (text.empty()) return fallback;
  std::size_t value = 0;
  auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size() || value < min || value > max) return std::nullopt;
  return value;
}

class ControlApi final : public proxy::OwnRoutes {
 public:
  ControlApi(conversation::Manager& manager, automation::Service& runs) : manager_(manager), runs_(runs) {}

  bool admits_without_api_key(Method method, std::string_view path) const noexcept override {
    auto const item = item_below(runs_path, path);
    return method == Method::post && item && !item->id.empty() && item->verb == "complete";
  }

  Task<ApiResponse> handle(ApiRequest request) override {
    if (request.route == http::OwnRoute::automation) co_return co_await automation(std::move(request));
    co_return co_await conversations(std::move(request));
  }

 private:
  Task<ApiResponse> conversations(ApiRequest request);
  Task<ApiResponse> start(ApiRequest request);
  ApiResponse list(ApiRequest const& request) const;
  Task<ApiResponse> remove(ApiRequest request, ConversationId id);

  Task<ApiResponse> automation(ApiRequest request);
  Task<ApiResponse> submit(ApiRequest request);
  Task<ApiResponse> list_runs(ApiRequest request);
  Task<ApiResponse> complete(ApiRequest request, std::string run_id);

  static ApiResponse error(ApiRequest const& request, unsigned status, std::string_view code, std::string_view message) {
    return answer(status, error_json(code, message, request.request_id));
  }
  static ApiResponse failure(ApiRequest const& request, Failure const& failure);
  static ApiResponse run_failure(Failure const& failure);
  std::string view_json(ApiRequest const& request, conversation::View const& view) const {
    return conversation_json(view, request.origin, request.domain);
  }

  conversation::Manager& manager_;
  automation::Service& runs_;
};

bool is_for_later(FaultKind kind) { return kind == FaultKind::overloaded || kind == FaultKind::unavailable; }

ApiResponse ControlApi::failure(ApiRequest const& request, Failure const& failure) {
  auto const kind = failure.fault.kind;
  // The request could be read; what it asks for, the nested server will not have.
  unsigned const status = kind == FaultKind::bad_input ? 422 : http::http_status(kind);
  ApiResponse response = error(request, status, to_string(kind), failure.reason);
  if (is_for_later(kind)) response.headers.emplace_back("Retry-After", "5");
  return response;
}

ApiResponse ControlApi::run_failure(Failure const& failure) {
  auto const kind = failure.fault.kind;
  if (kind == FaultKind::bad_input) return answer(422, detail_json(failure.reason));
  ApiResponse response = answer(http::http_status(kind), detail_json(failure.reason));
  if (is_for_later(kind)) response.headers.emplace_back("Retry-After", "5");
  return response;
}

Task<ApiResponse> ControlApi::conversations(ApiRequest request) {
  if (!request.principal) co_return error(request, 401, "unauthorized", "an API key is needed");
  if (request.principal->role == identity::Role::automation)
    co_return error(request, 403, "forbidden", "this API key is for the automation API only");
  auto const item = item_below(conversations_path, request.path);
  if (!item) co_return error(request, 404, "not_found", "there is no such route");
  if (item->id.empty()) {
    if (request.method == Method::post) co_return co_await start(std::move(request));
    if (request.method == Method::get) co_return list(request);
    co_return not_allowed("GET, POST", error_json("method_not_allowed", "use GET or POST", request.request_id));
  }
  auto id = ConversationId::parse_in_path(item->id);
  if (!id || !manager_.knows(*id, *request.principal))
    co_return error(request, 404, "not_found", "there is no such conversation");
  if (item->verb.empty() && request.method == Method::get) co_return answer(200, view_json(request, *manager_.find(*id)));
  if (item->verb.empty() && request.method == Method::delete_) co_return co_await remove(std::move(request), std::move(*id));
  if (item->verb == "stop" && request.method == Method::post) {
    auto stopped = co_await manager_.stop(std::move(*id));
    if (!stopped) co_return failure(request, stopped.error());
    co_return answer(200, view_json(request, *stopped));
  }
  if (item->verb.empty())
    co_return not_allowed("GET, DELETE", error_json("method_not_allowed", "use GET or DELETE", request.request_id));
  if (item->verb == "stop") co_return not_allowed("POST", error_json("method_not_allowed", "use POST", request.request_id));
  co_return error(request, 404, "not_found", "there is no such route");
}

Task<ApiResponse> ControlApi::start(ApiRequest request) {
  auto body = parse_start_body(request.body);
  WipedString().swap(request.body);  // an assignment would keep it
  if (!body) {
    auto const& why = body.error();
    std::string const message = (why.field.empty() ? std::string("the body") : why.field) + ": " + why.message;
    co_return error(request, 400, "bad_input", message);
  }
  conversation::StartRequest wanted;
  wanted.id = std::move(body->id);
  wanted.by = *request.principal;
  wanted.configuration = std::move(body->configuration);
  auto started = co_await manager_.start(std::move(wanted));
  if (!started) co_return failure(request, started.error());
  unsigned const status = started->what == conversation::Started::What::made ? 201 : 200;
  co_return answer(status, view_json(request, started->view));
}

ApiResponse ControlApi::list(ApiRequest const& request) const {
  auto const limit = number_in(request.query, "limit", 20, 1, 100);
  if (!limit) return error(request, 400, "bad_input", "limit: must be 1 to 100");
  auto const page_id = http::query_value(request.query, "page_id").value;
  auto const after = parse_page_id(page_id);
  if (!after && !page_id.empty()) return error(request, 400, "bad_input", "page_id: must be a next_page_id of this list");
  auto const page = manager_.list(*request.principal, *limit, after);
  return answer(200, conversations_json(page, request.origin, request.domain));
}

Task<ApiResponse> ControlApi::remove(ApiRequest request, ConversationId id) {
  auto removed = co_await manager_.remove(std::move(id));
  if (!removed) co_return failure(request, removed.error());
  co_return answer(204, {});
}

Task<ApiResponse> ControlApi::automation(ApiRequest request) {
  auto const item = item_below(runs_path, request.path);
  if (!item) co_return answer(404, detail_json("Not Found"));
  if (item->verb == "complete") {
    if (request.method != Method::post) co_return not_allowed("POST", detail_json("Method Not Allowed"));
    std::string run_id(item->id);
    co_return co_await complete(std::move(request), std::move(run_id));
  }
  if (!request.principal) co_return answer(401, detail_json("Authentication required"));
  if (!item->verb.empty()) co_return answer(404, detail_json("Not Found"));
  if (item->id.empty()) {
    if (request.method == Method::post) co_return co_await submit(std::move(request));
    if (request.method == Method::get) co_return co_await list_runs(std::move(request));
    co_return not_allowed("GET, POST", detail_json("Method Not Allowed"));
  }
  if (request.method != Method::get) co_return not_allowed("GET", detail_json("Method Not Allowed"));
  std::string run_id(item->id);
  auto found = co_await runs_.find(std::move(run_id), *request.principal);
  if (!found) co_return run_failure(found.error());
  co_return answer(200, run_json(*found));
}

Task<ApiResponse> ControlApi::submit(ApiRequest request) {
  auto wanted = parse_run_body(request.content_type, request.body);
  WipedString().swap(request.body);
  if (!wanted) co_return answer(422, invalid_json(wanted.error()));
  wanted->by = *request.principal;
  wanted->base_url = request.origin + "/api/automation";
  auto run = co_await runs_.submit(std::move(*wanted));
  if (!run) co_return run_failure(run.error());
  co_return answer(201, run_json(*run));
}

Task<ApiResponse> ControlApi::list_runs(ApiRequest request) {
  auto const limit = number_in(request.query, "limit", 50, 1, 100);
  auto const offset = number_in(request.query, "offset", 0, 0, SIZE_MAX);
  if (!limit) co_return answer(422, detail_json("limit: must be 1 to 100"));
  if (!offset) co_return answer(422, detail_json("offset: must be 0 or more"));
  auto page = co_await runs_.list(*request.principal, *limit, *offset);
  if (!page) co_return run_failure(page.error());
  co_return answer(200, runs_json(*page));
}

Task<ApiResponse> ControlApi::complete(ApiRequest request, std::string run_id) {
  auto report = parse_report_body(request.body);
  if (!report) co_return answer(422, invalid_json(report.error()));
  automation::Reporter by;
  by.principal = std::move(request.principal);
  by.token = std::move(request.bearer);
  auto run = co_await runs_.report(std::move(run_id), std::move(*report), std::move(by));
  if (!run) co_return run_failure(run.error());
  co_return answer(200, run_json(*run));
}

}  // namespace

std::unique_ptr<proxy::OwnRoutes> make_control_api(conversation::Manager& manager, automation::Service& runs) {
  return std::make_unique<ControlApi>(manager, runs);
}

}  // namespace nestgate::api
