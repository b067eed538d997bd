#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "nestgate/net/task_group.hpp"
#include "nestgate/upstream/failure.hpp"

namespace nestgate::conversation {

template <class Answer>
struct Promise {
  explicit Promise(Executor executor) : kept(executor, Clock::time_point::max()) {}
  std::optional<Answer> answer;
  Timer kept;  // cancelled once there is an answer
};

template <class Answer>
Task<> keep(std::shared_ptr<Promise<Answer>> promise, Task<Answer> work) {
  promise->answer.emplace(co_await std::move(work));
  promise->kept.cancel();
}

// Does `work` as a task of `group`, so that it goes on when whoever asked for it is cancelled: they get the fault cancelled.
// `Answer` is an Outcome.
template <class Answer>
Task<Answer> promised(TaskGroup& group, std::string_view name, Task<Answer> work) {
  auto const promise = std::make_shared<Promise<Answer>>(group.executor());
  group.spawn(name, keep(promise, std::move(work)));
  while (!promise->answer) {
    auto const woken = co_await until_woken(promise->kept);
    if (!promise->answer && !woken) co_return upstream::failed("wait", woken.error());
  }
  co_return std::move(*promise->answer);
}

}  // namespace nestgate::conversation
