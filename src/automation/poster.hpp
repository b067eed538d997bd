#pragma once

#include <map>
#include <string>
#include <vector>

#include "nestgate/automation/settings.hpp"
#include "nestgate/automation/stats.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/store/automation_store.hpp"
#include "nestgate/upstream/url.hpp"

namespace nestgate::automation {

// Posts what is in the outbox until it is taken, some at a time, each attempt written down. A completion is posted at least
// once with one id; attempts grow apart over a day. Lives on the control core.
class Poster {
 public:
  struct With {
    store::AutomationStore& rows;
    Settings const& settings;
    Stats& stats;
    std::string gateway;  // its name in the store
  };
  Poster(Executor control, With around);

  void start();
  // There are new deliveries.
  void wake();
  // Attempts under way come to their end, at the latest at `by`; what is left goes on with the next gateway.
  Task<> stop(Deadline by);

 private:
  using Due = store::AutomationStore::DueDelivery;
  using Result = store::AutomationStore::DeliveryResult;

  Task<> claim_loop();
  Task<> free_some();
  Task<> record_loop();
  void begin(Due due);
  Task<> attempt(Due due, nestgate::Result<upstream::Url> url, std::string server);
  bool has_room_at(std::string const& server) const;
  void note_answer(std::string const& server, bool is_silent);
  Task<upstream::Outcome<unsigned>> post(Due const& due, nestgate::Result<upstream::Url> url,
                                         std::optional<std::chrono::seconds>& retry_after);
  Result result_of(Due const& due, upstream::Outcome<unsigned> const& posted,
                   std::optional<std::chrono::seconds> retry_after) const;

  // Where callbacks go to: a host and port.
  struct Server {
    std::size_t posting = 0;
    bool is_silent = false;  // the last attempt had no answer
  };

  With with_;
  std::size_t posting_ = 0;
  std::map<std::string, Server, std::less<>> servers_;
  std::vector<Result> results_;
  bool is_woken_ = false, is_closing_ = false;
  Clock::time_point free_at_ = Clock::now();
  Timer wake_, recorded_;
  TaskGroup loops_, attempts_;
};

}  // namespace nestgate::automation
