#include "nestlet/conversation.hpp"

#include <algorithm>

#include "nestgate/base/result.hpp"
#include "nestgate/base/text.hpp"

namespace nestgate::nestlet {
namespace {

using codec::JsonWriter;

// The request's parts that a conversation's state shows.
constexpr std::string_view state_fields[] = {"workspace", "max_iterations", "confirmation_policy"};

// The text of a message's content: a string, or a list of {"type":"text","text":...} and images.
std::string text_of(JsonValue const& content) {
  if (content.is_string()) return std::string(content.get_string());
  std::string text;
  if (!content.is_array()) return text;
  for (auto const& item : content.get_array()) {
    auto const* object = item.if_object();
    auto const* piece = object == nullptr ? nullptr : object->if_contains("text");
    if (piece != nullptr && piece->is_string()) text += std::string_view(piece->get_string());
  }
  return text;
}

boost::json::array text_content(std::string_view text) { return {boost::json::object{{"type", "text"}, {"text", text}}}; }

}  // namespace

std::string_view to_string(RunStatus status) noexcept {
  switch (status) {
    case RunStatus::idle: return "idle";
    case RunStatus::running: return "running";
    case RunStatus::paused: return "paused";
    case RunStatus::finished: return "finished";
    case RunStatus::deleting: return "deleting";
  }
  return "error";
}

Conversation::Conversation(std::string hex_id, Limits const& limits, JsonObject const& request,
                           ConversationListener& listener)
    : hex_(std::move(hex_id)),
      id_(uuid_hex(hex_) ? dashed_uuid(hex_) : hex_),
      limits_(limits),
      created_at_(now()),
      updated_at_(created_at_),
      listener_(listener),
      log_(limits.conversation_events_max, limits.conversation_event_bytes_max) {
  for (auto const field : state_fields) {
    auto const* value = request.if_contains(field);
    if (value != nullptr && !value->is_null()) state_[field] = *value;
  }
  if (auto const* tags = request.if_contains("tags"); tags != nullptr && tags->is_object()) tags_ = tags->get_object();
}

std::string Conversation::info_json() const {
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("id", id_).member("conversation_id", id_).key("title");
  if (title_.empty()) {
    w.null();
  } else {
    w.value(title_);
  }
  w.member("created_at", utc_text(created_at_)).member("updated_at", utc_text(updated_at_));
  w.member("execution_status", to_string(status_)).key("tags").raw(boost::json::serialize(tags_));
  for (auto const field : state_fields) w.key(field).raw(raw_or_null(state_, field));
  w.key("stats").begin_object().end_object();
  // What the older server's clients read (nested_server.md 3.3).
  w.member("status", status_ == RunStatus::paused ? "STOPPED" : "RUNNING").member("url", "/api/conversations/" + id_);
  w.key("session_api_key").null().member("last_updated_at", utc_text(updated_at_)).member("conversation_version", "V1");
  w.member("num_connections", feed_.size() + session_feed_.size()).end_object();
  return out;
}

std::string Conversation::snapshot_event() const {
  std::string out;
  JsonWriter w(out);
  w.begin_object()
      .member("id", dashed_uuid(new_id()))
      .member("timestamp", local_text(now()))
      .member("source", "environment");
  w.member("key", "full_state").key("value").begin_object().member("id", id_);
  w.member("execution_status", to_string(status_)).key("tags").raw(boost::json::serialize(tags_));
  for (auto const& field : state_) w.key(field.key()).raw(boost::json::serialize(field.value()));
  w.key("stats").begin_object().end_object().end_object().member("kind", "ConversationStateUpdateEvent").end_object();
  return out;
}

std::string Conversation::session_frame(std::uint64_t seq) const {
  std::string out;
  JsonWriter(out)
      .begin_object()
      .member("type", "durable")
      .member("seq", seq)
      .key("event")
      .raw(*log_.at(seq).json)
      .end_object();
  return out;
}

void Conversation::set_title(std::string title) {
  title_ = std::move(title);
  updated_at_ = now();
}

void Conversation::set_tags(JsonObject tags) {
  tags_ = std::move(tags);
  updated_at_ = now();
}

// `fields` come between the event's own fields and `kind`, which is last (agent_server_live.md 2, row 2.3).
void Conversation::publish(std::string kind, std::string source, boost::json::object fields) {
  updated_at_ = now();
  LogEntry entry{dashed_uuid(new_id()), updated_at_, std::move(kind), std::move(source), "", 0, nullptr};
  boost::json::object event{{"id", entry.id}, {"timestamp", local_text(entry.at)}, {"source", entry.source}};
  for (auto& field : fields) event.emplace(field.key(), std::move(field.value()));
  event["kind"] = entry.kind;
  entry.json = make_frame(boost::json::serialize(event));
  feed_.publish(entry.json);
  listener_.on_event(*this, entry.json);
  log_.append(std::move(entry));
  if (session_feed_.size() > 0) session_feed_.publish(make_frame(session_frame(log_.next_seq() - 1)));
}

Checked<std::string> Conversation::add_message(JsonObject const& message) {
  NESTGATE_TRY(role, maybe_string(message, "role"));
  auto const* content = message.if_contains("content");
  if (content == nullptr) return missing("body", "content");
  if (!content->is_string() && !content->is_array()) {
    return invalid("body", "content", "list_type", "Input should be a valid list");
  }
  auto const said = role.value_or("user");
  if (said != "user" && said != "assistant" && said != "system" && said != "tool") {
    return invalid("body", "role", "literal_error", "Input should be 'user', 'system', 'assistant' or 'tool'");
  }
  last_user_text_ = text_of(*content);
  boost::json::object llm{{"role", said}};
  llm["content"] = content->is_string() ? JsonValue(text_content(last_user_text_)) : *content;
  boost::json::object fields{{"llm_message", std::move(llm)},
                             {"activated_skills", boost::json::array()},
                             {"extended_content", boost::json::array()}};
  NESTGATE_TRY(sender, maybe_string(message, "sender"));
  if (sender) fields["sender"] = *sender;
  publish("MessageEvent", said == "user" ? "user" : "agent", std::move(fields));
  return log_.entries().back().id;
}

void Conversation::add_raw(JsonObject action) {
  auto const kind = maybe_string(action, "action");
  for (auto const own : {"id", "timestamp", "source", "kind"}) action.erase(own);
  publish(kind && *kind ? **kind : "action", "user", std::move(action));
}

void Conversation::publish_status(RunStatus status) {
  status_ = status;
  publish("ConversationStateUpdateEvent", "environment", {{"key", "execution_status"}, {"value", to_string(status)}});
}

void Conversation::begin_run() {
  ++run_number_;
  publish_status(RunStatus::running);
}

// What a RemoteConversation waits for (agent_server.md 7.4): the agent's message, then a full state that is not `running`.
void Conversation::finish_run() {
  boost::json::object llm{{"role", "assistant"}, {"content", text_content(last_user_text_)}};
  publish("MessageEvent", "agent",
          {{"llm_message", std::move(llm)},
           {"activated_skills", boost::json::array()},
           {"extended_content", boost::json::array()}});
  publish_status(RunStatus::finished);
  publish_state();
}

void Conversation::pause_run(std::string_view event_kind) {
  publish(std::string(event_kind), "user", {});
  publish_status(RunStatus::paused);
  publish_state();
  listener_.on_change(*this);
}

void Conversation::begin_removal() {
  status_ = RunStatus::deleting;
  listener_.on_change(*this);
}

void Conversation::publish_state() {
  auto const state = make_frame(snapshot_event());
  feed_.publish(state);
  if (session_feed_.size() > 0) session_feed_.publish(make_frame(transient_frame(*state)));
}

std::string Conversation::transient_frame(std::string_view event) {
  std::string frame;
  JsonWriter(frame).begin_object().member("type", "transient").key("event").raw(event).end_object();
  return frame;
}

std::shared_ptr<Conversation> Conversation::fork(std::string hex_id) const {
  auto copy = std::make_shared<Conversation>(std::move(hex_id), limits_, state_, listener_);
  copy->title_ = title_;
  copy->tags_ = tags_;
  copy->last_user_text_ = last_user_text_;
  for (auto const& [name, value] : secrets_) copy->secrets_[name] = value.clone();
  for (auto const& entry : log_.entries()) copy->log_.append(entry);
  return copy;
}

Conversations::Conversations(Executor executor, Limits const& limits, ConversationListener& listener)
    : limits_(limits), listener_(listener), executor_(executor), runs_(executor) {}

std::shared_ptr<Conversation> Conversations::find(std::string_view hex) const {
  auto const at = by_id_.find(hex);
  return at == by_id_.end() ? nullptr : at->second;
}

Checked<> Conversations::admit() const {
  if (by_id_.size() < limits_.conversations_max) return {};
  return refuse(429, "Too many conversations: at most " + std::to_string(limits_.conversations_max));
}

void Conversations::keep(std::shared_ptr<Conversation> const& conversation) {
  by_id_.emplace(conversation->hex(), conversation);
  in_order_.push_back(conversation);
}

Checked<std::shared_ptr<Conversation>> Conversations::create(std::string hex, JsonObject const& request) {
  if (auto const room = admit(); !room) return room.error();
  auto conversation = std::make_shared<Conversation>(std::move(hex), limits_, request, listener_);
  keep(conversation);
  listener_.on_change(*conversation);
  return conversation;
}

Checked<std::shared_ptr<Conversation>> Conversations::fork(Conversation const& from, std::string hex) {
  if (auto const room = admit(); !room) return room.error();
  auto conversation = from.fork(std::move(hex));
  keep(conversation);
  return conversation;
}

void Conversations::remove(std::string_view hex) {
  auto const at = by_id_.find(hex);
  if (at == by_id_.end()) return;
  at->second->begin_removal();
  at->second->feed().close(conversation_not_found);
  at->second->session_feed().close(conversation_not_found);
  std::erase(in_order_, at->second);
  by_id_.erase(at);
}

Checked<> Conversations::run(std::shared_ptr<Conversation> conversation) {
  if (closing_) return refuse(503, "The server is shutting down");
  if (conversation->status() == RunStatus::running) {
    return refuse(409, "Conversation already running. Wait for completion or pause first.");
  }
  conversation->begin_run();
  runs_.spawn(run_for(std::move(conversation)));
  return {};
}

Task<> Conversations::run_for(std::shared_ptr<Conversation> conversation) {
  Timer length(executor_, std::chrono::milliseconds(limits_.run_milliseconds));
  auto const run = conversation->run_number();
  co_await length.async_wait(no_throw);
  if (conversation->run_number() == run && conversation->status() == RunStatus::running) conversation->finish_run();
}

void Conversations::pause(Conversation& conversation, std::string_view event_kind) {
  if (conversation.status() == RunStatus::running) conversation.pause_run(event_kind);
}

Task<> Conversations::shut_down() {
  closing_ = true;
  for (auto const& conversation : in_order_) pause(*conversation, "PauseEvent");
  runs_.stop();
  co_await runs_.join();
}

}  // namespace nestgate::nestlet
