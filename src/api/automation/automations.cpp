#include "automations.hpp"

#include "api/answers.hpp"
#include "api/detail_answers.hpp"
#include "api/shapes.hpp"
#include "automation_body.hpp"
#include "automation_shapes.hpp"
#include "json_members.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/net/run_on.hpp"
#include "nestgate/upstream/random.hpp"
#include "ownership.hpp"
#include "prompt_tarball.hpp"
#include "tarball_answer.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using proxy::ApiResponse;
using store::AutomationRow;

constexpr std::size_t body_bytes_max = 1024 * 1024;              // 50,000 characters of prompt, each escaped as a pair
constexpr std::size_t unpacked_bytes_max = 64ULL * 1024 * 1024;  // of a tarball whose prompt changes
constexpr std::size_t upload_name_bytes_max = 50;
constexpr int tries_max = 10;  // of a change that somebody else's came before

store::Time now() { return std::chrono::system_clock::now(); }

std::string new_id() { return dashed_uuid(upstream::random_uuid_hex()); }

class Automations final : public EndpointGroup {
 public:
  explicit Automations(automation::Service& service) : service_(service) {}
  std::vector<Endpoint> endpoints() override;

 private:
  Task<ApiResponse> create(Call call);
  Task<ApiResponse> list(Call call);
  Task<ApiResponse> show(Call call);
  Task<ApiResponse> change(Call call);
  Task<ApiResponse> remove(Call call);
  Task<ApiResponse> tarball(Call call);

  // A change, tried once on the row as it is now. Nothing: somebody else wrote meanwhile.
  Task<std::optional<ApiResponse>> try_change(JsonBody const& body, automation::Caller caller, std::string id);
  // The tarball with another prompt; nothing where it holds none.
  struct NewPrompt {
    store::UploadRow upload;
    std::string bytes;
    std::string gone;  // the upload in whose place it comes
  };
  Task<upstream::Outcome<std::optional<NewPrompt>>> prompt_for(AutomationRow const& row, std::string prompt);
  store::AutomationStore& rows() { return service_.rows(); }

  automation::Service& service_;
};

std::vector<Endpoint> Automations::endpoints() {
  constexpr std::string_view one = "/v1/{automation_id}";
  auto const caller = Access::caller;
  return {
      {Method::post, "/v1", caller, Body::json, body_bytes_max, by(this, &Automations::create)},
      {Method::get, "/v1", caller, Body::none, short_body_bytes_max, by(this, &Automations::list)},
      {Method::get, one, caller, Body::none, short_body_bytes_max, by(this, &Automations::show)},
      {Method::patch, one, caller, Body::json, body_bytes_max, by(this, &Automations::change)},
      {Method::delete_, one, caller, Body::none, short_body_bytes_max, by(this, &Automations::remove)},
      {Method::get, "/v1/{automation_id}/tarball", caller, Body::none, short_body_bytes_max,
       by(this, &Automations::tarball)},
  };
}

Task<ApiResponse> Automations::create(Call call) {
  Faults faults;
  auto const rules = body_rules(service_);
  auto body = read_create(Model(body_value(faults, call.body)), rules);
  if (!faults.empty()) co_return unprocessable(faults);
  if (body.provenance) {
    auto known = co_await rows().find_template(call.caller->tenant, body.provenance->id);
    if (!known) co_return detail_failure(known.error());
    if (*known) co_return answer(200, automation_json(**known));
  }
  auto refused = co_await refuse_tarball(service_, *call.caller, body.tarball_path);
  if (refused) co_return *std::move(refused);
  auto row = new_automation(service_, *call.caller);
  row.name = std::move(body.name);
  row.model = std::move(body.model);
  set_trigger(row, body.trigger);
  row.tarball_path = std::move(body.tarball_path);
  row.setup_script_path = std::move(body.setup_script_path);
  row.entrypoint = std::move(body.entrypoint);
  if (body.timeout) row.timeout_s = body.timeout;
  row.keep_alive = body.keep_alive;
  row.enabled = body.enabled;
  if (body.provenance) {
    row.template_id = body.provenance->id;
    row.preset_metadata_json = R"({"template":)" + body.provenance->json() + "}";
  }
  apply(std::move(body.later), row);
  if (auto const why = apply(std::move(body.ours), row)) co_return refusal(422, *why);
  auto created = co_await service_.create(std::move(row));
  if (!created) co_return detail_failure(created.error());
  unsigned const status = created->is_new ? 201 : 200;
  co_return answer(status, automation_json(created->row));
}

