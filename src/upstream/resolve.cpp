#include "nestgate/upstream/resolve.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

namespace nestgate::upstream {
namespace {

using asio::ip::tcp;
using Resolver = asio::ip::basic_resolver<tcp, Executor>;

// Holds what a look-up needs until it ends by itself: a caller whose time is up leaves at once, getaddrinfo does not.
struct LookUp {
  explicit LookUp(Executor executor) : resolver(executor), ended(executor, Clock::time_point::max()) {}
  Resolver resolver;
  Timer ended;
  std::optional<Result<Endpoints>> answer;
};

}  // namespace

Task<Result<Endpoints>> resolve(std::string host, std::uint16_t port) {
  error_code not_numeric;
  auto const address = asio::ip::make_address(host, not_numeric);
  if (!not_numeric) co_return Endpoints{tcp::endpoint(address, port)};

  auto look_up = std::make_shared<LookUp>(co_await asio::this_coro::executor);
  auto on_end = [look_up](error_code ec, Resolver::results_type found) {
    if (ec) {
      look_up->answer.emplace(Fault{FaultKind::upstream, ec, "upstream.resolve"});
    } else {
      Endpoints endpoints;
      for (auto const& entry : found) endpoints.push_back(entry.endpoint());
      look_up->answer.emplace(std::move(endpoints));
    }
    look_up->ended.cancel();
  };
  look_up->resolver.async_resolve(host, std::to_string(port), tcp::resolver::numeric_service, std::move(on_end));
  auto const woken = co_await until_woken(look_up->ended);
  if (!look_up->answer) {
    look_up->resolver.cancel();
    co_return Fault{FaultKind::cancelled, woken.error().cause, "upstream.resolve"};
  }
  co_return std::move(*look_up->answer);
}

asio::ip::tcp::endpoint const& preferred(Endpoints const& found) {
  auto const v4 = std::find_if(found.begin(), found.end(), [](auto const& at) { return at.address().is_v4(); });
  return v4 == found.end() ? found.front() : *v4;
}

}  // namespace nestgate::upstream
