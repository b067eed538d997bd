#include "run_blocking.hpp"

#include "nestgate/net/task_group.hpp"

namespace nestgate::store {

Outcome<> run_blocking(Task<> work) {
  asio::io_context loop{1};
  std::exception_ptr thrown;
  auto const keep = [&thrown](std::exception_ptr bug) { thrown = std::move(bug); };
  asio::co_spawn(loop.get_executor(), quiet(std::move(work)), keep);
  loop.run();
  try {
    if (thrown) std::rethrow_exception(thrown);
    return Outcome<>{};
  } catch (Unusable const& unusable) {
    return unusable.failure;
  }
}

}  // namespace nestgate::store
