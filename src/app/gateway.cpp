#include "nestgate/app/gateway.hpp"

#include <unistd.h>
#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <thread>

#include "app/operator_api.hpp"
#include "app/static_changes.hpp"
#include "nestgate/api/control_api.hpp"
#include "nestgate/app/log.hpp"
#include "nestgate/app/metrics.hpp"
#include "nestgate/automation/service.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/proxy/core_set.hpp"
#include "nestgate/runtime/factory.hpp"

namespace nestgate::app {
namespace {

using asio::ip::tcp;

// The cores need the own routes before those can exist: they need the manager, which publishes to the cores.
class LateRoutes final : public proxy::OwnRoutes {
 public:
  void set(proxy::OwnRoutes& routes) { routes_ = &routes; }
  bool admits_without_api_key(http::Method method, std::string_view path) const noexcept override {
    return routes_->admits_without_api_key(method, path);
  }
  proxy::BodyLimit body_limit(proxy::ApiRequest const& request) const noexcept override {
    return routes_->body_limit(request);
  }
  Task<proxy::ApiResponse> handle(proxy::ApiRequest request) override { return routes_->handle(std::move(request)); }

 private:
  proxy::OwnRoutes* routes_ = nullptr;
};

// The same of who wakes conversations; until it is set, none wakes.
class LateWaker final : public conversation::Waker {
 public:
  void set(conversation::Waker& waker) { waker_ = &waker; }
  Task<bool> wake(ConversationId id, Deadline by) override {
    if (!waker_) co_return false;
    co_return co_await waker_->wake(std::move(id), by);
  }

 private:
  conversation::Waker* waker_ = nullptr;
};

std::unique_ptr<LineSink> open_access_log(Settings const& settings, std::string& problem) {
  LineSink::Options options;
  options.backlog_bytes_max = settings.limits.access_log_backlog_bytes_max;
  if (std::holds_alternative<AccessLogOff>(settings.log.access)) return LineSink::nowhere();
  if (std::holds_alternative<AccessLogStderr>(settings.log.access)) return LineSink::to_descriptor(STDERR_FILENO, options);
  auto const& path = std::get<std::filesystem::path>(settings.log.access);
  auto opened = LineSink::to_file(path, options);
  if (opened) return std::move(*opened);
  problem = "log.access: " + path.string() + ": " + opened.error().cause.message();
  return LineSink::nowhere();
}

std::shared_ptr<identity::KeyRing const> make_key_ring(IdentitySettings const& identity) {
  std::vector<Secret> secrets;
  secrets.reserve(identity.secrets.size());
  for (auto const& secret : identity.secrets) secrets.push_back(secret.clone());
  return std::make_shared<identity::KeyRing const>(identity.derivation, std::move(secrets));
}

// Those of the settings and of the store.
// What stands before "/api/automation" in its public URL's path.
std::string automation_mount(std::string const& base_url) {
  constexpr std::string_view api = "/api/automation";
  auto const url = upstream::parse_url(base_url);
  if (!url || !url->path.ends_with(api)) return {};
  return url->path.substr(0, url->path.size() - api.size());
}

proxy::Config make_proxy_config(Settings const& settings, std::vector<identity::ApiKeyEntry> stored_api_keys = {}) {
  proxy::Config config;
  config.limits = settings.limits;
  config.timeouts = settings.timeouts;
  config.rules = settings.routing.rules;
  config.wake = settings.wake;
  config.fallback = settings.routing.fallback;
  config.automation_mount = automation_mount(settings.automation.base_url);
  config.trusted_proxies_v4 = settings.routing.trusted_proxies.v4;
  config.trusted_proxies_v6 = settings.routing.trusted_proxies.v6;
  config.public_url = settings.routing.public_url;
  auto api_keys = settings.identity.api_keys;
  std::move(stored_api_keys.begin(), stored_api_keys.end(), std::back_inserter(api_keys));
  config.api_keys = std::make_shared<identity::ApiKeys const>(std::move(api_keys));
  auto const off = std::holds_alternative<AccessLogOff>(settings.log.access);
  config.access_log = off ? proxy::AccessLog::off : proxy::AccessLog::on;
  return config;
}

unsigned thread_count(ListenSettings const& listen) {
  return listen.threads != 0 ? listen.threads : std::max(1u, std::thread::hardware_concurrency());
}

std::string text_of(tcp::endpoint const& at) { return to_string(ListenAddress(at)); }

conversation::StaticRuntime static_runtime(StaticRuntimeSettings const& fixed) {
  std::optional<Secret> key;
  if (fixed.session_api_key) key = fixed.session_api_key->clone();
  return {ConversationId::parse(fixed.id).value(), fixed.url, std::move(key), fixed.ports};
}

}  // namespace

struct Gateway::Parts {
  Parts(Core& c, Settings s)
      : control(c),
        settings(std::move(s)),
        access_log(open_access_log(settings, log_problem)),
        cores(thread_count(settings.listen), make_proxy_config(settings), control, late_routes, late_waker, *access_log) {}

