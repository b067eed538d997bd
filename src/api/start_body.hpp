#pragma once

#include <optional>
#include <string_view>

#include "invalid.hpp"
#include "nestgate/base/conversation_id.hpp"
#include "nestgate/nested/configuration.hpp"

namespace nestgate::api {

struct StartBody {
  std::optional<ConversationId> id;
  nested::Configuration configuration;
};

// POST /api/conversations. An empty body is an empty object. Unknown keys are refused, so that a misspelt one is not
// silently nothing; `image`, `command` and null values are taken and ignored.
Checked<StartBody> parse_start_body(std::string_view body);

}  // namespace nestgate::api
