#include "nestlet/connection.hpp"

#include <unistd.h>

#include <array>
#include <stdexcept>

#include "nestgate/codec/json_writer.hpp"
#include "nestlet/outbox.hpp"
#include "nestlet/request.hpp"
#include "nestlet/routes.hpp"
#include "nestlet/web_socket.hpp"

namespace nestgate::nestlet {
namespace {

constexpr std::size_t file_chunk_bytes = 128 * 1024;
constexpr auto linger_max = std::chrono::seconds(2);
constexpr std::size_t linger_bytes_max = 1024 * 1024;
constexpr auto sse_keep_alive = std::chrono::seconds(15);

enum class Keep : bool { no, yes };
enum class Body : bool { left_out, sent };  // left out: the answer to a HEAD

bool may_enter(App const& app, Access access, Request const& request) {
  switch (access) {
    case Access::open: return true;
    case Access::session:
    case Access::action: return app.keys.accept(request.session_key());
    case Access::session_or_bearer: {
      if (!request.session_key().empty()) return app.keys.accept(request.session_key());
      auto const bearer = request.header(http::field::authorization);
      constexpr std::string_view scheme = "Bearer ";
      return app.keys.accept(bearer.starts_with(scheme) ? bearer.substr(scheme.size()) : std::string_view{});
    }
  }
  return false;
}

Refusal no_entry(Access access) {
  return access == Access::action ? refuse(403, "Invalid API Key") : refuse(401, "Unauthorized");
}

Answer internal_error(std::exception const& bug) {
  Answer answer(500, {});
  codec::JsonWriter(std::get<std::string>(answer.body))
      .begin_object()
      .member("detail", "Internal Server Error")
      .member("exception", bug.what())
      .member("error_id", new_id())
      .end_object();
  return answer;
}

Task<Answer> call(App& app, Request& request) {
  static std::array const tables = all_routes();
  if (!request.path_valid()) co_return refuse(400, "The path is not a valid URL path");
  auto const found = find_route(tables, request.method(), request.path());
  if (std::holds_alternative<NoSuchPath>(found)) co_return not_found();
  if (auto const* wrong = std::get_if<WrongMethod>(&found)) {
    Answer answer = refuse(405, "Method Not Allowed");
    answer.fields.emplace_back("allow", wrong->allow);
    co_return answer;
  }
  auto const& match = std::get<Match>(found);
  if (!may_enter(app, match.route->access, request)) co_return no_entry(match.route->access);
  bool const is_dormant = app.init_state == InitState::dormant;
  if (is_dormant && match.route->access != Access::open) co_return refuse(503, "The server waits for its configuration");
  request.parameters.assign(match.parameters.begin(), match.parameters.end());
  try {
    co_return co_await match.route->handle(app, request);
  } catch (std::exception const& bug) {
    co_return internal_error(bug);  // one request's bug is not worth the conversations of all
  }
}

std::string head_of(Answer const& answer, Keep keep) {
  std::string head = "HTTP/1.1 " + std::to_string(answer.status) + " ";
  head.append(reason(answer.status)).append("\r\nserver: nestlet\r\ndate: ");
  head += http_date(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
  if (auto const* text = std::get_if<std::string>(&answer.body)) {
    if (answer.status != 204) head += "\r\ncontent-length: " + std::to_string(text->size());
  } else if (auto const* slice = std::get_if<FileSlice>(&answer.body)) {
    head += "\r\ncontent-length: " + std::to_string(slice->length);
  } else {
    head += "\r\ncache-control: no-cache\r\ntransfer-encoding: chunked";
  }
  if (answer.status != 204) head += "\r\ncontent-type: " + answer.content_type;
  for (auto const& [name, value] : answer.fields) head.append("\r\n").append(name).append(": ").append(value);
  if (keep == Keep::no) head += "\r\nconnection: close";
  head += "\r\n\r\n";
  return head;
}

// Writes all of `text`, which must live until then.
Task<error_code> write(App& app, Stream& stream, std::string_view text) {
  while (!text.empty()) {
    stream.expires_after(std::chrono::seconds(app.settings.limits.progress_seconds));
    auto [ec, n] = co_await stream.async_write_some(asio::buffer(text), no_throw);
    if (ec) co_return ec;
    text.remove_prefix(n);
  }
  co_return error_code{};
}

// In constant memory. The reads block: they are of local files, a chunk at a time.
Task<error_code> write_file(App& app, Stream& stream, FileSlice slice) {
  std::string chunk(static_cast<std::size_t>(std::min<std::uint64_t>(file_chunk_bytes, slice.length)), '\0');
  while (slice.length > 0) {
    auto const want = static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), slice.length));
    auto const n = ::pread(slice.file.get(), chunk.data(), want, static_cast<off_t>(slice.offset));
    if (n <= 0) co_return asio::error::eof;  // it has shrunk: the length is promised, so only closing tells the truth
    auto const ec = co_await write(app, stream, std::string_view(chunk).substr(0, static_cast<std::size_t>(n)));
    if (ec) co_return ec;
    slice.offset += static_cast<std::uint64_t>(n);
    slice.length -= static_cast<std::uint64_t>(n);
  }
  co_return error_code{};
}

