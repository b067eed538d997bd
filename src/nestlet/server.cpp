#include "nestlet/server.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

namespace nestgate::nestlet {
namespace {

constexpr auto accept_retry_delay = std::chrono::milliseconds(50);  // out of descriptors: some will be closed

struct HostPort {
  asio::ip::address address;
  std::uint16_t port;
};

// "127.0.0.1:80" or "[::1]:80": numeric only, for a static program has no resolver.
std::optional<HostPort> parse_address(std::string_view text) {
  auto const colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  auto host = text.substr(0, colon);
  auto const digits = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::uint16_t port = 0;
  auto const [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (fault != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  error_code ec;
  auto const address = asio::ip::make_address(std::string(host), ec);
  if (ec) return std::nullopt;
  return HostPort{address, port};
}

std::string text_of(asio::ip::tcp::endpoint const& at) {
  auto const host = at.address().to_string();
  return (at.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(at.port());
}

// A socket file that nobody listens at: its server was killed. Anything else at `path` is none.
bool is_stale_socket(std::string const& path) {
  struct stat about{};
  if (::lstat(path.c_str(), &about) != 0 || !S_ISSOCK(about.st_mode)) return false;
  Fd const probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  asio::local::stream_protocol::endpoint const at(path);
  return probe && ::connect(probe.get(), at.data(), static_cast<socklen_t>(at.size())) != 0 && errno == ECONNREFUSED;
}

void no_delay(asio::basic_stream_socket<asio::ip::tcp, Executor>& socket) {
  error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
}
void no_delay(asio::basic_stream_socket<asio::local::stream_protocol, Executor>&) {}

}  // namespace

Server::Server(Executor executor, Settings settings, SessionKeys keys, Boot boot, std::vector<std::string> environment,
               ProcessGroups& groups)
    : app_(executor, std::move(settings), std::move(keys), std::move(boot), std::move(environment), groups),
      doors_(executor),
      clients_(executor) {}

boost::system::result<std::vector<std::string>, Server::ListenFault> Server::open() {
  constexpr std::string_view local_prefix = "unix:";
  std::vector<std::string> bound;
  for (std::string_view const text : app_.settings.listen) {
    bool const local = text.starts_with(local_prefix);
    auto const opened = local ? open_local(text.substr(local_prefix.size())) : open_tcp(text);
    if (opened) {
      bound.push_back(*opened);
      continue;
    }
    auto const why = opened.error().kind == FaultKind::bad_input
                         ? std::string("not a numeric address with a port, as 127.0.0.1:8000, [::1]:0 or unix:/path")
                         : opened.error().cause.message();
    doors_.stop();
    return ListenFault{opened.error().kind, "--listen: \"" + std::string(text) + "\": " + why};
  }
  return bound;
}

Result<std::string> Server::open_tcp(std::string_view text) {
  auto const at = parse_address(text);
  if (!at) return Fault{FaultKind::bad_input, {}, "server.listen"};
  auto const door = std::make_shared<TcpAcceptor>(app_.executor);
  asio::ip::tcp::endpoint const endpoint(at->address, at->port);
  error_code ec;
  door->open(endpoint.protocol(), ec);
  if (!ec) door->set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) door->bind(endpoint, ec);
  if (!ec) door->listen(asio::socket_base::max_listen_connections, ec);
  if (ec) return Fault{FaultKind::unavailable, ec, "server.listen"};
  doors_.spawn(accept(door));
  return text_of(door->local_endpoint());
}

Result<std::string> Server::open_local(std::string_view path) {
  auto const door = std::make_shared<LocalAcceptor>(app_.executor);
  constexpr std::size_t path_max = 107;  // sockaddr_un
  if (path.empty() || path.size() > path_max) return Fault{FaultKind::bad_input, {}, "server.listen"};
  error_code ec;
  door->open(asio::local::stream_protocol(), ec);
  if (!ec && is_stale_socket(std::string(path))) ::unlink(std::string(path).c_str());
  if (!ec) door->bind(asio::local::stream_protocol::endpoint(path), ec);
  if (!ec) door->listen(asio::socket_base::max_listen_connections, ec);
  if (ec) return Fault{FaultKind::unavailable, ec, "server.listen"};
  local_paths_.emplace_back(path);
  doors_.spawn(accept(door));
  return "unix:" + std::string(path);
}

template <class Acceptor>
Task<> Server::accept(std::shared_ptr<Acceptor> door) {
  for (;;) {
    auto [ec, socket] = co_await door->async_accept(no_throw);
    if (told_to_stop(co_await asio::this_coro::cancellation_state)) co_return;
    if (ec) {
      Timer pause(app_.executor, accept_retry_delay);
      co_await pause.async_wait(no_throw);
      continue;
    }
    no_delay(socket);
    connections_.emplace_back(std::move(socket));
    clients_.spawn(serve(std::prev(connections_.end())));
  }
}

Task<> Server::serve(std::list<Connection>::iterator connection) {
  co_await serve_connection(app_, connection->stream, connection->state);
  connections_.erase(connection);
}

Task<> Server::stop() {
  app_.stopping = true;
  doors_.stop();
  co_await doors_.join();
  for (auto const& path : local_paths_) ::unlink(path.c_str());
  app_.sockets.close(shutting_down);
  for (auto& connection : connections_) {
    if (connection.state == ConnectionState::idle) connection.stream.cancel();
  }
  co_await clients_.join_by(Deadline::in(std::chrono::seconds(app_.settings.limits.stop_grace_seconds)));
  co_await app_.conversations.shut_down();
  co_await app_.commands.shut_down();  // who waits for a command gets its answer now
  constexpr auto last_answers = std::chrono::seconds(1);
  co_await app_.webhooks.shut_down(Deadline::in(last_answers));  // that conversations are paused is said there, too
  co_await clients_.join_by(Deadline::in(last_answers));
  for (auto& connection : connections_) connection.stream.close();
  clients_.stop();
  co_await clients_.join();
}

}  // namespace nestgate::nestlet
