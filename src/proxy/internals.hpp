#pragma once

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "decide.hpp"
#include "nestgate/proxy/proxy_core.hpp"
#include "socket_io_sessions.hpp"

namespace nestgate::proxy {

// Names requests: a random half that is the core's own, and a counted half that is scrambled so that it tells nothing.
class RequestIds {
 public:
  RequestIds();
  void append_request_id(std::string& out);   // 32 hex digits
  void append_traceparent(std::string& out);  // W3C Trace Context, version 00, not sampled

 private:
  std::uint64_t next() noexcept;
  std::uint64_t origin_;
  std::uint64_t state_;
};

// Lets through so many a second, with as much burst.
class TokenBucket {
 public:
  bool take(Clock::time_point now, std::uint32_t per_second) noexcept;
  // A second without use fills any bucket: it need not be kept.
  bool full_again(Clock::time_point now) const noexcept { return now - last_ > std::chrono::seconds(1); }

 private:
  double tokens_ = -1;  // not used yet: full
  Clock::time_point last_{};
};

// What websocket upgrades are counted by.
enum class UpgradesOf : std::uint8_t {
  session_key,
  api_key,                  // by its name, to one conversation
  address,                  // of a client that has shown no key yet
  address_to_conversation,  // the same, to the conversation that its URL names
};

// A request that waits until its conversation runs. `woken` never expires before `by`; it is cancelled when there is nothing
// to wait for any more. Kept by whoever waits and whoever wakes, so that a client that leaves ends its wait only.
struct Waking {
  Waking(Executor executor, Deadline until) : by(until), woken(executor, until.at()) {}
  Deadline by;
  Timer woken;
  bool over = false;  // the waker has answered
};

// What sessions and tunnels of one core share. Nothing here may be kept over an await but the pools.
struct ProxyCore::Internals final : SidTable {
  explicit Internals(ProxyCore& p);

  using Watches = boost::intrusive::list<Watch, boost::intrusive::constant_time_size<false>>;

  // The clock that deadlines are set by: cheap, a few milliseconds coarse.
  static Clock::time_point coarse_now() noexcept;

  conversation::EntryPtr find_sid(std::string_view sid) const override;
  // Whether another upgrade is within its rate.
  bool admit_upgrade(UpgradesOf kind, std::string_view who, std::string_view conversation = {});
  void sweep(Clock::time_point now);
  // It may have idle connections from now on.
  void watch_idle(upstream::TargetPtr const& target);
  // Asks the waker; nothing when too many wait already.
  std::shared_ptr<Waking> wake(ConversationId id);

  ProxyCore& proxy;
  BlockPool small_blocks{16 * 1024, 1024};
  BlockPool relay_blocks;
  std::vector<char> scratch;       // where a tunnel reads to before it knows whether there is anything to keep
  http::RequestHead request_head;  // parsed heads: large, so not in each session
  http::ResponseHead response_head;
  RequestIds ids;
  LineBuffer access_log;
  Watches watches;
  std::vector<upstream::TargetPtr> idle_targets;  // a sweep asks these, not the thousands that nobody uses
  SocketIoSessions sids;
  std::unordered_map<std::uint64_t, TokenBucket> upgrade_buckets;
  std::uint32_t waking = 0;     // wakes that are under way for requests of this core
  std::size_t turned_away = 0;  // connections over the limit that were told so and are about to go
};

}  // namespace nestgate::proxy
