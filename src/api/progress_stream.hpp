#pragma once

#include <memory>

#include "nestgate/conversation/manager.hpp"
#include "nestgate/proxy/own_routes.hpp"

namespace nestgate::api {

// What becomes of a conversation that starts or stops, as server-sent events: its state now and after each change, until
// it runs or is at rest, or is gone; a comment now and then, so that nobody on the way takes silence for the end.
// `manager` outlives it. On the control core.
std::shared_ptr<proxy::ApiStream> make_progress_stream(conversation::Manager& manager, ConversationId id);

}  // namespace nestgate::api