Task<ApiResponse> Automations::list(Call call) {
  Faults faults;
  Query const query(faults, call.request.query);
  auto const page = page_of(query);
  std::string creator;
  query.may("created_by", creator, one_of({"me", "others"}));
  if (!faults.empty()) co_return unprocessable(faults);
  // Everybody sees their own alone.
  if (creator == "others") co_return answer(200, automations_json({}));
  auto found = co_await rows().list(call.caller->tenant, page);
  if (!found) co_return detail_failure(found.error());
  co_return answer(200, automations_json(*found));
}

Task<ApiResponse> Automations::show(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "automation_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto row = co_await own_automation(rows(), *call.caller, std::move(id));
  if (!row) co_return detail_failure(row.error());
  co_return answer(200, automation_json(*row));
}

Task<ApiResponse> Automations::change(Call call) {
  Faults faults;
  auto const id = path_uuid(faults, "automation_id", call.taken.front());
  auto const rules = body_rules(service_);
  auto const body = read_change(Model(body_value(faults, call.body)), rules);
  if (!faults.empty()) co_return unprocessable(faults);
  if (body.changes_sources)
    co_return refusal(501, "plugin and repos of an automation cannot be changed here; make a new one from a preset");
  for (int tries = 0; tries < tries_max; ++tries) {
    auto answered = co_await try_change(call.body, *call.caller, id);
    if (answered) co_return *std::move(answered);
  }
  co_return refusal(409, "Automation was changed concurrently, try again");
}

Task<std::optional<ApiResponse>> Automations::try_change(JsonBody const& body, automation::Caller caller, std::string id) {
  auto found = co_await own_automation(rows(), caller, std::move(id));
  if (!found) co_return detail_failure(found.error());
  AutomationRow row = *std::move(found);
  Faults none;  // there were none before
  auto const rules = body_rules(service_);
  auto changes = read_change(Model(body_value(none, body)), rules);
  if (changes.tarball_path) {
    auto refused = co_await refuse_tarball(service_, caller, *changes.tarball_path);
    if (refused) co_return refused;
    row.tarball_path = *changes.tarball_path;
  }
  bool const is_new_prompt = changes.prompt.is_given && changes.prompt.value != row.prompt;
  auto const prompt = changes.prompt.value;
  if (changes.ours.target.is_given) row.target_by_admin = caller.is_admin;
  if (auto const why = apply(std::move(changes), row)) co_return refusal(422, *why);
  std::optional<NewPrompt> made;
  if (is_new_prompt) {
    JsonMembers metadata(row.preset_metadata_json);
    if (!row.preset_metadata_json.empty()) {
      metadata.set("prompt", prompt ? json_text(*prompt) : std::string("null"));
      row.preset_metadata_json = metadata.json();
    }
    auto regenerated = co_await prompt_for(row, prompt.value_or(""));
    if (!regenerated) co_return refusal(500, "Failed to upload regenerated tarball: " + regenerated.error().reason);
    made = *std::move(regenerated);
  }
  upstream::Outcome<std::optional<AutomationRow>> written = std::optional<AutomationRow>();
  if (made) {
    row.tarball_path = tarball_path_of(made->upload.id);
    written = co_await service_.replace_with_upload(std::move(row), std::move(made->upload), std::move(made->bytes),
                                                    std::move(made->gone));
  } else {
    written = co_await service_.replace(std::move(row));
  }
  if (!written) co_return detail_failure(written.error());
  if (!*written) co_return std::nullopt;
  co_return answer(200, automation_json(**written));
}

Task<upstream::Outcome<std::optional<Automations::NewPrompt>>> Automations::prompt_for(AutomationRow const& row,
                                                                                       std::string prompt) {
  auto const path = parse_tarball_path(row.tarball_path);
  if (path.kind != TarballPath::Kind::internal) co_return std::optional<NewPrompt>();
  NESTGATE_CO_TRY(old, co_await rows().upload_bytes(path.upload_id));
  if (!old) co_return std::optional<NewPrompt>();
  auto replace = [bytes = *std::move(old), text = std::move(prompt)] {
    return with_prompt(bytes, text, unpacked_bytes_max);
  };
  auto packed = co_await run_on(service_.workers(), std::move(replace));
  if (!packed) co_return std::optional<NewPrompt>();
  NewPrompt made;
  made.gone = path.upload_id;
  made.bytes = *std::move(packed);
  made.upload.id = new_id();
  made.upload.tenant = row.tenant;
  made.upload.name.append("prompt-automation-").append(cut_to(row.name, upload_name_bytes_max)).append("-edit");
  made.upload.description = "Prompt updated for: " + row.name;
  made.upload.status = "COMPLETED";
  made.upload.size_bytes = static_cast<std::int64_t>(made.bytes.size());
  made.upload.created_at = made.upload.updated_at = now();
  co_return std::optional<NewPrompt>(std::move(made));
}

