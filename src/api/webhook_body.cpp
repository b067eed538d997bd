#include "webhook_body.hpp"

#include <simdjson.h>

#include "body_values.hpp"
#include "nestgate/base/result.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/conversation/manager.hpp"

namespace nestgate::api {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t status_bytes_max = 64;

template <class Value>
std::string_view text_member(Value of, std::string_view name) {
  std::string_view text;
  return of.at_key(name).get_string().get(text) ? std::string_view() : text;
}

// A word of small letters: it is shown to clients.
void take_status(Pushed& into, std::string_view status) {
  bool const is_word = !status.empty() && status.size() <= status_bytes_max &&
                       status.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == status.npos;
  if (is_word) into.execution_status = status;
}

// A longer one is cut, between two characters.
void take_title(Pushed& into, std::string_view title) {
  if (has_control_bytes(title)) return;
  into.title = cut_to(title, conversation::About::title_bytes_max);
}

void take_event(Pushed& into, dom::element event) {
  if (!event.is_object()) return;
  if (text_member(event, "kind") != "ConversationStateUpdateEvent") {
    into.is_act = true;
    return;
  }
  auto const key = text_member(event, "key");
  dom::element value;
  if (key == "execution_status") take_status(into, text_member(event, "value"));
  if (key == "full_state" && !event.at_key("value").get(value)) take_status(into, text_member(value, "execution_status"));
}

}  // namespace

Checked<Pushed> parse_pushed_conversation(std::string_view body) {
  dom::parser parser;
  NESTGATE_TRY(members, members_of(parser, body));
  Pushed out;
  take_status(out, text_member(members, "execution_status"));
  take_title(out, text_member(members, "title"));
  return out;
}

Checked<Pushed> parse_pushed_events(std::string_view body) {
  dom::parser parser;
  NESTGATE_TRY(root, json_of(parser, body));
  dom::array events;
  if (root.get_array().get(events)) return Invalid("list_type", "", "must be a list");
  Pushed out;
  for (auto const event : events) take_event(out, event);
  return out;
}

}  // namespace nestgate::api