  bool listen(std::string& problem);
  // For scripts where no setting says it; "" where no client is let in without TLS and no name is known.
  std::string automation_base_url() const;
  bool load_certificates(Settings const& from, std::string& problem);
  Task<bool> make_features(std::string& problem);
  AdminSources admin_sources();
  Task<> replace_static_runtimes(std::vector<StaticRuntimeSettings> next);
  Task<> put_static(StaticRuntimeSettings const& fixed, std::set<std::string>& refused);
  Task<bool> begin_serving(std::string& problem);
  Task<> end_waiting(Deadline by);
  Task<> end(std::chrono::milliseconds grace);
  Task<> end_features(Deadline by);
  bool listen_admin(std::string& problem);
  Task<bool> read_api_keys(std::string& problem);
  Task<> follow_api_keys();
  void note_store_problem(std::string problem);

  Core& control;
  Settings settings;
  std::string log_problem;
  std::unique_ptr<LineSink> access_log;
  LateRoutes late_routes;
  LateWaker late_waker;
  proxy::CoreSet cores;
  std::unique_ptr<store::Store> store;
  std::vector<identity::ApiKeyEntry> stored_api_keys;
  std::string store_problem;           // why it could not be read or written; "": it could
  std::uint64_t identity_version = 0;  // of the store, as of `stored_api_keys`
  std::unique_ptr<conversation::Credentials> credentials;
  std::unique_ptr<conversation::Manager> manager;
  std::unique_ptr<automation::Service> automation;
  std::shared_ptr<api::EventStats> event_stats = std::make_shared<api::EventStats>();
  std::unique_ptr<proxy::OwnRoutes> control_api;
  std::unique_ptr<OperatorApi> operators;
  std::unique_ptr<AdminServer> admin;
  Addresses addresses;
  std::optional<tcp::endpoint> plain_address;  // the first
  Readiness readiness = Readiness::starting;
  TaskGroup followers{control.loop.get_executor()};
};

Gateway::Gateway(Core& control, Settings settings) : parts_(std::make_unique<Parts>(control, std::move(settings))) {}
Gateway::~Gateway() = default;

Addresses const& Gateway::addresses() const noexcept { return parts_->addresses; }

bool Gateway::Parts::listen(std::string& problem) {
  auto const bind_all = [&](std::vector<ListenAddress> const& wanted, auto bind_tcp, std::vector<std::string>& out) {
    for (auto const& address : wanted) {
      error_code cause;
      if (auto const* path = std::get_if<std::filesystem::path>(&address)) {
        auto const bound = cores.listen_unix(*path);
        if (bound) out.push_back(to_string(address));
        if (!bound) cause = bound.error().cause;
      } else {
        auto const bound = bind_tcp(std::get<tcp::endpoint>(address));
        if (bound) out.push_back(text_of(*bound));
        if (!bound) cause = bound.error().cause;
      }
      if (!cause) continue;
      problem = "listen on " + to_string(address) + ": " + cause.message();
      return false;
    }
    return true;
  };
  auto const plain = [this](tcp::endpoint at) {
    auto const bound = cores.listen(at);
    if (bound && !plain_address) plain_address = *bound;
    return bound;
  };
  auto const tls = [this](tcp::endpoint at) { return cores.listen_tls(at); };
  return bind_all(settings.listen.client, plain, addresses.client) &&
         bind_all(settings.listen.client_tls, tls, addresses.client_tls);
}

std::string Gateway::Parts::automation_base_url() const {
  auto origin = settings.routing.public_url;
  if (origin.empty() && plain_address) {
    auto at = *plain_address;
    if (at.address().is_unspecified()) {
      at.address(at.address().is_v4() ? asio::ip::address(asio::ip::address_v4::loopback())
                                      : asio::ip::address_v6::loopback());
    }
    origin = "http://" + text_of(at);
  }
  return origin.empty() ? origin : origin + "/api/automation";
}

bool Gateway::Parts::listen_admin(std::string& problem) {
  admin = std::make_unique<AdminServer>(control, admin_sources());
  auto const at = admin->listen(settings.listen.admin);
  if (at) {
    addresses.admin = text_of(*at);
  } else {
    problem = "listen.admin: " + text_of(settings.listen.admin) + ": " + at.error().cause.message();
  }
  return at.has_value();
}

bool Gateway::Parts::load_certificates(Settings const& from, std::string& problem) {
  if (from.listen.client_tls.empty()) return true;
  auto server = TlsServer::load(from.tls.certificates, from.tls.min_version, problem);
  if (!server) return false;
  cores.use_tls(std::move(server));
  return true;
}

Task<bool> Gateway::Parts::make_features(std::string& problem) {
  std::vector<Secret> sealing_keys;
  sealing_keys.reserve(settings.identity.secrets.size());
  for (auto const& secret : settings.identity.secrets) sealing_keys.push_back(secret.clone());
  auto opened =
      store::open_store(settings.store_url, std::move(sealing_keys), control.loop.get_executor(), settings.store_options);
  if (!opened) {
    problem = opened.error().reason;
    co_return false;
  }
  store = std::move(*opened);
  // After it nothing fails: who owns its tasks joins them.
  runtime::ProviderSettings provider_settings{settings.process, settings.docker, settings.remote.clone()};
  auto provider = runtime::make_provider(settings.provider, std::move(provider_settings), control.loop.get_executor());
  if (!provider) {
    problem = provider.error().reason;
    co_return false;
  }
  credentials = conversation::make_credentials(settings.credentials);
  manager = std::make_unique<conversation::Manager>(control.loop.get_executor(), std::move(*provider), cores,
                                                    make_key_ring(settings.identity), *store, *credentials,
                                                    settings.conversations);
  manager->on_change([](ConversationId const& id, conversation::RuntimeState state, std::string_view reason) {
    auto const level = state == conversation::RuntimeState::error ? LogLevel::warn : LogLevel::info;
    log(level, "conversation", {{"id", id.text()}, {"state", conversation::to_string(state)}, {"reason", reason}});
  });
  cores.on_untrusted([](ConversationId const& id, std::string_view authority, std::string_view why) {
    log(LogLevel::warn, "nested server refused", {{"id", id.text()}, {"host", authority}, {"reason", why}});
  });
  automation = std::make_unique<automation::Service>(control.loop.get_executor(), *manager, *store, manager->gateway(),
                                                     make_key_ring(settings.identity), settings.automation);
  late_waker.set(*manager);
  api::Surroundings around{*manager, cores, *automation, *store};
  around.settings = settings.api;
  around.event_stats = event_stats;
  if (!settings.sandbox_specs.empty()) around.settings.cloud.specs = settings.sandbox_specs;
  around.audit = [](api::SecretAccess const& access) {
    log(LogLevel::info, "secrets access",
        {{"route", access.route},
         {"sandbox", access.sandbox},
         {"owner", access.owner},
         {"name", access.name},
         {"status", access.status},
         {"request_id", access.request_id}});
  };
  control_api = api::make_control_api(around);
  late_routes.set(*control_api);
  operators = std::make_unique<OperatorApi>(*manager, cores, *automation);
  co_return true;
}

AdminSources Gateway::Parts::admin_sources() {
  AdminSources sources;
  sources.readiness = [this] {
    return readiness == Readiness::ready && !store_problem.empty() ? Readiness::store_unusable : readiness;
  };
  sources.metrics.push_back(std::make_shared<ProxyCollector>(cores.stats()));
  sources.metrics.push_back(std::make_shared<ConversationCollector>(manager->stats()));
  sources.metrics.push_back(std::make_shared<AutomationCollector>(automation->stats()));
  sources.metrics.push_back(std::make_shared<EventCollector>(*event_stats));
  sources.metrics.push_back(std::make_shared<ProcessCollector>());
  sources.metrics.push_back(
      std::make_shared<CounterCollector>("access_log_lines_dropped_total", "Access log lines that a slow reader cost.",
                                         [this] { return static_cast<double>(access_log->lines_dropped()); }));
  sources.routes = [this] { return cores.describe_routes(); };
  sources.operators = [this](AdminRequest request) { return operators->handle(std::move(request)); };
  return sources;
}

// Only what changed is touched: the others' connections stay. A name that is not found yet is the manager's to try again;
// what failed otherwise is not remembered, so that the next reload tries it.
Task<> Gateway::Parts::replace_static_runtimes(std::vector<StaticRuntimeSettings> next) {
  auto const changes = static_changes(settings.static_runtimes, next);
  for (auto const* const old : changes.removed) co_await manager->remove_static(ConversationId::parse(old->id).value());
  std::set<std::string> refused;
  TaskGroup puts(control.loop.get_executor());
  for (auto const* const fixed : changes.put) puts.spawn("static", put_static(*fixed, refused));
  auto all = co_await puts.join();
  NESTGATE_INVARIANT(all, "nobody cancels a start or a reload");
  std::erase_if(next, [&](auto const& fixed) { return refused.contains(fixed.id); });
  settings.static_runtimes = std::move(next);
}

Task<> Gateway::Parts::put_static(StaticRuntimeSettings const& fixed, std::set<std::string>& refused) {
  auto const put = co_await manager->put_static(static_runtime(fixed));
  if (put) co_return;
  log(LogLevel::error, "static runtime", {{"id", fixed.id}, {"problem", put.error().reason}});
  if (put.error().fault.kind == FaultKind::conflict) refused.insert(fixed.id);
}

// A key of a user who was disabled is revoked by the store itself.
Task<bool> Gateway::Parts::read_api_keys(std::string& problem) {
  auto version = co_await store->identity_version();
  auto keys = co_await store->api_keys();
  auto users = co_await store->users();
  if (!version || !keys || !users) {
    problem = (!version ? version.error() : !keys ? keys.error() : users.error()).reason;
    co_return false;
  }
  std::map<std::string, std::string> organisations;
  for (auto& user : *users) organisations.emplace(std::move(user.name), std::move(user.organisation));
  stored_api_keys.clear();
  for (auto& key : *keys) {
    if (key.revoked_at) continue;
    identity::Principal principal{std::move(key.name), key.role, std::move(key.owner)};
    if (auto const found = organisations.find(principal.owner); found != organisations.end())
      principal.organisation = found->second;
    stored_api_keys.push_back({std::move(principal), std::move(key.hash)});
  }
  identity_version = *version;
  cores.replace_config(make_proxy_config(settings, stored_api_keys));
  co_return true;
}

// What `nestgate user` and `nestgate apikey` changed holds within a second.
Task<> Gateway::Parts::follow_api_keys() {
  constexpr std::chrono::milliseconds pause{500};
  for (;;) {
    auto waited = co_await pause_for(pause);
    if (!waited) co_return;
    auto const version = co_await store->identity_version();
    note_store_problem(version ? manager->store_problem() : version.error().reason);
    if (!version || *version == identity_version) continue;
    std::string problem;
    bool const is_read = co_await read_api_keys(problem);
    if (!is_read) log(LogLevel::error, "API keys", {{"problem", problem}});
  }
}

// Told once.
void Gateway::Parts::note_store_problem(std::string problem) {
  if (problem == store_problem) return;
  if (problem.empty()) {
    log(LogLevel::info, "store", {{"state", "usable again"}});
  } else {
    log(LogLevel::error, "store", {{"problem", problem}});
  }
  store_problem = std::move(problem);
}

// What a client still waits for once the grace is over is ended at its source.
Task<> Gateway::Parts::end_waiting(Deadline by) {
  Timer grace(control.loop.get_executor(), by.at());
  auto [ec] = co_await grace.async_wait(no_throw);
  if (ec) co_return;
  automation->begin_closing();
  manager->begin_closing();
}

Task<bool> Gateway::start(std::string& problem) {
  auto& p = *parts_;
  problem = p.log_problem;
  if (!problem.empty()) co_return false;
  bool const is_made = co_await p.make_features(problem);
  bool const listens = is_made && p.listen(problem) && p.load_certificates(p.settings, problem) && p.listen_admin(problem);
  if (!listens) {
    co_await p.end_features(Deadline::in({}));
    co_return false;
  }
  p.cores.start();
  p.admin->start();
  bool const serves = co_await p.begin_serving(problem);
  if (!serves) co_await p.end(std::chrono::milliseconds(0));  // nobody was let in
  co_return serves;
}

Task<bool> Gateway::Parts::begin_serving(std::string& problem) {
  auto static_runtimes = std::exchange(settings.static_runtimes, {});
  co_await replace_static_runtimes(std::move(static_runtimes));
  if (!co_await read_api_keys(problem)) co_return false;
  followers.spawn("api_keys", follow_api_keys());
  auto recovered = co_await manager->recover();
  if (!recovered) {
    problem = recovered.error().reason;
    co_return false;
  }
  automation->use_own_address(automation_base_url());
  automation->start();
  store->on_notify([this] { automation->wake(); });
  cores.open_doors();
  readiness = Readiness::ready;
  co_return true;
}

Task<bool> Gateway::reload(Settings next, std::string& problem) {
  auto& p = *parts_;
  auto plan = plan_reload(p.settings, std::move(next));
  if (!p.load_certificates(plan.settings, problem)) co_return false;
  for (auto const& key : plan.applied) log(LogLevel::info, "setting changed", {{"key", key}});
  for (auto const& key : plan.needs_restart) log(LogLevel::warn, "setting changed, needs a restart", {{"key", key}});
  log(LogLevel::info, "settings read again", {{"changed", plan.applied.size() + plan.needs_restart.size()}});
  auto wanted = std::exchange(plan.settings.static_runtimes, std::move(p.settings.static_runtimes));
  p.settings = std::move(plan.settings);
  set_log_level(p.settings.log.level);
  p.cores.replace_config(make_proxy_config(p.settings, p.stored_api_keys));
  co_await p.manager->replace_keys(make_key_ring(p.settings.identity));
  p.automation->replace_keys(make_key_ring(p.settings.identity));
  co_await p.replace_static_runtimes(std::move(wanted));
  co_return true;
}

void Gateway::reopen_logs() { parts_->access_log->reopen(); }

Task<> Gateway::drain() { co_await parts_->end(parts_->settings.timeouts.drain_grace); }

Task<> Gateway::Parts::end(std::chrono::milliseconds grace) {
  readiness = Readiness::draining;
  auto const by = Deadline::in(grace);
  TaskGroup after_grace(control.loop.get_executor());
  after_grace.spawn("grace", end_waiting(by));
  co_await cores.drain(grace);
  after_grace.stop();
  auto stopped = co_await after_grace.join();
  NESTGATE_INVARIANT(stopped, "nobody cancels a drain");
  co_await end_features(by);
  followers.stop();
  auto followed = co_await followers.join();
  NESTGATE_INVARIANT(followed, "nobody cancels a drain");
  co_await store->close();
  co_await admin->stop();
}

// As far as they were made.
Task<> Gateway::Parts::end_features(Deadline by) {
  if (automation) co_await automation->stop(by);
  if (!manager) co_return;
  co_await manager->stop_all();
  auto const left = manager->left();
  if (left.going_on + left.unreleased > 0)
    log(left.unreleased > 0 ? LogLevel::warn : LogLevel::info, "runtimes left to the next gateway",
        {{"going_on", left.going_on}, {"unreleased", left.unreleased}});
}

}  // namespace nestgate::app
