#pragma once

// The real data plane on loopback, with own routes that a test decides, run by a control thread as in the program.

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "nestgate/identity/session_key.hpp"
#include "nestgate/proxy/core_set.hpp"
#include "support/loopback.hpp"

namespace nestgate::test {

inline constexpr std::string_view installation_secret = "0123456789abcdef0123456789abcdef";
inline constexpr std::string_view admin_api_key = "admin-api-key-for-tests";
inline constexpr std::string_view alice_api_key = "alice-api-key-for-tests";

// Answers with what it was asked, so that a test sees what reached it.
class EchoingOwnRoutes final : public proxy::OwnRoutes {
 public:
  bool admits_without_api_key(http::Method, std::string_view path) const noexcept override {
    return path.ends_with("/complete") || path.starts_with("/api/v1/webhooks/");
  }
  proxy::BodyLimit body_limit(proxy::ApiRequest const& request) const noexcept override {
    bool const by_admin = request.principal && request.principal->role == identity::Role::admin;
    proxy::BodyLimit limit;
    limit.bytes_max = request.path.ends_with("/short") && !by_admin ? 100 : SIZE_MAX;
    if (request.path.find("/worded/") != std::string::npos) limit = {10, proxy::BodyLimit::From::known, "ten and no more"};
    return limit;
  }
  Task<proxy::ApiResponse> handle(proxy::ApiRequest request) override {
    if (on_request) co_return co_await on_request(std::move(request));
    proxy::ApiResponse response;
    response.body = R"({"own":")" + request.path + R"(","by":")" + (request.principal ? request.principal->name : "nobody") +
                    R"(","bytes":)" + std::to_string(request.body.size()) + "}";
    co_return response;
  }
  std::function<Task<proxy::ApiResponse>(proxy::ApiRequest)> on_request;  // set before the gateway starts
};

// Wakes nobody, as where conversations cannot be started; a test may have it do something.
class ScriptedWaker final : public conversation::Waker {
 public:
  Task<bool> wake(ConversationId id, Deadline by) override {
    asked.fetch_add(1);
    if (!on_wake) co_return false;
    co_return co_await on_wake(std::move(id), by);
  }
  std::atomic<std::size_t> asked{0};
  std::function<Task<bool>(ConversationId, Deadline)> on_wake;  // set before the gateway starts
};

inline std::string session_key_of(std::string_view id) {
  return std::string(
      identity::derive_session_key(identity::Derivation::sha256, Secret(std::string(installation_secret)), id).reveal());
}

inline proxy::Config default_config() {
  proxy::Config config;
  config.access_log = proxy::AccessLog::off;
  config.timeouts.sweep = std::chrono::milliseconds(20);
  std::vector<identity::ApiKeyEntry> keys;
  keys.push_back({{"ops", identity::Role::admin, ""}, identity::hash_api_key(admin_api_key)});
  keys.push_back({{"alice", identity::Role::user, "alice"}, identity::hash_api_key(alice_api_key)});
  config.api_keys = std::make_shared<identity::ApiKeys const>(std::move(keys));
  return config;
}

// A runtime of alice's that listens on `port` of loopback and takes the key that is derived for it.
inline conversation::RuntimeRecord record_of(std::string_view id, std::uint16_t port,
                                             conversation::RuntimeState state = conversation::RuntimeState::running,
                                             std::uint64_t epoch = 1) {
  asio::ip::tcp::endpoint const at(asio::ip::address_v4::loopback(), port);
  conversation::RuntimeRecord record{*ConversationId::parse(id), Epoch(epoch), state, "alice", at,
                                     Secret(session_key_of(id)), {},           {}};
  record.accepted_keys.emplace_back(session_key_of(id));
  return record;
}

enum class Doors : bool { closed, open };

class Gateway {
 public:
  explicit Gateway(proxy::Config config = default_config(), unsigned threads = 1,
                   std::unique_ptr<LineSink> log = LineSink::nowhere())
      : log_(std::move(log)),
        cores_(threads, config, control_, own_routes_, waker_, *log_),
        working_(control_.loop.get_executor()) {
    port_ = cores_.listen({asio::ip::address_v4::loopback(), 0}).value().port();
  }
  Gateway(Gateway const&) = delete;
  ~Gateway() {
    if (thread_.joinable()) stop(std::chrono::milliseconds(0));
  }

