#include "stored.hpp"

#include <simdjson.h>

#include <charconv>

#include "nestgate/codec/json_writer.hpp"
#include "nestgate/upstream/http_client.hpp"

namespace nestgate::conversation {

namespace dom = simdjson::dom;
using asio::ip::tcp;

store::Phase phase_of(RuntimeState state) noexcept {
  switch (state) {
    case RuntimeState::starting: return store::Phase::starting;
    case RuntimeState::running: return store::Phase::running;
    case RuntimeState::paused: return store::Phase::paused;
    case RuntimeState::stopping: return store::Phase::stopping;
    case RuntimeState::stopped: return store::Phase::stopped;
    case RuntimeState::error: break;
  }
  return store::Phase::error;
}

RuntimeState state_of(store::Phase phase) noexcept {
  switch (phase) {
    case store::Phase::starting: return RuntimeState::starting;
    case store::Phase::running: return RuntimeState::running;
    case store::Phase::paused: return RuntimeState::paused;
    case store::Phase::stopping:
    case store::Phase::removing: return RuntimeState::stopping;
    case store::Phase::stopped: return RuntimeState::stopped;
    case store::Phase::error: break;
  }
  return RuntimeState::error;
}

std::string_view to_string(Closed closed) noexcept {
  switch (closed) {
    case Closed::no: return "";
    case Closed::for_room: return "for_room";
    case Closed::when_idle: return "when_idle";
    case Closed::by_request: return "by_request";
  }
  return "";
}

Closed parse_closed(std::string_view text) noexcept {
  for (auto const closed : {Closed::for_room, Closed::when_idle, Closed::by_request})
    if (text == to_string(closed)) return closed;
  return Closed::no;
}

namespace {

std::string endpoint_text(tcp::endpoint const& endpoint) {
  auto const address = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(endpoint.port());
}

std::optional<tcp::endpoint> parse_endpoint(std::string_view text) {
  auto const colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  auto host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  auto const digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  auto const [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  error_code bad_address;
  auto const address = asio::ip::make_address(std::string(host), bad_address);
  if (bad_address || ec != std::errc{} || end != digits.data() + digits.size() || port == 0) return std::nullopt;
  return tcp::endpoint(address, port);
}

}  // namespace

std::string place_text(upstream::Place const& place) {
  if (place.port() == 0) return {};
  std::string const address = endpoint_text(place.at);
  return place.authority.empty() ? address : upstream::url_of(place).text() + " " + address;
}

std::optional<upstream::Place> parse_place(std::string_view text, std::shared_ptr<ClientTls const> const& trusted) {
  auto const space = text.find(' ');
  auto const at = parse_endpoint(space == text.npos ? text : text.substr(space + 1));
  if (!at) return std::nullopt;
  if (space == text.npos) return *at;
  auto const url = upstream::parse_url(text.substr(0, space));
  if (!url) return std::nullopt;
  return upstream::place_of(*url, *at, trusted, upstream::Naming::always);
}

std::string ports_json(std::vector<DeclaredPort> const& ports) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_array();
  for (auto const& port : ports) {
    w.begin_object().member("name", port.name).member("number", port.number);
    w.member("endpoint", place_text(port.endpoint)).end_object();
  }
  w.end_array();
  return out;
}

std::vector<DeclaredPort> parse_ports(std::string_view json, std::shared_ptr<ClientTls const> const& trusted) {
  dom::parser parser;
  dom::array entries;
  std::vector<DeclaredPort> out;
  if (parser.parse(json.data(), json.size()).get_array().get(entries)) return out;
  for (auto const entry : entries) {
    std::string_view name, endpoint;
    std::uint64_t number = 0;
    if (entry["name"].get(name) || entry["endpoint"].get(endpoint) || entry["number"].get(number)) continue;
    auto at = parse_place(endpoint, trusted);
    if (at && number <= UINT16_MAX) out.push_back({std::string(name), static_cast<std::uint16_t>(number), *std::move(at)});
  }
  return out;
}

Secret wish_json(runtime::Wish const& wish) {
  bool const asks = !wish.image.empty() || !wish.command.empty() || !wish.working_dir.empty() || !wish.environment.empty() ||
                    wish.resource_factor != 1;
  if (!asks) return {};
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("image", wish.image).member("working_dir", wish.working_dir);
  w.member("resource_factor", wish.resource_factor).key("command").begin_array();
  for (auto const& argument : wish.command) w.value(argument);
  w.end_array().key("environment").begin_object();
  for (auto const& [name, value] : wish.environment) w.member(name, value.reveal());  // tidy-ok(reveal): sealed by the store
  w.end_object().end_object();
  return Secret(std::move(out));
}

runtime::Wish parse_wish(Secret const& json) {
  runtime::Wish wish;
  if (json.empty()) return wish;
  dom::parser parser;
  dom::element root;
  auto const text = json.reveal();  // tidy-ok(reveal): to read it back
  if (parser.parse(text.data(), text.size()).get(root)) return wish;
  std::string_view word;
  if (!root["image"].get(word)) wish.image = word;
  if (!root["working_dir"].get(word)) wish.working_dir = word;
  std::uint64_t factor = 1;
  if (!root["resource_factor"].get(factor)) wish.resource_factor = static_cast<std::uint32_t>(factor);
  dom::array command;
  if (!root["command"].get(command)) {
    for (auto const argument : command)
      if (!argument.get(word)) wish.command.emplace_back(word);
  }
  dom::object environment;
  if (!root["environment"].get(environment)) {
    for (auto const [name, value] : environment)
      if (!value.get(word)) wish.environment.emplace_back(std::string(name), Secret(std::string(word)));
  }
  return wish;
}

Secret about_json(About const& about) {
  if (about == About{}) return {};
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("title", about.title).member("repository", about.repository);
  w.member("branch", about.branch).member("git_provider", about.git_provider);
  w.member("label", about.label).end_object();
  return Secret(std::move(out));
}

About parse_about(Secret const& json) {
  About about;
  if (json.empty()) return about;
  dom::parser parser;
  dom::element root;
  auto const text = json.reveal();  // tidy-ok(reveal): to read it back
  if (parser.parse(text.data(), text.size()).get(root)) return about;
  for (auto const& [name, member] :
       {std::pair{"title", &about.title}, std::pair{"repository", &about.repository}, std::pair{"branch", &about.branch},
        std::pair{"git_provider", &about.git_provider}, std::pair{"label", &about.label}}) {
    std::string_view value;
    if (!root[name].get(value)) *member = value;
  }
  return about;
}

}  // namespace nestgate::conversation
