#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  std::int64_t order = 0;  // among the outputs of its command
};
struct OutputPage {
  std::vector<CommandOutput> items;  // those behind the order that was asked for
  std::string next_page_id;          // "": there is none yet
};

// How what a command said ends.
struct OutputTail {
  std::string standard_output;
  std::string standard_error;
};

// A command that was started.
struct StartedCommand {
  std::string id;
  std::string text;
};

// How long a client waits between two tries.
struct Pace {
  Clock::duration retry_min = std::chrono::milliseconds(100);  // doubles with each try
  Clock::duration retry_max = std::chrono::seconds(5);
  Clock::duration events = std::chrono::seconds(5);  // between two looks for a new conversation's events
};

// How far a server is with its deferred init (agent_server.md 3.4).
enum class InitState : std::uint8_t { not_deferred, dormant, initializing, ready };

// Talks to one nested server in either dialect, one fresh connection a call unless it is told to keep one. Lives on the
// control core and outlives its calls; a cancel of the caller ends the call. No failure tells a secret that a body held.
//
// What is said to be told again is: after a 429 or a 503 with Retry-After any call, after a connection that failed a GET,
// PUT, PATCH or DELETE; with growing pauses and within the deadline. No other call is repeated here.
class Client {
 public:
  Client(upstream::Place at, Secret session_key, Pace pace = {})
      : at_(std::move(at)), session_key_(std::move(session_key)), pace_(pace) {}

  // Over plain TCP uploads and starts use these from now on. An upload that the server's close cut off is sent once more:
  // what comes twice does no harm there. A start is not: its caller looks for it.
  void use(std::shared_ptr<upstream::KeptConnections> kept) { kept_ = std::move(kept); }

  // Asks /alive until it answers 200: at once, then with a growing pause of 10 to 500 ms.
  Task<Outcome<>> wait_alive(Deadline by);
  // Settings, git providers, secrets, in this order, each call told again within `step_max`; the dialect is `known`, or
  // what the server's first answer shows. A secret that exists already is replaced, so that the whole can be said again.
  // Faults: bad_input (the server will not have what it is told; of settings with the reason it gives), upstream, timed_out.
  Task<Outcome<Dialect>> configure(Configuration const& configuration, Clock::duration step_max,
                                   Dialect known = Dialect::unknown);
  // Tells a dormant server its real key and the rest; this client's key is the boot key and is of no use afterwards.
  // Idempotent: a server that is ready already, and takes the real key, is success. Tried again while the server says that
  // it is dormant still. Such a server is an agent server. Faults: upstream, timed_out, conflict (it is no dormant server).
  Task<Outcome<>> initialise(Initialisation const& told, Deadline by);
  // Faults: upstream, timed_out.
  Task<Outcome<InitState>> init_state(Deadline by);
  // Makes the conversation in the server: the last step of a configuration. One that it knows already is success, so that
  // it can be said again. Told again only when the server says that it does not know the conversation. Returns once an
  // older server gives its events, or does not after five looks. Faults: bad_input (the server will not have it, with the
  // reason it gives), upstream, timed_out.
  Task<Outcome<>> begin_conversation(ConversationId const& id, Configuration const& configuration, Dialect dialect,
                                     Deadline by);
  // Whether the server has a conversation of that id. Faults: upstream, timed_out.
  Task<Outcome<bool>> knows_conversation(ConversationId id, Deadline by);
  // Whether its conversations are the older server's: made by whoever manages it. An agent server's clients make their own.
  // Faults: upstream, timed_out.
  Task<Outcome<bool>> has_managed_conversations(Deadline by);
  // A conversation that the server does not know has an empty status. Faults: upstream, timed_out.
  Task<Outcome<Status>> status(ConversationId const& id, Dialect dialect, Deadline by);
  // Sends an event (its JSON) to the conversation; the server's answer, whatever its status.
  Task<Outcome<upstream::Answer>> send_event(ConversationId const& id, std::string_view json, Deadline by);
  // The older dialect's stop of a conversation.
  Task<Outcome<>> stop_conversation(std::string_view id, Deadline by);
  // The same, then at most three looks, `pause` apart, whether it has stopped: true when the server says so. An agent
  // server is told nothing: it pauses its conversations at SIGTERM. A server that is not there is no failure.
  Task<bool> graceful_stop(ConversationId const& id, Dialect dialect, Clock::duration pause, Deadline by);

  // `bytes` are sent from where they are.
  Task<Outcome<>> upload(std::string path, std::string_view bytes, Deadline by);
  // Runs a command to its end within `time_max`.
  Task<Outcome<CommandOutput>> execute(std::string command, std::chrono::seconds time_max, Deadline by);
  // Starts a command and returns its id. Not idempotent: a timed_out or upstream fault does not say whether it runs.
  Task<Outcome<std::string>> start(std::string command, std::chrono::seconds time_max, Deadline by);
  // The next output of a started command behind that order: of that page ("": the first), which says where the next one is.
  // One at a time, since each may have megabytes.
  Task<Outcome<OutputPage>> output_behind(std::string_view command_id, std::int64_t order, std::string_view page_id,
                                          Deadline by);
  // Those of the newest commands (a thousand at most are looked at) whose text contains `part`, newest first.
  Task<Outcome<std::vector<StartedCommand>>> find_commands(std::string part, Deadline by);
  // The newest output of a started command; nothing when there is none yet.
  Task<Outcome<std::optional<CommandOutput>>> newest_output(std::string_view command_id, Deadline by);
  // The last so many bytes of both streams of a command that has ended, of as many of its last outputs as that takes; less
  // where those are very many or very large, or the server does not give more. Faults: cancelled, timed_out.
  Task<Outcome<OutputTail>> output_tail(std::string_view command_id, std::size_t bytes, Deadline by);

 private:
  struct Message {
    std::string_view method, path, query;
    std::vector<std::string_view> body;
  };

  Task<Outcome<>> upload_once(std::string const& path, std::string_view bytes,
                              std::shared_ptr<upstream::KeptConnections> kept, Deadline by);
  Task<Outcome<upstream::Answer>> send(std::string_view step, upstream::Call call, Deadline by);
  // As send, told again as the class says.
  Task<Outcome<upstream::Answer>> tell(std::string_view step, Message message, Deadline by);
  upstream::Call call_of(Message const& message) const;
  Task<Outcome<Dialect>> put_settings(Configuration const& configuration, Dialect dialect, Clock::duration step_max);
  Task<Outcome<Dialect>> put_git_tokens(Configuration const& configuration, Dialect dialect, Clock::duration step_max);
  Task<Outcome<Dialect>> put_secret(std::string_view step, std::string_view name, Secret const& value,
                                    std::string_view description, Dialect dialect, Clock::duration step_max);
  Task<Outcome<>> replace_secret(std::string_view step, std::string_view name, Secret const& body, Clock::duration step_max);
  Task<Outcome<upstream::Answer>> post_init(Secret const& body, Deadline by);
  Task<Outcome<>> check_real_key(Secret const& real_key, Deadline by);
  Task<Outcome<>> create_conversation(ConversationId id, Message message, Secret const& told, Deadline by);
  Task<Outcome<>> wait_events(std::string path_of_one, Deadline by);

  upstream::Place at_;
  Secret session_key_;
  Pace pace_;
  std::shared_ptr<upstream::KeptConnections> kept_;
};

}  // namespace nestgate::nested
