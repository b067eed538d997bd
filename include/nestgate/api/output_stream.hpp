#pragma once

#include <memory>

#include "nestgate/automation/service.hpp"
#include "nestgate/proxy/own_routes.hpp"

namespace nestgate::api {

// What a run's command says as server-sent events: `stdout` and `stderr`, each a JSON string, as they come; `end` with the
// run once it is terminal; a comment after each `silence_max` in which nothing came, so that nobody on the way takes it for
// the end. `rows` outlive it. On the control core.
std::shared_ptr<proxy::ApiStream> make_output_stream(store::AutomationStore& rows, std::string run_id,
                                                     std::unique_ptr<automation::OutputFeed> feed,
                                                     Clock::duration silence_max = std::chrono::seconds(15));

}  // namespace nestgate::api
