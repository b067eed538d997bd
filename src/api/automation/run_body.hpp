#pragma once

#include <string_view>

#include "api/invalid.hpp"
#include "nestgate/automation/service.hpp"

namespace nestgate::api {

// POST /api/automation/v1/runs: multipart/form-data with `tarball`, or JSON with `tarball_base64`; besides `entrypoint`,
// `conversation_id`, `callback_url`, `setup_script`, `env` (an object of strings), `timeout` (seconds). Only the shape is
// checked here; values are the service's to judge. Who asks and the base URL are left to the caller.
Checked<automation::RunRequest> parse_run_body(std::string_view content_type, std::string_view body);

}  // namespace nestgate::api
