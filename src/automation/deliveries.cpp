#include "deliveries.hpp"

#include <algorithm>

#include "completion.hpp"
#include "nestgate/identity/webhook_signature.hpp"
#include "nestgate/upstream/http_client.hpp"
#include "run_edit.hpp"

namespace nestgate::automation {
namespace {

using upstream::Outcome;
using SystemClock = std::chrono::system_clock;

constexpr std::size_t answer_bytes_max = 64 * 1024;

}  // namespace

Deliveries::Deliveries(Executor control, RunStore& store, Settings const& settings, Stats& stats)
    : store_(store), settings_(settings), stats_(stats), free_turns_(settings.deliveries_at_once_max), tasks_(control) {}

void Deliveries::tell(Run const& run) {
  if (tasks_.size() >= settings_.deliveries_at_once_max + std::size_t{settings_.deliveries_waiting_max}) {
    stats_.callbacks_given_up.add();
    tasks_.spawn("automation.untold", note(run.id, 0, "callback: too many completions wait to be told"));
    return;
  }
  Completion completion{run.id, run.callback_url, completion_message_id(run), completion_body(run), run.status};
  tasks_.spawn("automation.deliver", deliver(std::move(completion)));
}

Task<> Deliveries::deliver(Completion completion) {
  Clock::duration pause = settings_.delivery_pause_first;
  for (std::uint32_t attempt = 1;; ++attempt) {
    bool const has_turn = co_await take_turn();
    if (!has_turn) break;
    bool const is_old = co_await is_overtaken(completion);
    if (is_old) {
      give_turn();
      co_return;
    }
    auto posted = co_await post(completion);
    give_turn();
    bool const is_cut = co_await is_cancelled();
    if (is_cut) break;
    std::string error;
    if (!posted) error = posted.error().reason;
    co_await note(completion.run_id, attempt, std::move(error));
    if (posted) {
      stats_.callbacks_delivered.add();
      co_return;
    }
    stats_.callback_attempts_failed.add();
    bool const is_final = posted.error().fault.kind == FaultKind::forbidden;
    if (is_final || is_closing_ || attempt == settings_.delivery_attempts_max) break;
    auto const waiting = pauses_.emplace(pauses_.end(), tasks_.executor(), pause);
    [[maybe_unused]] auto [woken] = co_await waiting->async_wait(no_throw);
    pauses_.erase(waiting);
    pause = std::min<Clock::duration>(pause * 2, settings_.delivery_pause_max);
  }
  stats_.callbacks_given_up.add();
}

// A guess that was corrected while it waited: the correction is told, and nothing after it.
Task<bool> Deliveries::is_overtaken(Completion const& completion) {
  auto const run = co_await store_.find(completion.run_id);
  co_return run && *run && (*run)->status != completion.status;
}

Task<Outcome<>> Deliveries::post(Completion const& completion) {
  auto url = upstream::parse_url(completion.url);
  if (!url) co_return upstream::failed("callback", url.error());
  upstream::Call call;
  call.method = "POST";
  call.url = std::move(*url);
  call.content_type = "application/json";
  call.body = {completion.body};
  call.answer_bytes_max = answer_bytes_max;
  call.reach =
      settings_.private_callbacks == PrivateCallbacks::allow ? upstream::Reach::anywhere : upstream::Reach::public_only;
  auto const now = std::chrono::duration_cast<std::chrono::seconds>(SystemClock::now().time_since_epoch()).count();
  call.headers.emplace_back("webhook-id", completion.message_id);
  call.headers.emplace_back("webhook-timestamp", std::to_string(now));
  if (settings_.webhook_signing_keys) {
    auto signature =
        identity::webhook_signature(*settings_.webhook_signing_keys, completion.message_id, now, completion.body);
    call.headers.emplace_back("webhook-signature", std::move(signature));
  }
  auto answer = co_await upstream::call(std::move(call), Deadline::in(settings_.delivery_time_max));
  if (!answer) co_return upstream::failed("callback", answer.error());
  if (!answer->ok()) co_return upstream::refused("callback", answer->status);
  co_return Outcome<>{};
}

Task<> Deliveries::note(std::string run_id, std::uint32_t attempt, std::string error) {
  auto change = [attempt, &error](Run& kept) {
    kept.delivery_attempts = attempt;
    kept.delivery_error = error;
    if (error.empty()) kept.delivered_at = SystemClock::now();
  };
  [[maybe_unused]] auto noted = co_await edit_run(store_, std::move(run_id), std::move(change));
}

// False: cancelled before its turn came.
Task<bool> Deliveries::take_turn() {
  bool const is_cut = co_await is_cancelled();
  if (is_cut) co_return false;
  if (free_turns_ > 0) {
    --free_turns_;
    co_return true;
  }
  auto const turn = line_.emplace(line_.end(), tasks_.executor());
  [[maybe_unused]] auto [woken] = co_await turn->timer.async_wait(no_throw);
  bool const has_come = turn->has_come;
  line_.erase(turn);
  bool const is_cut_now = co_await is_cancelled();
  if (has_come && is_cut_now) give_turn();
  co_return has_come && !is_cut_now;
}

void Deliveries::give_turn() {
  auto const next = std::find_if(line_.begin(), line_.end(), [](Turn const& turn) { return !turn.has_come; });
  if (next == line_.end()) {
    ++free_turns_;
    return;
  }
  next->has_come = true;
  next->timer.cancel();
}

void Deliveries::begin_closing() {
  is_closing_ = true;
  for (auto& pause : pauses_) pause.cancel();
}

Task<> Deliveries::stop(Deadline by) {
  begin_closing();
  auto const in_time = co_await with_deadline(by, tasks_.join());
  if (in_time) co_return;
  tasks_.stop();
  [[maybe_unused]] auto joined = co_await tasks_.join();
}

}  // namespace nestgate::automation
