#include "dispatcher.hpp"

#include <algorithm>

namespace nestgate::automation {
namespace {

using store::ClaimAnswer;
using store::RunRow;
using store::WaitingRun;
using SystemClock = std::chrono::system_clock;

constexpr std::size_t claims_at_once_max = 256;
constexpr std::size_t read_at_once_max = 5'000;
constexpr std::size_t taken_over_at_once_max = 256;
constexpr std::size_t unparked_of_each = 64;
constexpr Clock::duration scan_pause_min = std::chrono::milliseconds(20);  // however often it is woken

WaitingRun waiting_of(RunRow const& run) {
  WaitingRun waiting;
  waiting.id = run.id;
  waiting.automation_id = run.automation_id;
  waiting.user_id = run.tenant.user_id;
  waiting.target = run.target;
  waiting.priority = run.priority;
  waiting.concurrent_max = run.concurrent_max;
  waiting.created_at = run.created_at;
  waiting.not_before = run.not_before;
  waiting.version = run.version;
  return waiting;
}

}  // namespace

Dispatcher::Dispatcher(Executor control, With around, Listeners listeners)
    : with_(std::move(around)), listeners_(std::move(listeners)), wake_(control), scan_(control), tasks_(control) {}

void Dispatcher::start() {
  is_stopped_ = false;
  tasks_.spawn("automation.claim", claim_loop());
  tasks_.spawn("automation.scan", scan_loop());
}

Task<> Dispatcher::stop() {
  is_stopped_ = true;
  tasks_.stop();
  [[maybe_unused]] auto joined = co_await tasks_.join();
}

void Dispatcher::put(RunRow const& run) {
  queue_.put(waiting_of(run));
  is_woken_ = true;
  wake_.cancel();
}

// Where starts are limited, whose one it is has to be known first: such a run comes by the queue.
Task<upstream::Outcome<store::Enqueued>> Dispatcher::enqueue_of(std::string automation_id, store::RunOfAutomation make) {
  auto const& settings = with_.settings;
  bool const is_limited = settings.starts_per_minute_of_user_max != 0;
  bool const has_room = running_ < settings.runs_in_flight_max && !queue_.has_ready(SystemClock::now());
  std::string const claimant = is_stopped_ || is_limited || !has_room ? "" : with_.gateway;
  if (!claimant.empty()) ++running_;  // as in claim_some
  auto begun =
      co_await with_.rows.enqueue_of(std::move(automation_id), std::move(make), settings.runs_waiting_max, claimant, caps());
  bool const is_claimed = begun && begun->claim.what == ClaimAnswer::What::claimed;
  if (!claimant.empty() && !is_claimed) --running_;
  if (!begun) co_return std::move(begun).error();
  // Claimed while this gateway ends: the next one takes it over.
  if (is_claimed && !is_stopped_) begin(std::move(*begun->claim.claimed));
  if (!is_claimed && begun->enqueued.is_new) put(begun->enqueued.run);
  co_return std::move(begun->enqueued);
}

void Dispatcher::note_ended(RunRow const& run) {
  if (running_ > 0) --running_;
  queue_.unpark(run.tenant.user_id, unparked_of_each);
  is_woken_ = true;
  wake_.cancel();
}

void Dispatcher::wake_scan() {
  is_scan_woken_ = true;
  scan_.cancel();
}

bool Dispatcher::may_start(WaitingRun const& run) {
  auto const limit = with_.settings.starts_per_minute_of_user_max;
  if (limit == 0) return true;
  auto const now = Clock::now();
  if (now - minute_begin_ >= std::chrono::minutes(1)) {
    minute_begin_ = now;
    starts_.clear();
  }
  auto& starts = starts_[run.user_id];
  if (starts >= limit) return false;
  ++starts;
  return true;
}

void Dispatcher::note_not_started(WaitingRun const& run) {
  auto const starts = starts_.find(run.user_id);
  if (starts != starts_.end() && starts->second > 0) --starts->second;
}

std::vector<WaitingRun> Dispatcher::next_ones() {
  auto const in_all = with_.settings.runs_in_flight_max;
  auto const free = running_ < in_all ? in_all - running_ : 0;
  auto candidates = queue_.take(std::min<std::size_t>(free, claims_at_once_max), SystemClock::now());
  std::vector<WaitingRun> allowed;
  for (auto& run : candidates) {
    if (may_start(run)) {
      allowed.push_back(std::move(run));
    } else {
      queue_.park(std::move(run));
    }
  }
  return allowed;
}

store::RunCaps Dispatcher::caps() const {
  auto const& settings = with_.settings;
  return {settings.runs_in_flight_max, settings.runs_in_flight_of_user_max, settings.runs_in_flight_of_automation_max,
          settings.runs_in_flight_of_runtime_max};
}

void Dispatcher::begin(store::ClaimedRun claimed) {
  auto const since = std::max(claimed.run.created_at, claimed.run.not_before.value_or(store::Time::min()));
  auto const waited = std::chrono::duration_cast<std::chrono::microseconds>(SystemClock::now() - since).count();
  with_.stats.wait.observe_us(static_cast<std::uint64_t>(std::max<std::int64_t>(waited, 0)));
  listeners_.begin(std::move(claimed), false);
}

// Whether it may be that more can be claimed at once.
Task<bool> Dispatcher::claim_some() {
  auto candidates = next_ones();
  if (candidates.empty()) co_return false;
  std::vector<std::string> ids;
  ids.reserve(candidates.size());
  for (auto const& run : candidates) ids.push_back(run.id);
  running_ += candidates.size();  // an end that comes before the answer finds them counted
  auto answers = co_await with_.rows.claim(std::move(ids), with_.gateway, caps());
  if (!answers) {
    running_ -= candidates.size();
    for (auto& run : candidates) {
      note_not_started(run);
      if (!queue_.knows(run)) queue_.put(std::move(run));
    }
    co_return false;
  }
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    auto& answer = (*answers)[i];
    if (answer.what == ClaimAnswer::What::claimed) {
      begin(std::move(*answer.claimed));
      continue;
    }
    --running_;
    note_not_started(candidates[i]);
    bool const waits_on = answer.what == ClaimAnswer::What::at_cap && !queue_.knows(candidates[i]);
    if (waits_on) queue_.park(std::move(candidates[i]));
  }
  co_return true;
}

