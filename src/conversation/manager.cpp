#include "nestgate/conversation/manager.hpp"

#include <algorithm>

#include "gateway_name.hpp"
#include "lifecycle.hpp"
#include "static_runtimes.hpp"
#include "sweeps.hpp"

namespace nestgate::conversation {

struct Manager::Parts {
  Parts(Executor control, std::unique_ptr<runtime::RuntimeProvider> p, DirectoryPublisher& publisher,
        std::shared_ptr<identity::KeyRing const> keys, store::Store& store, Credentials& credentials, ManagerSettings s)
      : settings(std::move(s)),
        provider(std::move(p)),
        registry(control, publisher, store, std::move(keys), make_gateway_name(), settings.nested_tls),
        warm(control, registry, *provider, settings),
        lifecycle(control, registry, *provider, credentials, warm, settings),
        statics(control, registry, settings),
        sweeps(control, registry, lifecycle, statics, *provider, warm, settings) {}

  Task<> lose_patience();

  ManagerSettings settings;
  std::unique_ptr<runtime::RuntimeProvider> provider;
  Registry registry;
  WarmPool warm;
  Lifecycle lifecycle;
  StaticRuntimes statics;
  Sweeps sweeps;
};

Manager::Manager(Executor control, std::unique_ptr<runtime::RuntimeProvider> provider, DirectoryPublisher& publisher,
                 std::shared_ptr<identity::KeyRing const> keys, store::Store& store, Credentials& credentials,
                 ManagerSettings settings)
    : parts_(std::make_unique<Parts>(control, std::move(provider), publisher, std::move(keys), store, credentials,
                                     std::move(settings))) {
  auto& p = *parts_;
  p.provider->on_end([&p](ConversationId const& id, Epoch epoch, std::string reason) {
    if (p.warm.ended(id)) return;
    auto const c = p.registry.find(id);
    if (c && c->epoch == epoch && !c->is_elsewhere) p.lifecycle.runtime_ended(c, std::move(reason));
  });
  p.provider->on_progress([&p](ConversationId const& id, std::string_view progress) {
    if (auto const c = p.registry.find(id); c && c->state == RuntimeState::starting) p.registry.note_progress(*c, progress);
  });
}

Manager::~Manager() = default;

void Manager::on_change(OnChange listener) { parts_->registry.on_change = std::move(listener); }

Task<Outcome<>> Manager::recover() {
  auto& p = *parts_;
  NESTGATE_CO_TRY_VOID(co_await p.statics.follow());
  NESTGATE_CO_TRY_VOID(co_await p.sweeps.recover());
  p.sweeps.begin();
  co_return Outcome<>{};
}

Task<Outcome<Started>> Manager::start(StartRequest request) { return parts_->lifecycle.start(std::move(request)); }
Task<Outcome<Started>> Manager::begin_start(StartRequest request) {
  return parts_->lifecycle.begin_start(std::move(request));
}
Task<Outcome<View>> Manager::pause(ConversationId id) { return parts_->lifecycle.pause(std::move(id)); }
Task<Outcome<View>> Manager::begin_resume(ConversationId id) { return parts_->lifecycle.begin_resume(std::move(id)); }
Task<Outcome<View>> Manager::resume(ConversationId id) { return parts_->lifecycle.resume(std::move(id)); }
Task<Outcome<View>> Manager::reconfigure(ConversationId id, nested::Configuration change) {
  return parts_->lifecycle.reconfigure(std::move(id), std::move(change));
}
Task<Outcome<View>> Manager::withdraw_key(ConversationId id) { return parts_->lifecycle.withdraw_key(std::move(id)); }

Task<Outcome<std::string>> Manager::log(ConversationId id, std::size_t bytes_max) {
  NESTGATE_CO_TRY_VOID(parts_->registry.find_managed(id));
  co_return co_await parts_->provider->log(std::move(id), bytes_max);
}

Task<Outcome<runtime::Usage>> Manager::usage(ConversationId id, Deadline by) {
  NESTGATE_CO_TRY_VOID(parts_->registry.find_managed(id));
  co_return co_await parts_->provider->usage(std::move(id), by);
}

Task<Outcome<std::optional<bool>>> Manager::has_image(std::string image) {
  constexpr std::chrono::seconds time_max{20};  // a registry may be asked
  co_return co_await parts_->provider->has_image(std::move(image), Deadline::in(time_max));
}

Task<Outcome<View>> Manager::wait_change(ConversationId id, std::uint64_t seen, Deadline by) {
  auto const c = parts_->registry.find(id);
  if (!c) co_return unknown_conversation();
  auto changed = co_await parts_->registry.until_changed(c, seen, by);
  if (c->is_forgotten) co_return unknown_conversation();
  bool const is_time_up = !changed && changed.error().fault.kind == FaultKind::timed_out;
  if (!changed && !is_time_up) co_return changed.error();
  co_return parts_->registry.view_of(*c);
}

void Manager::note_pushed_status(ConversationId const& id, nested::Status status) {
  auto const c = parts_->registry.find(id);
  if (!c || c->state != RuntimeState::running) return;
  auto const acted_before = status.conversation == "running" ? std::chrono::seconds(0) : status.idle_for;
  if (acted_before) c->last_act_at = std::max(c->last_act_at, std::chrono::system_clock::now() - *acted_before);
  if (!status.conversation.empty()) c->nested_status.conversation = std::move(status.conversation);
  if (!status.runtime.empty()) c->nested_status.runtime = std::move(status.runtime);
  c->status_at = Clock::now();
}

void Manager::note_pushed_title(ConversationId const& id, std::string title) {
  auto const c = parts_->registry.find(id);
  if (c && c->origin == Origin::managed && !c->is_elsewhere) parts_->lifecycle.take_title(c, std::move(title));
}

Task<bool> Manager::wake(ConversationId id, Deadline by) {
  auto const c = parts_->registry.find(id);
  if (!c) co_return false;
  c->last_act_at = std::chrono::system_clock::now();
  while (c->is_busy && !c->starts() && !by.passed()) {  // an act that comes while it is put to sleep
    auto changed = co_await parts_->registry.until_next(c, by);
    if (!changed) co_return false;
  }
  if (c->wakes() && !c->is_busy && !c->is_forgotten) {
    parts_->registry.stats.wakes.add();
    if (c->is_elsewhere) {
      auto roused = co_await parts_->lifecycle.until_roused_elsewhere(c, by);
      if (!roused) co_return false;
    } else {
      parts_->lifecycle.begin_restart(c);
    }
  }
  auto const is_coming = [&c] { return c->is_busy || (c->is_elsewhere && c->state == RuntimeState::starting); };
  while (is_coming() && !by.passed()) {
    auto changed = co_await parts_->registry.until_next(c, by);
    if (!changed) break;
  }
  co_return !c->is_busy && c->state == RuntimeState::running;
}

Failure Manager::why_asleep(ConversationId const& id) const {
  auto const c = parts_->registry.find(id);
  if (!c) return unknown_conversation();
  if (c->refusal && c->wakes()) return *c->refusal;
  std::string why = "the conversation is " + std::string(to_string(c->state));
  if (!c->progress.empty()) why += ": " + c->progress;
  return upstream::fail(FaultKind::unavailable, "conversation.wake", std::move(why));
}

Task<Outcome<>> Manager::put_static(StaticRuntime fixed) { return parts_->statics.put(std::move(fixed)); }
Task<Outcome<StaticsChanged>> Manager::change_statics(std::vector<StaticRuntime> put, std::vector<ConversationId> removed) {
  return parts_->statics.change(std::move(put), std::move(removed));
}
Task<> Manager::remove_static(ConversationId id) { return parts_->statics.remove(std::move(id)); }
Task<Outcome<View>> Manager::stop(ConversationId id) { return parts_->lifecycle.stop(std::move(id)); }
Task<Outcome<>> Manager::remove(ConversationId id) { return parts_->lifecycle.remove(std::move(id)); }

Task<> Manager::replace_keys(std::shared_ptr<identity::KeyRing const> keys) {
  parts_->registry.use_keys(std::move(keys));
  for (auto const& c : parts_->registry.all()) {
    bool const is_derived = !c->has_own_key || c->key_generation != 0;
    if (is_derived && c->epoch.get() != 0 && !c->is_forgotten) co_await parts_->registry.publish(c);
  }
}

void Manager::begin_closing() {
  parts_->statics.stop_looking();
  parts_->registry.close();
}

// Starts and stops wait for a provider's server that is away far longer than a gateway may take to end.
Task<> Manager::Parts::lose_patience() {
  auto waited = co_await pause_for(settings.close_time_max);
  if (!waited) co_return;
  provider->cut_short();
  lifecycle.tasks().stop();
}

// Runtimes that outlive the gateway go on, for the next one to adopt.
Task<> Manager::stop_all() {
  auto& p = *parts_;
  begin_closing();
  bool const all_end = !p.provider->traits().outlives_gateway;
  TaskGroup patience(p.lifecycle.tasks().executor());
  if (!all_end) patience.spawn("manager.patience", p.lose_patience());
  co_await p.sweeps.end();
  if (all_end) {
    for (auto const& c : p.registry.all()) {
      bool const is_up = c->is_idle_in(RuntimeState::running) || c->is_idle_in(RuntimeState::paused);
      if (c->origin == Origin::managed && !c->is_elsewhere && is_up) p.lifecycle.begin_end(c, Closed::no);
    }
  }
  co_await p.statics.join();
  auto joined = co_await p.lifecycle.tasks().join();
  if (!joined) {
    p.lifecycle.tasks().stop();
    joined = co_await p.lifecycle.tasks().join();
  }
  co_await p.warm.close();
  co_await p.provider->close();
  joined = co_await p.lifecycle.tasks().join();
  patience.stop();
  joined = co_await patience.join();
  [[maybe_unused]] auto left = co_await p.registry.store().leave(p.registry.gateway());
}

Manager::Left Manager::left() const {
  Left out;
  bool const outlive = parts_->provider->traits().outlives_gateway;
  parts_->registry.for_each([&](ConversationPtr const& c) {
    if (c->origin != Origin::managed || c->is_elsewhere) return;
    bool const is_there = c->state == RuntimeState::running || c->state == RuntimeState::paused;
    out.going_on += outlive && is_there ? 1 : 0;
    out.unreleased += c->left_behind ? 1 : 0;
  });
  return out;
}

std::optional<View> Manager::find(ConversationId const& id) const {
  auto const c = parts_->registry.find(id);
  if (!c) return std::nullopt;
  return parts_->registry.view_of(*c);
}

std::optional<RuntimeState> Manager::state_of(ConversationId const& id, Epoch epoch) const {
  auto const c = parts_->registry.find(id);
  if (!c || c->epoch != epoch) return std::nullopt;
  return c->state;
}

bool Manager::knows(ConversationId const& id, identity::Principal const& by) const {
  auto const c = parts_->registry.find(id);
  return c && by.may_use(c->owner);
}

Page Manager::list(identity::Principal const& by, std::size_t limit, std::optional<Position> const& after,
                   Filter const& filter) const {
  return parts_->registry.list(by, limit, after, filter);
}

std::optional<View> Manager::find_by_key(std::string_view session_key) const {
  auto const c = parts_->registry.find_by_key(session_key);
  if (!c) return std::nullopt;
  return parts_->registry.view_of(*c);
}

std::string const& Manager::gateway() const noexcept { return parts_->registry.gateway(); }

std::optional<ConversationId> Manager::find_labelled(identity::Principal const& by, std::string_view label) const {
  ConversationPtr newest;
  parts_->registry.for_each([&](ConversationPtr const& c) {
    if (c->state != RuntimeState::running || c->about.label != label || !by.may_use(c->owner)) return;
    if (!newest || c->created_at > newest->created_at) newest = c;
  });
  if (!newest) return std::nullopt;
  return newest->id;
}

Secret Manager::client_key(ConversationId const& id) const {
  auto const c = parts_->registry.find(id);
  return c ? parts_->registry.client_key_of(*c) : Secret();
}

std::optional<QuotaStanding> Manager::full_quota(identity::Principal const& by) const {
  auto const& quota = parts_->settings.quota;
  std::uint32_t of_owner = 0, of_organisation = 0, in_all = 0;
  parts_->registry.for_each([&](ConversationPtr const& c) {
    bool const counts = c->state == RuntimeState::starting || c->state == RuntimeState::running ||
                        c->state == RuntimeState::stopping || (quota.paused_counts && c->state == RuntimeState::paused);
    if (c->origin != Origin::managed || !counts) return;
    ++in_all;
    of_owner += !by.owner.empty() && c->owner == by.owner ? 1 : 0;
    of_organisation += !by.organisation.empty() && c->organisation == by.organisation ? 1 : 0;
  });
  if (quota.of_owner != 0 && of_owner >= quota.of_owner)
    return QuotaStanding{store::QuotaKind::owner, quota.of_owner, of_owner};
  if (quota.of_organisation != 0 && of_organisation >= quota.of_organisation)
    return QuotaStanding{store::QuotaKind::organisation, quota.of_organisation, of_organisation};
  if (quota.in_all != 0 && in_all >= quota.in_all) return QuotaStanding{store::QuotaKind::all, quota.in_all, in_all};
  return std::nullopt;
}

std::string const& Manager::store_problem() const noexcept { return parts_->sweeps.store_problem(); }

ManagerStats const& Manager::stats() const noexcept { return parts_->registry.stats; }

}  // namespace nestgate::conversation
