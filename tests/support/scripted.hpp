#pragma once

// Nested servers that follow a script, and what a test waits for.

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "support/gateway.hpp"

namespace nestgate::test {

// Hands values from one thread to another. A wait that runs out is a test failure.
template <class T>
class Mailbox {
 public:
  void put(T value) {
    {
      std::lock_guard const lock(mutex_);
      values_.push_back(std::move(value));
    }
    arrived_.notify_one();
  }
  T take() {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, std::chrono::milliseconds(patience_ms), [this] { return !values_.empty(); })) {
      throw TimedOut("nothing was put into the mailbox");
    }
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }
  bool empty() const {
    std::lock_guard const lock(mutex_);
    return values_.empty();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<T> values_;
};

// Answers every request with the head and body that it got, and says who it is.
inline Server::Handle echo_as(std::string name) {
  return [name = std::move(name)](Connection& connection) {
    for (;;) {
      auto const request = read_request(connection);
      if (!request.head.ends_with("\r\n\r\n")) return;
      auto const text = request.head + request.body;
      if (!connection.send("HTTP/1.1 200 OK\r\nx-nested: " + name + "\r\nContent-Length: " + std::to_string(text.size()) +
                           "\r\n\r\n" + text)) {
        return;
      }
    }
  };
}

// Reads one request, sends `answer` and lets the connection go; the next connections are served alike.
inline Server::Handle answer_once(std::string answer) {
  return [answer = std::move(answer)](Connection& connection) {
    read_request(connection);
    connection.send(answer);
  };
}

// A scripted nested server and the gateway before it, which knows it as c1.
struct OneRuntime {
  explicit OneRuntime(Server::Handle handle, proxy::Config config = default_config())
      : nested(std::move(handle)), gateway(std::move(config)) {
    gateway.start();
    gateway.add("c1", nested.port());
  }
  Server nested;
  Gateway gateway;
};

// A request to c1 by its key.
inline std::string get_by_key(std::string const& fields = {}, std::string const& version = "1.1") {
  return "GET /x HTTP/" + version + "\r\nHost: g\r\n" + key_field("c1") + fields + "\r\n";
}

inline std::string error_code_of(Answer const& answer) {
  constexpr std::string_view start = R"("code":")";
  auto const at = answer.body.find(start);
  if (at == answer.body.npos) return "(none in " + answer.body + ")";
  auto const value = answer.body.substr(at + start.size());
  return value.substr(0, value.find('"'));
}

inline std::size_t occurrences(std::string_view text, std::string_view what) {
  std::size_t count = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) ++count;
  return count;
}

inline std::string bearer(std::string_view token) { return "Authorization: Bearer " + std::string(token) + "\r\n"; }

inline constexpr std::string_view websocket_fields =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

inline std::string websocket_request(std::string const& target, std::string const& fields = {},
                                     std::string const& host = "g") {
  return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + fields + std::string(websocket_fields) + "\r\n";
}

}  // namespace nestgate::test
