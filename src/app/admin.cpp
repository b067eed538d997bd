#include "nestgate/app/admin.hpp"

#include <prometheus/text_serializer.h>

#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <sstream>

#include "app/admin_answers.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestgate/net/accept.hpp"
#include "nestgate/upstream/random.hpp"

namespace nestgate::app {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using Stream = beast::basic_stream<asio::ip::tcp, Executor>;
using Request = http::request<http::empty_body>;
using Response = http::response<http::string_body>;

constexpr std::size_t request_id_bytes = 8;

Response make_response(http::status status, std::string_view content_type, std::string body) {
  Response response(status, 11);
  response.set(http::field::content_type, beast::string_view(content_type.data(), content_type.size()));
  response.set(http::field::cache_control, "no-store");
  response.body() = std::move(body);
  return response;
}

Response make_error(http::status status, std::string_view code, std::string_view message, std::string const& request_id) {
  std::string body;
  codec::JsonWriter(body)
      .begin_object()
      .key("error")
      .begin_object()
      .member("code", code)
      .member("message", message)
      .member("request_id", request_id)
      .end_object()
      .end_object();
  return make_response(status, "application/json", std::move(body));
}

Response show_readiness(Readiness readiness, std::string const& request_id) {
  switch (readiness) {
    case Readiness::ready: return make_response(http::status::ok, "application/json", R"({"status":"ready"})");
    case Readiness::starting:
      return make_error(http::status::service_unavailable, "starting", "not listening for clients yet", request_id);
    case Readiness::draining:
      return make_error(http::status::service_unavailable, "draining", "no new clients are taken", request_id);
    case Readiness::store_unusable:
      return make_error(http::status::service_unavailable, "store_unusable", "nothing can be remembered; the log says why",
                        request_id);
  }
  return make_error(http::status::internal_server_error, "internal", "unknown readiness", request_id);
}

Response show_metrics(std::vector<std::shared_ptr<prometheus::Collectable>> const& sources) {
  std::vector<prometheus::MetricFamily> families;
  for (auto const& source : sources) {
    for (auto& family : source->Collect()) families.push_back(std::move(family));
  }
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return make_response(http::status::ok, "text/plain; version=0.0.4; charset=utf-8", std::move(text).str());
}

// A head, and what follows it: `stream`, where there is one.
struct Shown {
  Response response;
  std::shared_ptr<proxy::ApiStream> stream{};
};

Shown show(AdminAnswer answer, std::string const& request_id) {
  auto const status = static_cast<http::status>(answer.status);
  if (answer.code.empty())
    return {make_response(status, answer.content_type, std::move(answer.body)), std::move(answer.stream)};
  auto response = make_error(status, answer.code, answer.message, request_id);
  if (!answer.allow.empty()) response.set(http::field::allow, answer.allow);
  return {std::move(response)};
}

// See AdminServer on whom it keeps out.
Task<Shown> answer_operator(AdminSources const& sources, Request const& request, std::string request_id) {
  std::string_view target(request.target().data(), request.target().size());
  AdminRequest asked;
  asked.path = target.substr(0, target.find('?'));
  if (asked.path.size() < target.size()) asked.query = target.substr(asked.path.size() + 1);
  bool const is_post = request.method() == http::verb::post;
  if (is_post) asked.method = AdminRequest::Method::post;
  if (request.find(http::field::origin) != request.end())
    co_return show(refuse(403, "forbidden", "no web page may ask here"), request_id);
  if (is_post && request["X-Nestgate-Operator"] != "1")
    co_return show(refuse(403, "forbidden", "a POST needs the header X-Nestgate-Operator: 1"), request_id);
  if (!is_post && request.method() != http::verb::get && request.method() != http::verb::head) {
    co_return show(not_allowed("GET, HEAD, POST"), request_id);
  }
  auto answered = co_await sources.operators(std::move(asked));
  co_return show(std::move(answered), request_id);
}

Task<Shown> answer(AdminSources const& sources, Request const& request, std::string const& request_id) {
  auto const target = request.target().substr(0, request.target().find('?'));
  std::string_view const path(target.data(), target.size());
  if (path.starts_with("/api/") && sources.operators) co_return co_await answer_operator(sources, request, request_id);
  bool const known = path == "/healthz" || path == "/readyz" || path == "/metrics" || path == "/debug/routes";
  if (!known) co_return show(refuse(404, "not_found", "no such admin route"), request_id);
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    co_return show(not_allowed("GET, HEAD"), request_id);
  }
  if (path == "/healthz") co_return show(shown(R"({"status":"alive"})"), request_id);
  if (path == "/readyz") co_return Shown{show_readiness(sources.readiness(), request_id)};
  if (path == "/metrics") co_return Shown{show_metrics(sources.metrics)};
  auto routes = co_await sources.routes();
  co_return show(shown(std::move(routes)), request_id);
}

// What a request that could not be read is told.
Response refuse_unread(error_code ec, std::string const& request_id) {
  if (ec == http::error::header_limit) {
    return make_error(http::status::request_header_fields_too_large, "head_too_large", "the request's head is too large",
                      request_id);
  }
  if (ec == http::error::unexpected_body) {
    return make_error(http::status::payload_too_large, "body_not_allowed", "no admin route takes a body", request_id);
  }
  return make_error(http::status::bad_request, "bad_request", "not an HTTP request", request_id);
}

