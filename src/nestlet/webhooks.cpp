#include "nestlet/webhooks.hpp"

#include <algorithm>
#include <boost/beast/http.hpp>
#include <charconv>
#include <fstream>
#include <iterator>

#include "nestgate/base/result.hpp"
#include "nestlet/text.hpp"

namespace nestgate::nestlet {

namespace http = beast::http;

// One target, with a queue and a task of its own.
class Webhooks::Sender {
 public:
  Sender(Executor executor, WebhookSpec spec, std::string_view key)
      : executor_(executor), spec_(std::move(spec)), key_(std::string(key)), wake_(executor) {}

  void add_event(std::string const& hex, Frame const& event) {
    if (closing_) return;
    bytes_ += event->size();
    events_.push_back(Queued{hex, event, Clock::now()});
    while (events_.size() > spec_.max_queue_size || bytes_ > spec_.max_queue_bytes) drop_oldest();
    wake_.cancel();
  }
  void add_change(std::string info) {
    if (closing_) return;
    changes_.push_back(std::move(info));
    if (changes_.size() > spec_.max_queue_size) changes_.pop_front();
    wake_.cancel();
  }
  // What is queued goes now, and once.
  void close() {
    closing_ = true;
    wake_.cancel();
  }
  Task<> run();

 private:
  struct Queued {
    std::string hex;
    Frame event;
    Clock::time_point since;
  };

  void drop_oldest() {
    bytes_ -= events_.front().event->size();
    events_.pop_front();
  }
  Clock::time_point due() const;
  Task<> wait(Clock::time_point until);
  std::pair<std::string, std::string> take_batch();
  Task<> deliver(std::string path, std::string body);
  Task<bool> post(std::string const& path, std::string const& body);

