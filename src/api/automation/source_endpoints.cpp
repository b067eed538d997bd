#include "source_endpoints.hpp"

#include <array>
#include <functional>
#include <utility>

#include "api/answers.hpp"
#include "api/detail_answers.hpp"
#include "base_url.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/identity/base64.hpp"
#include "nestgate/identity/webhook_signature.hpp"
#include "nestgate/upstream/random.hpp"
#include "source_webhooks.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using proxy::ApiResponse;
using std::chrono::system_clock;

constexpr int tries_max = 10;  // of a change that somebody else's came before

Secret new_secret(std::string_view scheme) {
  std::array<unsigned char, 32> random;
  upstream::fill_random(random);
  // Senders of that scheme read base64, and many of them only with its padding.
  if (scheme == scheme_standard)
    return Secret("whsec_" + identity::encode_base64({reinterpret_cast<char const*>(random.data()), random.size()}));
  return identity::webhook_secret_of(random);
}

class SourceEndpoints final : public EndpointGroup {
 public:
  SourceEndpoints(automation::Service& service, std::chrono::seconds overlap) : service_(service), overlap_(overlap) {}

  std::vector<Endpoint> endpoints() override {
    auto const none = short_body_bytes_max;
    return {
        {Method::post, "/v1/webhooks", Access::caller, Body::json, none, by(this, &SourceEndpoints::add)},
        {Method::get, "/v1/webhooks", Access::caller, Body::none, none, by(this, &SourceEndpoints::list)},
        {Method::get, "/v1/webhooks/{webhook_id}", Access::caller, Body::none, none, by(this, &SourceEndpoints::show)},
        {Method::patch, "/v1/webhooks/{webhook_id}", Access::caller, Body::json, none, by(this, &SourceEndpoints::change)},
        {Method::delete_, "/v1/webhooks/{webhook_id}", Access::caller, Body::none, none, by(this, &SourceEndpoints::remove)},
        {Method::post, "/v1/webhooks/{webhook_id}/rotate-secret", Access::caller, Body::none, none,
         by(this, &SourceEndpoints::rotate)},
    };
  }

 private:
  struct Found {
    store::WebhookRow row;
    std::optional<ApiResponse> refused;
  };
  Task<Found> find(Call const& call, std::string id);
  // Changes the source as it is then, again where somebody else did meanwhile; `edit` says the answer.
  using Edit = std::function<std::string(store::WebhookRow&)>;
  Task<ApiResponse> rewrite(Call const& call, std::string id, Edit edit);
  std::string base_url(Call const& call) const { return base_url_for(service_.settings(), call.request); }

  Task<ApiResponse> add(Call call);
  Task<ApiResponse> list(Call call);
  Task<ApiResponse> show(Call call);
  Task<ApiResponse> change(Call call);
  Task<ApiResponse> remove(Call call);
  Task<ApiResponse> rotate(Call call);

  automation::Service& service_;
  std::chrono::seconds overlap_;
};

Task<SourceEndpoints::Found> SourceEndpoints::find(Call const& call, std::string id) {
  Found out;
  auto found = co_await service_.rows().find_webhook(call.caller->tenant.org_id, std::move(id));
  if (!found) {
    out.refused = detail_failure(found.error());
  } else if (!*found) {
    out.refused = refusal(404, "Webhook not found");
  } else {
    out.row = std::move(**found);
  }
  co_return out;
}

Task<ApiResponse> SourceEndpoints::add(Call call) {
  Faults faults;
  auto body = read_source(Model(body_value(faults, call.body)));
  if (!faults.empty()) co_return unprocessable(faults);
  bool const is_given = body.secret.has_value();
  Secret secret = is_given ? Secret(*std::move(body.secret)) : new_secret(body.scheme);
  Secret const shown = secret.clone();
  std::string const source = body.source;
  auto row = row_of(std::move(body), dashed_uuid(upstream::random_uuid_hex()), call.caller->tenant.org_id, std::move(secret),
                    system_clock::now());
  auto json = made_source_json(row, base_url(call), is_given ? nullptr : &shown);
  auto added = co_await service_.rows().add_webhook(std::move(row));
  if (added) co_return answer(201, std::move(json));
  if (added.error().fault.kind == FaultKind::conflict)
    co_return refusal(409, "Webhook source '" + source + "' already exists for this org");
  co_return detail_failure(added.error());
}

Task<ApiResponse> SourceEndpoints::list(Call call) {
  Faults faults;
  auto const page = page_of(Query(faults, call.request.query));
  if (!faults.empty()) co_return unprocessable(faults);
  auto rows = co_await service_.rows().list_webhooks(call.caller->tenant.org_id, page);
  if (!rows) co_return detail_failure(rows.error());
  co_return answer(200, sources_json(*rows, base_url(call)));
}

Task<ApiResponse> SourceEndpoints::show(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "webhook_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto found = co_await find(call, std::move(id));
  if (found.refused) co_return *std::move(found.refused);
  co_return answer(200, source_json(found.row, base_url(call)));
}

Task<ApiResponse> SourceEndpoints::change(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "webhook_id", call.taken.front());
  auto wanted = read_source_change(Model(body_value(faults, call.body)));
  if (!faults.empty()) co_return unprocessable(faults);
  Edit edit = [wanted, url = base_url(call)](store::WebhookRow& row) {
    apply(wanted, row, system_clock::now());
    return source_json(row, url);
  };
  co_return co_await rewrite(call, std::move(id), std::move(edit));
}

Task<ApiResponse> SourceEndpoints::rewrite(Call const& call, std::string id, Edit edit) {
  for (int tries = 0; tries < tries_max; ++tries) {
    auto found = co_await find(call, id);
    if (found.refused) co_return *std::move(found.refused);
    auto const as_read = found.row.updated_at;
    auto json = edit(found.row);
    found.row.updated_at = as_read;
    auto replaced = co_await service_.rows().replace_webhook(std::move(found.row));
    if (replaced) co_return answer(200, std::move(json));
    if (replaced.error().fault.kind != FaultKind::conflict) co_return detail_failure(replaced.error());
  }
  co_return refusal(409, "Webhook was changed concurrently, try again");
}

Task<ApiResponse> SourceEndpoints::remove(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "webhook_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto found = co_await find(call, id);
  if (found.refused) co_return *std::move(found.refused);
  auto removed = co_await service_.rows().remove_webhook(call.caller->tenant.org_id, std::move(id));
  if (!removed) co_return detail_failure(removed.error());
  co_return no_content();
}

Task<ApiResponse> SourceEndpoints::rotate(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "webhook_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  Edit edit = [overlap = overlap_](store::WebhookRow& row) {
    auto secret = new_secret(row.signature_scheme);
    auto json = secret_json(secret);
    row.previous_secret = std::exchange(row.secret, std::move(secret));
    row.previous_until = system_clock::now() + overlap;
    return json;
  };
  co_return co_await rewrite(call, std::move(id), std::move(edit));
}

}  // namespace

std::unique_ptr<EndpointGroup> make_source_endpoints(automation::Service& service, AutomationApiSettings const& settings) {
  return std::make_unique<SourceEndpoints>(service, settings.webhook_secret_overlap);
}

}  // namespace nestgate::api
