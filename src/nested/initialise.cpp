#include <algorithm>

#include "answers.hpp"
#include "messages.hpp"
#include "nestgate/nested/client.hpp"
#include "nestgate/net/task_group.hpp"

// Deferred init (agent_server.md 3.4).
namespace nestgate::nested {

using upstream::Answer;
using upstream::Call;

namespace {

constexpr std::string_view path = "/api/init";

bool may_pass(Outcome<Answer> const& answer) {
  return answer ? answer->status >= 500 || answer->status == 429 : answer.error().fault.kind == FaultKind::upstream;
}

Failure no_dormant_server() {
  return upstream::fail(FaultKind::conflict, "nested.init", "init: the server is not one that waits for its configuration");
}

}  // namespace

Task<Outcome<InitState>> Client::init_state(Deadline by) {
  Message message{"GET", path, {}, {}};
  NESTGATE_CO_TRY(answer, co_await tell("init", std::move(message), by));
  if (lacks_route(answer)) co_return InitState::not_deferred;
  if (!answer.ok()) co_return upstream::refused("init", answer.status);
  auto const state = parse_init_state(answer.body);
  if (!state) co_return unreadable("init");
  co_return *state;
}

Task<Outcome<Answer>> Client::post_init(Secret const& body, Deadline by) {
  Message const message{"POST", path, {}, {body.reveal()}};
  Call call = call_of(message);
  call.secret_headers.emplace_back("X-Init-API-Key", session_key_.clone());
  co_return co_await send("init", std::move(call), by);
}

// Of a server that takes no init any more: whether it is the one that was told `real_key`.
Task<Outcome<>> Client::check_real_key(Secret const& real_key, Deadline by) {
  Message const message{"GET", "/api/conversations/count", {}, {}};
  Call call = call_of(message);
  call.secret_headers.emplace_back("X-Session-API-Key", real_key.clone());
  auto const answer = co_await upstream::call(std::move(call), by);
  if (!answer) co_return upstream::failed("init", answer.error());
  if (!answer->ok()) co_return no_dormant_server();
  co_return Outcome<>{};
}

Task<Outcome<>> Client::initialise(Initialisation const& told, Deadline by) {
  Secret const body = init_body(told);
  for (auto pause = pace_.retry_min;; pause = std::min(pause * 2, pace_.retry_max)) {
    auto answer = co_await post_init(body, by);
    if (answer && answer->ok()) co_return Outcome<>{};
    if (answer && lacks_route(*answer)) co_return no_dormant_server();
    if (answer && (answer->status == 400 || answer->status == 401)) {
      // 400: not dormant, perhaps not ready yet either. 401: the boot key may have ended.
      NESTGATE_CO_TRY(state, co_await init_state(by));
      if (state == InitState::not_deferred) co_return no_dormant_server();
      if (state == InitState::ready) co_return co_await check_real_key(told.session_key, by);
      if (state == InitState::dormant) co_return upstream::refused("init", answer->status);
    } else if (!may_pass(answer)) {
      if (!answer) co_return answer.error();
      co_return upstream::refused("init", answer->status);
    }
    if (Clock::now() + pause >= by.at()) {
      if (!answer) co_return answer.error();
      co_return upstream::refused("init", answer->status);
    }
    auto waited = co_await pause_for(pause);
    if (!waited) co_return upstream::failed("init", waited.error());
  }
}

}  // namespace nestgate::nested
