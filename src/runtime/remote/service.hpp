#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "messages.hpp"
#include "nestgate/runtime/provider.hpp"
#include "nestgate/upstream/http_client.hpp"
#include "runtime/cut.hpp"

namespace nestgate::runtime::remote {

// As pause_for: a fault only when cancelled.
using Pause = std::function<Task<Result<>>(Clock::duration)>;

// How a call that was answered 429 is made again.
struct RateLimit {
  std::uint32_t tries_max;
  Clock::duration pause_min;  // doubles with each try
  Clock::duration pause_max;
};

// The remote runtime API, one call a connection. Nothing but a 429 is tried again. Lives on the control core; every call is
// bounded by the shorter of `by` and the call's own time; one that changes something is waited for also when the caller is
// cancelled, but not the pauses between its tries. Faults of all calls: unavailable (the API cannot be reached, or says
// 502, 503, 504), timed_out, cancelled, overloaded (429 to the last), upstream (it failed, or refuses the key), and by its
// answer not_found, conflict, bad_input.
class Service {
 public:
  Service(upstream::Url base, Secret api_key, std::chrono::milliseconds call_time_max, RateLimit rate_limit, Pause pause,
          Executor control)
      : base_(std::move(base)),
        api_key_(std::move(api_key)),
        call_time_max_(call_time_max),
        rate_limit_(rate_limit),
        pause_(std::move(pause)),
        cut_(control) {}

  // All calls fail from now on (unavailable), also those under way.
  void cut_short() { cut_.make(); }

  // Nothing: there is none.
  Task<Outcome<std::optional<Session>>> find(std::string session_id, Deadline by);
  Task<Outcome<std::vector<Session>>> list(Deadline by);
  // Those of them that there are. Fault not_found: the API has no such call.
  Task<Outcome<std::vector<Session>>> find_all(std::vector<std::string> const& session_ids, Deadline by);
  // `secrets`: values in the body that no reason may tell.
  using Secrets = std::vector<std::pair<std::string, Secret>>;
  Task<Outcome<Session>> start(Secret const& body, Secrets const& secrets, Deadline by);
  // The new key; empty where the answer has none.
  Task<Outcome<Secret>> resume(std::string runtime_id, Deadline by);
  // Of one that is gone: success.
  Task<Outcome<>> pause(std::string runtime_id, Deadline by);
  Task<Outcome<>> stop(std::string runtime_id, Deadline by);
  // "": none.
  Task<Outcome<std::string>> registry_prefix(Deadline by);
  Task<Outcome<bool>> image_exists(std::string image, Deadline by);

 private:
  struct Message {
    std::string_view method;
    std::string path;
    std::string query = {};
    std::string_view body = {};
    Secrets const* secrets = nullptr;
  };
  Task<Outcome<upstream::Answer>> send(std::string_view step, Message message, Deadline by);
  Task<Result<upstream::Answer>> exchange(Message const& message, Deadline by);
  Task<Outcome<>> end(std::string_view step, std::string path, std::string runtime_id, Deadline by);
  Failure unreachable(std::string_view step, Fault const& fault) const;

  upstream::Url base_;
  Secret api_key_;
  std::chrono::milliseconds call_time_max_;
  RateLimit rate_limit_;
  Pause pause_;
  Cut cut_;
};

}  // namespace nestgate::runtime::remote
