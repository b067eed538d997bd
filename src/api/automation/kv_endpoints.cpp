#include "kv_endpoints.hpp"

#include "api/answers.hpp"
#include "api/detail_answers.hpp"
#include "kv_bodies.hpp"
#include "kv_token.hpp"
#include "nestgate/base/text.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using proxy::ApiResponse;
using upstream::Outcome;

// Room for values that are told how much too large they are.
constexpr std::size_t kv_body_bytes_max = 1024 * 1024;
// More than a document has room for.
constexpr std::int64_t kv_keys_max = 16'384;

ApiResponse as_response(KvAnswer kv) {
  auto response = answer(kv.status, std::move(kv.body));
  if (kv.may_be_tried_again) response.headers.emplace_back("Retry-After", "1");
  return response;
}

class KvEndpoints final : public EndpointGroup {
 public:
  KvEndpoints(automation::Service& service, KvLimits limits) : service_(service), limits_(limits) {}
  std::vector<Endpoint> endpoints() override;

 private:
  using What = KvOperation::What;
  // Whose document it is, or why nobody's.
  struct Opened {
    std::string automation_id;
    std::string key;  // where it was asked for
    std::optional<ApiResponse> refused;
  };
  Task<Opened> open(Call const& call);
  Task<Opened> open_for_caller(Call const& call);
  // The same with the key in the path; a refusal where that is none.
  Task<Opened> open_at_key(Call const& call);

  Task<ApiResponse> list(Call call);
  Task<ApiResponse> get(Call call);
  Task<ApiResponse> count(Call call);
  Task<ApiResponse> put(Call call);
  Task<ApiResponse> patch(Call call);
  Task<ApiResponse> remove(Call call);
  Task<ApiResponse> increase(Call call) { return change_by(std::move(call), What::increase); }
  Task<ApiResponse> decrease(Call call) { return change_by(std::move(call), What::decrease); }
  Task<ApiResponse> push_left(Call call) { return push(std::move(call), What::push_left); }
  Task<ApiResponse> push_right(Call call) { return push(std::move(call), What::push_right); }
  Task<ApiResponse> pop_left(Call call) { return pop(std::move(call), What::pop_left); }
  Task<ApiResponse> pop_right(Call call) { return pop(std::move(call), What::pop_right); }
  Task<ApiResponse> batch(Call call);

  Task<ApiResponse> change_by(Call call, What what);
  Task<ApiResponse> push(Call call, What what);
  Task<ApiResponse> pop(Call call, What what);
  using Judged = std::function<KvAnswer(store::KvDocument const&)>;
  Task<ApiResponse> write(std::string automation_id, Judged judged);
  Task<ApiResponse> read(std::string automation_id, Judged judged);
  // One operation, at the key that was opened.
  Task<ApiResponse> apply(Opened opened, KvOperation operation, std::optional<std::int64_t> if_version = {});
  KvChange change_now(std::optional<std::int64_t> if_version) const {
    return {if_version, std::chrono::system_clock::now(), limits_};
  }

  automation::Service& service_;
  KvLimits limits_;
};

std::vector<Endpoint> KvEndpoints::endpoints() {
  std::vector<Endpoint> out;
  auto const add = [&](Method method, std::string_view pattern, Task<ApiResponse> (KvEndpoints::*handler)(Call),
                       Body body = Body::none) {
    out.push_back({method, pattern, Access::own, body, body == Body::json ? kv_body_bytes_max : short_body_bytes_max,
                   by(this, handler)});
  };
  add(Method::get, "/v1/kv", &KvEndpoints::list);
  add(Method::post, "/v1/kv/batch", &KvEndpoints::batch, Body::json);
  add(Method::get, "/v1/kv/{key}", &KvEndpoints::get);
  add(Method::put, "/v1/kv/{key}", &KvEndpoints::put, Body::json);
  add(Method::patch, "/v1/kv/{key}", &KvEndpoints::patch, Body::json);
  add(Method::delete_, "/v1/kv/{key}", &KvEndpoints::remove);
  add(Method::post, "/v1/kv/{key}/incr", &KvEndpoints::increase, Body::json);
  add(Method::post, "/v1/kv/{key}/decr", &KvEndpoints::decrease, Body::json);
  add(Method::post, "/v1/kv/{key}/lpush", &KvEndpoints::push_left, Body::json);
  add(Method::post, "/v1/kv/{key}/rpush", &KvEndpoints::push_right, Body::json);
  add(Method::post, "/v1/kv/{key}/lpop", &KvEndpoints::pop_left);
  add(Method::post, "/v1/kv/{key}/rpop", &KvEndpoints::pop_right);
  add(Method::get, "/v1/kv/{key}/len", &KvEndpoints::count);
  return out;
}

