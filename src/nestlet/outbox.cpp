#include "nestlet/outbox.hpp"

namespace nestgate::nestlet {

Outbox::Outbox(Executor executor, std::size_t bytes_max, Clock::duration closing_max)
    : wake_(executor), late_(executor), closing_max_(closing_max), bytes_max_(bytes_max) {}

void Outbox::preload(std::vector<Frame> const& frames) {
  if (ended()) return;
  queue_.insert(queue_.begin() + static_cast<std::ptrdiff_t>(uncounted_), frames.begin(), frames.end());
  uncounted_ += frames.size();
  wake_.cancel();
}

void Outbox::push(Frame frame) {
  if (ended()) return;
  bytes_ += frame->size();
  if (bytes_ > bytes_max_) return close(too_slow);
  queue_.push_back(std::move(frame));
  wake_.cancel();
}

void Outbox::close(CloseReason reason) {
  if (ended()) return;
  closing_ = reason;
  late_at_ = Clock::now() + closing_max_;
  late_.cancel();
  queue_.clear();
  wake_.cancel();
}

void Outbox::abandon() {
  abandoned_ = true;
  queue_.clear();
  wake_.cancel();
}

Task<> Outbox::overdue() {
  while (Clock::now() < late_at_ && !told_to_stop(co_await asio::this_coro::cancellation_state)) {
    late_.expires_at(late_at_);
    co_await late_.async_wait(no_throw);
  }
}

Task<Outbox::Next> Outbox::next(Deadline deadline) {
  while (queue_.empty() && !ended() && !deadline.passed()) {
    wake_.expires_at(deadline.at());
    co_await wake_.async_wait(no_throw);
    if (told_to_stop(co_await asio::this_coro::cancellation_state)) co_return Next{};
  }
  if (queue_.empty()) co_return Next{};
  Next next{std::move(queue_.front())};
  queue_.pop_front();
  if (uncounted_ > 0) {
    --uncounted_;
  } else {
    bytes_ -= next.frame->size();
  }
  co_return next;
}

Feed::Seat::Seat(Feed& feed, std::shared_ptr<Outbox> outbox)
    : feed_(feed), at_(feed.seats_.insert(feed.seats_.end(), std::move(outbox))) {}

Feed::Seat::~Seat() { feed_.seats_.erase(at_); }

void Feed::publish(Frame const& frame) {
  for (auto const& outbox : seats_) outbox->push(frame);
}

void Feed::close(CloseReason reason) {
  for (auto const& outbox : seats_) outbox->close(reason);
}

}  // namespace nestgate::nestlet
