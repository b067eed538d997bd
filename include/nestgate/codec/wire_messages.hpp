#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "nestgate/base/secret.hpp"

namespace nestgate::codec {

// The key in a websocket's first frame, {"type":"auth","session_api_key":"…"} (agent_server.md 2.2). Nothing for any
// other message.
std::optional<Secret> session_key_in_auth_frame(std::string_view json);
std::string auth_frame(std::string_view session_key);

// The id that an answer to POST /api/conversations or …/fork hands out: `conversation_id`, else `id`, a string.
std::optional<std::string> conversation_id_in_answer(std::string_view json);

// The session id in an Engine.IO OPEN packet, `0{"sid":"…",…}`, wherever it stands in `payload`.
std::optional<std::string> engine_io_sid(std::string_view payload);

}  // namespace nestgate::codec