Task<KvEndpoints::Opened> KvEndpoints::open(Call const& call) {
  Opened out;
  auto const& key = service_.settings().kv_secret;
  auto const& request = call.request;
  if (!key || key->empty()) {
    out.refused = refusal(503, "KV store not configured (missing AUTOMATION_KV_SECRET)");
  } else if (request.authorization_scheme == "Bearer" && !request.bearer.empty()) {
    auto token = read_kv_token(*key, request.bearer, std::chrono::system_clock::now());
    if (token) out.automation_id = std::move(token->automation_id);
    if (!token && !token.error().is_token && call.caller) co_return co_await open_for_caller(call);
    if (!token) out.refused = refusal(401, token.error().detail);
  } else if (call.caller) {
    co_return co_await open_for_caller(call);
  } else if (request.authorization_scheme.empty() && request.session_key.empty()) {
    Faults faults;
    faults.add({"missing", {"header", "authorization"}, "Field required", "null", {}});
    out.refused = unprocessable(faults);
  } else {
    bool const is_bearer = request.authorization_scheme == "Bearer";
    std::string_view const why = is_bearer ? "Missing token" : "Invalid authorization header format";
    out.refused = refusal(401, request.authorization_scheme.empty() ? "Invalid API key" : why);
  }
  co_return out;
}

Task<KvEndpoints::Opened> KvEndpoints::open_for_caller(Call const& call) {
  Opened out;
  Faults faults;
  std::optional<std::string> id;
  Query(faults, call.request.query).may("automation_id", id, uuid());
  if (!faults.empty()) {
    out.refused = unprocessable(faults);
    co_return out;
  }
  if (!id) {
    out.refused = refusal(400, "automation_id query parameter is required for user-authenticated KV access");
    co_return out;
  }
  auto found = co_await service_.rows().find(*id);
  if (!found) {
    out.refused = detail_failure(found.error());
    co_return out;
  }
  auto const& row = *found;
  bool const is_theirs = row && !row->deleted_at && (call.caller->sees_all || row->tenant == call.caller->tenant);
  if (is_theirs) out.automation_id = row->id;
  if (!is_theirs) out.refused = refusal(404, "Automation not found");
  co_return out;
}

Task<KvEndpoints::Opened> KvEndpoints::open_at_key(Call const& call) {
  auto opened = co_await open(call);
  if (opened.refused) co_return opened;
  opened.key = percent_decoded(call.taken.front()).value_or(call.taken.front());
  if (auto const why = why_not_a_kv_key(opened.key)) opened.refused = as_response(no_kv_key(*why));
  co_return opened;
}

Task<ApiResponse> KvEndpoints::read(std::string automation_id, Judged judged) {
  auto document = co_await service_.rows().kv(std::move(automation_id));
  if (!document) co_return detail_failure(document.error());
  co_return as_response(judged(*document));
}

Task<ApiResponse> KvEndpoints::write(std::string automation_id, Judged judged) {
  // The store may judge on another thread, and again: its last word counts.
  auto const last = std::make_shared<KvAnswer>();
  store::KvJudge judge = [last, judged = std::move(judged)](store::KvDocument const& document) {
    *last = judged(document);
    return last->decision;
  };
  auto done = co_await service_.rows().change_kv(std::move(automation_id), std::move(judge));
  if (!done) co_return detail_failure(done.error());
  co_return as_response(std::move(*last));
}

Task<ApiResponse> KvEndpoints::apply(Opened opened, KvOperation operation, std::optional<std::int64_t> if_version) {
  operation.key = std::move(opened.key);
  Judged judged = [operation = std::move(operation), change = change_now(if_version)](store::KvDocument const& document) {
    return change_kv(document, operation, change);
  };
  co_return co_await write(std::move(opened.automation_id), std::move(judged));
}

Task<ApiResponse> KvEndpoints::list(Call call) {
  auto opened = co_await open(call);
  if (opened.refused) co_return *std::move(opened.refused);
  Faults faults;
  Query const query(faults, call.request.query);
  std::int64_t limit = kv_keys_max, offset = 0;
  query.may("limit", limit, whole(1, kv_keys_max));
  query.may("offset", offset, whole(0));
  if (!faults.empty()) co_return unprocessable(faults);
  Judged judged = [limit, offset](store::KvDocument const& document) {
    return list_kv(document, static_cast<std::size_t>(limit), static_cast<std::size_t>(offset));
  };
  co_return co_await read(std::move(opened.automation_id), std::move(judged));
}

