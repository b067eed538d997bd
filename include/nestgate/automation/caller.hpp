#pragma once

#include <string>

#include "nestgate/identity/api_key.hpp"
#include "nestgate/store/automation_rows.hpp"

namespace nestgate::automation {

// Whose automations a request is about.
struct Caller {
  store::Tenant tenant;
  std::string owner, organisation;  // by name: whose runtimes are used
  bool is_admin = false;            // may use any runtime
  bool sees_all = false;            // an admin's key without an owner
};

// Names become UUIDs (version 5, DNS namespace, "nestgate-user:NAME" and "nestgate-organisation:NAME"), so that a user keeps
// them over restarts. A user without an organisation has one alone, whatever organisation has the user's name; a key without
// an owner is a user of its own.
Caller caller_of(identity::Principal const& by);
// The one user of the contract's local mode (automation.md 2.2).
Caller local_caller();

}  // namespace nestgate::automation
