#include "messages.hpp"

#include <simdjson.h>

#include <algorithm>

#include "nestgate/codec/json_writer.hpp"
#include "secret_text.hpp"

namespace nestgate::nested {
namespace {

namespace dom = simdjson::dom;

std::string text_of(dom::object const& object, std::string_view name) {
  std::string_view text;
  return object[name].get_string().get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

CommandOutput output_of(dom::object const& object) {
  CommandOutput output;
  std::int64_t exit_code = 0;
  if (object["exit_code"].get_int64().get(exit_code) == simdjson::SUCCESS) output.exit_code = static_cast<int>(exit_code);
  output.standard_output = text_of(object, "stdout");
  output.standard_error = text_of(object, "stderr");
  if (object["order"].get_int64().get(output.order)) output.order = 0;
  return output;
}

std::string_view trimmed(std::string_view json) {
  constexpr std::string_view space = " \t\r\n";
  auto const start = std::min(json.find_first_not_of(space), json.size());
  return json.substr(start, json.find_last_not_of(space) + 1 - start);
}

constexpr std::size_t excerpt_bytes_max = 512;
constexpr std::size_t key_bytes_min = 8;
constexpr std::string_view mask = "***";

// [{"loc":["body","a"],"msg":"…","input":…}]: the input is what was told, and may be a key.
std::string faults_in(dom::array const& faults) {
  std::string out;
  for (auto const fault : faults) {
    if (!out.empty()) out += "; ";
    dom::array place;
    if (!fault["loc"].get_array().get(place))
      for (auto const step : place) out.append(out.empty() || out.ends_with(' ') ? "" : ".").append(simdjson::minify(step));
    std::string_view message;
    if (!fault["msg"].get_string().get(message)) out.append(out.empty() || out.ends_with(' ') ? "" : " ").append(message);
    if (out.size() > excerpt_bytes_max) break;
  }
  std::erase(out, '"');
  return out;
}

std::string said_in(dom::element root) {
  for (auto const* name : {"detail", "message", "error"}) {
    std::string_view text;
    dom::array faults;
    if (!root[name].get_string().get(text)) return std::string(text);
    if (!root[name].get_array().get(faults)) return faults_in(faults);
  }
  return {};
}

// `text` was cut, so its end may be the start of a value.
void mask_value(std::string& text, std::string_view value) {
  if (value.size() < key_bytes_min) return;
  for (auto at = text.find(value); at != text.npos; at = text.find(value, at + mask.size()))
    text.replace(at, value.size(), mask);
  for (auto size = std::min(value.size(), text.size()); size >= key_bytes_min; --size) {
    if (!text.ends_with(value.substr(0, size))) continue;
    text.replace(text.size() - size, size, mask);
    return;
  }
}

void mask_values(std::string& text, dom::element told) {
  std::string_view value;
  dom::array items;
  dom::object members;
  if (!told.get_string().get(value)) return mask_value(text, value);
  if (!told.get_array().get(items))
    for (auto const item : items) mask_values(text, item);
  if (!told.get_object().get(members))
    for (auto const [name, member] : members) mask_values(text, member);
}

}  // namespace

Secret git_providers_body(std::vector<GitToken> const& tokens) {
  std::size_t room = 64;
  for (auto const& token : tokens)
    room += escaped_max(token.provider.size() + token.token.size() + token.user_id.size() + token.host.size()) + 64;
  return written(room, [&tokens](codec::JsonWriter& w) {
    w.begin_object().key("provider_tokens").begin_object();
    for (auto const& token : tokens) {
      w.key(token.provider).begin_object().member("token", token.token.reveal());
      w.text_or_null("user_id", token.user_id);
      w.text_or_null("host", token.host);
      w.end_object();
    }
    w.end_object().end_object();
  });
}

Secret secret_body(std::string_view name, Secret const& value, std::string_view description) {
  std::size_t const room = escaped_max(name.size() + value.size() + description.size()) + 64;
  return written(room, [&](codec::JsonWriter& w) {
    w.begin_object().member("name", name).member("value", value.reveal()).member("description", description).end_object();
  });
}

Secret init_body(Initialisation const& told) {
  std::size_t room = 256 + escaped_max(2 * told.session_key.size() + told.conversations_path.size() +
                                       told.bash_events_dir.size() + told.web_url.size() + told.webhook_base_url.size());
  for (auto const& [name, value] : told.environment) room += escaped_max(name.size() + value.size()) + 8;
  return written(room, [&told](codec::JsonWriter& w) {
    auto const text = [&w](std::string_view name, std::string const& value) {
      if (!value.empty()) w.member(name, value);
    };
    w.begin_object().key("session_api_keys").begin_array().value(told.session_key.reveal()).end_array();
    w.member("secret_key", told.session_key.reveal());
    text("conversations_path", told.conversations_path);
    text("bash_events_dir", told.bash_events_dir);
    text("web_url", told.web_url);
    if (!told.webhook_base_url.empty())
      w.key("webhooks").begin_array().begin_object().member("base_url", told.webhook_base_url).end_object().end_array();
    if (!told.environment.empty()) {
      w.key("env").begin_object();
      for (auto const& [name, value] : told.environment) w.member(name, value);
      w.end_object();
    }
    w.end_object();
  });
}

std::string conversation_id_member(std::string_view id) {
  std::string out;
  codec::JsonWriter(out).member("conversation_id", id);
  return out;
}

std::optional<std::string_view> members_of(std::string_view object) {
  if (object.empty()) return object;
  dom::parser parser;
  dom::object parsed;
  if (parser.parse(object.data(), object.size()).get_object().get(parsed)) return std::nullopt;
  auto const text = trimmed(object);
  return trimmed(text.substr(1, text.size() - 2));
}

std::string command_body(std::string_view command, std::chrono::seconds time_max) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("command", command).member("timeout", time_max.count()).end_object();
  return out;
}

std::string file_part_start(std::string_view boundary) {
  return "--" + std::string(boundary) +
         "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"upload\"\r\nContent-Type: "
         "application/octet-stream\r\n\r\n";
}

std::string file_part_end(std::string_view boundary) { return "\r\n--" + std::string(boundary) + "--\r\n"; }

bool says_already_exists(std::string_view answer) { return answer.find("already exists") != answer.npos; }

std::string excerpt_of_refusal(std::string_view answer, Secret const& told) {
  dom::parser answer_parser;
  dom::element root;
  if (answer_parser.parse(answer.data(), answer.size()).get(root)) return {};
  std::string text = said_in(root).substr(0, excerpt_bytes_max);
  dom::parser told_parser;
  dom::element values;
  if (told_parser.parse(told.reveal().data(), told.size()).get(values) == simdjson::SUCCESS) mask_values(text, values);
  std::replace_if(text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, ' ');
  return text.substr(0, excerpt_bytes_max);
}

bool says_not_ready(std::string_view alive_answer) {
  dom::parser parser;
  std::string_view status;
  return !parser.parse(alive_answer.data(), alive_answer.size())["status"].get_string().get(status) && status != "ok";
}

bool is_null(std::string_view answer) { return trimmed(answer) == "null"; }

std::optional<InitState> parse_init_state(std::string_view answer) {
  dom::parser parser;
  std::string_view state;
  if (parser.parse(answer.data(), answer.size())["state"].get_string().get(state)) return std::nullopt;
  if (state == "dormant") return InitState::dormant;
  if (state == "initializing") return InitState::initializing;
  if (state == "ready") return InitState::ready;
  return std::nullopt;
}

std::optional<Status> parse_status(std::string_view answer, Dialect dialect) {
  dom::parser parser;
  dom::element root;
  dom::array items;
  dom::object info;
  if (parser.parse(answer.data(), answer.size()).get(root)) return std::nullopt;
  if (!root.get_array().get(items)) {
    if (items.begin() == items.end()) return std::nullopt;
    root = *items.begin();
  }
  if (root.is_null()) return Status{};
  if (root.get_object().get(info)) return std::nullopt;
  Status status;
  if (dialect != Dialect::older) status.conversation = text_of(info, "execution_status");
  if (status.conversation.empty() && dialect != Dialect::agent_server) status.conversation = text_of(info, "status");
  status.runtime = text_of(info, "runtime_status");
  return status;
}

bool tells_resources(std::string_view answer) {
  simdjson::dom::parser parser;
  return parser.parse(answer.data(), answer.size())["resources"].is_object();
}

std::optional<std::chrono::seconds> parse_idle_time(std::string_view answer) {
  constexpr double seconds_max = 1e9;
  dom::parser parser;
  double seconds = 0;
  if (parser.parse(answer.data(), answer.size())["idle_time"].get_double().get(seconds)) return std::nullopt;
  if (!(seconds >= 0 && seconds <= seconds_max)) return std::nullopt;
  return std::chrono::seconds(static_cast<std::chrono::seconds::rep>(seconds));
}

std::optional<std::string> parse_id(std::string_view answer) {
  dom::parser parser;
  std::string_view id;
  if (parser.parse(answer.data(), answer.size())["id"].get_string().get(id) || id.empty()) return std::nullopt;
  return std::string(id);
}

std::optional<CommandOutput> parse_output(std::string_view answer) {
  dom::parser parser;
  dom::object object;
  if (parser.parse(answer.data(), answer.size()).get_object().get(object)) return std::nullopt;
  return output_of(object);
}

std::optional<CommandPage> parse_commands(std::string_view answer) {
  dom::parser parser;
  dom::object page;
  dom::array items;
  if (parser.parse(answer.data(), answer.size()).get_object().get(page)) return std::nullopt;
  if (page["items"].get_array().get(items)) return std::nullopt;
  CommandPage out;
  for (auto const item : items) {
    std::string_view id, text;
    if (item["id"].get_string().get(id) || item["command"].get_string().get(text)) return std::nullopt;
    out.items.push_back({std::string(id), std::string(text)});
  }
  std::string_view next;
  if (!page["next_page_id"].get_string().get(next)) out.next_page_id = next;
  return out;
}

std::optional<OutputPage> parse_outputs(std::string_view answer) {
  dom::parser parser;
  dom::object page;
  dom::array items;
  if (parser.parse(answer.data(), answer.size()).get_object().get(page)) return std::nullopt;
  if (page["items"].get_array().get(items)) return std::nullopt;
  OutputPage out;
  for (auto const item : items) {
    dom::object object;
    if (item.get_object().get(object)) return std::nullopt;
    out.items.push_back(output_of(object));
  }
  std::string_view next;
  if (!page["next_page_id"].get_string().get(next)) out.next_page_id = next;
  return out;
}

void put_before(OutputTail& tail, OutputPage const& page, std::size_t bytes) {
  auto const put = [bytes](std::string& later, std::string_view text) {
    text.remove_prefix(text.size() - std::min(text.size(), bytes - later.size()));
    later.insert(0, text);
  };
  for (auto const& output : page.items) {
    put(tail.standard_output, output.standard_output);
    put(tail.standard_error, output.standard_error);
  }
}

std::optional<std::optional<CommandOutput>> parse_newest_output(std::string_view answer) {
  auto outputs = parse_outputs(answer);
  if (!outputs) return std::nullopt;
  if (outputs->items.empty()) return std::optional<CommandOutput>();
  return std::optional(std::move(outputs->items.front()));
}

}  // namespace nestgate::nested
