#include "keeper_pool.hpp"

#include <signal.h>

#include <cerrno>
#include <utility>

namespace nestgate::runtime {
namespace {

constexpr std::size_t spares_wanted = 2;

// Whether the process that is to be the server stands where it shall; ends the child otherwise.
Task<Result<>> seated(ChildProcess& child) {
  Report const report = co_await child.report();
  if (report.what == Told::seated && report.value == 0) co_return Result<>{};
  co_await child.ended();
  co_return system_fault(report.what == Told::seated ? report.value : ECHILD, "runtime.keeper");
}

}  // namespace

KeeperPool::KeeperPool(Executor control, Grouping grouping)
    : grouping_(grouping), changed_(control, Clock::time_point::max()), tasks_(control) {
  if (grouping_ == Grouping::off) return;
  for (auto& leftover : CgroupParent::leftovers()) tasks_.spawn("runtime.leftover", clear(std::move(leftover)));
}

Task<> KeeperPool::clear(Cgroup leftover) { co_await leftover.clear_all(); }

Task<Result<Place>> KeeperPool::take(std::string keeper) {
  if (grouping_ == Grouping::automatic && !std::exchange(is_open_, true)) groups_ = CgroupParent::make();
  ++waiting_;
  auto const failures_before = failures_;
  std::optional<Fault> fault;
  for (prepare(keeper); spares_.empty() && !fault; prepare(keeper)) {
    auto const woken = co_await until_woken(changed_);
    if (failures_ != failures_before) fault = failure_;
    if (!woken) fault = woken.error();
    if (is_closing_) fault = Fault{FaultKind::unavailable, {}, "runtime.keeper"};
    if (fault) break;
  }
  --waiting_;
  if (fault) co_return *fault;
  Place place = std::move(spares_.front());
  spares_.pop_front();
  prepare(keeper);
  co_return std::move(place);
}

// As many as are wanted now, and where they take long, a few more.
void KeeperPool::prepare(std::string const& keeper) {
  auto const wanted = waiting_ + (groups_ ? spares_wanted : 0);
  while (!is_closing_ && spares_.size() + filling_ < wanted) {
    ++filling_;
    tasks_.spawn("runtime.keeper", fill(keeper));
  }
}

Task<> KeeperPool::fill(std::string keeper) {
  co_await asio::post(no_throw);  // who prepares waits by then, also for what fails at once
  auto made = co_await make(std::move(keeper));
  --filling_;
  if (made && is_closing_) {
    co_await end(std::move(*made));
  } else if (made) {
    spares_.push_back(std::move(*made));
  } else {
    failure_ = made.error();
    ++failures_;
  }
  changed_.cancel();
}

Task<Result<Place>> KeeperPool::make(std::string keeper) {
  std::optional<Cgroup> group;
  Seat seat;
  if (groups_) {
    NESTGATE_CO_TRY(added, groups_->add());
    group.emplace(std::move(added));
    auto opened = group->seat();
    if (!opened) {
      co_await group->clear();
      co_return opened.error();
    }
    seat = std::move(*opened);
  }
  auto child = ChildProcess::prepare(tasks_.executor(), keeper, std::move(seat));
  Result<> stands{};
  if (child) {
    stands = co_await seated(*child);
  } else {
    stands = child.error();
  }
  if (!stands) {
    if (group) co_await group->clear();
    co_return stands.error();
  }
  Place place{std::move(*child), std::move(group)};
  co_return std::move(place);
}

Task<Result<ChildProcess>> KeeperPool::join(std::string keeper, Cgroup const* group) {
  Seat seat;
  if (group) {
    NESTGATE_CO_TRY(opened, group->seat());
    seat = std::move(opened);
    seat.freezer = Freezer::none;  // it is not this keeper's to freeze, nor to kill
  }
  NESTGATE_CO_TRY(child, ChildProcess::prepare(tasks_.executor(), keeper, std::move(seat)));
  NESTGATE_CO_TRY_VOID(co_await seated(child));
  co_return std::move(child);
}

void KeeperPool::give_up(Place place) { tasks_.spawn("runtime.give_up", end(std::move(place))); }

Task<> KeeperPool::end(Place place) {
  place.child.signal(SIGKILL);
  co_await place.child.ended();
  if (place.group) co_await place.group->clear();
}

Task<> KeeperPool::close() {
  is_closing_ = true;
  changed_.cancel();
  while (!spares_.empty()) {
    give_up(std::move(spares_.front()));
    spares_.pop_front();
  }
  [[maybe_unused]] auto joined = co_await tasks_.join();
  if (groups_) groups_->remove();
}

}  // namespace nestgate::runtime
