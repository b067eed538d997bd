#include "nestgate/nested/bash_events.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "support/control.hpp"

namespace nestgate::nested {
namespace {

using test::Control;
using testing::ElementsAre;

constexpr std::string_view goes_on = R"({"kind":"BashOutput","command_id":"a","exit_code":null})";
constexpr std::string_view is_over = R"({"kind":"BashOutput","command_id":"a","exit_code":0})";

// Takes one client, tells it these events, and then listens until it has left.
class EventServer {
 public:
  explicit EventServer(Control& control)
      : acceptor_(control.executor(), asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {}
  upstream::Place place() const { return upstream::Place(acceptor_.local_endpoint()); }
  void tell(std::vector<std::string_view> events) {
    asio::co_spawn(acceptor_.get_executor(), quiet(serve(std::move(events))), [](std::exception_ptr bug) {
      if (bug) std::rethrow_exception(bug);
    });
  }
  std::string const& greeting() const { return greeting_; }

 private:
  Task<> serve(std::vector<std::string_view> events) {
    auto [ec, socket] = co_await acceptor_.async_accept(no_throw);
    boost::beast::websocket::stream<TcpSocket> stream(std::move(socket));
    co_await stream.async_accept(no_throw);
    boost::beast::flat_buffer message;
    co_await stream.async_read(message, no_throw);
    greeting_.assign(static_cast<char const*>(message.cdata().data()), message.size());
    for (auto const event : events) co_await stream.async_write(asio::buffer(event), no_throw);
    co_await stream.async_read(message, no_throw);
  }

  TcpAcceptor acceptor_;
  std::string greeting_;
};

struct BashEvents : testing::Test {
  // Whoever follows hears of it in `listeners`, and can be cut by `cut`.
  void follow() {
    auto on_end = [this](std::exception_ptr bug, upstream::Failure why) {
      if (bug) std::rethrow_exception(bug);
      ended_by = why;
    };
    asio::co_spawn(control.executor(), whole(follow_bash_events(server.place(), Secret("the-key"), listeners)),
                   asio::bind_cancellation_slot(cut.slot(), on_end));
  }
  static Task<upstream::Failure> whole(Task<upstream::Failure> work) {
    co_await asio::this_coro::throw_if_cancelled(false);
    co_return co_await std::move(work);
  }
  void be_cut() { cut.emit(asio::cancellation_type::terminal); }
  bool has_ended() const { return ended_by.has_value(); }

  Control control;
  EventServer server{control};
  asio::cancellation_signal cut;
  std::optional<upstream::Failure> ended_by;
  std::vector<std::string> heard;
  BashEventListeners listeners{[] {}, [this](std::string_view id) { heard.emplace_back(id); }};
};

TEST_F(BashEvents, TellWhichCommandsHaveEnded) {
  server.tell({goes_on, is_over, "no JSON", is_over});
  follow();
  control.run_until([this] { return heard.size() == 2; });
  EXPECT_THAT(heard, ElementsAre("a", "a"));
  EXPECT_EQ(server.greeting(), R"({"type":"auth","session_api_key":"the-key"})");
  EXPECT_FALSE(has_ended());
  be_cut();
  control.run_until([this] { return has_ended(); });
}

// Whoever is cut while an event is being told waits for none of the next ones: the server would not tell any.
TEST_F(BashEvents, EndWhenTheyAreCutBetweenTwoOfThem) {
  server.tell({is_over});
  listeners.ended = [this](std::string_view) { be_cut(); };
  follow();
  control.run_until([this] { return has_ended(); });
}

TEST_F(BashEvents, EndWhenTheyAreCutBeforeTheFirst) {
  server.tell({});
  listeners.open = [this] { be_cut(); };
  follow();
  control.run_until([this] { return has_ended(); });
}

TEST_F(BashEvents, EndWhenTheyAreCutBeforeTheyStand) {
  server.tell({});
  follow();
  be_cut();
  control.run_until([this] { return has_ended(); });
}

}  // namespace
}  // namespace nestgate::nested
