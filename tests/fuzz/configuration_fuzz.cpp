// Any text as a stored configuration, as what a client says of a conversation, and as the answer of a token endpoint.
#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "conversation/refresh_answer.hpp"
#include "nested/messages.hpp"
#include "nestgate/base/invariant.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/nested/configuration.hpp"

namespace {

using namespace nestgate;

void check_configuration(std::string_view text) {
  auto const parsed = nested::parse_configuration(Secret(std::string(text)));
  if (!parsed) return;
  Secret const written = nested::configuration_json(*parsed);
  auto const again = nested::parse_configuration(written);
  NESTGATE_INVARIANT(again.has_value(), "what is written is read back");
  NESTGATE_INVARIANT(nested::configuration_json(*again) == written, "and is the same");
  NESTGATE_INVARIANT(nested::configuration_json(parsed->clone()) == written, "as is a clone");
}

void check_members(std::string_view text) {
  auto const members = nested::members_of(text);
  if (!members) return;
  std::string body = "{";
  body.append(*members).append(members->empty() ? "" : ",").append(nested::conversation_id_member("own")).append("}");
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  NESTGATE_INVARIANT(!parser.parse(body).get_object().get(object), "the id makes an object of the members");
  std::string_view name, id;
  for (auto const [key, value] : object) {
    name = key;
    if (value.get_string().get(id)) id = {};
  }
  NESTGATE_INVARIANT(name == "conversation_id" && id == "own", "the id comes last");
}

void check_time(std::string_view text) {
  auto const time = parse_rfc3339(text);
  if (!time) return;
  auto const again = parse_rfc3339(rfc3339(*time, 6));
  NESTGATE_INVARIANT(!again || *again == *time, "what is written is read back");
}

void check_answers(std::string_view text) {
  if (auto const answer = conversation::parse_refresh_answer(text)) {
    NESTGATE_INVARIANT(!answer->token.empty(), "a token");
    auto const now = std::chrono::system_clock::time_point(std::chrono::hours(500'000));
    auto const end = answer->expires_at.value_or(now);
    NESTGATE_INVARIANT(conversation::refresh_time(end, now, std::chrono::minutes(10)) > now, "later");
  }
  for (auto const dialect : {nested::Dialect::unknown, nested::Dialect::older, nested::Dialect::agent_server})
    static_cast<void>(nested::parse_status(text, dialect));
  static_cast<void>(nested::parse_init_state(text));
  auto const idle = nested::parse_idle_time(text);
  NESTGATE_INVARIANT(!idle || idle->count() >= 0, "nobody is idle from the future on");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string_view const text(reinterpret_cast<char const*>(data), size);
  check_configuration(text);
  check_members(text);
  check_time(text);
  check_answers(text);
  return 0;
}
