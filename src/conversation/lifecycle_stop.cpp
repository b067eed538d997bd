#include "lifecycle.hpp"

#include <algorithm>

#include "promised.hpp"
#include "release_pause.hpp"

namespace nestgate::conversation {

using upstream::fail;
using Why = Conversation::Interrupt::Why;

Task<Outcome<View>> Lifecycle::stop(ConversationId id) {
  if (registry_.is_closing()) co_return closing_failure();
  co_return co_await promised(tasks_, "conversation.stop", stop_now(std::move(id)));
}
Task<Outcome<View>> Lifecycle::pause(ConversationId id) {
  if (registry_.is_closing()) co_return closing_failure();
  co_return co_await promised(tasks_, "conversation.pause", pause_now(std::move(id)));
}
Task<Outcome<>> Lifecycle::remove(ConversationId id) {
  if (registry_.is_closing()) co_return closing_failure();
  co_return co_await promised(tasks_, "conversation.remove", remove_now(std::move(id)));
}

Task<Outcome<View>> Lifecycle::stop_now(ConversationId id) {
  NESTGATE_CO_TRY(c, registry_.find_managed(id));
  if (c->is_unknown) co_return unknown_runtime_failure();
  if (c->is_elsewhere) {
    NESTGATE_CO_TRY_VOID(co_await until_down_elsewhere(c, "stop"));
    if (c->is_elsewhere || c->is_forgotten) co_return registry_.view_of(*c);  // else its gateway died, and it is ours now
  }
  if (c->starts()) c->interrupt_start({Why::stop_asked, {}});
  NESTGATE_CO_TRY_VOID(co_await registry_.until_idle(c));
  bool const is_there = c->state == RuntimeState::running || c->state == RuntimeState::paused;
  if (!c->is_busy && is_there) begin_end(c, Closed::by_request);
  if (!c->is_busy && c->state == RuntimeState::stopped && c->closed == Closed::when_idle) {
    c->closed = Closed::by_request;  // it wakes no more
    co_await save_and_publish(c);
  }
  NESTGATE_CO_TRY_VOID(co_await registry_.until_idle(c));
  co_return registry_.view_of(*c);
}

Task<Outcome<>> Lifecycle::until_roused_elsewhere(ConversationPtr c, Deadline by) {
  auto const epoch = c->epoch;  // another one: it was tried
  constexpr std::string_view wish = "resume";
  NESTGATE_CO_TRY_VOID(co_await registry_.store().ask_holder(c->id, std::string(wish)));
  c->asked = wish;
  auto const is_waiting = [&] { return c->state == RuntimeState::paused && c->epoch == epoch && c->asked == wish; };
  while (c->is_elsewhere && !c->is_forgotten && is_waiting())
    NESTGATE_CO_TRY_VOID(co_await registry_.until_changed(c, c->version, by));
  co_return Outcome<>{};
}

Task<Outcome<>> Lifecycle::until_down_elsewhere(ConversationPtr c, std::string wish) {
  bool const must_stop = wish == "stop";
  NESTGATE_CO_TRY_VOID(co_await registry_.store().ask_holder(c->id, std::move(wish)));
  auto const by = Deadline::in(settings_.ready_time_max);
  auto const is_up = [&] {
    return c->state == RuntimeState::running || c->state == RuntimeState::starting || c->state == RuntimeState::stopping ||
           (must_stop && c->state == RuntimeState::paused);
  };
  while (c->is_elsewhere && !c->is_forgotten && is_up())
    NESTGATE_CO_TRY_VOID(co_await registry_.until_changed(c, c->version, by));
  co_return Outcome<>{};
}

void Lifecycle::begin_end(ConversationPtr c, Closed why) {
  bool const is_running = c->state == RuntimeState::running;
  c->is_busy = true;
  registry_.change(*c, RuntimeState::stopping);
  tasks_.spawn("conversation.stop", end(std::move(c), why, is_running));
}

// A frozen server answers nobody: only one that runs is told.
Task<> Lifecycle::end(ConversationPtr c, Closed why, bool is_running) {
  c->closed = why;
  co_await save_and_publish(c);
  if (is_running) co_await tell_server_to_stop(c);
  auto released = co_await release(c->id, runtime::Leftovers::keep);
  c->left_behind = !released;
  c->closed = why;
  if (released) {
    registry_.change(*c, RuntimeState::stopped);
  } else {
    c->failure_kind = released.error().fault.kind;
    registry_.change(*c, RuntimeState::error, "stop: " + released.error().reason);
  }
  co_await save_and_publish(c);
  registry_.done(*c);
}

// The SIGTERM that follows stops an older server too; this only lets it say so to its clients first.
Task<> Lifecycle::tell_server_to_stop(ConversationPtr c) {
  if (c->dialect != nested::Dialect::older) co_return;
  nested::Client client(c->endpoint, c->session_key.clone());
  auto const by = Deadline::in(settings_.stop_call_time_max);
  [[maybe_unused]] bool const stopped = co_await client.graceful_stop(c->id, c->dialect, settings_.stop_poll_pause, by);
}

Task<Outcome<>> Lifecycle::release(ConversationId id, runtime::Leftovers leftovers) {
  for (std::uint32_t try_number = 1;; ++try_number) {
    auto released = co_await provider_.destroy(id, leftovers);
    // What is said of files is said for good: the caller tries again when somebody mended it.
    bool const may_help = !released && released.error().fault.kind != FaultKind::internal;
    if (!may_help || try_number >= settings_.releases_max) co_return released;
    auto waited = co_await pause_for(release_pause(try_number));
    if (!waited) co_return released;
  }
}

Task<Outcome<View>> Lifecycle::pause_now(ConversationId id) {
  NESTGATE_CO_TRY(c, registry_.find_managed(id));
  if (c->is_unknown) co_return unknown_runtime_failure();
  if (c->is_elsewhere) {
    NESTGATE_CO_TRY_VOID(co_await until_down_elsewhere(c, "pause"));
    if (c->is_elsewhere || c->is_forgotten) co_return registry_.view_of(*c);
  }
  NESTGATE_CO_TRY_VOID(co_await registry_.until_idle(c));
  if (c->is_idle_in(RuntimeState::running)) {
    begin_pause(c, Closed::by_request);
    NESTGATE_CO_TRY_VOID(co_await registry_.until_idle(c));
  }
  if (c->state == RuntimeState::running) co_return fail(FaultKind::upstream, "conversation.pause", c->progress);
  if (c->state == RuntimeState::error) co_return fail(FaultKind::conflict, "conversation.pause", c->reason);
  co_return registry_.view_of(*c);
}

// Where nothing can be frozen, what is kept are the files.
void Lifecycle::begin_pause(ConversationPtr c, Closed why) {
  if (!provider_.traits().pauses) return begin_end(std::move(c), why == Closed::by_request ? Closed::when_idle : why);
  c->is_busy = true;
  registry_.change(*c, RuntimeState::stopping);
  tasks_.spawn("conversation.pause", freeze(std::move(c), why));
}

Task<> Lifecycle::freeze(ConversationPtr c, Closed why) {
  c->closed = why;
  co_await save_and_publish(c);
  auto frozen = co_await provider_.pause(c->id);
  if (frozen) {
    c->closed = why;
    registry_.change(*c, RuntimeState::paused);
  } else if (frozen.error().fault.kind == FaultKind::not_found) {
    c->death = "the runtime is gone";
    registry_.change(*c, RuntimeState::error, "pause: " + *c->death);
  } else {
    registry_.change(*c, RuntimeState::running);
    registry_.note_progress(*c, frozen.error().reason);
  }
  co_await save_and_publish(c);
  registry_.done(*c);
}

Task<Outcome<>> Lifecycle::remove_now(ConversationId id) {
  if (!registry_.find(id)) co_return unknown_conversation();
  for (;;) {
    auto const c = registry_.find(id);
    if (!c) co_return Outcome<>{};  // somebody else removed it meanwhile
    if (c->origin == Origin::fixed) co_return static_runtime_failure();
    if (c->is_unknown) co_return unknown_runtime_failure();
    if (c->is_elsewhere) NESTGATE_CO_TRY_VOID(co_await take_over(c));
    if (c->starts()) c->interrupt_start({Why::stop_asked, {}});
    NESTGATE_CO_TRY_VOID(co_await registry_.until_idle(c));
    if (!c->is_busy && !c->is_elsewhere && !c->is_forgotten) begin_removal(c);
    NESTGATE_CO_TRY_VOID(co_await registry_.until_idle(c));
    if (c->is_forgotten) co_return Outcome<>{};
    if (c->removal_failure) co_return *c->removal_failure;  // else it was started again before we came
  }
}

Task<Outcome<>> Lifecycle::take_over(ConversationPtr c) {
  NESTGATE_CO_TRY_VOID(co_await until_down_elsewhere(c, "stop"));
  if (c->is_forgotten || !c->is_elsewhere) co_return Outcome<>{};
  NESTGATE_CO_TRY(taken, co_await registry_.store().take(c->id, registry_.gateway()));
  if (!taken) co_return fail(FaultKind::conflict, "conversation.remove", "another gateway works on it");
  c->is_elsewhere = false;
  c->is_held = true;
  co_return Outcome<>{};
}

void Lifecycle::begin_removal(ConversationPtr c) {
  bool const is_running = c->state == RuntimeState::running;
  c->is_busy = true;
  registry_.change(*c, RuntimeState::stopping);
  tasks_.spawn("conversation.remove", bury(std::move(c), is_running));
}

// Remembered before anything is ended: a gateway that is killed meanwhile goes on with it when it starts again.
Task<> Lifecycle::bury(ConversationPtr c, bool is_running) {
  // What cannot be written is another gateway's to remove, or would be forgotten half removed.
  Outcome<> removed;
  if (c->is_remembered) removed = co_await registry_.save(c, store::Phase::removing);
  if (removed && is_running) {
    c->closed = Closed::by_request;
    co_await registry_.publish(c);
    co_await tell_server_to_stop(c);
  }
  c->endpoint = {};  // others may listen there by now
  c->ports.clear();
  if (removed) removed = co_await release(c->id, runtime::Leftovers::remove);
  if (removed && c->is_remembered) removed = co_await registry_.store().forget(c->id, registry_.gateway(), c->epoch);
  if (!removed) {
    c->failure_kind = removed.error().fault.kind;
    c->removal_failure = removed.error();
    registry_.change(*c, RuntimeState::error, removed.error().reason);
    if (c->is_remembered) [[maybe_unused]]
      auto saved = co_await registry_.save(c, store::Phase::removing);
    co_await registry_.publish(c);
    registry_.done(*c);
    co_return;
  }
  co_await registry_.withdraw(c);
  registry_.change(*c, RuntimeState::stopped);
  registry_.forget(*c);
  registry_.done(*c);
}

void Lifecycle::runtime_ended(ConversationPtr c, std::string reason) {
  if (c->starts()) {
    if (!c->interrupt) c->death = "the runtime " + reason;
    c->interrupt_start({Why::died, std::move(reason)});
  } else if (c->is_idle_in(RuntimeState::running) || c->is_idle_in(RuntimeState::paused)) {
    registry_.stats.deaths.add();
    c->is_busy = true;
    c->failure_kind = FaultKind::upstream;
    c->death = "the runtime " + reason;
    registry_.change(*c, RuntimeState::error, *c->death);
    tasks_.spawn("conversation.died", die(std::move(c), {}));
  }
}

Task<> Lifecycle::die(ConversationPtr c, std::string) {
  co_await save_and_publish(c);
  registry_.done(*c);
}

}  // namespace nestgate::conversation
