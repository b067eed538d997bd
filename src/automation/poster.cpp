#include "poster.hpp"

#include <algorithm>

#include "nestgate/automation/completion.hpp"
#include "nestgate/identity/webhook_signature.hpp"
#include "nestgate/schedule/backoff.hpp"
#include "nestgate/upstream/http_client.hpp"
#include "nestgate/upstream/random.hpp"

namespace nestgate::automation {
namespace {

using namespace std::chrono_literals;
using store::DeliveryState;
using upstream::Outcome;
using SystemClock = std::chrono::system_clock;

constexpr std::size_t answer_bytes_max = 64 * 1024;
constexpr unsigned gone = 410;  // Standard Webhooks: nothing more is wanted
// Of all attempts under way those to a server that does not answer: they last as long as they may, and all others wait.
constexpr std::size_t share_of_silent = 16;
constexpr std::size_t servers_known_max = 10'000;

Result<upstream::Url> place_of(store::AutomationStore::DueDelivery const& due) {
  return upstream::parse_url(due.endpoint ? due.endpoint->url : parse_plain_callback(due.delivery.callback_json).url);
}

bool is_unanswered(Outcome<unsigned> const& posted) {
  if (posted || posted.error().status != 0) return false;
  auto const kind = posted.error().fault.kind;
  return kind == FaultKind::timed_out || kind == FaultKind::upstream;
}

}  // namespace

Poster::Poster(Executor control, With around)
    : with_(std::move(around)), wake_(control), recorded_(control), loops_(control), attempts_(control) {}

void Poster::start() {
  loops_.spawn("automation.deliveries", claim_loop());
  loops_.spawn("automation.record", record_loop());
}

void Poster::wake() {
  is_woken_ = true;
  wake_.cancel();
}

Task<> Poster::stop(Deadline by) {
  is_closing_ = true;
  wake();
  auto const in_time = co_await with_deadline(by, attempts_.join());
  if (!in_time) {
    attempts_.stop();
    [[maybe_unused]] auto joined = co_await attempts_.join();
  }
  recorded_.cancel();
  [[maybe_unused]] auto done = co_await with_deadline(Deadline::in(2s), loops_.join());
  loops_.stop();
  [[maybe_unused]] auto joined = co_await loops_.join();
}

Task<> Poster::claim_loop() {
  while (!is_closing_) {
    bool const was_cut = co_await is_cancelled();
    if (was_cut) co_return;
    is_woken_ = false;
    auto const& settings = with_.settings;
    auto const room = settings.deliveries_at_once_max - std::min<std::size_t>(posting_, settings.deliveries_at_once_max);
    std::size_t claimed = 0;
    co_await free_some();
    if (room > 0) {
      // Longer than an attempt may take: nobody else posts it meanwhile.
      auto due = co_await with_.rows.claim_deliveries(with_.gateway, settings.delivery_time_max + 15s, room);
      if (due) {
        claimed = due->size();
        for (auto& one : *due) begin(std::move(one));
      }
    }
    if (is_woken_ || (claimed == room && room > 0)) continue;
    auto wait = settings.scan_interval;
    if (auto const next = co_await with_.rows.next_delivery_at(); next && *next && room > 0)
      wait = std::clamp(std::chrono::ceil<std::chrono::milliseconds>(**next - SystemClock::now()), 10ms, wait);
    if (is_woken_ || is_closing_) continue;
    wake_.expires_after(wait);
    [[maybe_unused]] auto woken = co_await until_woken(wake_);
  }
}

// What dead gateways were about to post.
Task<> Poster::free_some() {
  if (Clock::now() < free_at_) co_return;
  free_at_ = Clock::now() + with_.settings.scan_interval;
  [[maybe_unused]] auto freed = co_await with_.rows.free_deliveries(with_.gateway);
}

bool Poster::has_room_at(std::string const& server) const {
  auto const known = servers_.find(server);
  std::size_t const share = std::max<std::size_t>(with_.settings.deliveries_at_once_max / share_of_silent, 1);
  return known == servers_.end() || !known->second.is_silent || known->second.posting < share;
}

// One for which there is no room comes again when its claim is over.
void Poster::begin(Due due) {
  auto url = place_of(due);
  auto server = url ? url->authority() : std::string();
  if (!has_room_at(server)) return;
  ++servers_[server].posting;
  ++posting_;
  attempts_.spawn("automation.deliver", attempt(std::move(due), std::move(url), std::move(server)));
}

void Poster::note_answer(std::string const& server, bool is_silent) {
  auto const known = servers_.find(server);
  --known->second.posting;
  known->second.is_silent = is_silent;
  if (!is_silent && known->second.posting == 0) servers_.erase(known);
  if (servers_.size() > servers_known_max) std::erase_if(servers_, [](auto const& one) { return one.second.posting == 0; });
}

Task<> Poster::attempt(Due due, nestgate::Result<upstream::Url> url, std::string server) {
  auto const begin = SystemClock::now();
  std::optional<std::chrono::seconds> retry_after;
  auto posted = co_await post(due, std::move(url), retry_after);
  bool const is_cut = co_await is_cancelled();
  --posting_;
  note_answer(server, is_unanswered(posted));
  if (!is_cut) {
    auto result = result_of(due, posted, retry_after);
    result.attempt.at = begin;
    result.attempt.duration_ms = std::chrono::duration_cast<std::chrono::milliseconds>(SystemClock::now() - begin).count();
    results_.push_back(std::move(result));
    recorded_.cancel();
  }
  wake();
}

// Results that come while others are written are written together.
Task<> Poster::record_loop() {
  for (;;) {
    bool const is_cut = co_await is_cancelled();
    if (is_cut) co_return;
    if (results_.empty()) {
      if (is_closing_ && attempts_.size() == 0) co_return;
      recorded_.expires_at(Clock::time_point::max());
      [[maybe_unused]] auto woken = co_await until_woken(recorded_);
      continue;
    }
    auto const written = std::exchange(results_, {});
    // What cannot be written is posted again once its claim is over: the same id, so the receiver knows it.
    auto const switched_off = co_await with_.rows.record_deliveries(written);
    if (switched_off) with_.stats.endpoints_disabled.add(*switched_off);
    wake();
  }
}

Task<Outcome<unsigned>> Poster::post(Due const& due, nestgate::Result<upstream::Url> url,
                                     std::optional<std::chrono::seconds>& retry_after) {
  auto const& delivery = due.delivery;
  if (!delivery.endpoint_id.empty() && !due.endpoint)
    co_return upstream::fail(FaultKind::forbidden, "automation.deliver", "callback: its endpoint was removed");
  if (due.endpoint && !due.endpoint->enabled)
    co_return upstream::fail(FaultKind::forbidden, "automation.deliver", "callback: its endpoint is switched off");
  if (delivery.is_unreadable || (due.endpoint && due.endpoint->is_unreadable))
    co_return upstream::fail(FaultKind::forbidden, "automation.deliver", "callback: its secret cannot be opened");
  auto const plain = parse_plain_callback(delivery.callback_json);
  if (!url) co_return upstream::failed("callback", url.error());
  upstream::Call call;
  call.method = "POST";
  call.url = std::move(*url);
  call.content_type = "application/json";
  call.body = {delivery.payload};
  call.answer_bytes_max = answer_bytes_max;
  call.retry_after_max = with_.settings.delivery_give_up;
  call.reach = upstream::Reach::public_only;
  if (with_.settings.private_callbacks == PrivateCallbacks::allow) call.reach = upstream::Reach::anywhere;
  auto const now = std::chrono::duration_cast<std::chrono::seconds>(SystemClock::now().time_since_epoch()).count();
  call.headers.emplace_back("webhook-id", delivery.id);
  call.headers.emplace_back("webhook-timestamp", std::to_string(now));
  auto const* keys = with_.settings.webhook_signing_keys.get();
  if (due.endpoint) keys = &due.endpoint->secrets;
  if (keys != nullptr && !keys->empty())
    call.headers.emplace_back("webhook-signature", identity::webhook_signature(*keys, delivery.id, now, delivery.payload));
  if (!plain.bearer.empty())
    call.secret_headers.emplace_back("Authorization", Secret("Bearer " + std::string(plain.bearer.reveal())));
  // A head that says so is enough: whatever its body is, posting again would tell it twice.
  bool is_taken = false;
  call.on_piece = [&is_taken](std::string_view) { return is_taken = true; };
  auto answer = co_await upstream::call(std::move(call), Deadline::in(with_.settings.delivery_time_max));
  if (!answer && is_taken) co_return 200U;
  if (!answer) co_return upstream::failed("callback", answer.error());
  retry_after = answer->retry_after;
  if (!answer->ok()) co_return upstream::refused("callback", answer->status);
  co_return answer->status;
}

Poster::Result Poster::result_of(Due const& due, Outcome<unsigned> const& posted,
                                 std::optional<std::chrono::seconds> retry_after) const {
  auto const& settings = with_.settings;
  auto const& delivery = due.delivery;
  auto const now = SystemClock::now();
  Result result;
  result.delivery_id = delivery.id;
  result.fence = delivery.fence;
  result.endpoint_id = delivery.endpoint_id;
  result.attempt.delivery_id = delivery.id;
  result.attempt.number = delivery.attempts + 1;
  if (posted) {
    result.state = DeliveryState::delivered;
    result.attempt.status_code = *posted;
    with_.stats.callbacks_delivered.add();
    return result;
  }
  auto const& failure = posted.error();
  with_.stats.callback_attempts_failed.add();
  result.attempt.status_code = failure.status;
  result.attempt.error = failure.reason;
  schedule::Backoff const backoff{settings.delivery_pause_first, settings.delivery_pause_max,
                                  schedule::Backoff::Jitter::equal};
  std::chrono::milliseconds const pause = backoff.pause(result.attempt.number, upstream::random_number());
  result.next_at = now + pause;
  auto const last_at = delivery.created_at + settings.delivery_give_up;
  bool const is_for_good =
      failure.fault.kind == FaultKind::forbidden || failure.fault.kind == FaultKind::bad_input || failure.status == gone;
  bool const is_over = is_for_good || result.next_at > last_at;
  // However long the receiver wants to be left alone, it is asked once more before this is given up.
  if (retry_after && !is_over) result.next_at = std::max(result.next_at, std::min<store::Time>(now + *retry_after, last_at));
  if (is_over) {
    result.state = DeliveryState::failed;
    with_.stats.callbacks_given_up.add();
  }
  bool const is_failing_long =
      due.endpoint && due.endpoint->failing_since && now - *due.endpoint->failing_since > settings.endpoint_failing_max;
  if (due.endpoint && due.endpoint->enabled && (failure.status == gone || is_failing_long))
    result.disable_endpoint_reason = failure.status == gone ? "it answered 410 Gone" : "it failed for days";
  return result;
}

}  // namespace nestgate::automation
