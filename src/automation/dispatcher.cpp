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
  tasks_.spawn("automation.claim", claim_loop());
  tasks_.spawn("automation.scan", scan_loop());
}

Task<> Dispatcher::stop() {
  tasks_.stop();
  [[maybe_unused]] auto joined = co_await tasks_.join();
}

void Dispatcher::put(RunRow const& run) {
  queue_.put(waiting_of(run));
  is_woken_ = true;
  wake_.cancel();
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

// Whether it may be that more can be claimed at once.
Task<bool> Dispatcher::claim_some() {
  auto candidates = next_ones();
  if (candidates.empty()) co_return false;
  std::vector<std::string> ids;
  ids.reserve(candidates.size());
  for (auto const& run : candidates) ids.push_back(run.id);
  auto const& settings = with_.settings;
  store::RunCaps const caps{settings.runs_in_flight_max, settings.runs_in_flight_of_user_max,
                            settings.runs_in_flight_of_automation_max, settings.runs_in_flight_of_runtime_max};
  running_ += candidates.size();  // an end that comes before the answer finds them counted
  auto answers = co_await with_.rows.claim(std::move(ids), with_.gateway, caps);
  if (!answers) {
    running_ -= candidates.size();
    for (auto& run : candidates) {
      note_not_started(run);
      queue_.put(std::move(run));
    }
    co_return false;
  }
  auto const now = SystemClock::now();
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    auto& answer = (*answers)[i];
    if (answer.what == ClaimAnswer::What::claimed) {
      auto const since = std::max(candidates[i].created_at, candidates[i].not_before.value_or(store::Time::min()));
      auto const waited = std::chrono::duration_cast<std::chrono::microseconds>(now - since).count();
      with_.stats.wait.observe_us(static_cast<std::uint64_t>(std::max<std::int64_t>(waited, 0)));
      listeners_.begin(std::move(*answer.claimed), false);
      continue;
    }
    --running_;
    note_not_started(candidates[i]);
    if (answer.what == ClaimAnswer::What::at_cap) queue_.park(std::move(candidates[i]));
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
    [[maybe_unused]] auto [woken] = co_await wake_.async_wait(no_throw);
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
    [[maybe_unused]] auto [woken] = co_await scan_.async_wait(no_throw);
  }
}

Task<> Dispatcher::read_waiting() {
  for (;;) {
    auto found = co_await with_.rows.waiting_since(seen_version_, read_at_once_max);
    if (!found) co_return;
    for (auto& run : *found) {
      seen_version_ = std::max(seen_version_, run.version);
      if (!queue_.knows(run.id)) queue_.put(std::move(run));
    }
    if (found->size() < read_at_once_max) co_return;
  }
}

Task<> Dispatcher::take_over() {
  for (;;) {
    auto taken = co_await with_.rows.take_over(with_.gateway, false, taken_over_at_once_max);
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
