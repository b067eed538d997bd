#include "nestgate/net/accept.hpp"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

namespace nestgate {
namespace {

// Answers at once, by a script; then it is closed.
struct ScriptedAcceptor {
  using Answer = std::tuple<error_code, int>;
  template <class Token>
  Task<Answer> async_accept(Token) {
    if (at == script.size()) open = false;
    Answer answer(asio::error::operation_aborted, 0);
    if (open) answer = script[at++];
    co_return answer;
  }
  bool is_open() const { return open; }

  std::vector<Answer> script;
  std::size_t at = 0;
  bool open = true;
};

struct Accepting {
  explicit Accepting(std::vector<ScriptedAcceptor::Answer> script) : acceptor{std::move(script)} {
    group.spawn("accept", accept_forever(acceptor, [this](int client) { served.push_back(client); }));
  }
  asio::io_context loop{1};
  TaskGroup group{loop.get_executor()};
  ScriptedAcceptor acceptor;
  std::vector<int> served;
};

TEST(AcceptForever, ServesEachConnectionUntilTheAcceptorIsClosed) {
  Accepting at({{error_code{}, 1}, {error_code{}, 2}});
  at.loop.run();
  EXPECT_EQ(at.served, (std::vector{1, 2}));
}

TEST(AcceptForever, PausesAfterAnyFailureAndGoesOn) {
  for (auto const failure : {boost::system::errc::too_many_files_open, boost::system::errc::too_many_files_open_in_system,
                             boost::system::errc::no_buffer_space, boost::system::errc::operation_not_permitted}) {
    Accepting at({{make_error_code(failure), 0}, {error_code{}, 7}});
    at.loop.poll();  // what can be done without waiting
    EXPECT_EQ(at.acceptor.at, 1u) << failure;
    at.loop.run();
    EXPECT_EQ(at.served, std::vector{7}) << failure;
  }
}

TEST(AcceptForever, EndsWhenItIsCancelledInItsPause) {
  Accepting at({{make_error_code(boost::system::errc::too_many_files_open_in_system), 0}, {error_code{}, 7}});
  at.loop.poll();
  at.group.stop();
  at.loop.run();
  EXPECT_TRUE(at.served.empty());
}

}  // namespace
}  // namespace nestgate
