#include "nestgate/proxy/core_set.hpp"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <unordered_map>

#include "nestgate/codec/json_writer.hpp"
#include "nestgate/net/accept.hpp"
#include "own_body_room.hpp"

namespace nestgate::proxy {
namespace {

using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

constexpr int accept_backlog = 4096;

Fault cannot_listen(error_code ec) { return {FaultKind::bad_input, ec, "listen"}; }

// Whether nobody listens at `at`. The cores' own listeners share their port (SO_REUSEPORT), so they would share it with
// another gateway's too.
error_code look_for_others(asio::ip::tcp::endpoint const& at, Executor executor) {
  error_code ec;
  TcpAcceptor probe(executor);
  probe.open(at.protocol(), ec);
  if (!ec) probe.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) probe.bind(at, ec);
  return ec;
}

// Removes the file of a gateway that ended without removing it. Whatever else is there stays.
error_code remove_left_over(std::filesystem::path const& path, UnixSocket probe) {
  std::error_code fault;
  auto const status = std::filesystem::symlink_status(path, fault);
  if (status.type() == std::filesystem::file_type::not_found) return {};
  if (status.type() == std::filesystem::file_type::none) return error_code(fault.value(), boost::system::system_category());
  if (status.type() != std::filesystem::file_type::socket) return make_error_code(boost::system::errc::file_exists);
  error_code ec;
  probe.connect(path.string(), ec);
  if (!ec) return asio::error::address_in_use;
  if (ec != asio::error::connection_refused) return ec;
  std::filesystem::remove(path, fault);
  return error_code(fault.value(), boost::system::system_category());
}

// Connections that the kernel took for us already are served before the door closes, or they would be reset.
template <class Acceptor, class Serve>
void close_door(Acceptor& door, Serve serve) {
  error_code ec;
  door.non_blocking(true, ec);
  while (!ec) {
    auto client = door.accept(ec);
    if (!ec) serve(std::move(client));
  }
  door.close(ec);
}

}  // namespace

struct CoreSet::Worker {
  Worker(CoreIndex index, Config config, Surroundings surroundings)
      : core(index), proxy(core, std::move(config), surroundings), working(core.loop.get_executor()) {}

  struct TcpDoor {
    TcpAcceptor acceptor;
    Security security;
  };

  void serve(TcpSocket client, Security security) {
    if (security == Security::plain) {
      proxy.serve(std::move(client));
    } else {
      proxy.serve_tls(std::move(client), tls);
    }
  }
  Task<> accept_tcp(TcpDoor& door) {
    co_await accept_forever(door.acceptor, [this, &door](TcpSocket client) { serve(std::move(client), door.security); });
  }
  Task<> accept_unix(UnixAcceptor& door) {
    co_await accept_forever(door, [this](UnixSocket client) { proxy.serve(std::move(client)); });
  }
  void open_doors() {
    for (auto& door : tcp_doors) core.tasks.spawn("accept", accept_tcp(*door));
    for (auto& door : unix_doors) core.tasks.spawn("accept", accept_unix(*door));
  }
  Task<> close_doors() {
    for (auto& door : tcp_doors) {
      close_door(door->acceptor, [this, &door](TcpSocket client) { serve(std::move(client), door->security); });
    }
    for (auto& door : unix_doors) {
      close_door(*door, [this](UnixSocket client) { proxy.serve(std::move(client)); });
    }
    co_return;
  }
  Task<> drain(Clock::duration grace) {
    co_await proxy.drain(grace);
    core.tasks.stop();
    auto joined = co_await core.tasks.join();
    NESTGATE_INVARIANT(joined, "nobody cancels a drain");
  }

  Core core;
  ProxyCore proxy;
  std::shared_ptr<TlsServer const> tls;
  std::vector<std::unique_ptr<TcpDoor>> tcp_doors;
  std::vector<std::unique_ptr<UnixAcceptor>> unix_doors;
  asio::executor_work_guard<Executor> working;
  std::thread thread;
};

CoreSet::CoreSet(unsigned threads, Config const& config, Core& control, OwnRoutes& own_routes, conversation::Waker& waker,
                 LineSink& access_log)
    : own_bodies_(std::make_unique<OwnBodyRoom>()), control_(control) {
  Surroundings const surroundings{control, own_routes, *this, *this, access_log, waker, on_untrusted_, *own_bodies_};
  for (unsigned i = 0; i < threads; ++i) {
    workers_.push_back(std::make_unique<Worker>(CoreIndex(static_cast<std::uint16_t>(i)), config, surroundings));
  }
}

CoreSet::~CoreSet() {
  for (auto& worker : workers_) NESTGATE_INVARIANT(!worker->thread.joinable(), "cores are drained before they go");
}

Result<asio::ip::tcp::endpoint> CoreSet::listen(asio::ip::tcp::endpoint at) { return listen_on_all(at, Security::plain); }
Result<asio::ip::tcp::endpoint> CoreSet::listen_tls(asio::ip::tcp::endpoint at) { return listen_on_all(at, Security::tls); }

