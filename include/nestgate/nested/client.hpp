#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nestgate/base/conversation_id.hpp"
#include "nestgate/base/deadline.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/nested/configuration.hpp"
#include "nestgate/net/net.hpp"
#include "nestgate/upstream/failure.hpp"
#include "nestgate/upstream/http_client.hpp"

namespace nestgate::nested {

using upstream::Failure;
using upstream::Outcome;

// What a command has said so far; `exit_code` is set once it has ended (-1: killed, or out of its time).
struct CommandOutput {
  std::optional<int> exit_code;
  std::string standard_output;
  std::string standard_error;
};

// Talks to one nested server in either dialect, one fresh connection a call. Lives on the control core and outlives its
// calls; a cancel of the caller ends the call. No call is repeated here, and no failure tells a secret that a body held.
class Client {
 public:
  Client(asio::ip::tcp::endpoint at, Secret session_key)
      : base_(upstream::plain_url(at)), session_key_(std::move(session_key)) {}

  // Asks /alive until it answers 200: at once, then with a growing pause of 10 to 500 ms.
  Task<Outcome<>> wait_alive(Deadline by);
  // Settings, git providers, secrets, in this order, each call within `step_max`; the dialect is what the server's first
  // answer shows. What exists already is success, so that the whole can be said again. Faults: bad_input (the server will
  // not have what it is told; of settings with the reason it gives), upstream, timed_out.
  Task<Outcome<Dialect>> configure(Configuration const& configuration, Clock::duration step_max);
  // Tells a dormant server its real key and the rest; this client's key is the boot key and is of no use afterwards.
  // Idempotent: a server that is ready already, and takes the real key, is success. Faults: upstream, timed_out, conflict
  // (it is no dormant server).
  Task<Outcome<>> initialise(Initialisation const& told, Deadline by);
  // Makes the conversation in the server: the last step of a configuration. One that it knows already is success, so that
  // it can be said again.
  Task<Outcome<>> begin_conversation(ConversationId const& id, Configuration const& configuration, Dialect dialect,
                                     Deadline by);
  Task<Outcome<Status>> status(ConversationId const& id, Dialect dialect, Deadline by);
  // Sends an event (its JSON) to the conversation; the server's answer, whatever its status.
  Task<Outcome<upstream::Answer>> send_event(ConversationId const& id, std::string_view json, Deadline by);
  // The older dialect's graceful stop of a conversation.
  Task<Outcome<>> stop_conversation(std::string_view id, Deadline by);

  // `bytes` are sent from where they are.
  Task<Outcome<>> upload(std::string path, std::string_view bytes, Deadline by);
  // Runs a command to its end within `time_max`.
  Task<Outcome<CommandOutput>> execute(std::string command, std::chrono::seconds time_max, Deadline by);
  // Starts a command and returns its id. Not idempotent: a timed_out or upstream fault does not say whether it runs.
  Task<Outcome<std::string>> start(std::string command, std::chrono::seconds time_max, Deadline by);
  // The newest output of a started command; nothing when there is none yet.
  Task<Outcome<std::optional<CommandOutput>>> newest_output(std::string_view command_id, Deadline by);

 private:
  Task<Outcome<upstream::Answer>> send(std::string_view step, upstream::Call call, Deadline by);
  upstream::Call json_call(std::string_view method, std::string_view path, std::string_view body) const;
  Task<Outcome<Dialect>> put_settings(Configuration const& configuration, Dialect dialect, Clock::duration step_max);
  Task<Outcome<Dialect>> put_git_tokens(Configuration const& configuration, Dialect dialect, Clock::duration step_max);
  Task<Outcome<Dialect>> put_secret(std::string_view step, std::string_view name, Secret const& value,
                                    std::string_view description, Dialect dialect, Clock::duration step_max);

  upstream::Url base_;
  Secret session_key_;
};

}  // namespace nestgate::nested
