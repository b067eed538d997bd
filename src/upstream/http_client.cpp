#include "nestgate/upstream/http_client.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/basic_resolver.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <memory>
#include <utility>

#include "nestgate/base/invariant.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/upstream/public_address.hpp"
#include "nestgate/upstream/resolve.hpp"
#include "nestgate/upstream/target.hpp"
#include "nestgate/upstream/tls_connect.hpp"

namespace nestgate::upstream {
namespace {

namespace beast = boost::beast;
using asio::ip::tcp;

constexpr std::uint32_t answer_head_bytes_max = 64 * 1024;
constexpr std::size_t read_bytes = 16 * 1024;
constexpr std::size_t write_bytes_max = 256 * 1024;  // in one call of the kernel; Asio alone gives it 64 KiB

// A cancel that comes while an operation's answer waits to be read is told by nothing else: it is asked for before each
// operation that a silent peer could make endless.
Task<Result<>> not_cancelled(std::string_view where) {
  bool const is_cut = co_await is_cancelled();
  if (is_cut) co_return Fault{FaultKind::cancelled, {}, where};
  co_return Result<>{};
}

// A stream that only listens learns by nothing else that its peer's machine is gone.
void find_silent_death(TcpSocket& socket) {
  int const idle_s = 30, pause_s = 10, tries = 3;
  error_code ignored;
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  socket.set_option(asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>(idle_s), ignored);
  socket.set_option(asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPINTVL>(pause_s), ignored);
  socket.set_option(asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPCNT>(tries), ignored);
}

Task<Result<Endpoints>> addresses_of(Call const& call) {
  if (call.at) co_return Endpoints{*call.at};
  co_return co_await resolve(call.url.host, call.url.port);
}

Task<Result<TcpSocket>> connect(Call const& call) {
  NESTGATE_CO_TRY(found, co_await addresses_of(call));
  if (call.reach == Reach::public_only)
    std::erase_if(found, [](tcp::endpoint const& at) { return !is_public(at.address()); });
  if (found.empty()) co_return Fault{FaultKind::forbidden, {}, "upstream.address"};
  TcpSocket socket(co_await asio::this_coro::executor);
  NESTGATE_CO_TRY_VOID(co_await not_cancelled("upstream.connect"));
  auto [ec, at] = co_await asio::async_connect(socket, found, no_throw);
  if (ec) co_return Fault{FaultKind::upstream, ec, "upstream.connect"};
  socket.set_option(tcp::no_delay(true), ec);  // a peer that left already is met by the write
  find_silent_death(socket);
  co_return std::move(socket);
}

// The form of RFC 9110, 5.6.7 that is to be sent.
std::optional<std::chrono::sys_seconds> parse_http_date(std::string const& text) {
  std::tm parts{};
  auto const* const end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || end != text.c_str() + text.size()) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts)));
}

// Seconds, or a moment: one that is over is no wait.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view text, std::chrono::seconds longest) {
  std::chrono::seconds::rep count = 0;
  auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (ec == std::errc{} && end == text.data() + text.size() && count >= 0)
    return std::min(std::chrono::seconds(count), longest);
  auto const at = parse_http_date(std::string(text));
  if (!at) return std::nullopt;
  auto const now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return std::clamp(*at - now, std::chrono::seconds(0), longest);
}

// Written in one go into room that suffices, so that no second copy of a secret field is left behind.
Secret head_of(Call const& call) {
  std::string const host = call.url.authority();
  std::string length;
  if (call.method != "GET" && call.method != "HEAD") {
    std::size_t bytes = 0;
    for (auto const piece : call.body) bytes += piece.size();
    length = std::to_string(bytes);
  }
  std::size_t room = 128 + call.method.size() + call.url.path.size() + call.url.query.size() + host.size() +
                     call.content_type.size() + length.size();
  for (auto const& [name, value] : call.headers) room += name.size() + value.size() + 4;
  for (auto const& [name, value] : call.secret_headers) room += name.size() + value.size() + 4;

  std::string head;
  head.reserve(room);
  auto const field = [&head](std::string_view name, std::string_view value) {
    head.append(name).append(": ").append(value).append("\r\n");
  };
  head.append(call.method).append(" ").append(call.url.path.empty() ? "/" : call.url.path);
  if (!call.url.query.empty()) head.append("?").append(call.url.query);
  head.append(" HTTP/1.1\r\n");
  field("Host", host);
  if (!call.kept) field("Connection", "close");
  field("Accept", "*/*");
  if (!call.content_type.empty()) field("Content-Type", call.content_type);
  if (!length.empty()) field("Content-Length", length);
  for (auto const& [name, value] : call.headers) field(name, value);
  for (auto const& [name, value] : call.secret_headers) field(name, value.reveal());
  head.append("\r\n");
  NESTGATE_INVARIANT(head.size() <= room, "the room was counted from what is written");
  return Secret(std::move(head));
}

