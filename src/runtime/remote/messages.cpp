#include "messages.hpp"

#include <simdjson.h>

#include <algorithm>

#include "nestgate/base/invariant.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "runtime/excerpt.hpp"

namespace nestgate::runtime::remote {
namespace {

namespace dom = simdjson::dom;

constexpr std::uint32_t resource_factor_max = 8;
constexpr std::size_t reasons_shown_max = 3;

std::string text_in(dom::element parent, std::string_view key) {
  std::string_view text;
  if (parent[key].get_string().get(text)) return {};
  return std::string(text);
}

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  return text;
}

std::vector<std::pair<std::string, std::uint16_t>> work_hosts_of(dom::element session) {
  std::vector<std::pair<std::string, std::uint16_t>> out;
  dom::object hosts;
  if (session["work_hosts"].get_object().get(hosts)) return out;
  for (auto const [url, value] : hosts) {
    std::uint64_t port = 0;
    if (value.get_uint64().get(port) || port == 0 || port > UINT16_MAX) continue;
    out.emplace_back(url, static_cast<std::uint16_t>(port));
  }
  return out;
}

std::vector<std::string> restart_reasons_of(dom::element session) {
  std::vector<std::string> out;
  dom::array reasons;
  if (session["restart_reasons"].get_array().get(reasons)) return out;
  for (auto const reason : reasons) {
    std::string_view text;
    if (!reason.get_string().get(text)) out.emplace_back(text);
  }
  return out;
}

std::optional<Session> session_of(dom::element element) {
  Session out;
  out.runtime_id = text_in(element, "runtime_id");
  if (out.runtime_id.empty()) out.runtime_id = text_in(element, "id");
  if (out.runtime_id.empty()) return std::nullopt;
  out.session_id = text_in(element, "session_id");
  out.url = text_in(element, "url");
  out.status = lower_case(text_in(element, "status"));
  out.pod_status = lower_case(text_in(element, "pod_status"));
  out.session_key = Secret(text_in(element, "session_api_key"));
  out.work_hosts = work_hosts_of(element);
  [[maybe_unused]] auto const no_count = element["restart_count"].get_uint64().get(out.restarts);
  out.restart_reasons = restart_reasons_of(element);
  std::string_view log;
  if (!element["pod_logs"].get_string().get(log)) out.pod_log = log;
  return out;
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

bool has_failed_pod(Session const& session) {
  return is_one_of(session.pod_status, {"failed", "unknown", "crashloopbackoff"});
}

// Of text in JSON, whatever in it has to be escaped.
constexpr std::size_t escaped_max(std::size_t bytes) { return bytes * 6; }

std::size_t room_for(RemoteSettings const& settings, Spec const& spec, std::string_view image) {
  std::size_t bytes = image.size() + spec.id.canonical().size() + settings.working_dir.size() +
                      spec.wish.working_dir.size() + settings.runtime_class.size() + settings.image_pull_policy.size();
  std::size_t items = 32;
  auto const count = [&bytes, &items](std::size_t size) {
    bytes += size;
    ++items;
  };
  for (auto const& argument : settings.command) count(argument.size());
  for (auto const& argument : spec.wish.command) count(argument.size());
  for (auto const& [name, value] : settings.environment) count(name.size() + value.size());
  for (auto const& [name, value] : spec.wish.environment) count(name.size() + value.size());
  return escaped_max(bytes) + items * 64;
}

void write_environment(codec::JsonWriter& w, RemoteSettings const& settings, Wish const& wish) {
  w.key("environment").begin_object();
  for (auto const& [name, value] : settings.environment) {
    bool const is_replaced = std::any_of(wish.environment.begin(), wish.environment.end(),
                                         [&wished = name](auto const& variable) { return variable.first == wished; });
    if (!is_replaced) w.member(name, value);
  }
  for (auto const& [name, value] : wish.environment) w.member(name, value.reveal());
  w.end_object();
}

}  // namespace

std::optional<Session> parse_session(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(answer.data(), answer.size()).get(root)) return std::nullopt;
  return session_of(root);
}

