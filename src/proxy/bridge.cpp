#include "bridge.hpp"

#include <sys/socket.h>

#include <array>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/ssl/error.hpp>
#include <memory>
#include <utility>

#include "nestgate/net/stream_io.hpp"
#include "nestgate/upstream/tls_connect.hpp"

namespace nestgate::proxy {
namespace {

constexpr std::chrono::milliseconds last_words_time{1'000};

// Returns once both have ended.
Task<> both(Task<> one, Task<> other) {
  auto executor = co_await asio::this_coro::executor;
  auto first = asio::co_spawn(executor, quiet(std::move(one)), asio::deferred);
  auto second = asio::co_spawn(executor, quiet(std::move(other)), asio::deferred);
  auto group = asio::experimental::make_parallel_group(std::move(first), std::move(second));
  auto all = asio::experimental::wait_for_all();
  auto [order, first_bug, second_bug] = co_await std::move(group).async_wait(all, asio::deferred);
  if (first_bug) std::rethrow_exception(first_bug);
  if (second_bug) std::rethrow_exception(second_bug);
}

// Whatever ends it closes both sockets, and that ends all of its awaits: no child has to notice a cancel by itself but the
// guard, which always does.
class Bridge {
 public:
  Bridge(TlsStream server, UnixSocket near, BlockPool& blocks, std::shared_ptr<bool> cut_short, OnRefused on_refused)
      : server_(std::move(server)),
        near_(std::move(near)),
        blocks_(blocks),
        cut_short_(std::move(cut_short)),
        on_refused_(std::move(on_refused)),
        last_words_(near_.get_executor()) {}

  Task<> run() { co_await both(carry(), guard()); }

 private:
  Task<> carry();
  Task<> carry_up();
  Task<> carry_down();
  Task<> guard();
  void cut();

  TlsStream server_;
  UnixSocket near_;  // our end of the pair
  BlockPool& blocks_;
  std::shared_ptr<bool> cut_short_;
  OnRefused on_refused_;
  Timer last_words_;
  bool is_open_ = false;    // the handshake is done
  bool was_heard_ = false;  // the other end is closed, and all that it wrote went to the server
  bool is_over_ = false;
  error_code ignored_;
};

void Bridge::cut() {
  is_over_ = true;
  near_.close(ignored_);
  server_.next_layer().close(ignored_);
  last_words_.cancel();
}

// Waits for the other end's close, which the carriers do not see while the server takes nothing.
Task<> Bridge::guard() {
  bool cancelled = co_await is_cancelled();
  if (!cancelled) {
    auto [ec] = co_await near_.async_wait(asio::socket_base::wait_error, no_throw);
    static_cast<void>(ec);  // however it ended
    cancelled = co_await is_cancelled();
  }
  if (!cancelled && is_open_ && !is_over_) {
    last_words_.expires_after(last_words_time);
    auto [ec] = co_await last_words_.async_wait(no_throw);
    static_cast<void>(ec);
  }
  cut();
}

Task<> Bridge::carry() {
  auto [ec] = co_await server_.async_handshake(asio::ssl::stream_base::client, no_throw);
  if (!ec && !is_over_) {
    is_open_ = true;
    write_now(near_.native_handle(), "+");
    co_await both(carry_up(), carry_down());
    if (was_heard_ && !is_over_) {
      auto [untold] = co_await server_.async_shutdown(no_throw);  // its answer is not waited for
      static_cast<void>(untold);
    }
  } else if (ec.category() == asio::error::get_ssl_category()) {
    on_refused_(upstream::why_refused(server_, ec));
  }
  cut();
}

Task<> Bridge::carry_up() {
  ReadBuffer block(blocks_);
  for (;;) {
    auto [ec] = co_await near_.async_wait(asio::socket_base::wait_read, no_throw);
    if (ec) co_return;
    char* const space = block.space(0);
    auto const got = read_now(near_.native_handle(), space, block.space_bytes());
    was_heard_ = got.ec && !got.would_block();  // an end that closed without reading all is a reset
    if (was_heard_) break;
    block.filled(got.bytes);
    auto const unsent = co_await write_all(server_, block.view(), {}, [](std::size_t) {});
    if (unsent) {
      // What the server says yet is still carried down.
      near_.shutdown(asio::socket_base::shutdown_receive, ignored_);
      co_return;
    }
    block.clear();
    block.release();
  }
  // Nobody wants what the server says now. A cancel would not do: a read that has just got something goes on after it.
  server_.next_layer().shutdown(asio::socket_base::shutdown_receive, ignored_);
}

Task<> Bridge::carry_down() {
  ReadBuffer block(blocks_);
  for (;;) {
    char* const space = block.space(0);
    auto [ec, n] = co_await server_.async_read_some(asio::buffer(space, block.space_bytes()), no_throw);
    if (ec) {
      *cut_short_ = ec != asio::error::eof;
      break;
    }
    block.filled(n);
    auto const unsent = co_await write_all(near_, block.view(), {}, [](std::size_t) {});
    if (unsent || was_heard_) break;
    block.clear();
  }
  near_.shutdown(asio::socket_base::shutdown_send, ignored_);
}

Task<> run(std::unique_ptr<Bridge> bridge) {
  if (co_await is_cancelled()) co_return;
  co_await bridge->run();
}

}  // namespace

Result<> put_tls_on(upstream::Connection& connection, upstream::Place const& place, TaskGroup& tasks, BlockPool& blocks,
                    OnRefused on_refused) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return Fault{FaultKind::unavailable, last_error(), "bridge.pair"};
  auto server = upstream::tls_client(std::move(connection.socket), *place.tls, place.host_name());
  UnixSocket near(tasks.executor(), asio::local::stream_protocol(), pair[0]);
  connection.socket = TcpSocket(tasks.executor(), asio::ip::tcp::v4(), pair[1]);
  auto cut_short = std::make_shared<bool>(false);
  connection.cut_short = cut_short;
  tasks.spawn("bridge", run(std::make_unique<Bridge>(std::move(server), std::move(near), blocks, std::move(cut_short),
                                                     std::move(on_refused))));
  return {};
}

}  // namespace nestgate::proxy
