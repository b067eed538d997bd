#pragma once

#include <cstddef>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestlet/net.hpp"

namespace nestgate::nestlet {

// An event's JSON text, shared by the log and all who wait to send it.
using Frame = std::shared_ptr<std::string const>;
inline Frame make_frame(std::string text) { return std::make_shared<std::string const>(std::move(text)); }

struct CloseReason {
  std::uint16_t code;
  std::string_view text;  // a literal
};
inline constexpr CloseReason shutting_down{1012, "Service restart"};
inline constexpr CloseReason too_slow{1013, "Too many unread events"};
inline constexpr CloseReason authentication_failed{4001, "Authentication failed"};
inline constexpr CloseReason conversation_not_found{4004, "Conversation not found"};

// What one subscriber has still to be sent. Whoever publishes only pushes here and never waits, so a reader that stalls
// stalls nobody; past its bound it is closed with 1013. One reader of next().
class Outbox {
 public:
  Outbox(Executor executor, std::size_t bytes_max, Clock::duration closing_max);

  // Frames that others hold anyway (a log to replay), not counted against the bound.
  void preload(std::vector<Frame> const& frames);
  void push(Frame frame);
  // The first reason stays; what is queued is dropped.
  void close(CloseReason reason);
  // The peer is gone: next() ends, nothing is to be sent.
  void abandon();

  bool ended() const noexcept { return abandoned_ || closing_.has_value(); }
  std::optional<CloseReason> const& closing() const noexcept { return closing_; }

  // Returns `closing_max` after close(), or when the caller is told to stop. One caller at a time.
  Task<> overdue();

  struct Next {
    Frame frame;  // none: closed, or the wait timed out
  };
  Task<Next> next(Deadline deadline);

 private:
  Timer wake_;
  Timer late_;
  Clock::duration closing_max_;
  Clock::time_point late_at_ = Clock::time_point::max();
  std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  std::size_t uncounted_ = 0;  // preloaded frames at the front
  std::deque<Frame> queue_;
  std::optional<CloseReason> closing_;
  bool abandoned_ = false;
};

// Those who get every event of one source. Outlives its seats.
class Feed {
 public:
  class [[nodiscard]] Seat {
   public:
    Seat(Feed& feed, std::shared_ptr<Outbox> outbox);
    Seat(Seat const&) = delete;
    Seat& operator=(Seat const&) = delete;
    ~Seat();

   private:
    Feed& feed_;
    std::list<std::shared_ptr<Outbox>>::iterator at_;
  };

  std::size_t size() const noexcept { return seats_.size(); }
  void publish(Frame const& frame);
  void close(CloseReason reason);

 private:
  std::list<std::shared_ptr<Outbox>> seats_;
};

}  // namespace nestgate::nestlet
