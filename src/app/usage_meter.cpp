#include "app/usage_meter.hpp"

#include <algorithm>

#include "nestgate/net/task_group.hpp"

namespace nestgate::app {
namespace {

using namespace std::chrono_literals;
using conversation::RuntimeState;
using conversation::View;

constexpr std::size_t askers_max = 64;
constexpr Clock::duration one_time_max = 1s;
constexpr Clock::duration all_time_max = 10s;
constexpr Clock::duration interval_min = 250ms;  // the kernel may count in ticks of 10 ms
constexpr Clock::duration interval_max = 60s;

bool may_use(View const& view) {
  bool const is_up = view.state == RuntimeState::running || view.state == RuntimeState::paused;
  return is_up && view.origin == conversation::Origin::managed;
}

// Those of today's kind say nothing of it.
bool may_tell(View const& view) {
  return view.state == RuntimeState::running && view.dialect != nested::Dialect::agent_server;
}

}  // namespace

struct UsageMeter::Round {
  std::vector<View const*> wanted;
  ById& out;
  Deadline by;
  std::size_t next = 0;
  std::vector<View const*> unmeasured = {};  // whose CPU time is known, but not what it was
};

Task<UsageMeter::ById> UsageMeter::look(std::vector<View> const& views) {
  forget_old_ones();
  ById out;
  Round first{{}, out, Deadline::in(all_time_max)};
  for (auto const& view : views)
    if (may_use(view)) first.wanted.push_back(&view);
  co_await ask(first);
  if (first.unmeasured.empty()) co_return out;
  Round second{std::move(first.unmeasured), out, first.by};
  if (co_await pause_for(interval_min)) co_await ask(second);
  co_return out;
}

Task<> UsageMeter::ask(Round& round) {
  TaskGroup askers(co_await asio::this_coro::executor);
  for (std::size_t i = 0; i < std::min(askers_max, round.wanted.size()); ++i)
    askers.spawn("operators.usage", ask_next_ones(round));
  while (!co_await askers.join()) askers.stop();
}

// Takes one after the other from the shared list until none is left.
Task<> UsageMeter::ask_next_ones(Round& round) {
  while (round.next < round.wanted.size() && !round.by.passed()) co_await ask_one(*round.wanted[round.next++], round);
}

Task<> UsageMeter::ask_one(View const& view, Round& round) {
  auto const by = round.by.capped(one_time_max);
  auto const told = co_await manager_.usage(view.id, by);
  runtime::Usage const usage = told ? *told : runtime::Usage{};
  nested::Resources seen;
  if ((!usage.memory_bytes || !usage.cpu_time) && may_tell(view)) {
    auto const said = co_await nested::ask_resources(view.endpoint, by);
    if (said) seen = *said;
  }
  if (usage.memory_bytes) seen.memory_bytes = usage.memory_bytes;
  if (usage.cpu_time) {
    seen.cpu_percent = percent_of(view, *usage.cpu_time);
    if (!seen.cpu_percent) round.unmeasured.push_back(&view);
  }
  round.out.insert_or_assign(view.id.canonical(), seen);
}

// Nothing where there was no look before that it could be compared with.
std::optional<double> UsageMeter::percent_of(View const& view, std::chrono::microseconds cpu_time) {
  auto const now = Clock::now();
  auto& last = looks_[view.id.canonical()];
  auto const interval = now - last.at;
  bool const is_known = last.epoch == view.epoch && interval < interval_max;
  if (is_known && interval < interval_min) return last.percent;  // another operator has just looked
  std::optional<double> percent;
  if (is_known) {
    auto const used = std::max(cpu_time - last.cpu_time, std::chrono::microseconds(0));  // its processes may have ended
    percent = 100 * std::chrono::duration<double>(used) / std::chrono::duration<double>(interval);
  }
  last = {view.epoch, now, cpu_time, percent};
  return percent;
}

void UsageMeter::forget_old_ones() {
  auto const now = Clock::now();
  std::erase_if(looks_, [now](auto const& entry) { return now - entry.second.at >= interval_max; });
}

}  // namespace nestgate::app
