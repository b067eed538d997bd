#include "nestgate/automation/caller.hpp"

#include "nestgate/identity/digest.hpp"

namespace nestgate::automation {
namespace {

std::string uuid_of(std::string_view kind, std::string_view name) {
  return identity::dns_uuid(std::string("nestgate-").append(kind).append(":").append(name));
}

}  // namespace

Caller caller_of(identity::Principal const& by) {
  Caller caller;
  caller.owner = by.owner;
  caller.organisation = by.organisation;
  caller.is_admin = by.role == identity::Role::admin;
  caller.sees_all = caller.is_admin && by.owner.empty();
  std::string const& user = by.owner.empty() ? by.name : by.owner;
  caller.tenant.user_id = uuid_of("user", user);
  caller.tenant.org_id = uuid_of("organisation", by.organisation.empty() ? user : by.organisation);
  return caller;
}

Caller local_caller() {
  Caller caller;
  caller.owner = "local";
  caller.tenant.user_id = identity::dns_uuid("openhands-local-user");
  caller.tenant.org_id = identity::dns_uuid("openhands-local-org");
  return caller;
}

}  // namespace nestgate::automation