using Parser = beast::http::response_parser<beast::http::buffer_body>;

Fault read_fault(error_code ec) {
  auto const kind = ec == asio::error::operation_aborted ? FaultKind::cancelled : FaultKind::upstream;
  return Fault{kind, ec, "upstream.read"};
}

// Reads what there is; the parser gets to know the end.
template <class Stream>
Task<Result<>> read_more(Stream& stream, beast::flat_buffer& buffer, Parser& parser) {
  NESTGATE_CO_TRY_VOID(co_await not_cancelled("upstream.read"));
  auto [ec, size] = co_await stream.async_read_some(buffer.prepare(read_bytes), no_throw);
  buffer.commit(size);
  if (ec == asio::error::eof && parser.got_some()) parser.put_eof(ec);
  if (ec) co_return read_fault(ec);
  co_return Result<>{};
}

// Parses the next of what was read; need_more when it is not there yet.
error_code parse_some(beast::flat_buffer& buffer, Parser& parser) {
  error_code ec = beast::http::error::need_more;
  if (buffer.size() > 0) buffer.consume(parser.put(buffer.data(), ec));
  return ec;
}

template <class Stream>
Task<Result<>> read_head(Stream& stream, beast::flat_buffer& buffer, Parser& parser) {
  while (!parser.is_header_done()) {
    auto const ec = parse_some(buffer, parser);
    if (ec && ec != beast::http::error::need_more) co_return read_fault(ec);
    if (ec) NESTGATE_CO_TRY_VOID(co_await read_more(stream, buffer, parser));
  }
  co_return Result<>{};
}

// Hands each piece of the body to `take` as it comes, until it says false. The parser is not eager: it would keep a piece
// that is there until the next chunk comes.
template <class Stream, class Take>
Task<Result<>> read_body(Stream& stream, beast::flat_buffer& buffer, Parser& parser, Take take) {
  std::array<char, read_bytes> room;
  while (!parser.is_done()) {
    auto& body = parser.get().body();
    body.data = room.data();
    body.size = room.size();
    auto const ec = parse_some(buffer, parser);
    std::string_view const piece(room.data(), room.size() - body.size);
    if (!piece.empty() && !take(piece)) co_return Fault{FaultKind::cancelled, {}, "upstream.read"};
    if (ec == beast::http::error::need_buffer || !ec) continue;
    if (ec != beast::http::error::need_more) co_return read_fault(ec);
    NESTGATE_CO_TRY_VOID(co_await read_more(stream, buffer, parser));
  }
  co_return Result<>{};
}

template <class Stream>
Task<Result<Answer>> exchange(Stream& stream, Call& call) {
  Secret const head = head_of(call);
  std::vector<asio::const_buffer> request{asio::buffer(head.reveal())};
  for (auto const piece : call.body) request.push_back(asio::buffer(piece));
  NESTGATE_CO_TRY_VOID(co_await not_cancelled("upstream.write"));
  auto const all_at_once = [](error_code ec, std::size_t) { return ec ? std::size_t{0} : write_bytes_max; };
  auto [write_ec, written] = co_await asio::async_write(stream, request, all_at_once, no_throw);
  // A server may answer and close before it has read the whole request: what it said is worth more than the fault.
  if (write_ec == asio::error::operation_aborted) co_return Fault{FaultKind::cancelled, write_ec, "upstream.write"};

  Parser parser;
  parser.header_limit(answer_head_bytes_max);
  parser.body_limit(boost::none);
  if (call.method == "HEAD") parser.skip(true);
  beast::flat_buffer buffer;
  if (auto const head_read = co_await read_head(stream, buffer, parser); !head_read) {
    auto fault = head_read.error();
    if (write_ec && fault.kind == FaultKind::upstream) fault.cause = write_ec;
    co_return fault;
  }

  Answer answer;
  answer.status = parser.get().result_int();
  auto const type = parser.get()[beast::http::field::content_type];
  answer.content_type.assign(type.data(), type.size());
  auto const wait = parser.get()[beast::http::field::retry_after];
  answer.retry_after = parse_retry_after({wait.data(), wait.size()}, call.retry_after_max);
  if (call.on_piece && answer.ok()) {
    if (!call.on_piece({})) co_return Fault{FaultKind::cancelled, {}, "upstream.read"};
    NESTGATE_CO_TRY_VOID(co_await read_body(stream, buffer, parser, call.on_piece));
    co_return answer;
  }
  if (parser.content_length_remaining().value_or(0) > call.answer_bytes_max)
    co_return Fault{FaultKind::too_large, {}, "upstream.read"};
  auto const keep = [&answer, &call](std::string_view piece) {
    answer.body.append(piece.substr(0, call.answer_bytes_max + 1 - answer.body.size()));
    return answer.body.size() <= call.answer_bytes_max;
  };
  auto const whole = co_await read_body(stream, buffer, parser, keep);
  if (answer.body.size() > call.answer_bytes_max) co_return Fault{FaultKind::too_large, {}, "upstream.read"};
  if (!whole) co_return whole.error();
  answer.stays_open = !write_ec && parser.keep_alive() && buffer.size() == 0;
  co_return answer;
}