Result<asio::ip::tcp::endpoint> CoreSet::listen_on_all(asio::ip::tcp::endpoint at, Security security) {
  bool const shared = workers_.size() > 1;
  error_code const taken = shared ? look_for_others(at, control_.loop.get_executor()) : error_code{};
  if (taken) return cannot_listen(taken);
  for (auto& worker : workers_) {
    auto door = std::make_unique<Worker::TcpDoor>(TcpAcceptor(worker->core.loop.get_executor()), security);
    auto& acceptor = door->acceptor;
    error_code ec;
    acceptor.open(at.protocol(), ec);
    if (!ec) acceptor.set_option(asio::socket_base::reuse_address(true), ec);
    if (!ec && shared) acceptor.set_option(ReusePort(true), ec);
    if (!ec) acceptor.bind(at, ec);
    if (!ec) acceptor.listen(accept_backlog, ec);
    if (ec) return cannot_listen(ec);
    at = acceptor.local_endpoint();  // port 0 has become a real one, which the other cores share
    worker->tcp_doors.push_back(std::move(door));
  }
  return at;
}

Result<> CoreSet::listen_unix(std::filesystem::path const& path) {
  asio::local::stream_protocol::endpoint const at(path.string());
  error_code ec = remove_left_over(path, UnixSocket(control_.loop.get_executor()));
  if (ec) return cannot_listen(ec);
  UnixAcceptor first(workers_.front()->core.loop.get_executor());
  first.open(at.protocol(), ec);
  if (!ec) first.bind(at, ec);
  if (!ec) first.listen(accept_backlog, ec);
  if (ec) return cannot_listen(ec);
  // One listening socket for all cores: whoever is free accepts.
  for (auto& worker : workers_) {
    auto door = std::make_unique<UnixAcceptor>(worker->core.loop.get_executor());
    door->assign(at.protocol(), ::dup(first.native_handle()), ec);
    if (ec) return cannot_listen(ec);
    worker->unix_doors.push_back(std::move(door));
  }
  unix_paths_.push_back(path);
  return {};
}

void CoreSet::use_tls(std::shared_ptr<TlsServer const> tls) {
  for (auto& worker : workers_) {
    send_to(worker->core, [&worker = *worker, tls] { worker.tls = tls; });
  }
}

void CoreSet::start() {
  started_ = true;
  for (auto& worker : workers_) {
    worker->proxy.start();
    worker->thread = std::thread([&core = worker->core] { core.loop.run(); });
    ::pthread_setname_np(worker->thread.native_handle(), ("proxy-" + std::to_string(worker->core.index.get())).c_str());
  }
}

void CoreSet::open_doors() {
  for (auto& worker : workers_) {
    send_to(worker->core, [&worker = *worker] { worker.open_doors(); });
  }
}

void CoreSet::replace_config(Config const& config) {
  for (auto& worker : workers_) {
    send_to(worker->core, [&worker = *worker, config] { worker.proxy.replace_config(config); });
  }
}

Task<> CoreSet::drain(Clock::duration grace) {
  if (!std::exchange(started_, false)) co_return;
  // While a door is open nobody else takes its file over, so it is still ours to remove.
  std::error_code ec;
  for (auto const& path : unix_paths_) std::filesystem::remove(path, ec);
  // First every door, then the word to go: who comes again because one core said so must not meet another's open door
  // that is about to close.
  for (auto& worker : workers_) co_await call_on(worker->core, worker->close_doors());
  TaskGroup draining(control_.loop.get_executor());
  for (auto& worker : workers_) draining.spawn("drain", call_on(worker->core, worker->drain(grace)));
  auto drained = co_await draining.join();
  NESTGATE_INVARIANT(drained, "nobody cancels a drain");
  ended_ = true;
  for (auto& worker : workers_) {
    worker->working.reset();
    worker->thread.join();
  }
}

namespace {

// What is done on each core, as a coroutine: its parameters are its own.
Task<> publish_on(ProxyCore& proxy, conversation::RuntimeRecordPtr record) {
  proxy.publish(std::move(record));
  co_return;
}
Task<> withdraw_on(ProxyCore& proxy, ConversationId id, Epoch epoch) {
  proxy.withdraw(id, epoch);
  co_return;
}
Task<> add_alias_on(ProxyCore& proxy, ConversationId alias, ConversationId runtime) {
  proxy.add_alias(alias, runtime);
  co_return;
}
Task<> learn_sid_on(ProxyCore& proxy, std::string sid, ConversationId runtime) {
  proxy.learn_sid(std::move(sid), runtime);
  co_return;
}

struct Batch {
  std::vector<conversation::RuntimeRecordPtr> published;
  std::vector<std::pair<ConversationId, Epoch>> withdrawn;
};

// A fraction of a millisecond of work, then clients have their turn.
class Turns {
 public:
  bool take() noexcept { return ++taken_ % turn_size == 0; }