enum class Body : std::uint8_t { send, leave_out };  // left out for HEAD

Task<error_code> write(Stream& stream, Response response, std::string const& request_id, Body body) {
  response.set("X-Request-Id", request_id);
  response.prepare_payload();
  http::response_serializer<http::string_body> serializer(response);
  if (body == Body::leave_out) {
    auto [ec, n] = co_await http::async_write_header(stream, serializer, no_throw);
    co_return ec;
  }
  auto [ec, n] = co_await http::async_write(stream, serializer, no_throw);
  co_return ec;
}

// In chunks, each within `patience`.
Task<error_code> write_stream(Stream& stream, Shown made, std::string const& request_id, Body body,
                              std::chrono::milliseconds patience) {
  http::response<http::empty_body> head(std::move(made.response.base()));
  head.set("X-Request-Id", request_id);
  head.chunked(true);
  http::response_serializer<http::empty_body> serializer(head);
  stream.expires_after(patience);
  auto [head_ec, n] = co_await http::async_write_header(stream, serializer, no_throw);
  if (head_ec || body == Body::leave_out) co_return head_ec;
  for (;;) {
    auto const piece = co_await made.stream->next();
    stream.expires_after(patience);
    if (piece.empty()) break;
    auto [ec, written] = co_await asio::async_write(stream, http::make_chunk(asio::buffer(piece)), no_throw);
    if (ec) co_return ec;
  }
  auto [ec, written] = co_await asio::async_write(stream, http::make_chunk_last(), no_throw);
  co_return ec;
}

bool is_peers_end(error_code ec) {
  return ec == http::error::end_of_stream || ec == http::error::partial_message || ec == beast::error::timeout ||
         ec.category() == asio::error::get_system_category() || ec.category() == asio::error::get_misc_category();
}

}  // namespace

AdminServer::AdminServer(Core& core, AdminSources sources, AdminLimits limits)
    : sources_(std::move(sources)), limits_(limits), acceptor_(core.loop.get_executor()), tasks_(core.loop.get_executor()) {}

Result<asio::ip::tcp::endpoint> AdminServer::listen(asio::ip::tcp::endpoint const& at) {
  error_code ec;
  acceptor_.open(at.protocol(), ec);
  if (!ec) acceptor_.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) acceptor_.bind(at, ec);
  if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) return Fault{FaultKind::bad_input, ec, "admin.listen"};
  return acceptor_.local_endpoint();
}

void AdminServer::start() {
  auto const admit = [this](TcpSocket client) {
    bool const has_room = acceptor_.is_open() && connections_ < limits_.connections_max;
    if (has_room) tasks_.spawn("admin.connection", serve(std::move(client)));
  };
  tasks_.spawn("admin", accept_forever(acceptor_, admit));
}

Task<> AdminServer::stop() {
  error_code ignored;
  acceptor_.close(ignored);
  tasks_.stop();
  auto joined = co_await tasks_.join();
  NESTGATE_INVARIANT(joined.has_value(), "nobody cancels the stop of the admin server");
}

Task<> AdminServer::serve(TcpSocket socket) {
  struct Place {
    explicit Place(std::uint32_t& taken) : taken_(taken) { ++taken_; }
    ~Place() { --taken_; }
    std::uint32_t& taken_;
  };
  Place const place(connections_);
  Stream stream(std::move(socket));
  beast::flat_buffer buffer(limits_.head_bytes_max);
  auto patience = limits_.head_time_max;
  for (;;) {
    http::request_parser<http::empty_body> parser;
    parser.header_limit(limits_.head_bytes_max);
    stream.expires_after(patience);
    auto [read_ec, n] = co_await http::async_read(stream, buffer, parser, no_throw);
    if (read_ec && is_peers_end(read_ec)) co_return;
    auto const request_id = upstream::random_hex(request_id_bytes);
    if (read_ec) {
      stream.expires_after(limits_.write_time_max);
      auto refusal = refuse_unread(read_ec, request_id);
      refusal.keep_alive(false);
      co_await write(stream, std::move(refusal), request_id, Body::send);
      co_return;
    }
    auto const& request = parser.get();
    auto made = co_await answer(sources_, request, request_id);
    made.response.keep_alive(request.keep_alive());
    auto const body = request.method() == http::verb::head ? Body::leave_out : Body::send;
    error_code write_ec;
    if (made.stream) {
      write_ec = co_await write_stream(stream, std::move(made), request_id, body, limits_.write_time_max);
    } else {
      stream.expires_after(limits_.write_time_max);
      write_ec = co_await write(stream, std::move(made.response), request_id, body);
    }
    if (write_ec || !request.keep_alive()) co_return;
    bool const is_cut = co_await is_cancelled();  // meanwhile: the next read would not hear of it
    if (is_cut) co_return;
    patience = limits_.idle_time_max;
  }
}

}  // namespace nestgate::app