Task<ApiResponse> KvEndpoints::get(Call call) {
  auto opened = co_await open_at_key(call);
  if (opened.refused) co_return *std::move(opened.refused);
  Faults faults;
  Query const query(faults, call.request.query);
  std::string path;
  bool with_meta = false;
  query.may("path", path, text());
  query.may("meta", with_meta, flag());
  if (!faults.empty()) co_return unprocessable(faults);
  Judged judged = [key = std::move(opened.key), path, with_meta](store::KvDocument const& document) {
    return get_kv(document, key, path, with_meta);
  };
  co_return co_await read(std::move(opened.automation_id), std::move(judged));
}

Task<ApiResponse> KvEndpoints::count(Call call) {
  auto opened = co_await open_at_key(call);
  if (opened.refused) co_return *std::move(opened.refused);
  Judged judged = [key = std::move(opened.key)](store::KvDocument const& document) { return count_kv(document, key); };
  co_return co_await read(std::move(opened.automation_id), std::move(judged));
}

Task<ApiResponse> KvEndpoints::put(Call call) {
  auto opened = co_await open_at_key(call);
  if (opened.refused) co_return *std::move(opened.refused);
  KvOperation operation;
  Faults faults;
  Query const query(faults, call.request.query);
  std::optional<std::int64_t> if_version;
  query.may("nx", operation.only_new, flag());
  query.may("xx", operation.only_known, flag());
  query.may("if_version", if_version, whole());
  operation.value = read_kv_value(faults, call.body);
  if (!faults.empty()) co_return unprocessable(faults);
  if (operation.only_new && operation.only_known) co_return refusal(400, "Cannot use both nx and xx");
  co_return co_await apply(std::move(opened), std::move(operation), if_version);
}

Task<ApiResponse> KvEndpoints::patch(Call call) {
  auto opened = co_await open_at_key(call);
  if (opened.refused) co_return *std::move(opened.refused);
  Faults faults;
  std::optional<std::int64_t> if_version;
  Query(faults, call.request.query).may("if_version", if_version, whole());
  auto operation = read_kv_patch(faults, call.body);
  if (!faults.empty()) co_return unprocessable(faults);
  co_return co_await apply(std::move(opened), std::move(operation), if_version);
}

Task<ApiResponse> KvEndpoints::remove(Call call) {
  auto opened = co_await open_at_key(call);
  if (opened.refused) co_return *std::move(opened.refused);
  KvOperation operation;
  operation.what = What::remove;
  Faults faults;
  std::optional<std::int64_t> if_version;
  Query(faults, call.request.query).may("if_version", if_version, whole());
  if (!faults.empty()) co_return unprocessable(faults);
  co_return co_await apply(std::move(opened), std::move(operation), if_version);
}

Task<ApiResponse> KvEndpoints::change_by(Call call, What what) {
  auto opened = co_await open_at_key(call);
  if (opened.refused) co_return *std::move(opened.refused);
  KvOperation operation;
  operation.what = what;
  Faults faults;
  operation.by = read_kv_by(faults, call.body);
  if (!faults.empty()) co_return unprocessable(faults);
  co_return co_await apply(std::move(opened), std::move(operation));
}

Task<ApiResponse> KvEndpoints::push(Call call, What what) {
  auto opened = co_await open_at_key(call);
  if (opened.refused) co_return *std::move(opened.refused);
  KvOperation operation;
  operation.what = what;
  Faults faults;
  operation.value = read_kv_pushed(faults, call.body);
  if (!faults.empty()) co_return unprocessable(faults);
  co_return co_await apply(std::move(opened), std::move(operation));
}

Task<ApiResponse> KvEndpoints::pop(Call call, What what) {
  auto opened = co_await open_at_key(call);
  if (opened.refused) co_return *std::move(opened.refused);
  KvOperation operation;
  operation.what = what;
  co_return co_await apply(std::move(opened), std::move(operation));
}

Task<ApiResponse> KvEndpoints::batch(Call call) {
  auto opened = co_await open(call);
  if (opened.refused) co_return *std::move(opened.refused);
  Faults faults;
  auto wanted = read_kv_batch(faults, call.body);
  if (!faults.empty()) co_return unprocessable(faults);
  Judged judged = [operations = std::move(wanted.operations), change = change_now(wanted.if_version)](
                      store::KvDocument const& document) { return change_kv_batch(document, operations, change); };
  co_return co_await write(std::move(opened.automation_id), std::move(judged));
}

}  // namespace

std::unique_ptr<EndpointGroup> make_kv_endpoints(automation::Service& service, KvLimits limits) {
  return std::make_unique<KvEndpoints>(service, limits);
}

}  // namespace nestgate::api
