#include "ownership.hpp"

namespace nestgate::api {

using upstream::Failure;
using upstream::Outcome;

namespace {

Failure absent(std::string text) { return upstream::fail(FaultKind::not_found, "api.automation", std::move(text)); }

}  // namespace

bool owns(automation::Caller const& caller, store::Tenant const& tenant) {
  return caller.sees_all || caller.tenant == tenant;
}

bool sees(automation::Caller const& caller, store::AutomationRow const& automation) {
  return !automation.deleted_at && owns(caller, automation.tenant);
}

Task<Outcome<store::AutomationRow>> own_automation(store::AutomationStore& rows, automation::Caller caller, std::string id) {
  NESTGATE_CO_TRY(found, co_await rows.find(std::move(id)));
  if (!found || !sees(caller, *found)) co_return absent("Automation not found");
  co_return *std::move(found);
}

Task<Outcome<store::RunRow>> own_run(store::AutomationStore& rows, automation::Caller caller, std::string id) {
  NESTGATE_CO_TRY(found, co_await rows.find_run(std::move(id)));
  if (!found || !owns(caller, found->tenant)) co_return absent("Run not found");
  co_return *std::move(found);
}

Task<Outcome<store::UploadRow>> own_upload(store::AutomationStore& rows, automation::Caller caller, std::string id) {
  NESTGATE_CO_TRY(found, co_await rows.find_upload(std::move(id)));
  bool const is_shown = found && found->is_listed && !found->deleted_at && owns(caller, found->tenant);
  if (!is_shown) co_return absent("Upload not found");
  co_return *std::move(found);
}

Task<Outcome<store::EndpointRow>> own_endpoint(store::AutomationStore& rows, automation::Caller caller, std::string id) {
  NESTGATE_CO_TRY(found, co_await rows.find_endpoint(std::move(id)));
  if (!found || !owns(caller, found->tenant)) co_return absent("Endpoint not found");
  co_return *std::move(found);
}

}  // namespace nestgate::api
