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
  // An operator may give a key the name of a user, and a user that of an organisation: none is the other.
  bool const is_key = by.owner.empty();
  caller.sees_all = caller.is_admin && is_key;
  std::string const& user = is_key ? by.name : by.owner;
  caller.tenant.user_id = uuid_of(is_key ? "key" : "user", user);
  caller.tenant.org_id = by.organisation.empty() ? uuid_of(is_key ? "organisation-of-key" : "organisation-of-user", user)
                                                 : uuid_of("organisation", by.organisation);
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
