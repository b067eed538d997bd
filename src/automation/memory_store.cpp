#include <map>

#include "nestgate/automation/run_store.hpp"

namespace nestgate::automation {
namespace {

class MemoryStore final : public RunStore {
 public:
  MemoryStore(std::size_t in_flight_max, std::size_t ended_max) : in_flight_max_(in_flight_max), ended_max_(ended_max) {}

  Task<Result<>> insert(Run run) override {
    if (in_flight_ >= in_flight_max_) co_return Fault{FaultKind::overloaded, {}, "automation.store"};
    ++in_flight_;
    runs_.push_front(std::move(run));
    by_id_.emplace(runs_.front().id, runs_.begin());
    co_return Result<>{};
  }

  Task<Result<std::optional<Run>>> find(std::string id) override {
    auto const found = by_id_.find(id);
    if (found == by_id_.end()) co_return std::optional<Run>();
    co_return std::optional<Run>(*found->second);
  }

  Task<Result<bool>> replace(Run run) override {
    auto const found = by_id_.find(run.id);
    if (found == by_id_.end() || found->second->version != run.version) co_return false;
    ++run.version;
    bool const ends = is_terminal(run.status) && !is_terminal(found->second->status);
    *found->second = std::move(run);
    if (ends) {
      --in_flight_;
      forget_oldest();
    }
    co_return true;
  }

  Task<Result<RunPage>> list(identity::Principal who, std::size_t limit, std::size_t offset) override {
    RunPage page;
    for (auto const& run : runs_) {
      if (!who.may_use(run.owner)) continue;
      if (page.total++ < offset || page.runs.size() == limit) continue;
      page.runs.push_back(run);
    }
    co_return page;
  }

 private:
  using Runs = std::list<Run>;  // newest first

  void forget_oldest() {
    if (runs_.size() - in_flight_ <= ended_max_) return;
    auto oldest = std::prev(runs_.end());
    while (!is_terminal(oldest->status)) --oldest;
    by_id_.erase(oldest->id);
    runs_.erase(oldest);
  }

  std::size_t in_flight_max_;
  std::size_t ended_max_;
  std::size_t in_flight_ = 0;
  Runs runs_;
  std::map<std::string, Runs::iterator, std::less<>> by_id_;
};

}  // namespace

std::unique_ptr<RunStore> make_memory_store(std::size_t in_flight_max, std::size_t ended_max) {
  return std::make_unique<MemoryStore>(in_flight_max, ended_max);
}

}  // namespace nestgate::automation