Task<Result<Answer>> call_over_tls(TcpSocket socket, Call& call) {
  auto const tls = call.tls ? call.tls : systems_authorities();
  auto stream = tls_client(std::move(socket), *tls, call.url.host);
  NESTGATE_CO_TRY_VOID(co_await not_cancelled("upstream.tls"));
  auto [ec] = co_await stream.async_handshake(asio::ssl::stream_base::client, no_throw);
  if (ec) co_return Fault{FaultKind::upstream, ec, "upstream.tls"};
  co_return co_await exchange(stream, call);
}

Task<Result<Answer>> call_over_unix(Call& call) {
  if (call.unix_socket.size() >= sizeof(sockaddr_un::sun_path)) co_return Fault{FaultKind::bad_input, {}, "upstream.path"};
  UnixSocket socket(co_await asio::this_coro::executor);
  asio::local::stream_protocol::endpoint const at(call.unix_socket);
  auto [ec] = co_await socket.async_connect(at, no_throw);
  if (ec) co_return Fault{FaultKind::upstream, ec, "upstream.connect"};
  co_return co_await exchange(socket, call);
}

Task<Result<Answer>> call_over_kept(Call& call) {
  auto socket = call.kept->take();
  if (!socket) {
    NESTGATE_CO_TRY(fresh, co_await connect(call));
    socket.emplace(std::move(fresh));
  }
  auto answer = co_await exchange(*socket, call);
  if (answer && answer->stays_open) call.kept->put(*std::move(socket));
  co_return answer;
}

Task<Result<Answer>> call_once(Call call) {
  if (!call.unix_socket.empty()) co_return co_await call_over_unix(call);
  if (call.kept && call.url.scheme == "http") co_return co_await call_over_kept(call);
  NESTGATE_CO_TRY(socket, co_await connect(call));
  if (call.url.scheme == "https") co_return co_await call_over_tls(std::move(socket), call);
  co_return co_await exchange(socket, call);
}

}  // namespace

std::optional<TcpSocket> KeptConnections::take() {
  close_idle();
  while (!idle_.empty()) {
    auto socket = std::move(idle_.back().socket);
    idle_.pop_back();
    if (!peer_has_ended(socket)) return socket;
  }
  return std::nullopt;
}

void KeptConnections::put(TcpSocket socket) {
  if (idle_.size() < count_max_) idle_.push_back({std::move(socket), Clock::now()});
}

void KeptConnections::close_idle() {
  auto const oldest = Clock::now() - idle_max_;
  std::erase_if(idle_, [oldest](Idle const& one) { return one.since <= oldest; });
}

Url url_of(Place const& place) {
  Url url;
  url.scheme = place.tls ? "https" : "http";
  url.host = place.authority.empty() ? place.at.address().to_string() : place.host_name();
  url.port = place.port();
  return url;
}

Place place_of(Url const& url, tcp::endpoint const& at, std::shared_ptr<ClientTls const> const& trusted, Naming naming) {
  if (url.scheme == "https") return Place(at, url.authority(), trusted ? trusted : systems_authorities());
  return Place(at, naming == Naming::always ? url.authority() : std::string(), nullptr);
}

Call call_to(Place const& place, std::string_view path, std::string_view query) {
  Call call;
  call.url = url_of(place).at(path, query);
  call.at = place.at;
  call.tls = place.tls;
  return call;
}

Task<Result<Answer>> call(Call request, Deadline by) { co_return co_await with_deadline(by, call_once(std::move(request))); }

}  // namespace nestgate::upstream
