#pragma once

#include <memory>
#include <string>
#include <utility>

#include "nestgate/net/core.hpp"
#include "nestgate/net/interruptible.hpp"
#include "nestgate/proxy/own_routes.hpp"

namespace nestgate::proxy {

// A stream of the control core's, as the session on another core has it: awaited from here, cancelled and destroyed there.
class RemoteStream {
 public:
  RemoteStream(Core& control, std::shared_ptr<ApiStream> stream) : control_(control) {
    if (stream) state_ = std::make_shared<State>(control.loop.get_executor(), std::move(stream));
  }
  RemoteStream(RemoteStream const&) = delete;
  RemoteStream& operator=(RemoteStream const&) = delete;
  ~RemoteStream() {
    if (state_) send_to(control_, [state = std::move(state_)] {});
  }
  explicit operator bool() const noexcept { return state_ != nullptr; }

  // The next piece; empty at the end, and once it was stopped.
  Task<std::string> next() { return call_on(control_, next_there(state_)); }
  // Also ends a next() that waits.
  void stop() {
    send_to(control_, [state = state_] {
      state->stopped = true;
      state->trip.cancel();
    });
  }

 private:
  struct State {
    State(Executor control, std::shared_ptr<ApiStream> s) : stream(std::move(s)), trip(control, Clock::time_point::max()) {}
    std::shared_ptr<ApiStream> stream;
    Timer trip;
    bool stopped = false;
  };

  static Task<std::string> next_there(std::shared_ptr<State> state) {
    std::string out;
    if (state->stopped) co_return out;
    auto piece = co_await unless_tripped(state->trip, state->stream->next());
    if (piece) out = *std::move(piece);
    co_return out;
  }

  Core& control_;
  std::shared_ptr<State> state_;
};

}  // namespace nestgate::proxy
