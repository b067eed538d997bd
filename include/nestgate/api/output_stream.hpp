#pragma once

#include <memory>

#include "nestgate/automation/service.hpp"
#include "nestgate/proxy/own_routes.hpp"

namespace nestgate::api {

// What a run's command says as server-sent events: `stdout` and `stderr`, each a JSON string, as they come; `end` with the
// run once it is terminal; a comment now and then, so that nobody on the way takes silence for the end. `service` outlives
// it. On the control core.
std::shared_ptr<proxy::ApiStream> make_output_stream(automation::Service& service, std::string run_id,
                                                     std::unique_ptr<automation::OutputFeed> feed);

}  // namespace nestgate::api
