#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/base/deadline.hpp"
#include "nestgate/base/secret.hpp"
#include "nestlet/conversation.hpp"
#include "nestlet/json.hpp"
#include "nestlet/task_group.hpp"

namespace nestgate::nestlet {

// http only: a static program brings no TLS. The host is an address, or a name in /etc/hosts.
struct HttpTarget {
  std::string host;
  std::uint16_t port = 80;
  std::string path;  // without a slash at its end
};
std::optional<HttpTarget> parse_http_target(std::string_view url);
// The address of `name`, looked up in a text of the form of /etc/hosts.
std::optional<asio::ip::address> find_host(std::string_view hosts, std::string_view name);

// Where events are sent, with an agent server's own values (agent_server.md 3.2).
struct WebhookSpec {
  HttpTarget target;
  std::vector<std::pair<std::string, Secret>> headers;
  std::uint64_t event_buffer_size = 5;  // events that make a batch
  double flush_delay = 30;              // seconds after which fewer do
  std::uint64_t num_retries = 3;        // of a call; then what it says is dropped
  double retry_delay = 5;               // seconds between two tries
  std::uint64_t max_queue_size = 1000;  // events that wait; the oldest are dropped
  std::uint64_t max_queue_bytes = 50 * 1024 * 1024;
  std::uint64_t max_batch_bytes = 5 * 1024 * 1024;
};
// The field that a variable OH_WEBHOOKS_0_<FIELD> gives; "": it is none of them.
std::string_view webhook_field(std::string_view variable);
// 422 for a wrong type, an unknown field, or a URL that is not http.
Checked<WebhookSpec> read_webhook(JsonObject const& spec, std::string_view where);
Checked<std::vector<WebhookSpec>> read_webhooks(JsonObject const& body);

// Posts what happens in conversations to where somebody wants to know it: events in batches, and a conversation's state
// when it starts, pauses or goes. Whoever has something to say only queues it and never waits.
class Webhooks final : public ConversationListener {
 public:
  explicit Webhooks(Executor executor);
  ~Webhooks() override;

  // `key` goes along as X-Session-API-Key.
  void begin(std::vector<WebhookSpec> specs, std::string_view key);
  void on_event(Conversation const& conversation, Frame const& event) override;
  void on_change(Conversation const& conversation) override;

  // Sends what is queued, each of it once, by the deadline; from then on nothing is sent.
  Task<> shut_down(Deadline by);

 private:
  class Sender;
  Executor executor_;
  std::vector<std::unique_ptr<Sender>> senders_;
  TaskGroup tasks_;
};

}  // namespace nestgate::nestlet
