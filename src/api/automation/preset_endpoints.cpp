#include "preset_endpoints.hpp"

#include "api/answers.hpp"
#include "api/detail_answers.hpp"
#include "automation_shapes.hpp"
#include "automations.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/net/run_on.hpp"
#include "nestgate/upstream/random.hpp"
#include "preset_body.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using proxy::ApiResponse;

constexpr std::size_t preset_body_bytes_max = 1024 * 1024;  // 50,000 characters of prompt, each escaped as a pair

class PresetEndpoints final : public EndpointGroup {
 public:
  explicit PresetEndpoints(automation::Service& service) : service_(service) {}

  std::vector<Endpoint> endpoints() override {
    return {
        {Method::post, "/v1/preset/prompt", Access::caller, Body::json, preset_body_bytes_max,
         by(this, &PresetEndpoints::from_prompt)},
        {Method::post, "/v1/preset/plugin", Access::caller, Body::json, preset_body_bytes_max,
         by(this, &PresetEndpoints::from_plugins)},
    };
  }

 private:
  using Read = PresetBody (*)(Model, BodyRules const&);
  Task<ApiResponse> from_prompt(Call call) { return make(std::move(call), &read_prompt_preset); }
  Task<ApiResponse> from_plugins(Call call) { return make(std::move(call), &read_plugin_preset); }
  Task<ApiResponse> make(Call call, Read read);
  // The row's tarball is kept first; where no row comes of it, it goes again.
  Task<ApiResponse> keep(automation::Caller caller, std::shared_ptr<PresetBody> body, store::AutomationRow row);

  automation::Service& service_;
};

Task<ApiResponse> PresetEndpoints::make(Call call, Read read) {
  Faults faults;
  auto const rules = body_rules(service_);
  auto const body = std::make_shared<PresetBody>(read(Model(body_value(faults, call.body)), rules));
  if (!faults.empty()) co_return unprocessable(faults);
  if (body->provenance) {
    auto known = co_await service_.rows().find_template(call.caller->tenant, body->provenance->id);
    if (!known) co_return detail_failure(known.error());
    if (*known) co_return answer(200, automation_json(**known));
  }
  auto row = new_automation(service_, *call.caller);
  row.name = body->name;
  row.prompt = body->prompt;
  row.model = body->model;
  set_trigger(row, body->trigger);
  row.setup_script_path = "setup.sh";
  row.entrypoint = ".venv/bin/python main.py";
  if (body->timeout) row.timeout_s = body->timeout;
  row.keep_alive = body->keep_alive;
  row.enabled = body->enabled;
  row.preset_metadata_json = preset_metadata_json(*body);
  if (body->provenance) row.template_id = body->provenance->id;
  apply(std::move(body->later), row);
  if (auto const why = apply(std::move(body->ours), row)) co_return refusal(422, *why);
  co_return co_await keep(*call.caller, body, std::move(row));
}

Task<ApiResponse> PresetEndpoints::keep(automation::Caller caller, std::shared_ptr<PresetBody> body,
                                        store::AutomationRow row) {
  auto const now = std::chrono::system_clock::now();
  auto pack = [body, now] { return preset_tarball(*body, std::chrono::floor<std::chrono::seconds>(now)); };
  auto bytes = co_await run_on(service_.workers(), std::move(pack));
  store::UploadRow upload;
  upload.id = dashed_uuid(upstream::random_uuid_hex());
  upload.tenant = caller.tenant;
  upload.name = preset_upload_name(*body);
  upload.description = preset_upload_description(*body);
  upload.status = "COMPLETED";
  upload.size_bytes = static_cast<std::int64_t>(bytes.size());
  upload.created_at = upload.updated_at = now;
  std::string const upload_id = upload.id;
  row.tarball_path = tarball_path_of(upload_id);
  auto added = co_await service_.rows().add_upload(std::move(upload), std::move(bytes));
  if (!added) co_return detail_failure(added.error());
  auto created = co_await service_.create(std::move(row));
  bool const is_used = created && created->is_new;
  if (!is_used) co_await service_.rows().remove_upload(upload_id);
  if (!created) co_return detail_failure(created.error());
  co_return answer(is_used ? 201 : 200, automation_json(created->row));
}

}  // namespace

std::unique_ptr<EndpointGroup> make_preset_endpoints(automation::Service& service) {
  return std::make_unique<PresetEndpoints>(service);
}

}  // namespace nestgate::api
