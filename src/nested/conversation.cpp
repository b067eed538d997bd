#include <algorithm>

#include "answers.hpp"
#include "messages.hpp"
#include "nestgate/nested/client.hpp"
#include "nestgate/net/task_group.hpp"

namespace nestgate::nested {

using upstream::Answer;

namespace {

std::string path_of(std::string_view id) { return "/api/conversations/" + std::string(id); }

bool is_there(Answer const& answer) {
  return answer.status == 409 || (answer.status == 400 && says_already_exists(answer.body));
}

}  // namespace

Task<Outcome<>> Client::begin_conversation(ConversationId const& id, Configuration const& configuration, Dialect dialect,
                                           Deadline by) {
  Secret const& told = configuration.conversation_json;
  if (told.empty() && dialect != Dialect::older) co_return Outcome<>{};
  auto const members = members_of(told.reveal());
  if (!members) co_return upstream::fail(FaultKind::bad_input, "nested.conversation", "conversation: not a JSON object");
  // Ours comes last: of a member that is there twice the last one counts.
  std::string const own = conversation_id_member(dialect == Dialect::agent_server ? id.dashed() : id.text());
  Message message{"POST", "/api/conversations", {}, {"{", *members, members->empty() ? "" : ",", own, "}"}};
  NESTGATE_CO_TRY_VOID(co_await create_conversation(id, std::move(message), told, by));
  if (dialect != Dialect::older) co_return Outcome<>{};
  co_return co_await wait_events(path_of(id.text()), by);
}

Task<Outcome<>> Client::create_conversation(ConversationId id, Message message, Secret const& told, Deadline by) {
  for (auto pause = pace_.retry_min;; pause = std::min(pause * 2, pace_.retry_max)) {
    auto answer = co_await send("conversation", call_of(message), by);
    if (answer && (answer->ok() || is_there(*answer))) co_return Outcome<>{};
    if (answer && !is_told_to_wait(*answer)) {
      auto failure = refused("conversation", *answer, excerpt_of_refusal(answer->body, told));
      if (answer->status == 401) failure.fault.kind = FaultKind::bad_input;  // a provider does not know its token
      co_return failure;
    }
    if (!answer && answer.error().fault.kind != FaultKind::upstream) co_return answer.error();
    // It may have been made although nobody said so.
    NESTGATE_CO_TRY(is_known, co_await knows_conversation(id, by));
    if (is_known) co_return Outcome<>{};
    auto wait = pause;
    if (answer) wait = std::max<Clock::duration>(wait, *answer->retry_after);
    if (Clock::now() + wait >= by.at()) {
      if (!answer) co_return answer.error();
      co_return upstream::refused("conversation", answer->status);
    }
    auto waited = co_await pause_for(wait);
    if (!waited) co_return upstream::failed("conversation", waited.error());
  }
}

Task<Outcome<bool>> Client::knows_conversation(ConversationId id, Deadline by) {
  std::string const path = path_of(id.text());
  Message message{"GET", path, {}, {}};
  NESTGATE_CO_TRY(answer, co_await tell("conversation", std::move(message), by));
  if (answer.status == 404) co_return false;
  if (!answer.ok()) co_return upstream::refused("conversation", answer.status);
  co_return !is_null(answer.body);
}

// Only the older server's /server_info tells of its resources (nested_server.md 3.1).
Task<Outcome<bool>> Client::has_managed_conversations(Deadline by) {
  Message message{"GET", "/server_info", {}, {}};
  NESTGATE_CO_TRY(answer, co_await tell("conversation", std::move(message), by));
  co_return answer.ok() && tells_resources(answer.body);
}

// An older server says that a conversation runs before its events can be read; one that never gives them goes on all the
// same (nested_server.md 2.2).
Task<Outcome<>> Client::wait_events(std::string path_of_one, Deadline by) {
  constexpr unsigned looks_max = 5;
  std::string const path = path_of_one + "/events";
  for (unsigned look = 0; look < looks_max; ++look) {
    Message const message{"GET", path, "limit=1", {}};
    auto const answer = co_await send("conversation", call_of(message), by);
    if (answer && answer->ok()) break;
    if (!answer && answer.error().fault.kind == FaultKind::cancelled) co_return answer.error();
    if (look + 1 == looks_max || Clock::now() + pace_.events >= by.at()) break;
    auto waited = co_await pause_for(pace_.events);
    if (!waited) co_return upstream::failed("conversation", waited.error());
  }
  co_return Outcome<>{};
}

Task<Outcome<Status>> Client::status(ConversationId const& id, Dialect dialect, Deadline by) {
  Status out;
  bool const is_agent_server = dialect == Dialect::agent_server;
  if (!is_agent_server || id.is_uuid()) {
    std::string const path = is_agent_server ? std::string("/api/conversations") : path_of(id.text());
    std::string const query = is_agent_server ? "ids=" + id.dashed() : std::string();
    Message const message{"GET", path, query, {}};
    NESTGATE_CO_TRY(answer, co_await send("status", call_of(message), by));
    if (!answer.ok() && answer.status != 404) co_return upstream::refused("status", answer.status);
    auto said = answer.ok() ? parse_status(answer.body, dialect) : std::optional<Status>(out);
    if (!said) co_return unreadable("status");
    out = std::move(*said);
  }
  Message const message{"GET", "/server_info", {}, {}};
  NESTGATE_CO_TRY(answer, co_await send("status", call_of(message), by));
  if (answer.ok()) out.idle_for = parse_idle_time(answer.body);
  co_return out;
}

Task<Outcome<Answer>> Client::send_event(ConversationId const& id, std::string_view json, Deadline by) {
  std::string const path = path_of(id.text()) + "/events";
  Message const message{"POST", path, {}, {json}};
  co_return co_await send("event", call_of(message), by);
}

Task<Outcome<>> Client::stop_conversation(std::string_view id, Deadline by) {
  std::string const path = path_of(id) + "/stop";
  Message const message{"POST", path, {}, {}};
  NESTGATE_CO_TRY(answer, co_await send("stop", call_of(message), by));
  if (!answer.ok()) co_return upstream::refused("stop", answer.status);
  co_return Outcome<>{};
}

Task<bool> Client::graceful_stop(ConversationId const& id, Dialect dialect, Clock::duration pause, Deadline by) {
  constexpr unsigned looks_max = 3;
  if (dialect == Dialect::agent_server) co_return false;
  auto const told = co_await stop_conversation(id.text(), by);
  if (!told) co_return false;
  std::string const path = path_of(id.text());
  for (unsigned look = 0; look < looks_max; ++look) {
    if (look > 0) {
      auto const waited = co_await pause_for(std::min(pause, by.at() - Clock::now()));
      if (!waited) co_return false;
    }
    Message const message{"GET", path, {}, {}};
    auto const answer = co_await send("stop", call_of(message), by);
    if (!answer || !answer->ok()) co_return false;
    auto const status = parse_status(answer->body, Dialect::older);
    if (status && status->conversation == "STOPPED") co_return true;
    if (by.passed()) co_return false;
  }
  co_return false;
}

}  // namespace nestgate::nested