std::optional<std::vector<Session>> parse_sessions(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  dom::array list;
  if (parser.parse(answer.data(), answer.size()).get(root)) return std::nullopt;
  if (root.get_array().get(list) && root["runtimes"].get_array().get(list)) return std::nullopt;
  std::vector<Session> out;
  for (auto const element : list)
    if (auto session = session_of(element)) out.push_back(*std::move(session));
  return out;
}

Secret parse_session_key(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(answer.data(), answer.size()).get(root)) return {};
  return Secret(text_in(root, "session_api_key"));
}

std::optional<std::string> parse_registry_prefix(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  std::string_view text;
  if (parser.parse(answer.data(), answer.size()).get(root) || root["registry_prefix"].get_string().get(text))
    return std::nullopt;
  return std::string(text);
}

std::optional<bool> parse_image_exists(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  bool exists = false;
  if (parser.parse(answer.data(), answer.size()).get(root) || root["exists"].get_bool().get(exists)) return std::nullopt;
  return exists;
}

std::string message_in(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(answer.data(), answer.size()).get(root)) return {};
  for (std::string_view const key : {"detail", "message", "error"})
    if (auto text = text_in(root, key); !text.empty()) return text;
  return {};
}

Readiness readiness_of(Session const& session) {
  bool const has_pod = !session.pod_status.empty();
  if (has_failed_pod(session) || (!has_pod && session.status == "error")) return Readiness::failed;
  if (session.pod_status == "ready" || (!has_pod && session.status == "running")) return Readiness::ready;
  return Readiness::not_yet;
}

Presence presence_of(Session const& session) {
  if (session.pod_status == "ready") return Presence::running;
  if (is_one_of(session.pod_status, {"pending", "running"})) return Presence::starting;
  if (has_failed_pod(session)) return Presence::failed;
  if (session.status == "running") return Presence::running;
  if (session.status == "starting") return Presence::starting;
  if (session.status == "paused") return Presence::paused;
  if (session.status == "error") return Presence::failed;
  return Presence::stopped;
}

bool is_up(Session const& session) { return is_one_of(session.status, {"running", "starting"}); }

std::string state_text(Session const& session) {
  std::string out = excerpt(session.status, 64);
  if (!session.pod_status.empty() && session.pod_status != session.status)
    out.append(out.empty() ? "" : ", ").append(excerpt(session.pod_status, 64));
  if (session.restarts == 0) return out;
  out += ", restarted " + std::to_string(session.restarts) + " times";
  std::string_view separator = ": ";
  for (std::size_t i = 0; i < std::min(session.restart_reasons.size(), reasons_shown_max); ++i) {
    out.append(separator).append(excerpt(session.restart_reasons[i]));
    separator = ", ";
  }
  return out;
}

Secret start_body(RemoteSettings const& settings, Spec const& spec, std::string_view image) {
  auto const& wish = spec.wish;
  std::size_t const room = room_for(settings, spec, image);
  std::string out;
  out.reserve(room);  // never grows, so no copy of a secret is left behind
  codec::JsonWriter w(out);
  w.begin_object();
  if (!image.empty()) w.member("image", image);
  auto const& command = wish.command.empty() ? settings.command : wish.command;
  if (!command.empty()) {
    w.key("command").begin_array();
    for (auto const& argument : command) w.value(argument);
    w.end_array();
  }
  auto const& working_dir = wish.working_dir.empty() ? settings.working_dir : wish.working_dir;
  if (!working_dir.empty()) w.member("working_dir", working_dir);
  write_environment(w, settings, wish);
  w.member("session_id", spec.id.canonical());
  w.member("resource_factor", std::min(settings.resource_factor * wish.resource_factor, resource_factor_max));
  if (!settings.runtime_class.empty()) w.member("runtime_class", settings.runtime_class);
  if (settings.run_as_user != 0) w.member("run_as_user", settings.run_as_user);
  if (settings.run_as_group != 0) w.member("run_as_group", settings.run_as_group);
  if (settings.fs_group != 0) w.member("fs_group", settings.fs_group);
  if (!settings.image_pull_policy.empty()) w.member("image_pull_policy", settings.image_pull_policy);
  w.end_object();
  NESTGATE_INVARIANT(out.size() <= room, "the room was counted from what is written");
  return Secret(std::move(out));
}

std::string runtime_body(std::string_view runtime_id) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("runtime_id", runtime_id).end_object();
  return out;
}

}  // namespace nestgate::runtime::remote
