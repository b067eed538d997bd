#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "invalid.hpp"
#include "nestgate/base/conversation_id.hpp"
#include "nestgate/runtime/provider.hpp"

// Bodies of the remote runtime API (nested_server.md 2.6). Pure.
namespace nestgate::api {

// The words of a command line as a POSIX shell splits it: quotes and backslashes, nothing else. Nothing when a quote is left
// open.
std::optional<std::vector<std::string>> split_command(std::string_view line);

struct RuntimeStartBody {
  ConversationId session;
  runtime::Wish wish;
};
// POST /start: an object with a `session_id`. `command` may be one text. What a provider here has no say in
// (`runtime_class`, `run_as_user`, `fs_group`, `image_pull_policy`, …) is taken and left aside.
Checked<RuntimeStartBody> parse_runtime_start_body(std::string_view body);

// The `runtime_id` of POST /stop, /pause and /resume.
Checked<std::string> parse_runtime_id_body(std::string_view body);

}  // namespace nestgate::api
