#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "nestgate/net/task_group.hpp"
#include "nestgate/upstream/http_client.hpp"

namespace nestgate::automation {

using Life = std::pair<std::string, std::uint64_t>;  // a conversation's canonical id and epoch

// What dispatches leave open to the agent servers of their runtimes: runs that come one soon after the other pay for no
// connection. Lives on the control core.
class RuntimeConnections {
 public:
  // Kept are `count_max` to each, for `idle_max`: half of what agent servers leave an idle one open (agent_server.md 0.8)
  // and less. `tasks` outlives it, and what it spawned there has ended when it dies.
  explicit RuntimeConnections(TaskGroup& tasks, std::size_t count_max = 2,
                              Clock::duration idle_max = std::chrono::seconds(2))
      : tasks_(tasks), count_max_(count_max), idle_max_(idle_max) {}
  // A static runtime may move to another place within one life.
  std::shared_ptr<upstream::KeptConnections> to(Life const& life, upstream::Place const& place);
  // Runtimes with connections.
  std::size_t size() const noexcept { return kept_.size(); }

 private:
  Task<> close_idle();

  TaskGroup& tasks_;
  std::size_t count_max_;
  Clock::duration idle_max_;
  std::map<std::pair<Life, asio::ip::tcp::endpoint>, std::shared_ptr<upstream::KeptConnections>> kept_;
};

}  // namespace nestgate::automation
