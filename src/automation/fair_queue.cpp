#include "fair_queue.hpp"

namespace nestgate::automation {

bool FairQueue::Place::operator<(Place const& other) const noexcept {
  if (priority != other.priority) return priority > other.priority;
  if (created_at != other.created_at) return created_at < other.created_at;
  return id < other.id;
}

void FairQueue::take_out(Waiting& waiting, std::string const& from, store::WaitingRun const& run) {
  auto const places = waiting.find(from);
  places->second.erase(place_of(run));
  if (places->second.empty()) waiting.erase(places);
}

bool FairQueue::knows(store::WaitingRun const& run) const noexcept {
  auto const found = known_.find(run.id);
  return found != known_.end() && found->second.run.version >= run.version;
}

void FairQueue::insert(store::WaitingRun run, Where where) {
  if (where == Where::delayed) delayed_.emplace(*run.not_before, run.id);
  if (where == Where::ready) ready_[run.user_id].insert(place_of(run));
  if (where == Where::parked) parked_[run.user_id].by_kin[kin_of(run)].insert(place_of(run));
  auto id = run.id;
  known_.insert_or_assign(std::move(id), Known{std::move(run), where});
}

void FairQueue::put(store::WaitingRun run) {
  remove(run.id);
  auto const where = run.not_before ? Where::delayed : Where::ready;
  insert(std::move(run), where);
}

void FairQueue::park(store::WaitingRun run) {
  remove(run.id);
  insert(std::move(run), Where::parked);
}

void FairQueue::remove(std::string_view id) {
  auto const found = known_.find(id);
  if (found == known_.end()) return;
  auto const& [run, where] = found->second;
  if (where == Where::delayed) delayed_.erase({*run.not_before, run.id});
  if (where == Where::ready) take_out(ready_, run.user_id, run);
  if (where == Where::parked) {
    auto const user = parked_.find(run.user_id);
    take_out(user->second.by_kin, kin_of(run), run);
    if (user->second.by_kin.empty()) parked_.erase(user);
  }
  known_.erase(found);
}

void FairQueue::unpark(std::string_view user_id, std::size_t count) {
  auto const user = parked_.find(user_id);
  if (user == parked_.end()) return;
  auto& [by_kin, last_kin] = user->second;
  auto kin = by_kin.upper_bound(last_kin);
  for (; count > 0 && !by_kin.empty(); --count) {
    if (kin == by_kin.end()) kin = by_kin.begin();
    last_kin = kin->first;
    auto place = kin->second.extract(kin->second.begin());
    known_.find(place.value().id)->second.where = Where::ready;
    ready_[user->first].insert(std::move(place));
    kin = kin->second.empty() ? by_kin.erase(kin) : std::next(kin);
  }
  if (by_kin.empty()) parked_.erase(user);
}

void FairQueue::unpark_of_each(std::size_t count) {
  std::vector<std::string> users;
  users.reserve(parked_.size());
  for (auto const& [user, parked] : parked_) users.push_back(user);
  for (auto const& user : users) unpark(user, count);
}

void FairQueue::wake_due(Time now) {
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    auto const known = known_.find(delayed_.begin()->second);
    delayed_.erase(delayed_.begin());
    known->second.where = Where::ready;
    auto const& run = known->second.run;
    ready_[run.user_id].insert(place_of(run));
  }
}

std::vector<store::WaitingRun> FairQueue::take(std::size_t count, Time now) {
  wake_due(now);
  std::vector<store::WaitingRun> out;
  auto user = ready_.upper_bound(last_user_);
  while (out.size() < count && !ready_.empty()) {
    if (user == ready_.end()) user = ready_.begin();
    last_user_ = user->first;
    auto const known = known_.find(user->second.begin()->id);
    out.push_back(std::move(known->second.run));
    known_.erase(known);
    user->second.erase(user->second.begin());
    if (user->second.empty()) {
      user = ready_.erase(user);
    } else {
      ++user;
    }
  }
  return out;
}

bool FairQueue::has_ready(Time now) const noexcept {
  return !ready_.empty() || (!delayed_.empty() && delayed_.begin()->first <= now);
}

std::optional<FairQueue::Time> FairQueue::next_not_before() const {
  if (delayed_.empty()) return std::nullopt;
  return delayed_.begin()->first;
}

}  // namespace nestgate::automation
