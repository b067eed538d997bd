#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/automation/run.hpp"
#include "nestgate/identity/api_key.hpp"
#include "nestgate/net/net.hpp"

namespace nestgate::automation {

struct RunPage {
  std::vector<Run> runs;  // newest first
  std::size_t total = 0;
};

// Where runs are kept. A write is durable, as far as the store is, when it returns. Lives on the control core.
class RunStore {
 public:
  virtual ~RunStore() = default;
  // Faults: overloaded (no room), and those of the store.
  virtual Task<Result<>> insert(Run run) = 0;
  virtual Task<Result<std::optional<Run>>> find(std::string id) = 0;
  // Writes `run` if the kept one still has `run.version`; the kept version is then one more. False: somebody else wrote
  // first, or it is gone; nothing is changed.
  virtual Task<Result<bool>> replace(Run run) = 0;
  // Those that `who` may see.
  virtual Task<Result<RunPage>> list(identity::Principal who, std::size_t limit, std::size_t offset) = 0;
};

// Keeps runs in memory: they end with the process. `in_flight_max` bounds those that have not ended, `ended_max` those
// that have; of these the oldest go.
std::unique_ptr<RunStore> make_memory_store(std::size_t in_flight_max, std::size_t ended_max);

}  // namespace nestgate::automation
