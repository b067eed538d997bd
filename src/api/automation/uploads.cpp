#include "uploads.hpp"

#include <algorithm>
#include <array>

#include "api/answers.hpp"
#include "api/detail_answers.hpp"
#include "automation_shapes.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/upstream/random.hpp"
#include "ownership.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using proxy::ApiResponse;

constexpr std::size_t upload_bytes_max = 1'048'576;
constexpr std::string_view too_large = "File too large. Maximum size is 1048576 bytes";
constexpr std::array<std::string_view, 5> types = {"application/gzip", "application/octet-stream",
                                                   "application/x-compressed-tar", "application/x-gzip",
                                                   "application/x-tar"};

bool is_tarball_type(std::string_view content_type) {
  auto type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return std::any_of(types.begin(), types.end(), [&](auto known) { return http::equals_ignoring_case(known, type); });
}

std::string all_types() {
  std::string out;
  for (auto const type : types) out.append(out.empty() ? "" : ", ").append(type);
  return out;
}

class Uploads final : public EndpointGroup {
 public:
  explicit Uploads(automation::Service& service) : service_(service) {}
  std::vector<Endpoint> endpoints() override;

 private:
  Task<ApiResponse> take(Call call);
  Task<ApiResponse> list(Call call);
  Task<ApiResponse> show(Call call);
  Task<ApiResponse> remove(Call call);
  store::AutomationStore& rows() { return service_.rows(); }

  automation::Service& service_;
};

std::vector<Endpoint> Uploads::endpoints() {
  constexpr std::string_view one = "/v1/uploads/{upload_id}";
  auto const caller = Access::caller;
  return {
      {Method::post, "/v1/uploads", caller, Body::raw, upload_bytes_max, by(this, &Uploads::take), too_large},
      {Method::get, "/v1/uploads", caller, Body::none, short_body_bytes_max, by(this, &Uploads::list)},
      {Method::get, one, caller, Body::none, short_body_bytes_max, by(this, &Uploads::show)},
      {Method::delete_, one, caller, Body::none, short_body_bytes_max, by(this, &Uploads::remove)},
  };
}

Task<ApiResponse> Uploads::take(Call call) {
  Faults faults;
  Query const query(faults, call.request.query);
  store::UploadRow row;
  query.need("name", row.name, text(1, 255));
  query.may("description", row.description, text(0, 2'000));
  if (!faults.empty()) co_return unprocessable(faults);
  if (!is_tarball_type(call.request.content_type)) co_return refusal(415, "Content-Type must be one of: " + all_types());
  if (call.request.body.size() > upload_bytes_max) co_return refusal(413, too_large);
  row.id = dashed_uuid(upstream::random_uuid_hex());
  row.tenant = call.caller->tenant;
  row.status = "COMPLETED";
  row.size_bytes = static_cast<std::int64_t>(call.request.body.size());
  row.created_at = row.updated_at = std::chrono::system_clock::now();
  std::string bytes(call.request.body);
  auto added = co_await rows().add_upload(row, std::move(bytes));
  if (!added) co_return detail_failure(added.error());
  co_return answer(201, upload_json(row));
}

Task<ApiResponse> Uploads::list(Call call) {
  Faults faults;
  Query const query(faults, call.request.query);
  auto const page = page_of(query);
  std::string status;
  query.may("status", status, one_of({"UPLOADING", "COMPLETED", "FAILED"}));
  if (!faults.empty()) co_return unprocessable(faults);
  auto found = co_await rows().list_uploads(call.caller->tenant, std::move(status), page);
  if (!found) co_return detail_failure(found.error());
  co_return answer(200, uploads_json(*found));
}

Task<ApiResponse> Uploads::show(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "upload_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto row = co_await own_upload(rows(), *call.caller, std::move(id));
  if (!row) co_return detail_failure(row.error());
  co_return answer(200, upload_json(*row));
}

Task<ApiResponse> Uploads::remove(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "upload_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto row = co_await own_upload(rows(), *call.caller, id);
  if (!row) co_return detail_failure(row.error());
  auto removed = co_await rows().remove_upload(std::move(id));
  if (!removed) co_return detail_failure(removed.error());
  co_return no_content();
}

}  // namespace

std::unique_ptr<EndpointGroup> make_uploads(automation::Service& service) { return std::make_unique<Uploads>(service); }

}  // namespace nestgate::api
