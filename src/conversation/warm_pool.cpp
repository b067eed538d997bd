#include "warm_pool.hpp"

#include <algorithm>

#include "nestgate/upstream/random.hpp"

namespace nestgate::conversation {
namespace {

constexpr std::string_view warm_prefix = "nestgate-warm-";
constexpr std::string_view warm_purpose = "warm";
constexpr std::size_t boot_key_bytes = 32;
constexpr std::uint32_t at_once_max = 2;  // a start costs the machine more than the wait for the next one

ConversationId make_warm_id() {
  return ConversationId::parse(std::string(warm_prefix) + upstream::random_uuid_hex()).value();
}

}  // namespace

WarmPool::WarmPool(Executor control, Registry& registry, runtime::RuntimeProvider& provider, ManagerSettings const& settings)
    : registry_(registry), provider_(provider), settings_(settings), tasks_(control) {}

bool WarmPool::is_warm_id(ConversationId const& id) noexcept { return id.canonical().starts_with(warm_prefix); }

void WarmPool::refill() {
  if (is_closing_ || !provider_.traits().assigns) return;
  while (ready_.size() + in_making_ < settings_.warm_runtimes && in_making_ < at_once_max) {
    ++in_making_;
    tasks_.spawn("warm.make", make());
  }
}

Task<> WarmPool::make() {
  auto const id = make_warm_id();
  auto boot_key = upstream::random_token(boot_key_bytes);
  epochs_.emplace(id.canonical(), Epoch{0});
  auto const started = co_await start(id, boot_key);
  --in_making_;
  if (!started || is_closing_) {
    co_await discard(id);
    co_return;
  }
  ready_.push_back({id, std::move(boot_key)});
  note_size();
  refill();
}

Task<Outcome<>> WarmPool::start(ConversationId const& id, Secret const& boot_key) {
  store::ConversationRow row{id};
  row.purpose = warm_purpose;
  NESTGATE_CO_TRY(claim, co_await registry_.store().claim(std::move(row), registry_.gateway(), {}));
  epochs_.insert_or_assign(id.canonical(), claim.row.epoch);
  runtime::Spec spec{id, claim.row.epoch, boot_key.clone(), {}};
  spec.wakefulness = runtime::Spec::Wakefulness::dormant;
  auto const by = Deadline::in(settings_.ready_time_max);
  NESTGATE_CO_TRY(instance, co_await provider_.create(std::move(spec), by));
  NESTGATE_CO_TRY_VOID(co_await provider_.wait_ready(id, by));
  nested::Client client(instance.endpoint, boot_key.clone());
  co_return co_await client.wait_alive(by);
}

Task<std::optional<WarmPool::Warm>> WarmPool::take(runtime::Spec spec) {
  if (ready_.empty()) {
    refill();
    co_return std::nullopt;
  }
  auto warm = std::move(ready_.front());
  ready_.pop_front();
  note_size();
  auto instance = co_await provider_.assign(warm.id, std::move(spec));
  if (!instance) {
    tasks_.spawn("warm.discard", discard(warm.id));
    co_return std::nullopt;
  }
  registry_.stats.warm_starts.add();
  co_await forget(warm.id);
  co_return Warm{std::move(*instance), std::move(warm.boot_key)};
}

bool WarmPool::ended(ConversationId const& id) {
  if (!is_warm_id(id)) return false;
  std::erase_if(ready_, [&id](Ready const& ready) { return ready.id == id; });
  note_size();
  if (!is_closing_) tasks_.spawn("warm.discard", discard(id));
  return true;
}

// What cannot be ended now is left to the reconciler.
Task<> WarmPool::discard(ConversationId id) {
  auto destroyed = co_await provider_.destroy(id, runtime::Leftovers::remove);
  if (destroyed) co_return co_await forget(std::move(id));
  epochs_.erase(id.canonical());
}

Task<> WarmPool::forget(ConversationId id) {
  auto const found = epochs_.find(id.canonical());
  if (found == epochs_.end()) co_return;
  auto const epoch = found->second;
  epochs_.erase(found);
  [[maybe_unused]] auto forgotten = co_await registry_.store().forget(std::move(id), registry_.gateway(), epoch);
}

Task<> WarmPool::close() {
  is_closing_ = true;
  tasks_.stop();
  auto joined = co_await tasks_.join();
  for (auto& ready : std::exchange(ready_, {})) tasks_.spawn("warm.discard", discard(std::move(ready.id)));
  joined = co_await tasks_.join();
  note_size();
}

void WarmPool::note_size() {
  auto& gauge = registry_.stats.warm_ready;
  gauge.add(static_cast<std::int64_t>(ready_.size()) - gauge.read());
}

}  // namespace nestgate::conversation
