#pragma once

// What tests of the control side share: one loop that stands for the control core, a scripted nested server, a provider
// and a publisher that write down what they are told.

#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/net/task_group.hpp"
#include "support/loopback.hpp"

namespace nestgate::test {

struct NoEnd : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The control core of a test: tasks run on the test's own thread, within `run`.
class Control {
 public:
  asio::io_context& loop() { return loop_; }
  Executor executor() { return loop_.get_executor(); }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> out;
    run_until_done(into(std::move(task), out));
    return std::move(*out);
  }
  void run(Task<> task) { run_until_done(std::move(task)); }

  // Runs the loop until `holds`, which is asked after each handler.
  void run_until(std::function<bool()> const& holds) {
    loop_.restart();
    auto const guard = asio::make_work_guard(loop_);
    auto const end = Clock::now() + std::chrono::milliseconds(patience_ms);
    while (!holds()) {
      if (Clock::now() > end) throw NoEnd("the loop's patience is over");
      loop_.run_one_for(std::chrono::milliseconds(50));
    }
  }

 private:
  template <class T>
  static Task<> into(Task<T> task, std::optional<T>& out) {
    out.emplace(co_await std::move(task));
  }
  void run_until_done(Task<> task) {
    bool done = false;
    std::exception_ptr bug;
    auto on_end = [&done, &bug](std::exception_ptr thrown) {
      done = true;
      bug = thrown;
    };
    asio::co_spawn(executor(), quiet(std::move(task)), std::move(on_end));
    run_until([&done] { return done; });
    if (bug) std::rethrow_exception(bug);
  }

  asio::io_context loop_{1};
};

struct Request {
  std::string method;
  std::string target;
  std::string head;
  std::string body;
  std::string value(std::string_view name) const { return field_value(head, name); }
  std::string line() const { return method + " " + target; }
};

// Nothing where the connection ended before its line.
inline std::optional<Request> read_request(Connection& connection) {
  Request request;
  request.head = connection.read_until("\r\n\r\n");
  auto const method_end = request.head.find(' ');
  auto const target_end = request.head.find(' ', method_end + 1);
  if (target_end == request.head.npos) return std::nullopt;
  request.method = request.head.substr(0, method_end);
  request.target = request.head.substr(method_end + 1, target_end - method_end - 1);
  if (auto const length = request.value("content-length"); !length.empty())
    request.body = connection.read_exactly(std::stoul(length));
  return request;
}

struct Reply {
  unsigned status = 200;
  std::string body = "{}";
  std::string fields = {};  // further ones of the head, each with its CRLF
};

// An HTTP server that writes down every request. Its answers stand in a table by method and path ("POST /api/x"), or are
// decided by a function, which is called on the connection's thread, one at a time. What neither knows gets 200 and {}.
class ScriptedServer {
 public:
  using Script = std::function<Reply(Request const&)>;
  ScriptedServer() : server_([this](Connection& connection) { serve(connection); }) {}
  explicit ScriptedServer(Script script) : ScriptedServer() {
    std::lock_guard const lock(mutex_);
    script_ = std::move(script);
  }
  ~ScriptedServer() { server_.stop(); }

  void on(std::string line, Reply reply) {
    std::lock_guard const lock(mutex_);
    table_.insert_or_assign(std::move(line), std::move(reply));
  }
  void forget_replies() {
    std::lock_guard const lock(mutex_);
    table_.clear();
  }

  std::uint16_t port() const { return server_.port(); }
  asio::ip::tcp::endpoint endpoint() const { return {asio::ip::address_v4::loopback(), port()}; }
  std::vector<Request> requests() const {
    std::lock_guard const lock(mutex_);
    return requests_;
  }
  std::vector<std::string> lines() const {
    std::vector<std::string> out;
    for (auto const& request : requests()) out.push_back(request.line());
    return out;
  }
  void stop() { server_.stop(); }

 private:
  void serve(Connection& connection) {
    auto const read = read_request(connection);
    if (!read) return;
    auto const& request = *read;
    Reply reply;
    {
      std::lock_guard const lock(mutex_);
      requests_.push_back(request);
      auto const found = table_.find(request.method + " " + request.target.substr(0, request.target.find('?')));
      if (found != table_.end()) {
        reply = found->second;
      } else if (script_) {
        reply = script_(request);
      }
    }
    if (reply.status == 0) return connection.reset();  // a peer that goes without an answer
    connection.send("HTTP/1.1 " + std::to_string(reply.status) +
                    " x\r\nContent-Type: application/json\r\nConnection: close\r\n" +
                    "Content-Length: " + std::to_string(reply.body.size()) + "\r\n" + reply.fields + "\r\n" + reply.body);
  }

  mutable std::mutex mutex_;  // guards the three below
  Script script_;
  std::map<std::string, Reply> table_;
  std::vector<Request> requests_;
  Server server_;
};

}  // namespace nestgate::test
