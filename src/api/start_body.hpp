#pragma once

#include <optional>
#include <string_view>

#include "invalid.hpp"
#include "nestgate/base/conversation_id.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/nested/configuration.hpp"
#include "nestgate/runtime/provider.hpp"

namespace nestgate::api {

struct StartBody {
  std::optional<ConversationId> id;
  nested::Configuration configuration;
  runtime::Wish wish;
  conversation::About about;
  conversation::StartRequest::Again again = conversation::StartRequest::Again::join;
};

// POST /api/conversations. An empty body is an empty object. Unknown keys are refused, so that a misspelt one is not
// silently nothing; null is as absent.
Checked<StartBody> parse_start_body(std::string_view body);

// PATCH /api/conversations/{id}: settings, tokens and secrets of the above, at least one of them.
Checked<nested::Configuration> parse_change_body(std::string_view body);

}  // namespace nestgate::api
