#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nestgate/base/secret.hpp"
#include "nestlet/event_log.hpp"
#include "nestlet/json.hpp"
#include "nestlet/settings.hpp"
#include "nestlet/task_group.hpp"

namespace nestgate::nestlet {

enum class RunStatus : std::uint8_t { idle, running, paused, finished, deleting };
std::string_view to_string(RunStatus status) noexcept;

class Conversation;

// Told of what happens in conversations, from within; it must not wait.
class ConversationListener {
 public:
  virtual ~ConversationListener() = default;
  virtual void on_event(Conversation const& conversation, Frame const& event) = 0;
  // It was made, paused or removed.
  virtual void on_change(Conversation const& conversation) = 0;
};

// A conversation as an event log with an agent that echoes: a run answers with what the last user message said. Owned by
// shared_ptr: sockets keep one alive that was deleted meanwhile.
class Conversation {
 public:
  // Of `request` only what is shown again is kept: no agent, no keys. `listener` outlives the conversation.
  Conversation(std::string hex_id, Limits const& limits, JsonObject const& request, ConversationListener& listener);

  std::string const& hex() const noexcept { return hex_; }  // of a UUID; an older server's other ids as they are
  std::string const& id() const noexcept { return id_; }    // of a UUID dashed
  RunStatus status() const noexcept { return status_; }
  Moment created_at() const noexcept { return created_at_; }
  Moment updated_at() const noexcept { return updated_at_; }
  EventLog const& log() const noexcept { return log_; }
  Feed& feed() noexcept { return feed_; }
  Feed& session_feed() noexcept { return session_feed_; }
  std::string info_json() const;       // ConversationInfo
  std::string snapshot_event() const;  // a `full_state` event (agent_server.md 2.3)
  // The frames of /sockets/session (agent_server_live.md 3): {"type":"durable","seq":...,"event":...},
  // {"type":"transient",...}
  std::string session_frame(std::uint64_t seq) const;
  static std::string transient_frame(std::string_view event);

  void set_title(std::string title);
  void set_tags(JsonObject tags);
  void set_secret(std::string name, Secret value) { secrets_[std::move(name)] = std::move(value); }

  // {"role":"user","content":[...]|"text"}, checked; its MessageEvent is published.
  Checked<std::string> add_message(JsonObject const& message);
  // A raw action of the older server: it gets id, timestamp and source.
  void add_raw(JsonObject action);

  void begin_run();
  std::uint64_t run_number() const noexcept { return run_number_; }  // tells a run from the one after a pause
  void finish_run();
  void pause_run(std::string_view event_kind);  // "PauseEvent" or "InterruptEvent"
  void begin_removal();

  // A copy under another id, with the whole log.
  std::shared_ptr<Conversation> fork(std::string hex_id) const;

 private:
  void publish(std::string kind, std::string source, boost::json::object fields);
  void publish_state();
  void publish_status(RunStatus status);

  std::string hex_;
  std::string id_;
  Limits limits_;
  JsonObject state_;  // workspace, max_iterations, ... as the client gave them
  std::string title_;
  JsonObject tags_;
  RunStatus status_ = RunStatus::idle;
  std::uint64_t run_number_ = 0;
  Moment created_at_;
  Moment updated_at_;
  std::string last_user_text_;
  std::map<std::string, Secret, std::less<>> secrets_;
  ConversationListener& listener_;
  EventLog log_;
  Feed feed_;
  Feed session_feed_;
};

// All conversations of the server, and the runs in the background.
class Conversations {
 public:
  // `listener` outlives it.
  Conversations(Executor executor, Limits const& limits, ConversationListener& listener);

  std::shared_ptr<Conversation> find(std::string_view hex) const;
  std::vector<std::shared_ptr<Conversation>> const& all() const noexcept { return in_order_; }
  // 429 past the limit.
  Checked<std::shared_ptr<Conversation>> create(std::string hex, JsonObject const& request);
  Checked<std::shared_ptr<Conversation>> fork(Conversation const& from, std::string hex);
  // Its sockets are closed with 4004.
  void remove(std::string_view hex);

  // 409 when it runs already, 503 once the server ends.
  Checked<> run(std::shared_ptr<Conversation> conversation);
  void pause(Conversation& conversation, std::string_view event_kind);
  // Ends the runs; conversations that ran are paused (agent_server_live.md 2, row 3.6).
  Task<> shut_down();

 private:
  Checked<> admit() const;
  void keep(std::shared_ptr<Conversation> const& conversation);
  Task<> run_for(std::shared_ptr<Conversation> conversation);

  Limits limits_;
  ConversationListener& listener_;
  Executor executor_;
  std::map<std::string, std::shared_ptr<Conversation>, std::less<>> by_id_;
  std::vector<std::shared_ptr<Conversation>> in_order_;
  TaskGroup runs_;
  bool closing_ = false;
};

}  // namespace nestgate::nestlet
