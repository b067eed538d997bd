#include "nestgate/proxy/proxy_core.hpp"

#include <time.h>

#include <array>
#include <boost/container_hash/hash.hpp>
#include <random>

#include "answers.hpp"
#include "internals.hpp"
#include "nestgate/net/stream_io.hpp"
#include "session.hpp"

namespace nestgate::proxy {
namespace {

void append_hex(std::string& out, std::uint64_t value) {
  std::array<char, 16> digits;
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, value >>= 4) *digit = "0123456789abcdef"[value & 15];
  out.append(digits.data(), digits.size());
}

}  // namespace

RequestIds::RequestIds() {
  std::random_device entropy;
  origin_ = (std::uint64_t{entropy()} << 32) | entropy();
  state_ = (std::uint64_t{entropy()} << 32) | entropy();
}

// splitmix64 (Steele, Lea, Flood 2014).
std::uint64_t RequestIds::next() noexcept {
  state_ += 0x9E3779B97F4A7C15;
  auto z = state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

void RequestIds::append_request_id(std::string& out) {
  append_hex(out, origin_);
  append_hex(out, next());
}

void RequestIds::append_traceparent(std::string& out) {
  out.append("00-");
  append_hex(out, origin_);
  append_hex(out, next());
  out.push_back('-');
  append_hex(out, next() | 1);
  out.append("-00");
}

bool TokenBucket::take(Clock::time_point now, std::uint32_t per_second) noexcept {
  if (tokens_ < 0) {
    tokens_ = per_second;
  } else {
    auto const elapsed = std::chrono::duration<double>(now - last_).count();
    tokens_ = std::min<double>(per_second, tokens_ + elapsed * per_second);
  }
  last_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

ProxyCore::Internals::Internals(ProxyCore& p)
    : proxy(p),
      relay_blocks(p.config().limits.relay_buffer_bytes, 64),
      scratch(p.config().limits.relay_buffer_bytes),
      access_log(p.surroundings().access_log) {}

Clock::time_point ProxyCore::Internals::coarse_now() noexcept {
  timespec ts;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
  return Clock::time_point(std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec));
}

conversation::EntryPtr ProxyCore::Internals::find_sid(std::string_view sid) const {
  auto const runtime = sids.find(sid);
  return runtime.empty() ? nullptr : proxy.directory().find(runtime);
}

bool ProxyCore::Internals::admit_upgrade(UpgradesOf kind, std::string_view who, std::string_view conversation) {
  auto bucket = static_cast<std::size_t>(kind);
  boost::hash_combine(bucket, std::hash<std::string_view>{}(who));
  boost::hash_combine(bucket, std::hash<std::string_view>{}(conversation));
  auto const& limits = proxy.config().limits;
  auto const rate =
      kind == UpgradesOf::address ? limits.upgrades_per_address_per_second_max : limits.upgrades_per_key_per_second_max;
  return upgrade_buckets[bucket].take(coarse_now(), rate);
}

void ProxyCore::Internals::sweep(Clock::time_point now) {
  for (auto at = watches.begin(); at != watches.end();) {
    auto& watch = *at++;  // it may end itself
    watch.on_sweep(now);
  }
  auto const idle_since = now - proxy.config().timeouts.upstream_idle;
  std::erase_if(idle_targets, [idle_since](upstream::TargetPtr const& target) {
    target->close_idle_before(idle_since);
    target->listed = target->idle_count() != 0;
    return !target->listed;
  });
  std::erase_if(upgrade_buckets, [now](auto const& bucket) { return bucket.second.full_again(now); });
  access_log.flush();
}

namespace {

Task<> wake_and_tell(Core& control, Task<bool> wake, std::shared_ptr<Waking> waking, std::uint32_t& under_way) {
  co_await call_on(control, std::move(wake));  // what the directory says by then is the answer
  --under_way;
  waking->over = true;
  waking->woken.cancel();
}

}  // namespace

std::shared_ptr<Waking> ProxyCore::Internals::wake(ConversationId id) {
  auto const& config = proxy.config();
  if (waking >= config.limits.waking_requests_per_core_max) return nullptr;
  auto& core = proxy.core();
  auto& around = proxy.surroundings();
  auto waiting = std::make_shared<Waking>(core.loop.get_executor(), Deadline::in(config.timeouts.wake));
  ++waking;
  auto call = around.waker.wake(std::move(id), waiting->by);
  core.tasks.spawn("wake", wake_and_tell(around.control, std::move(call), waiting, waking));
  return waiting;
}

void ProxyCore::Internals::watch_idle(upstream::TargetPtr const& target) {
  if (std::exchange(target->listed, true)) return;
  idle_targets.push_back(target);
}

ProxyCore::ProxyCore(Core& core, Config config, Surroundings surroundings)
    : core_(core), config_(std::move(config)), surroundings_(surroundings), internals_(std::make_unique<Internals>(*this)) {}

ProxyCore::~ProxyCore() = default;

void ProxyCore::start() { core_.tasks.spawn("proxy.sweep", sweep_forever()); }

Task<> ProxyCore::sweep_forever() {
  for (;;) {
    auto waited = co_await pause_for(config_.timeouts.sweep);
    if (!waited) break;
    internals_->sweep(Internals::coarse_now());
  }
  internals_->access_log.flush();
}

void ProxyCore::serve(TcpSocket client) { serve_plain(std::move(client)); }
void ProxyCore::serve(UnixSocket client) { serve_plain(std::move(client)); }

void ProxyCore::serve_tls(TcpSocket client, std::shared_ptr<TlsServer const> tls) {
  // Without a handshake there is nothing to say: over the limit the connection is just closed.
  if (has_room()) core_.tasks.spawn("client", serve_client(*this, std::move(client), std::move(tls)));
}

template <class Socket>
void ProxyCore::serve_plain(Socket client) {
  if (has_room()) {
    core_.tasks.spawn("client", serve_client(*this, std::move(client)));
  } else {
    turn_away(std::move(client));
  }
}

bool ProxyCore::has_room() {
  if (stats_.connections_open.read() < config_.limits.connections_per_core_max) return true;
  stats_.rejected[static_cast<std::size_t>(Reject::overloaded)].add();
  return false;
}

namespace {

template <class Socket>
Task<Result<>> read_to_end(Socket& from, std::size_t bytes_max) {
  std::array<char, 4096> dropped;
  while (bytes_max > 0) {
    auto [ec, n] = co_await from.async_read_some(asio::buffer(dropped), no_throw);
    if (ec) break;
    bytes_max -= std::min(bytes_max, n);
  }
  co_return Result<>{};
}

// A client that is still sending would lose the answer to a reset.
template <class Socket>
Task<> wait_for_end(Socket client, std::size_t& waiting) {
  constexpr std::chrono::milliseconds time_max{1'000};
  constexpr std::size_t bytes_max = 256 * 1024;
  auto const deadline = Deadline::in(time_max);
  auto ended = co_await with_deadline(deadline, read_to_end(client, bytes_max));
  static_cast<void>(ended);  // it is closed in any case
  --waiting;
}

}  // namespace

// One system call and a short wait, for so many at a time: a connection over the limit must cost next to nothing.
template <class Socket>
void ProxyCore::turn_away(Socket client) {
  constexpr std::size_t turned_away_max = 256;
  std::string id, answer;
  internals_->ids.append_request_id(id);
  std::string const body = error_body(503, "overloaded", "the gateway has no room for another connection", id);
  LocalAnswer local{503};
  local.body = body;
  local.retry_after_s = 1;
  append_local_answer(answer, local, http::Version::http_1_1, AfterAnswer::close, SendBody::yes, id);
  write_now(client.native_handle(), answer);
  error_code ignored;  // a client that is gone needs no end
  client.shutdown(asio::socket_base::shutdown_send, ignored);
  if (internals_->turned_away >= turned_away_max) return;
  ++internals_->turned_away;
  core_.tasks.spawn("turned away", wait_for_end(std::move(client), internals_->turned_away));
}

void ProxyCore::replace_config(Config config) {
  auto const before = config_.api_keys;
  config_ = std::move(config);
  if (before == config_.api_keys) return;
  for (auto& watch : internals_->watches) watch.on_api_keys(before.get(), config_.api_keys.get());
}

void ProxyCore::publish(conversation::RuntimeRecordPtr record) {
  auto const known = directory_.find(record->id.canonical());
  if (known && known->record().epoch < record->epoch) internals_->sids.forget(record->id);
  directory_.publish(std::move(record));
}

void ProxyCore::withdraw(ConversationId const& id, Epoch epoch) {
  if (directory_.withdraw(id, epoch)) internals_->sids.forget(id);
}

void ProxyCore::add_alias(ConversationId const& alias, ConversationId const& runtime) {
  directory_.add_alias(alias, runtime, config_.limits.aliases_per_runtime_max);
}

std::vector<conversation::Activity> ProxyCore::activity() const {
  std::vector<conversation::Activity> out;
  directory_.for_each([&out](conversation::Entry const& entry) {
    auto const& standing = entry.standing();
    if (standing.used()) out.push_back({entry.record().id, standing.last_act, standing.last_traffic, standing.streams});
  });
  return out;
}

void ProxyCore::learn_sid(std::string sid, ConversationId const& runtime) {
  if (!directory_.find(runtime.canonical())) return;  // withdrawn since
  internals_->sids.learn(std::move(sid), runtime, config_.limits.socket_io_sessions_per_core_max);
}

Task<> ProxyCore::drain(Clock::duration grace) {
  draining_ = true;
  auto const deadline = Deadline::in(grace);
  for (auto at = internals_->watches.begin(); at != internals_->watches.end();) (at++)->on_drain();
  while (!internals_->watches.empty() && !deadline.passed()) {
    auto waited = co_await pause_for(std::chrono::milliseconds(10));
    if (!waited) break;
  }
  // Every on_stop ends its watch before the next sweep would come.
  for (auto at = internals_->watches.begin(); at != internals_->watches.end();) (at++)->on_stop();
  while (!internals_->watches.empty()) {
    auto waited = co_await pause_for(std::chrono::milliseconds(1));
    if (!waited) break;
  }
}

}  // namespace nestgate::proxy