std::string chunk_of(std::string_view data) {
  std::array<char, 24> size;
  auto const n = std::snprintf(size.data(), size.size(), "%zx\r\n", data.size());
  return std::string(size.data(), static_cast<std::size_t>(n)).append(data).append("\r\n");
}

Task<error_code> write_events(App& app, Stream& stream, Outbox& events) {
  while (!events.ended()) {
    auto const next = co_await events.next(Deadline::in(sse_keep_alive));
    if (events.ended()) break;
    auto const chunk = chunk_of(next.frame ? "data: " + *next.frame + "\n\n" : ": keep-alive\n\n");
    auto const ec = co_await write(app, stream, chunk);
    if (ec) co_return ec;
  }
  co_return co_await write(app, stream, "0\r\n\r\n");
}

// A small body goes with its head in one segment.
Task<error_code> write_answer(App& app, Stream& stream, Answer answer, Keep keep, Body body) {
  auto const head = head_of(answer, keep);
  if (body == Body::left_out) co_return co_await write(app, stream, head);
  if (auto const* text = std::get_if<std::string>(&answer.body)) {
    if (text->size() <= file_chunk_bytes) co_return co_await write(app, stream, head + *text);
    auto const ec = co_await write(app, stream, head);
    if (ec) co_return ec;
    co_return co_await write(app, stream, *text);
  }
  auto const ec = co_await write(app, stream, head);
  if (ec) co_return ec;
  if (auto* slice = std::get_if<FileSlice>(&answer.body)) co_return co_await write_file(app, stream, std::move(*slice));
  co_return co_await write_events(app, stream, *std::get<EventStream>(answer.body).events);
}

// Closing while bytes of a refused body are still coming in would reset the connection, and the client would never see
// the answer (RFC 9112 section 9.6).
Task<> linger(Stream& stream) {
  error_code ignored;
  stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
  std::array<char, 16 * 1024> sink;
  stream.expires_after(linger_max);
  for (std::size_t total = 0; total < linger_bytes_max;) {
    auto [ec, n] = co_await stream.async_read_some(asio::buffer(sink), no_throw);
    if (ec) break;
    total += n;
  }
}

// As http::async_read_header, but for what Beast's fields cannot hold: a value of 64 KiB throws out of the operation there,
// which would end the process.
Task<error_code> read_head(Stream& stream, beast::flat_buffer& buffer, RequestParser& parser) {
  constexpr std::size_t read_bytes = 16 * 1024;
  for (;;) {
    error_code ec;
    if (buffer.size() > 0) {
      try {
        buffer.consume(parser.put(buffer.data(), ec));
      } catch (std::length_error const&) {
        co_return http::error::header_limit;
      }
      if (ec && ec != http::error::need_more) co_return ec;
      if (parser.is_header_done()) co_return error_code{};
    }
    auto [read_ec, n] = co_await stream.async_read_some(buffer.prepare(read_bytes), no_throw);
    if (read_ec) co_return read_ec;
    buffer.commit(n);
  }
}

Answer head_refusal(error_code ec) {
  if (ec == http::error::header_limit) return refuse(431, "The request head is too large");
  return refuse(400, "Invalid HTTP request received.");
}

// RFC 9112 section 3.2.
bool names_its_host(RequestParser const& parser) {
  auto const hosts = parser.get().count(http::field::host);
  return hosts == 1 || (hosts == 0 && parser.get().version() < 11);
}

bool is_parse_error(error_code ec) { return ec.category() == http::make_error_code(http::error::bad_method).category(); }

}  // namespace

Task<> serve_connection(App& app, Stream& stream, ConnectionState& state) {
  beast::flat_buffer buffer;
  auto const& limits = app.settings.limits;
  while (!app.stopping) {
    RequestParser parser;
    parser.header_limit(static_cast<std::uint32_t>(limits.head_bytes_max));
    parser.body_limit(boost::none);
    state = ConnectionState::idle;
    stream.expires_after(std::chrono::seconds(limits.keep_alive_seconds));
    auto ec = co_await read_head(stream, buffer, parser);
    state = ConnectionState::busy;
    if (!ec && !names_its_host(parser)) ec = http::error::bad_field;
    if (ec) {
      if (!is_parse_error(ec)) co_return;
      co_await write_answer(app, stream, head_refusal(ec), Keep::no, Body::sent);
      co_await linger(stream);
      co_return;
    }
    stream.expires_never();
    Request request(stream, buffer, parser, limits);
    if (beast::websocket::is_upgrade(parser.get())) {
      co_await serve_web_socket(app, stream, parser, request);
      co_return;
    }
    auto answer = co_await call(app, request);
    auto const body = parser.get().method() == http::verb::head ? Body::left_out : Body::sent;
    bool const keep = parser.get().keep_alive() && request.body_read() && !app.stopping;
    auto const failed = co_await write_answer(app, stream, std::move(answer), keep ? Keep::yes : Keep::no, body);
    if (failed) co_return;
    if (keep) continue;
    co_await linger(stream);
    co_return;
  }
}

}  // namespace nestgate::nestlet