 private:
  static constexpr std::size_t turn_size = 64;
  std::size_t taken_ = 0;
};

Task<> apply_on(ProxyCore& proxy, std::shared_ptr<Batch const> batch) {
  auto& loop = proxy.core().loop;
  Turns turns;
  proxy.expect(batch->published.size());
  for (auto const& record : batch->published) {
    proxy.publish(record);
    if (turns.take()) co_await asio::post(loop, asio::deferred);
  }
  for (auto const& [id, epoch] : batch->withdrawn) {
    proxy.withdraw(id, epoch);
    if (turns.take()) co_await asio::post(loop, asio::deferred);
  }
}

Task<std::vector<conversation::Activity>> activity_on(ProxyCore const& proxy) { co_return proxy.activity(); }

// Adds what one core saw to what others did.
void merge(conversation::Activity& into, conversation::Activity const& seen) {
  into.last_act = std::max(into.last_act, seen.last_act);
  into.last_traffic = std::max(into.last_traffic, seen.last_traffic);
  into.streams += seen.streams;
}

constexpr std::string_view no_routes = R"({"routes":[]})";

Task<std::string> describe(conversation::Directory const& directory) {
  std::string out;
  codec::JsonWriter json(out);
  json.begin_object().key("routes").begin_array();
  directory.for_each([&](conversation::Entry const& entry) {
    auto const& record = entry.record();
    json.begin_object();
    json.member("id", record.id.text()).member("state", to_string(record.state)).member("epoch", record.epoch.get());
    json.member("owner", record.owner);
    auto const& at = record.endpoint.at;
    json.member("endpoint", at.address().to_string() + ":" + std::to_string(at.port()));
    if (record.endpoint.tls) json.member("tls", record.endpoint.host_name());
    json.member("in_use", entry.target()->in_use).member("idle", entry.target()->idle_count());
    json.key("ports").begin_array();
    for (auto const& port : record.ports)
      json.begin_object().member("name", port.name).member("port", port.number).end_object();
    json.end_array().end_object();
  });
  json.end_array().end_object();
  co_return out;
}

}  // namespace

// Runs what `make` gives for each core, on all at once; what was posted before the last core goes is still done.
template <class Make>
Task<> CoreSet::on_every_core(Make make) {
  if (ended_) co_return;
  std::vector<std::pair<Core*, Task<>>> work;
  work.reserve(workers_.size());
  for (auto& worker : workers_) work.emplace_back(&worker->core, make(worker->proxy));
  co_await call_on_each(std::move(work));
}

Task<> CoreSet::publish(conversation::RuntimeRecordPtr record) {
  return on_every_core([record = std::move(record)](ProxyCore& proxy) { return publish_on(proxy, record); });
}

Task<> CoreSet::withdraw(ConversationId id, Epoch epoch) {
  return on_every_core([id = std::move(id), epoch](ProxyCore& proxy) { return withdraw_on(proxy, id, epoch); });
}

Task<> CoreSet::apply(std::vector<conversation::RuntimeRecordPtr> published,
                      std::vector<std::pair<ConversationId, Epoch>> withdrawn) {
  auto batch = std::make_shared<Batch const>(Batch{std::move(published), std::move(withdrawn)});
  return on_every_core([batch = std::move(batch)](ProxyCore& proxy) { return apply_on(proxy, batch); });
}

Task<> CoreSet::add_alias(ConversationId alias, ConversationId runtime) {
  return on_every_core([alias = std::move(alias), runtime = std::move(runtime)](ProxyCore& proxy) {
    return add_alias_on(proxy, alias, runtime);
  });
}

Task<> CoreSet::publish_sid(std::string sid, ConversationId runtime) {
  return on_every_core(
      [sid = std::move(sid), runtime = std::move(runtime)](ProxyCore& proxy) { return learn_sid_on(proxy, sid, runtime); });
}

Task<std::vector<conversation::Activity>> CoreSet::activity() {
  std::vector<conversation::Activity> out;
  std::unordered_map<std::string, std::size_t> place_of;  // by canonical id
  for (auto& worker : workers_) {
    if (ended_) break;
    auto const seen = co_await call_on(worker->core, activity_on(worker->proxy));
    for (auto const& one : seen) {
      auto const [at, is_new] = place_of.try_emplace(one.id.canonical(), out.size());
      if (is_new) {
        out.push_back(one);
      } else {
        merge(out[at->second], one);
      }
    }
  }
  co_return out;
}

std::vector<Stats const*> CoreSet::stats() const {
  std::vector<Stats const*> out;
  out.reserve(workers_.size());
  for (auto const& worker : workers_) out.push_back(&worker->proxy.stats());
  return out;
}

Task<std::string> CoreSet::describe_routes() {
  if (ended_) co_return std::string(no_routes);
  co_return co_await call_on(workers_.front()->core, describe(workers_.front()->proxy.directory()));
}

}  // namespace nestgate::proxy
