#pragma once

// A user's act for a conversation that sleeps: held with its body unread until the conversation runs, then decided on anew.
#include "session_impl.hpp"

namespace nestgate::proxy {

// `left`: the client, or the gateway stops. The wake itself goes on in any case.
template <class Stream>
auto Session<Stream>::wait_for_wake(ConversationId id) -> Task<Wait> {
  waking_ = shared_.wake(std::move(id));
  if (!waking_) co_return Wait::no_room;
  set_phase(Phase::waking, std::chrono::milliseconds(0));
  auto [ec] = co_await waking_->woken.async_wait(no_throw);
  static_cast<void>(ec);  // woken, out of time or left: what holds now is looked up
  waking_ = nullptr;
  set_phase(Phase::deciding, std::chrono::milliseconds(0));
  co_return x_.client_gone || stopping_ ? Wait::left : Wait::over;
}

// Leaves in `decision` what holds afterwards.
template <class Stream>
auto Session<Stream>::wake(Decision& decision, std::size_t head_bytes) -> Task<Wait> {
  if (proxy_.draining()) co_return Wait::no_room;
  auto const wait = co_await wait_for_wake(decision.entry->record().id);
  if (wait == Wait::no_room) {
    decision.reject = Reject::overloaded;
    decision.status = 503;
    decision.code = "too_many_waking";
    decision.message = "too many requests wait for conversations to wake";
  } else if (wait == Wait::over) {
    parse_again(in_.view().substr(0, head_bytes));
    decision = decide_on(shared_.request_head);
  }
  co_return wait;
}

// Other requests used the parsed head meanwhile, and the limits may be others by now: it was complete within the old ones.
template <class Stream>
auto Session<Stream>::parse_again(std::string_view head_text) -> void {
  std::size_t scanned = 0;
  http::HeadLimits const own_size{static_cast<std::uint32_t>(head_text.size()), http::fields_capacity};
  auto const again = http::parse_request_head(head_text, own_size, shared_.request_head, scanned);
  NESTGATE_INVARIANT(again.state == http::HeadParse::State::complete, "it was complete before");
}

template <class Stream>
auto Session<Stream>::leave() -> Next {
  x_.status = 499;
  end_request();
  return Next::close;
}

}  // namespace nestgate::proxy
