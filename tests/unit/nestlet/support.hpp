#pragma once

#include <gtest/gtest.h>

#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "nestlet/request.hpp"
#include "nestlet/server.hpp"

namespace nestgate::nestlet::testing {

namespace websocket = beast::websocket;

// A directory that goes away with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_(std::filesystem::temp_directory_path() / ("nestlet-test-" + new_id())) {
    std::filesystem::create_directories(path_);
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  std::string path(std::string_view name = "") const { return name.empty() ? path_.string() : (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline std::string text(boost::json::value const& value) { return std::string(value.as_string()); }

inline std::string read_file(std::string const& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();  // no exception when a process in /proc ends meanwhile
  return std::move(out).str();
}
inline void write_file(std::string const& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

// A client's socket on a context of its own; every call blocks.
using ClientSocket = asio::basic_stream_socket<asio::ip::tcp, Executor>;

struct Reply {
  unsigned status = 0;
  http::fields fields;
  std::string body;
  boost::json::value json() const { return boost::json::parse(body); }
};

using Fields = std::vector<std::pair<std::string, std::string>>;

class Client {
 public:
  explicit Client(std::uint16_t port) : socket_(loop_.get_executor()) {
    socket_.connect({asio::ip::address_v4::loopback(), port});
  }

  Reply request(std::string const& method, std::string const& target, std::string const& body = "",
                Fields const& fields = {}) {
    std::string head = method + " " + target + " HTTP/1.1\r\nhost: nestlet\r\n";
    for (auto const& [name, value] : fields) head += name + ": " + value + "\r\n";
    head += "content-length: " + std::to_string(body.size()) + "\r\n\r\n";
    send(head + body);
    return receive(method == "HEAD" ? HasBody::no : HasBody::yes);
  }
  void send(std::string_view raw) { asio::write(socket_, asio::buffer(raw)); }
  enum class HasBody : bool { no, yes };
  Reply receive(HasBody has_body = HasBody::yes) {
    http::response_parser<http::string_body> parser;
    parser.skip(has_body == HasBody::no);
    parser.body_limit(boost::none);
    http::read(socket_, buffer_, parser);
    auto message = parser.release();
    return {message.result_int(), std::move(message.base()), std::move(message.body())};
  }
  // What is there, up to `text`; fails the test when the connection ends first.
  std::string receive_until(std::string_view text) {
    std::string out;
    asio::read_until(socket_, asio::dynamic_buffer(out), std::string(text));
    return out;
  }
  // True when the server has closed.
  bool at_end() {
    error_code ec;
    char c = 0;
    return asio::read(socket_, asio::buffer(&c, 1), ec) == 0;
  }

 private:
  asio::io_context loop_{1};
  ClientSocket socket_;
  beast::flat_buffer buffer_;
};

class SocketClient {
 public:
  enum class Deflate : bool { not_offered, offered };

  SocketClient(std::uint16_t port, std::string const& target, Fields const& fields = {}, Deflate offer = Deflate::offered)
      : socket_(loop_.get_executor()) {
    auto& lowest = socket_.next_layer();
    lowest.open(asio::ip::tcp::v4());
    lowest.set_option(asio::socket_base::receive_buffer_size(64 * 1024));
    lowest.connect({asio::ip::address_v4::loopback(), port});
    websocket::permessage_deflate deflate;
    deflate.client_enable = offer == Deflate::offered;
    socket_.set_option(deflate);
    socket_.set_option(websocket::stream_base::decorator([fields](websocket::request_type& request) {
      for (auto const& [name, value] : fields) request.set(name, value);
    }));
    socket_.read_message_max(64 * 1024 * 1024);
    websocket::response_type response;
    socket_.handshake(response, "nestlet", target, refused_);
    status_ = response.result_int();
  }

  unsigned status() const { return status_; }
  bool open() const { return !refused_; }
  void send(std::string_view text) { socket_.write(asio::buffer(text)); }
  // The next message; "" when the server has closed, then `close_code()` says how.
  std::string receive() {
    beast::flat_buffer buffer;
    error_code ec;
    socket_.read(buffer, ec);
    if (ec) return "";
    return beast::buffers_to_string(buffer.cdata());
  }
  boost::json::object receive_json() { return boost::json::parse(receive()).as_object(); }
  unsigned close_code() const { return socket_.reason().code; }
  std::string close_reason() const { return std::string(socket_.reason().reason.data(), socket_.reason().reason.size()); }

 private:
  asio::io_context loop_{1};
  websocket::stream<ClientSocket> socket_;
  error_code refused_;
  unsigned status_ = 0;
};

// The server in this process, on a thread of its own, with the key "k1" unless told otherwise.
class RunningServer {
 public:
  enum class Grace : bool { as_given, short_for_tests };
  explicit RunningServer(Limits limits = {}, std::vector<std::string> key_texts = {"k1"},
                         Grace grace = Grace::short_for_tests, Boot boot = {})
      : server_(loop_.get_executor(), settings(limits, directory_.path(), grace), keys(key_texts), std::move(boot),
                {"PATH=/usr/bin:/bin"}, groups_) {
    auto const bound = server_.open();
    if (!bound) throw std::runtime_error(bound.error().message);
    port_ = static_cast<std::uint16_t>(std::stoi(bound->front().substr(bound->front().rfind(':') + 1)));
    thread_ = std::jthread([this] { loop_.run(); });
  }
  ~RunningServer() { stop(); }
  void stop() {
    if (std::exchange(stopped_, true)) return;
    asio::post(loop_, [this] {
      asio::co_spawn(loop_.get_executor(), server_.stop(), [](std::exception_ptr bug) {
        if (bug) std::rethrow_exception(bug);
      });
    });
    thread_.join();
  }

  std::uint16_t port() const { return port_; }
  std::string path(std::string_view name = "") const { return directory_.path(name); }
  Reply call(std::string const& method, std::string const& target, std::string const& body = "",
             Fields const& fields = {{"X-Session-API-Key", "k1"}}) const {
    return Client(port_).request(method, target, body, fields);
  }

 private:
  static Settings settings(Limits limits, std::string workspace, Grace grace) {
    Settings out;
    out.listen = {"127.0.0.1:0"};
    out.workspace = std::move(workspace);
    if (grace == Grace::short_for_tests) limits.stop_grace_seconds = std::min<std::uint64_t>(limits.stop_grace_seconds, 1);
    out.limits = limits;
    return out;
  }
  static SessionKeys keys(std::vector<std::string> const& texts) {
    std::vector<Secret> out;
    for (auto const& text : texts) out.emplace_back(text);
    return SessionKeys(std::move(out));
  }

  TemporaryDirectory directory_;
  asio::io_context loop_{1};
  ProcessGroups groups_;
  Server server_;
  std::uint16_t port_ = 0;
  bool stopped_ = false;
  std::jthread thread_;
};

inline Fields const key_field = {{"X-Session-API-Key", "k1"}};

inline std::string multipart(std::string_view data, std::string_view filename = "upload") {
  return "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + std::string(filename) +
         "\"\r\nContent-Type: application/octet-stream\r\n\r\n" + std::string(data) + "\r\n--XX--\r\n";
}
inline Fields multipart_fields() {
  return {{"X-Session-API-Key", "k1"}, {"Content-Type", "multipart/form-data; boundary=XX"}};
}

}  // namespace nestgate::nestlet::testing
