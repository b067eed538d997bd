#include "completion_endpoints.hpp"

#include <array>
#include <functional>
#include <utility>

#include "api/answers.hpp"
#include "api/detail_answers.hpp"
#include "automation_body.hpp"
#include "automation_shapes.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/identity/base64.hpp"
#include "nestgate/upstream/random.hpp"
#include "ownership.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using proxy::ApiResponse;
using store::EndpointRow;

constexpr std::uint64_t endpoints_max = 100;  // of one tenant
constexpr int tries_max = 10;                 // of a change that somebody else's came before

Secret new_key() {
  std::array<unsigned char, 32> key{};
  upstream::fill_random(key);
  return Secret(std::string(reinterpret_cast<char const*>(key.data()), key.size()));
}

// With the newest key in its text form: the one time that it is shown.
ApiResponse answer_with_secret(unsigned status, EndpointRow const& row) {
  auto const key = row.secrets.front().reveal();  // tidy-ok(reveal): shown once, to its owner
  return answer(status, endpoint_json(row, "whsec_" + identity::encode_base64(key)));
}

class CompletionEndpoints final : public EndpointGroup {
 public:
  explicit CompletionEndpoints(automation::Service& service) : service_(service) {}
  std::vector<Endpoint> endpoints() override;

 private:
  Task<ApiResponse> create(Call call);
  Task<ApiResponse> list(Call call);
  Task<ApiResponse> show(Call call);
  Task<ApiResponse> change(Call call);
  Task<ApiResponse> remove(Call call);
  Task<ApiResponse> rotate(Call call);
  // Changes the endpoint as it is then, again where somebody else did meanwhile; `edit` says the answer.
  using Edit = std::function<ApiResponse(EndpointRow&)>;
  Task<ApiResponse> rewrite(automation::Caller caller, std::string id, Edit edit);
  store::AutomationStore& rows() { return service_.rows(); }

  automation::Service& service_;
};

std::vector<Endpoint> CompletionEndpoints::endpoints() {
  constexpr std::string_view one = "/v1/endpoints/{endpoint_id}";
  auto const caller = Access::caller;
  auto const max = short_body_bytes_max;
  using Self = CompletionEndpoints;
  return {
      {Method::post, "/v1/endpoints", caller, Body::json, max, by(this, &Self::create)},
      {Method::get, "/v1/endpoints", caller, Body::none, max, by(this, &Self::list)},
      {Method::get, one, caller, Body::none, max, by(this, &Self::show)},
      {Method::patch, one, caller, Body::json, max, by(this, &Self::change)},
      {Method::delete_, one, caller, Body::none, max, by(this, &Self::remove)},
      {Method::post, "/v1/endpoints/{endpoint_id}/rotate-secret", caller, Body::json, max, by(this, &Self::rotate)},
  };
}

Task<ApiResponse> CompletionEndpoints::create(Call call) {
  Faults faults;
  Model in(body_value(faults, call.body));
  EndpointRow row;
  std::optional<std::string> automation_id;
  in.need("url", row.url, web_url("url", service_.settings().private_callbacks));
  in.may("automation_id", automation_id, uuid());
  in.may("enabled", row.enabled, flag());
  in.done();
  if (!faults.empty()) co_return unprocessable(faults);
  if (automation_id) {
    auto known = co_await own_automation(rows(), *call.caller, *automation_id);
    if (!known) co_return detail_failure(known.error());
    row.automation_id = *automation_id;
  }
  store::PageOf const none{1, 0};
  auto others = co_await rows().list_endpoints(call.caller->tenant, none);
  if (!others) co_return detail_failure(others.error());
  if (others->total >= endpoints_max)
    co_return refusal(409, "There are " + std::to_string(endpoints_max) + " endpoints already");
  row.id = dashed_uuid(upstream::random_uuid_hex());
  row.tenant = call.caller->tenant;
  row.secrets.push_back(new_key());
  row.created_at = row.updated_at = std::chrono::system_clock::now();
  auto const response = answer_with_secret(201, row);
  row.updated_at = {};  // a new one
  auto put = co_await rows().put_endpoint(std::move(row));
  if (!put) co_return detail_failure(put.error());
  co_return response;
}

Task<ApiResponse> CompletionEndpoints::list(Call call) {
  Faults faults;
  auto const page = page_of(Query(faults, call.request.query));
  if (!faults.empty()) co_return unprocessable(faults);
  auto found = co_await rows().list_endpoints(call.caller->tenant, page);
  if (!found) co_return detail_failure(found.error());
  co_return answer(200, endpoints_json(*found));
}

Task<ApiResponse> CompletionEndpoints::show(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "endpoint_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto row = co_await own_endpoint(rows(), *call.caller, std::move(id));
  if (!row) co_return detail_failure(row.error());
  co_return answer(200, endpoint_json(*row));
}

Task<ApiResponse> CompletionEndpoints::change(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "endpoint_id", call.taken.front());
  Model in(body_value(faults, call.body));
  std::optional<std::string> url;
  std::optional<bool> enabled;
  in.change("url", url, web_url("url", service_.settings().private_callbacks));
  in.change("enabled", enabled, flag());
  in.done();
  if (!faults.empty()) co_return unprocessable(faults);
  Edit edit = [url, enabled](EndpointRow& row) {
    if (url) row.url = *url;
    if (enabled) {
      row.enabled = *enabled;
      row.disabled_reason.clear();
      row.failing_since.reset();
    }
    return answer(200, endpoint_json(row));
  };
  co_return co_await rewrite(*std::move(call.caller), std::move(id), std::move(edit));
}

Task<ApiResponse> CompletionEndpoints::rewrite(automation::Caller caller, std::string id, Edit edit) {
  for (int tries = 0; tries < tries_max; ++tries) {
    auto row = co_await own_endpoint(rows(), caller, id);
    if (!row) co_return detail_failure(row.error());
    auto const as_read = std::exchange(row->updated_at, std::chrono::system_clock::now());
    auto response = edit(*row);
    row->updated_at = as_read;
    auto put = co_await rows().put_endpoint(*std::move(row));
    if (put) co_return response;
    if (put.error().fault.kind != FaultKind::conflict) co_return detail_failure(put.error());
  }
  co_return refusal(409, "Endpoint was changed concurrently, try again");
}

Task<ApiResponse> CompletionEndpoints::remove(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "endpoint_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto row = co_await own_endpoint(rows(), *call.caller, id);
  if (!row) co_return detail_failure(row.error());
  auto removed = co_await rows().remove_endpoint(std::move(id));
  if (!removed) co_return detail_failure(removed.error());
  co_return no_content();
}

// The secret before stays good beside the new one, until the next rotation or one that says otherwise.
Task<ApiResponse> CompletionEndpoints::rotate(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "endpoint_id", call.taken.front());
  bool keeps_previous = true;
  if (call.body.state() != JsonBody::State::absent) {
    Model in(body_value(faults, call.body));
    in.may("keep_previous", keeps_previous, flag());
    in.done();
  }
  if (!faults.empty()) co_return unprocessable(faults);
  Edit edit = [keeps_previous](EndpointRow& row) {
    row.secrets.resize(keeps_previous && !row.secrets.empty() ? 1 : 0);
    row.secrets.insert(row.secrets.begin(), new_key());
    return answer_with_secret(200, row);
  };
  co_return co_await rewrite(*std::move(call.caller), std::move(id), std::move(edit));
}

}  // namespace

std::unique_ptr<EndpointGroup> make_completion_endpoints(automation::Service& service) {
  return std::make_unique<CompletionEndpoints>(service);
}

}  // namespace nestgate::api