  Executor executor_;
  WebhookSpec spec_;
  Secret key_;
  Timer wake_;  // cancelled when there is something new
  std::deque<std::string> changes_;
  std::deque<Queued> events_;
  std::size_t bytes_ = 0;  // of events_
  bool closing_ = false;
};

namespace {

constexpr auto call_max = std::chrono::seconds(30);  // agent_server.md 3.5
constexpr std::size_t answer_bytes_max = 64 * 1024;
constexpr std::size_t webhooks_max = 8;
constexpr std::string_view field_prefix = "OH_WEBHOOKS_0_";

Clock::duration seconds_of(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

struct NumberField {
  std::string_view name, variable;
  std::uint64_t WebhookSpec::* count;
  double WebhookSpec::* seconds;
};
constexpr NumberField number_fields[] = {
    {"event_buffer_size", "EVENT_BUFFER_SIZE", &WebhookSpec::event_buffer_size, nullptr},
    {"flush_delay", "FLUSH_DELAY", nullptr, &WebhookSpec::flush_delay},
    {"num_retries", "NUM_RETRIES", &WebhookSpec::num_retries, nullptr},
    {"retry_delay", "RETRY_DELAY", nullptr, &WebhookSpec::retry_delay},
    {"max_queue_size", "MAX_QUEUE_SIZE", &WebhookSpec::max_queue_size, nullptr},
    {"max_queue_bytes", "MAX_QUEUE_BYTES", &WebhookSpec::max_queue_bytes, nullptr},
    {"max_batch_bytes", "MAX_BATCH_BYTES", &WebhookSpec::max_batch_bytes, nullptr},
};

// As pydantic takes a number: of text, too.
std::optional<double> number_of(JsonValue const& value) {
  if (value.is_string()) {
    std::string_view const text = value.get_string();
    double number = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
  }
  error_code ec;
  auto const number = value.to_number<double>(ec);
  if (ec) return std::nullopt;
  return number;
}

Checked<> read_number(WebhookSpec& spec, NumberField const& field, JsonValue const& value, std::string_view where) {
  constexpr double number_max = 1e12;
  auto const number = number_of(value);
  if (!number || !(*number >= 0 && *number <= number_max))
    return invalid(where, field.name, "number_type", "Input should be a number that is not negative");
  if (field.seconds != nullptr) spec.*field.seconds = std::min(*number, 86'400.0);
  if (field.count != nullptr) spec.*field.count = static_cast<std::uint64_t>(*number);
  return {};
}

// Neither a field's end nor another one's start.
bool is_field_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

Checked<std::vector<std::pair<std::string, Secret>>> read_headers(JsonObject const& spec, std::string_view where) {
  std::vector<std::pair<std::string, Secret>> out;
  NESTGATE_TRY(headers, need_object(spec, "headers", where));
  for (auto const& header : headers) {
    std::string_view const name = header.key();
    auto const* text = header.value().if_string();
    bool const is_name = !name.empty() && is_field_text(name) && name.find_first_of(": ") == name.npos;
    if (!is_name || text == nullptr || !is_field_text(*text))
      return invalid(where, "headers", "string_type", "Input should be names and texts of HTTP fields");
    out.emplace_back(name, Secret(std::string(*text)));
  }
  return out;
}

// Names are looked up each time: what a name means may be told to a runtime late.
std::optional<asio::ip::tcp::endpoint> endpoint_of(HttpTarget const& target) {
  error_code ec;
  auto const literal = asio::ip::make_address(target.host, ec);
  if (!ec) return asio::ip::tcp::endpoint(literal, target.port);
  std::ifstream file("/etc/hosts");
  std::string const hosts{std::istreambuf_iterator<char>(file), {}};
  auto const found = find_host(hosts, target.host);
  if (!found) return std::nullopt;
  return asio::ip::tcp::endpoint(*found, target.port);
}

std::string_view next_word(std::string_view& line) {
  constexpr std::string_view space = " \t\r";
  line.remove_prefix(std::min(line.find_first_not_of(space), line.size()));
  auto const word = line.substr(0, line.find_first_of(space));
  line.remove_prefix(word.size());
  return word;
}

}  // namespace

std::optional<HttpTarget> parse_http_target(std::string_view url) {
  constexpr std::string_view scheme = "http://";
  if (!url.starts_with(scheme) || !is_field_text(url) || url.find_first_of(" ?#@") != url.npos) return std::nullopt;
  url.remove_prefix(scheme.size());
  auto const authority = url.substr(0, url.find('/'));
  HttpTarget target;
  target.path = url.substr(authority.size());
  while (target.path.ends_with('/')) target.path.pop_back();
  bool const is_v6 = authority.starts_with('[');
  auto const host_end = is_v6 ? authority.find(']') : authority.find(':');
  if (is_v6 && host_end == authority.npos) return std::nullopt;
  target.host = is_v6 ? authority.substr(1, host_end - 1) : authority.substr(0, host_end);
  auto const rest = authority.substr(std::min(authority.size(), is_v6 ? host_end + 1 : host_end));
  if (target.host.empty()) return std::nullopt;
  if (rest.empty()) return target;
  auto const [end, ec] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), target.port);
  if (rest.front() != ':' || ec != std::errc{} || end != rest.data() + rest.size() || target.port == 0) return std::nullopt;
  return target;
}

std::optional<asio::ip::address> find_host(std::string_view hosts, std::string_view name) {
  while (!hosts.empty()) {
    auto line = hosts.substr(0, hosts.find('\n'));
    hosts.remove_prefix(std::min(hosts.size(), line.size() + 1));
    line = line.substr(0, line.find('#'));
    error_code ec;
    auto address = asio::ip::make_address(std::string(next_word(line)), ec);
    if (ec) continue;
    for (auto word = next_word(line); !word.empty(); word = next_word(line))
      if (beast::iequals(word, name)) return address;
  }
  return std::nullopt;
}

std::string_view webhook_field(std::string_view variable) {
  if (!variable.starts_with(field_prefix)) return {};
  variable.remove_prefix(field_prefix.size());
  if (variable == "BASE_URL") return "base_url";
  for (auto const& field : number_fields)
    if (field.variable == variable) return field.name;
  return {};
}

Checked<WebhookSpec> read_webhook(JsonObject const& spec, std::string_view where) {
  WebhookSpec out;
  NESTGATE_TRY(base_url, need_string(spec, "base_url", where));
  auto target = parse_http_target(base_url);
  if (!target) return invalid(where, "base_url", "url_scheme", "URL should be http with a host, without a query");
  out.target = std::move(*target);
  for (auto const& member : spec) {
    std::string_view const name = member.key();
    auto const named = [name](NumberField const& field) { return field.name == name; };
    auto const* const number = std::find_if(std::begin(number_fields), std::end(number_fields), named);
    if (number != std::end(number_fields)) {
      NESTGATE_TRY_VOID(read_number(out, *number, member.value(), where));
    } else if (name == "headers") {
      NESTGATE_TRY(headers, read_headers(spec, where));
      out.headers = std::move(headers);
    } else if (name != "base_url") {
      return invalid(where, "", "extra_forbidden", "Extra inputs are not permitted");
    }
  }
  return out;
}

Checked<std::vector<WebhookSpec>> read_webhooks(JsonObject const& body) {
  std::vector<WebhookSpec> out;
  auto const* value = body.if_contains("webhooks");
  if (value == nullptr || value->is_null()) return out;
  if (!value->is_array() || value->get_array().size() > webhooks_max)
    return invalid("body", "webhooks", "list_type", "Input should be a list of at most " + std::to_string(webhooks_max));
  for (auto const& item : value->get_array()) {
    if (!item.is_object()) return invalid("body", "webhooks", "dict_type", "Input should be a valid dictionary");
    NESTGATE_TRY(spec, read_webhook(item.get_object(), "body.webhooks"));
    out.push_back(std::move(spec));
  }
  return out;
}

// When the oldest events go, if no more come.
Clock::time_point Webhooks::Sender::due() const {
  if (events_.empty()) return Clock::time_point::max();
  bool const is_batch = events_.size() >= spec_.event_buffer_size;
  if (closing_ || is_batch) return Clock::time_point::min();
  return events_.front().since + seconds_of(spec_.flush_delay);
}

Task<> Webhooks::Sender::wait(Clock::time_point until) {
  wake_.expires_at(until);
  co_await wake_.async_wait(no_throw);
}

Task<> Webhooks::Sender::run() {
  while (!told_to_stop(co_await asio::this_coro::cancellation_state)) {
    if (!changes_.empty()) {
      auto info = std::move(changes_.front());
      changes_.pop_front();
      co_await deliver("/conversations", std::move(info));
    } else if (due() <= Clock::now()) {
      auto [hex, batch] = take_batch();
      co_await deliver("/events/" + hex, std::move(batch));
    } else if (closing_) {
      co_return;
    } else {
      co_await wait(due());
    }
  }
}

// Events of one conversation, the oldest first, as many as a batch may have bytes, but one at least.
std::pair<std::string, std::string> Webhooks::Sender::take_batch() {
  std::string const hex = events_.front().hex;
  std::string body;
  std::deque<Queued> others;
  codec::JsonWriter w(body);
  w.begin_array();
  bool is_full = false;
  for (auto& queued : events_) {
    is_full = is_full || (body.size() > 1 && body.size() + queued.event->size() > spec_.max_batch_bytes);
    if (is_full || queued.hex != hex) {
      others.push_back(std::move(queued));
      continue;
    }
    w.raw(*queued.event);
    bytes_ -= queued.event->size();
  }
  w.end_array();
  events_ = std::move(others);
  return {hex, std::move(body)};
}

Task<> Webhooks::Sender::deliver(std::string path, std::string body) {
  for (std::uint64_t tries = 0; tries <= spec_.num_retries; ++tries) {
    bool const is_done = co_await post(path, body);
    if (is_done || tries == spec_.num_retries) co_return;
    auto const again = Clock::now() + seconds_of(spec_.retry_delay);
    while (!closing_ && Clock::now() < again) {  // what comes meanwhile wakes it, too
      co_await wait(again);
      if (told_to_stop(co_await asio::this_coro::cancellation_state)) co_return;
    }
    if (closing_) co_return;
  }
}

// Whether the answer was a 2xx.
Task<bool> Webhooks::Sender::post(std::string const& path, std::string const& body) {
  auto const at = endpoint_of(spec_.target);
  if (!at) co_return false;
  http::request<http::string_body> request(http::verb::post, spec_.target.path + path, 11, body);
  request.set(http::field::host, spec_.target.host + ":" + std::to_string(spec_.target.port));
  request.set(http::field::content_type, "application/json");
  request.set(http::field::connection, "close");
  for (auto const& [name, value] : spec_.headers) request.set(name, value.reveal());
  if (!key_.empty()) request.set("X-Session-API-Key", key_.reveal());
  request.prepare_payload();

  beast::basic_stream<asio::ip::tcp, Executor> stream(executor_);
  stream.expires_after(call_max);
  auto [connect_ec] = co_await stream.async_connect(*at, no_throw);
  if (connect_ec) co_return false;
  auto [write_ec, written] = co_await http::async_write(stream, request, no_throw);
  if (write_ec) co_return false;
  http::response_parser<http::string_body> parser;
  parser.body_limit(answer_bytes_max);
  beast::flat_buffer buffer;
  auto [read_ec, read] = co_await http::async_read_header(stream, buffer, parser, no_throw);
  if (read_ec) co_return false;
  co_return parser.get().result_int() / 100 == 2;
}

Webhooks::Webhooks(Executor executor) : executor_(executor), tasks_(executor) {}
Webhooks::~Webhooks() = default;

void Webhooks::begin(std::vector<WebhookSpec> specs, std::string_view key) {
  for (auto& spec : specs) {
    senders_.push_back(std::make_unique<Sender>(executor_, std::move(spec), key));
    tasks_.spawn(senders_.back()->run());
  }
}

void Webhooks::on_event(Conversation const& conversation, Frame const& event) {
  for (auto const& sender : senders_) sender->add_event(conversation.hex(), event);
}

void Webhooks::on_change(Conversation const& conversation) {
  for (auto const& sender : senders_) sender->add_change(conversation.info_json());
}

Task<> Webhooks::shut_down(Deadline by) {
  for (auto const& sender : senders_) sender->close();
  co_await tasks_.join_by(by);
  tasks_.stop();
  co_await tasks_.join();
}

}  // namespace nestgate::nestlet
