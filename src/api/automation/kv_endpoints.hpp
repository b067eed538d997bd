#pragma once

#include <memory>

#include "endpoint.hpp"
#include "kv_document.hpp"
#include "nestgate/automation/service.hpp"

namespace nestgate::api {

// /v1/kv: the documents of automations, opened by a run's token, or by a caller's key with ?automation_id= of an automation
// of theirs.
std::unique_ptr<EndpointGroup> make_kv_endpoints(automation::Service& service, KvLimits limits);

}  // namespace nestgate::api
