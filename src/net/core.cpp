#include "nestgate/net/core.hpp"

#include <boost/asio/bind_executor.hpp>
#include <memory>

namespace nestgate {
namespace {

// On the caller's core.
struct Gathering {
  Gathering(Executor executor, std::size_t count) : left(count), all_ended(executor, Clock::time_point::max()) {}
  std::size_t left;
  Timer all_ended;
  std::exception_ptr bug;
};

}  // namespace

Task<> call_on_each(std::vector<std::pair<Core*, Task<>>> work) {
  Executor const executor = co_await asio::this_coro::executor;
  auto const gathering = std::make_shared<Gathering>(executor, work.size());
  for (auto& [core, task] : work) {
    auto on_end = [gathering](std::exception_ptr bug) {
      if (bug) gathering->bug = bug;
      if (--gathering->left == 0) gathering->all_ended.cancel();
    };
    asio::co_spawn(core->loop.get_executor(), quiet(std::move(task)), asio::bind_executor(executor, std::move(on_end)));
  }
  // A cancel of the caller ends a wait, not the work.
  while (gathering->left != 0) co_await gathering->all_ended.async_wait(no_throw);
  if (gathering->bug) std::rethrow_exception(gathering->bug);
}

}  // namespace nestgate