Task<ApiResponse> Automations::remove(Call call) {
  Faults faults;
  auto const id = path_uuid(faults, "automation_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  for (int tries = 0; tries < tries_max; ++tries) {
    auto row = co_await own_automation(rows(), *call.caller, id);
    if (!row) co_return detail_failure(row.error());
    row->enabled = false;
    row->deleted_at = now();
    auto written = co_await service_.replace(*std::move(row));
    if (!written) co_return detail_failure(written.error());
    if (*written) co_return no_content();
  }
  co_return refusal(409, "Automation was changed concurrently, try again");
}

Task<ApiResponse> Automations::tarball(Call call) {
  Faults faults;
  auto id = path_uuid(faults, "automation_id", call.taken.front());
  if (!faults.empty()) co_return unprocessable(faults);
  auto row = co_await own_automation(rows(), *call.caller, std::move(id));
  if (!row) co_return detail_failure(row.error());
  auto const path = parse_tarball_path(row->tarball_path);
  if (path.kind != TarballPath::Kind::internal) co_return external_tarball(row->tarball_path);
  auto upload = co_await rows().find_upload(path.upload_id);
  if (!upload) co_return refusal(500, "Failed to retrieve tarball from storage");
  if (!*upload || (*upload)->deleted_at || (*upload)->tenant != row->tenant)
    co_return refusal(404, "Tarball not found (underlying upload may have been deleted)");
  auto bytes = co_await rows().upload_bytes(path.upload_id);
  if (!bytes) co_return refusal(500, "Failed to retrieve tarball from storage");
  if (!*bytes) co_return refusal(404, "Tarball file not found in storage");
  co_return stored_tarball(row->name, **std::move(bytes));
}

}  // namespace

Task<std::optional<ApiResponse>> refuse_tarball(automation::Service& service, automation::Caller caller, std::string& path) {
  using Kind = TarballPath::Kind;
  auto const parsed = parse_tarball_path(path);
  if (parsed.kind == Kind::external) co_return std::nullopt;
  if (parsed.kind == Kind::bad_internal)
    co_return refusal(422, "Invalid internal upload URL format. Expected: oh-internal://uploads/{uuid}");
  if (parsed.kind == Kind::bad)
    co_return refusal(422,
                      "Invalid tarball_path. Must be oh-internal://uploads/{uuid} or a public URL (https://, s3://, gs://)");
  auto found = co_await service.rows().find_upload(parsed.upload_id);
  if (!found) co_return detail_failure(found.error());
  auto const& upload = *found;
  bool const is_there = upload && upload->is_listed && (caller.sees_all || upload->tenant.org_id == caller.tenant.org_id);
  if (!is_there) co_return refusal(404, "Upload not found");
  if (!owns(caller, upload->tenant)) co_return refusal(403, "Upload belongs to another user");
  if (upload->deleted_at) co_return refusal(400, "Upload has been deleted");
  if (upload->status != "COMPLETED") co_return refusal(400, "Upload is not ready (status: " + upload->status + ")");
  path = tarball_path_of(parsed.upload_id);
  co_return std::nullopt;
}

AutomationRow new_automation(automation::Service const& service, automation::Caller const& caller) {
  AutomationRow row;
  row.id = new_id();
  row.tenant = caller.tenant;
  row.owner = caller.owner;
  row.organisation = caller.organisation;
  row.target_by_admin = caller.is_admin;
  row.timeout_s = service.settings().run_time_default.count();
  row.created_at = row.updated_at = now();
  return row;
}

BodyRules body_rules(automation::Service& service) {
  return {service.zones(), service.settings().run_time_max, service.settings().private_callbacks, now()};
}

std::unique_ptr<EndpointGroup> make_automations(automation::Service& service) {
  return std::make_unique<Automations>(service);
}

}  // namespace nestgate::api