Task<> Dispatcher::claim_loop() {
  for (;;) {
    bool const was_cut = co_await is_cancelled();
    if (was_cut) co_return;
    is_woken_ = false;
    bool const goes_on = co_await claim_some();
    if (goes_on || is_woken_) continue;
    auto wait = with_.settings.scan_interval;
    if (auto const next = queue_.next_not_before())
      wait = std::clamp(std::chrono::ceil<std::chrono::milliseconds>(*next - SystemClock::now()),
                        std::chrono::milliseconds(1), wait);
    wake_.expires_after(wait);
    [[maybe_unused]] auto woken = co_await until_woken(wake_);
  }
}

Task<> Dispatcher::scan_loop() {
  for (;;) {
    bool const was_cut = co_await is_cancelled();
    if (was_cut) co_return;
    is_scan_woken_ = false;
    co_await read_waiting();
    co_await take_over();
    co_await read_ended();
    queue_.unpark_of_each(unparked_of_each);
    with_.stats.waiting.add(static_cast<std::int64_t>(queue_.size()) - with_.stats.waiting.read());
    is_woken_ = true;
    wake_.cancel();
    auto const waited = co_await pause_for(scan_pause_min);
    if (!waited) co_return;
    if (is_scan_woken_) continue;
    scan_.expires_after(with_.settings.scan_interval);
    [[maybe_unused]] auto woken = co_await until_woken(scan_);
  }
}

Task<> Dispatcher::read_waiting() {
  for (;;) {
    auto found = co_await with_.rows.waiting_since(seen_version_, read_at_once_max);
    if (!found) co_return;
    for (auto& run : *found) {
      seen_version_ = std::max(seen_version_, run.version);
      if (!queue_.knows(run)) queue_.put(std::move(run));
    }
    if (found->size() < read_at_once_max) co_return;
  }
}

Task<> Dispatcher::take_over() {
  for (;;) {
    auto taken = co_await with_.rows.take_over(with_.gateway, taken_over_at_once_max);
    if (!taken) co_return;
    for (auto& run : *taken) {
      ++running_;
      with_.stats.taken_over.add();
      listeners_.begin(std::move(run), true);
    }
    if (taken->size() < taken_over_at_once_max) co_return;
  }
}

Task<> Dispatcher::read_ended() {
  auto ended = co_await with_.rows.to_clean_up(with_.gateway, taken_over_at_once_max);
  if (!ended) co_return;
  for (auto const& run : *ended) listeners_.ended_elsewhere(run);
}

}  // namespace nestgate::automation
