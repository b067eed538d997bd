#pragma once

// What runtimes run in, for tests: it outlives the gateways, may serve several, and fails as it is told.

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nestgate/runtime/provider.hpp"
#include "runtime/to_the_end.hpp"
#include "support/control.hpp"

namespace nestgate::test {

class EngineProvider;

// Every runtime in it is served by one scripted server.
struct Engine {
  Engine(Executor executor, asio::ip::tcp::endpoint at) : server(at), door(executor, Clock::time_point::max()) {}

  // As if it was there already.
  void put(ConversationId const& id, runtime::Presence presence) {
    runtime::Found found{id, presence, {}, {}, {}};
    found.instance.endpoint = server;
    found.instance.handle = "handle-" + id.text();
    there.insert_or_assign(id.canonical(), std::move(found));
  }
  bool has(ConversationId const& id) const { return there.contains(id.canonical()); }
  std::size_t count(std::string_view call) const {
    return static_cast<std::size_t>(std::count(calls.begin(), calls.end(), call));
  }
  // Calls wait for it, whoever cancels them, until it is back or they are cut short.
  void go_away() { is_away = true; }
  void come_back() {
    is_away = false;
    door.cancel();
  }
  void let_creates_go() {
    holds_creates = false;
    door.cancel();
  }
  // The runtime ends by itself; whoever made it hears of it.
  inline void die(ConversationId const& id, std::string const& reason);

  asio::ip::tcp::endpoint server;
  runtime::Traits traits{.outlives_gateway = true, .pauses = true, .assigns = false, .needs_server_start = false};
  std::map<std::string, runtime::Found> there;  // by canonical id
  std::map<std::string, Epoch> epochs;
  std::map<std::string, std::string> keys;       // what each was told to demand at its create or resume
  std::map<std::string, std::string> boot_keys;  // of what was given away, by its id now: made again it is dormant again
  std::vector<std::string> calls;
  std::vector<runtime::Spec::Wakefulness> made_as;
  std::optional<upstream::Failure> list_failure, inspect_failure, create_failure, resume_failure, pause_failure,
      assign_failure, removal_failure;
  std::set<std::string> unlisted;  // canonical ids: there, but in no list
  std::size_t lists = 0;
  bool ends_after_list = false;       // everything, before anybody can do anything about what was listed
  std::vector<std::string> executed;  // the newest command that was run in a runtime
  int exit_code = 0;                  // of every command
  unsigned failing_destroys = 0;      // so many fail, then they work again
  std::string own_key;                // what it gives its servers; "": the key that it is told
  bool holds_creates = false;
  bool is_away = false;
  std::size_t most_at_once = 0;
  Timer door;
  std::vector<EngineProvider*> providers;
};

class EngineProvider final : public runtime::RuntimeProvider {
 public:
  explicit EngineProvider(Engine& engine) : engine_(engine) { engine_.providers.push_back(this); }
  ~EngineProvider() override { std::erase(engine_.providers, this); }