  proxy::CoreSet& cores() { return cores_; }
  ScriptedWaker& waker() { return waker_; }
  EchoingOwnRoutes& own_routes() { return own_routes_; }
  Executor control() { return control_.loop.get_executor(); }
  void start(Doors doors = Doors::open) {
    cores_.start();
    if (doors == Doors::open) cores_.open_doors();
    thread_ = std::thread([this] { control_.loop.run(); });
  }
  std::uint16_t port() const { return port_; }
  Connection connect() const { return Connection::to(port_); }

  // Runs on the control thread and waits for it.
  void run(Task<> work) {
    auto done = asio::co_spawn(control_.loop.get_executor(), std::move(work), asio::use_future);
    if (done.wait_for(std::chrono::milliseconds(patience_ms)) != std::future_status::ready) throw TimedOut("control work");
    done.get();
  }

  void publish(conversation::RuntimeRecord record) {
    run(cores_.publish(std::make_shared<conversation::RuntimeRecord>(std::move(record))));
  }
  // Publishes a runtime that listens on `port` of loopback.
  void add(std::string_view id, std::uint16_t port, std::string owner = "alice",
           conversation::RuntimeState state = conversation::RuntimeState::running, std::uint64_t epoch = 1,
           std::vector<std::uint16_t> further_ports = {}) {
    auto record = record_of(id, port, state, epoch);
    record.owner = std::move(owner);
    for (auto const further : further_ports) {
      record.ports.push_back({"port", further, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), further)});
    }
    publish(std::move(record));
  }
  void remove(std::string_view id, std::uint64_t epoch = 1) {
    run(cores_.withdraw(*ConversationId::parse(id), Epoch(epoch)));
  }

  void stop(Clock::duration grace) {
    run(cores_.drain(grace));
    working_.reset();
    control_.loop.stop();
    thread_.join();
  }

  // One exchange on a connection of its own.
  Answer ask(std::string const& request) const {
    auto client = connect();
    client.send(request);
    return read_answer(client);
  }
  Answer get(std::string const& target, std::string const& fields = {}, std::string const& host = "gateway") const {
    return ask("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + fields + "Connection: close\r\n\r\n");
  }
  proxy::Stats const& stats(std::size_t core = 0) const { return *cores_.stats().at(core); }

 private:
  Core control_{CoreIndex(1000)};
  EchoingOwnRoutes own_routes_;
  ScriptedWaker waker_;
  std::unique_ptr<LineSink> log_;
  proxy::CoreSet cores_;
  asio::executor_work_guard<Executor> working_;
  std::thread thread_;
  std::uint16_t port_ = 0;
};

inline std::string key_field(std::string_view id) { return "X-Session-API-Key: " + session_key_of(id) + "\r\n"; }

// Reads a request (head and a body by Content-Length or chunks) as it arrived.
struct Request {
  std::string head;
  std::string body;
  std::string line() const { return head.substr(0, head.find("\r\n")); }
  std::string value(std::string_view name) const { return field_value(head, name); }
};
template <class From>
Request read_request(From& from) {
  Request out;
  out.head = from.read_until("\r\n\r\n");
  if (auto const length = out.value("content-length"); !length.empty()) out.body = from.read_exactly(std::stoul(length));
  if (out.value("transfer-encoding") == "chunked") {
    while (!out.body.ends_with("0\r\n\r\n")) {
      auto more = from.read_until("\r\n");
      if (more.empty()) break;
      out.body += more;
    }
  }
  return out;
}

inline std::string ok_answer(std::string_view body) {
  return "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

// A nested server that answers every request with the head that it got.
inline void echo_heads(Connection& connection) {
  for (;;) {
    auto const request = read_request(connection);
    if (request.head.empty() || !connection.send(ok_answer(request.head))) return;
  }
}

}  // namespace nestgate::test