  std::string_view name() const noexcept override { return "engine"; }
  runtime::Traits traits() const noexcept override { return engine_.traits; }
  Task<upstream::Outcome<runtime::Instance>> create(runtime::Spec spec, Deadline) override {
    engine_.calls.push_back("create " + spec.id.text());
    while (engine_.holds_creates) {
      [[maybe_unused]] auto waited = co_await engine_.door.async_wait(no_throw);
      auto const state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none)
        co_return upstream::fail(FaultKind::cancelled, "engine", "create: cancelled");
    }
    if (!co_await is_reached()) co_return upstream::fail(FaultKind::unavailable, "engine", "create: the engine is away");
    if (engine_.create_failure) co_return *engine_.create_failure;
    engine_.made_as.push_back(spec.wakefulness);
    co_return take_in(spec);
  }
  Task<upstream::Outcome<>> destroy(ConversationId id, runtime::Leftovers leftovers) override {
    bool const removes = leftovers == runtime::Leftovers::remove;
    engine_.calls.push_back((removes ? "remove " : "destroy ") + id.text());
    if (!co_await is_reached()) co_return upstream::fail(FaultKind::unavailable, "engine", "destroy: the engine is away");
    if (engine_.failing_destroys > 0) {
      --engine_.failing_destroys;
      co_return upstream::fail(FaultKind::upstream, "engine", "destroy: the engine does not answer");
    }
    engine_.there.erase(id.canonical());
    if (removes && engine_.removal_failure) co_return *engine_.removal_failure;
    co_return upstream::Outcome<>{};
  }
  Task<upstream::Outcome<std::optional<runtime::Found>>> inspect(ConversationId id) override {
    if (engine_.inspect_failure) co_return *engine_.inspect_failure;
    auto const found = engine_.there.find(id.canonical());
    if (found == engine_.there.end()) co_return std::optional<runtime::Found>();
    co_return std::optional(copy(found->second));
  }
  Task<upstream::Outcome<std::vector<runtime::Found>>> list() override {
    if (!co_await is_reached()) co_return upstream::fail(FaultKind::unavailable, "engine", "list: the engine is away");
    if (engine_.list_failure) co_return *engine_.list_failure;
    ++engine_.lists;
    std::vector<runtime::Found> out;
    for (auto const& [id, found] : engine_.there)
      if (!engine_.unlisted.contains(id)) out.push_back(copy(found));
    if (engine_.ends_after_list) engine_.there.clear();
    co_return out;
  }
  Task<upstream::Outcome<>> pause(ConversationId id) override {
    engine_.calls.push_back("pause " + id.text());
    if (engine_.pause_failure) co_return *engine_.pause_failure;
    auto const found = engine_.there.find(id.canonical());
    if (found == engine_.there.end()) co_return gone();
    found->second.presence = runtime::Presence::paused;
    co_return upstream::Outcome<>{};
  }
  Task<upstream::Outcome<runtime::Instance>> resume(runtime::Spec spec, Deadline) override {
    engine_.calls.push_back("resume " + spec.id.text());
    if (engine_.resume_failure) co_return *engine_.resume_failure;
    if (!engine_.has(spec.id)) co_return gone();
    co_return take_in(spec);
  }
  Task<upstream::Outcome<runtime::Instance>> assign(ConversationId dormant, runtime::Spec spec) override {
    engine_.calls.push_back("assign " + spec.id.text());
    if (engine_.assign_failure) co_return *engine_.assign_failure;
    if (engine_.there.erase(dormant.canonical()) == 0) co_return gone();
    auto instance = take_in(spec);
    engine_.boot_keys.insert_or_assign(spec.id.canonical(), engine_.keys.at(dormant.canonical()));
    co_return instance;
  }
  Task<upstream::Outcome<runtime::CommandResult>> execute(ConversationId id, std::vector<std::string> command,
                                                          Deadline) override {
    engine_.calls.push_back("execute " + id.text());
    engine_.executed = std::move(command);
    runtime::CommandResult result;
    result.exit_code = engine_.exit_code;
    co_return result;
  }
  void cut_short() override {
    is_cut_ = true;
    engine_.door.cancel();
  }
  Task<> close() override {
    engine_.calls.push_back("close");
    if (!engine_.traits.outlives_gateway) engine_.there.clear();
    co_return;
  }
  void say_ended(ConversationId const& id, Epoch epoch, std::string reason) { tell_end(id, epoch, std::move(reason)); }

 private:
  Task<bool> is_reached() {
    while (engine_.is_away && !is_cut_) co_await runtime::to_the_end(next_news(engine_.door));
    co_return !engine_.is_away;
  }
  static Task<bool> next_news(Timer& door) {
    [[maybe_unused]] auto waited = co_await door.async_wait(no_throw);
    co_return true;
  }
  static upstream::Failure gone() { return upstream::fail(FaultKind::not_found, "engine", "there is no such runtime"); }
  static runtime::Found copy(runtime::Found const& from) {
    runtime::Found out{from.id, from.presence, {}, from.owner, from.reason};
    out.instance.endpoint = from.instance.endpoint;
    out.instance.handle = from.instance.handle;
    return out;
  }
  runtime::Instance take_in(runtime::Spec const& spec) {
    bool const existed = engine_.has(spec.id);
    engine_.put(spec.id, runtime::Presence::running);
    engine_.most_at_once = std::max(engine_.most_at_once, engine_.there.size());
    engine_.epochs.insert_or_assign(spec.id.canonical(), spec.epoch);
    engine_.keys.insert_or_assign(spec.id.canonical(), std::string(spec.session_key.reveal()));
    runtime::Instance instance;
    instance.endpoint = engine_.server;
    instance.handle = "handle-" + spec.id.text();
    instance.existed = existed;
    if (!engine_.own_key.empty()) instance.session_key = Secret(engine_.own_key);
    if (auto const boot = engine_.boot_keys.find(spec.id.canonical()); boot != engine_.boot_keys.end())
      instance.boot_key = Secret(boot->second);
    return instance;
  }

  Engine& engine_;
  bool is_cut_ = false;
};

inline void Engine::die(ConversationId const& id, std::string const& reason) {
  auto const epoch = epochs.at(id.canonical());
  there.erase(id.canonical());
  for (auto* provider : providers) provider->say_ended(id, epoch, reason);
}

}  // namespace nestgate::test
