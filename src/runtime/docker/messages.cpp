#include "messages.hpp"

#include <simdjson.h>

#include <algorithm>
#include <charconv>

#include "nestgate/base/invariant.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "runtime/image_name.hpp"

namespace nestgate::runtime::docker {
namespace {

namespace dom = simdjson::dom;

// Their values are keys, and nothing else of a container's environment is looked at.
constexpr std::string_view key_variables[] = {"SESSION_API_KEY", "OH_SESSION_API_KEYS_0"};

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number number{};
  auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string text_at(dom::element parent, std::string_view pointer) {
  std::string_view text;
  if (parent.at_pointer(pointer).get_string().get(text)) return {};
  return std::string(text);
}

bool flag_at(dom::element parent, std::string_view pointer) {
  bool flag = false;
  return !parent.at_pointer(pointer).get_bool().get(flag) && flag;
}

State state_of(std::string_view text) {
  if (text == "created") return State::created;
  if (text == "running") return State::running;
  if (text == "paused") return State::paused;
  if (text == "restarting") return State::restarting;
  if (text == "removing") return State::removing;
  if (text == "exited") return State::exited;
  if (text == "dead") return State::dead;
  return State::unknown;
}

Labels texts_of(simdjson::simdjson_result<dom::element> from) {
  Labels out;
  dom::object members;
  if (from.get_object().get(members)) return out;
  for (auto const [name, value] : members) {
    std::string_view text;
    if (!value.get_string().get(text)) out.emplace(name, text);
  }
  return out;
}

std::map<std::string, std::string, std::less<>> addresses_of(dom::element container) {
  std::map<std::string, std::string, std::less<>> out;
  dom::object networks;
  if (container.at_pointer("/NetworkSettings/Networks").get_object().get(networks)) return out;
  for (auto const [name, network] : networks) {
    auto address = text_at(network, "/IPAddress");
    if (!address.empty()) out.emplace(name, std::move(address));
  }
  return out;
}

std::string without_slash(std::string_view name) {
  if (name.starts_with('/')) name.remove_prefix(1);
  return std::string(name);
}

// {"8000/tcp":[{"HostIp":"127.0.0.1","HostPort":"32768"}],"9/udp":null}
std::vector<Binding> bindings_of(dom::element container) {
  std::vector<Binding> out;
  dom::object ports;
  if (container.at_pointer("/NetworkSettings/Ports").get_object().get(ports)) return out;
  for (auto const [name, places] : ports) {
    dom::array list;
    if (!name.ends_with("/tcp") || places.get_array().get(list)) continue;
    auto const inner = number_of<std::uint16_t>(name.substr(0, name.size() - 4));
    for (auto const place : list) {
      auto const outer = number_of<std::uint16_t>(text_at(place, "/HostPort"));
      if (inner && outer) out.push_back({*inner, text_at(place, "/HostIp"), *outer});
    }
  }
  return out;
}

// [{"IP":"127.0.0.1","PrivatePort":8000,"PublicPort":32768,"Type":"tcp"}]
std::vector<Binding> listed_bindings_of(dom::element container) {
  std::vector<Binding> out;
  dom::array ports;
  if (container.at_pointer("/Ports").get_array().get(ports)) return out;
  for (auto const port : ports) {
    std::uint64_t inner = 0, outer = 0;
    if (text_at(port, "/Type") != "tcp" || port["PrivatePort"].get_uint64().get(inner) ||
        port["PublicPort"].get_uint64().get(outer) || inner > 65535 || outer > 65535)
      continue;
    out.push_back({static_cast<std::uint16_t>(inner), text_at(port, "/IP"), static_cast<std::uint16_t>(outer)});
  }
  return out;
}

void read_environment(dom::element container, Container& out) {
  dom::array variables;
  if (container.at_pointer("/Config/Env").get_array().get(variables)) return;
  for (auto const variable : variables) {
    std::string_view text;
    if (variable.get_string().get(text)) continue;
    auto const name = text.substr(0, text.find('='));
    if (name.size() == text.size()) continue;
    auto const value = text.substr(name.size() + 1);
    if (name == "OH_DEFERRED_INIT") out.starts_dormant = value == "true";
    if (name == "port" && !out.port_variable) out.port_variable = number_of<std::uint16_t>(value);
    if (std::find(std::begin(key_variables), std::end(key_variables), name) != std::end(key_variables))
      out.secrets.emplace_back(name, Secret(std::string(value)));
  }
}

void read_volumes(dom::element container, Container& out) {
  dom::array mounts;
  if (container["Mounts"].get_array().get(mounts)) return;
  for (auto const mount : mounts)
    if (text_at(mount, "/Type") == "volume") out.volumes.push_back(text_at(mount, "/Name"));
}

std::optional<Container> listed_container(dom::element entry) {
  Container out;
  out.id = text_at(entry, "/Id");
  if (out.id.empty()) return std::nullopt;
  // A container that others are linked to has further names, each with a second slash.
  dom::array names;
  if (!entry["Names"].get_array().get(names)) {
    for (auto const name : names) {
      std::string_view text;
      if (!name.get_string().get(text) && text.find('/', 1) == text.npos) out.name = without_slash(text);
    }
  }
  out.state = state_of(text_at(entry, "/State"));
  out.status = text_at(entry, "/Status");
  out.labels = texts_of(entry["Labels"]);
  out.bindings = listed_bindings_of(entry);
  out.addresses = addresses_of(entry);
  out.network_mode = text_at(entry, "/HostConfig/NetworkMode");
  return out;
}

// Of text in JSON, whatever in it has to be escaped.
constexpr std::size_t escaped_max(std::size_t bytes) { return bytes * 6; }

void write_texts(codec::JsonWriter& w, std::string_view key, std::vector<std::string> const& texts) {
  w.key(key).begin_array();
  for (auto const& text : texts) w.value(text);
  w.end_array();
}

void write_labels(codec::JsonWriter& w, std::vector<std::pair<std::string, std::string>> const& labels) {
  w.key("Labels").begin_object();
  for (auto const& [name, value] : labels) w.member(name, value);
  w.end_object();
}

void write_ports(codec::JsonWriter& w, NewContainer const& c) {
  w.key("PortBindings").begin_object();
  for (auto const port : c.ports) {
    w.key(std::to_string(port) + "/tcp").begin_array().begin_object();
    w.member("HostIp", c.bind_interface).member("HostPort", "").end_object().end_array();
  }
  w.end_object();
}

void write_host_config(codec::JsonWriter& w, NewContainer const& c) {
  w.key("HostConfig").begin_object();
  write_texts(w, "Binds", c.volumes);
  if (c.publish) write_ports(w, c);
  if (!c.network.empty()) w.member("NetworkMode", c.network);
  if (c.memory_bytes != 0) w.member("Memory", c.memory_bytes).member("MemorySwap", c.memory_bytes);
  if (c.nano_cpus != 0) w.member("NanoCpus", c.nano_cpus);
  if (c.pids_max != 0) w.member("PidsLimit", c.pids_max);
  w.key("LogConfig").begin_object().member("Type", "json-file").key("Config").begin_object();
  w.member("max-size", std::to_string(c.output_bytes_max / 2)).member("max-file", "2").end_object().end_object();
  w.end_object();
}

std::size_t room_for(NewContainer const& c) {
  std::size_t bytes = c.image.size() + c.working_dir.size() + c.user.size() + c.network.size();
  std::size_t items = 32;
  auto const count = [&bytes, &items](std::size_t size) {
    bytes += size;
    ++items;
  };
  for (auto const& text : c.command) count(text.size());
  for (auto const& text : c.volumes) count(text.size());
  for (auto const& [name, value] : c.environment) count(name.size() + value.size());
  for (auto const& [name, value] : c.secret_environment) count(name.size() + value.size());
  for (auto const& [name, value] : c.labels) count(name.size() + value.size());
  for ([[maybe_unused]] auto const port : c.ports) count(c.bind_interface.size());
  return escaped_max(bytes) + items * 64;
}

bool is_image_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool is_image_path(std::string_view text) {
  auto const allowed = [](char c) { return is_image_char(c) || c == '/' || c == ':'; };
  return !text.empty() && std::all_of(text.begin(), text.end(), allowed) && text.front() != '/' && text.back() != '/' &&
         text.find("//") == text.npos && text.find("..") == text.npos;
}

}  // namespace

std::string_view Container::label(std::string_view key) const {
  auto const found = labels.find(key);
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

Secret const* Container::secret(std::string_view variable) const {
  for (auto const& [variable_name, value] : secrets)
    if (variable_name == variable) return &value;
  return nullptr;
}

std::optional<ApiVersion> parse_api_version(std::string_view text) {
  auto const dot = text.find('.');
  if (dot == text.npos) return std::nullopt;
  auto const major = number_of<unsigned>(text.substr(0, dot));
  auto const minor = number_of<unsigned>(text.substr(dot + 1));
  if (!major || !minor) return std::nullopt;
  return ApiVersion{*major, *minor};
}

std::string to_string(ApiVersion version) { return std::to_string(version.major) + "." + std::to_string(version.minor); }

std::optional<Versions> parse_versions(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(answer.data(), answer.size()).get(root)) return std::nullopt;
  auto const newest = parse_api_version(text_at(root, "/ApiVersion"));
  if (!newest) return std::nullopt;
  return Versions{*newest, parse_api_version(text_at(root, "/MinAPIVersion")).value_or(ApiVersion{})};
}

std::optional<Container> parse_container(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(answer.data(), answer.size()).get(root)) return std::nullopt;
  Container out;
  out.id = text_at(root, "/Id");
  out.name = without_slash(text_at(root, "/Name"));
  if (out.id.empty() || out.name.empty()) return std::nullopt;
  out.state = state_of(text_at(root, "/State/Status"));
  std::int64_t exit_code = 0;
  if (!root.at_pointer("/State/ExitCode").get_int64().get(exit_code)) out.exit_code = static_cast<int>(exit_code);
  out.was_out_of_memory = flag_at(root, "/State/OOMKilled");
  out.error = excerpt(text_at(root, "/State/Error"));
  out.labels = texts_of(root.at_pointer("/Config/Labels"));
  out.working_dir = text_at(root, "/Config/WorkingDir");
  out.has_terminal = flag_at(root, "/Config/Tty");
  out.bindings = bindings_of(root);
  out.addresses = addresses_of(root);
  out.network_mode = text_at(root, "/HostConfig/NetworkMode");
  read_environment(root, out);
  read_volumes(root, out);
  return out;
}

std::optional<std::vector<Container>> parse_containers(std::string_view answer) {
  dom::parser parser;
  dom::array entries;
  if (parser.parse(answer.data(), answer.size()).get_array().get(entries)) return std::nullopt;
  std::vector<Container> out;
  for (auto const entry : entries)
    if (auto container = listed_container(entry)) out.push_back(std::move(*container));
  return out;
}

std::optional<Event> parse_event(std::string_view line) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(line.data(), line.size()).get(root)) return std::nullopt;
  Event out;
  out.action = text_at(root, "/Action");
  out.container = text_at(root, "/Actor/ID");
  if (out.action.empty() || out.container.empty() || text_at(root, "/Type") != "container") return std::nullopt;
  if (root["timeNano"].get_int64().get(out.time_ns)) out.time_ns = 0;
  return out;
}

std::optional<std::string> parse_id(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(answer.data(), answer.size()).get(root)) return std::nullopt;
  auto id = text_at(root, "/Id");
  if (id.empty()) return std::nullopt;
  return id;
}

std::optional<ExecState> parse_exec(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  ExecState out;
  if (parser.parse(answer.data(), answer.size()).get(root) || root["Running"].get_bool().get(out.is_running))
    return std::nullopt;
  std::int64_t code = 0;  // null while it runs
  if (!root["ExitCode"].get_int64().get(code)) out.exit_code = static_cast<int>(code);
  return out;
}

Usage parse_usage(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  Usage out;
  if (parser.parse(answer.data(), answer.size()).get(root)) return out;
  std::uint64_t used = 0, idle = 0, cpu_ns = 0;
  if (!root.at_pointer("/memory_stats/usage").get(used)) {
    if (root.at_pointer("/memory_stats/stats/total_inactive_file").get(idle))  // where groups are of version 1
        [[maybe_unused]]
      auto const none = root.at_pointer("/memory_stats/stats/inactive_file").get(idle);
    out.memory_bytes = used - std::min(used, idle);
  }
  bool const counts = !root.at_pointer("/cpu_stats/cpu_usage/total_usage").get(cpu_ns);
  if (counts && out.memory_bytes)  // all zero: it does not run
    out.cpu_time = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::nanoseconds(cpu_ns));
  return out;
}

Labels parse_volume_labels(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(answer.data(), answer.size()).get(root)) return {};
  return texts_of(root["Labels"]);
}

std::string message_in(std::string_view answer) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(answer.data(), answer.size()).get(root)) return {};
  return excerpt(text_at(root, "/message"), 400);
}

std::string last_line(std::string_view log) {
  auto const end = log.find_last_not_of(" \t\r\n");
  if (end == log.npos) return {};
  log = log.substr(0, end + 1);
  auto const start = log.rfind('\n');
  return excerpt(start == log.npos ? log : log.substr(start + 1));
}

bool Lines::feed(std::string_view piece, std::function<void(std::string_view)> const& take) {
  for (auto end = piece.find('\n'); end != piece.npos; end = piece.find('\n')) {
    if (begun_.empty()) {
      take(piece.substr(0, end));
    } else {
      begun_.append(piece.substr(0, end));
      take(begun_);
      begun_.clear();
    }
    piece.remove_prefix(end + 1);
  }
  if (begun_.size() + piece.size() > line_bytes_max_) return false;
  begun_.append(piece);
  return true;
}

bool LogFrames::feed(std::string_view piece, std::function<void(std::string_view)> const& take) {
  while (!piece.empty()) {
    if (payload_left_ > 0) {
      auto const bytes = piece.substr(0, payload_left_);
      take(bytes);
      payload_left_ -= bytes.size();
      piece.remove_prefix(bytes.size());
      continue;
    }
    head_[head_size_++] = static_cast<unsigned char>(piece.front());
    piece.remove_prefix(1);
    if (head_size_ < head_.size()) continue;
    head_size_ = 0;
    if (head_[0] > 3 || head_[1] != 0 || head_[2] != 0 || head_[3] != 0) return false;
    for (std::size_t i = 4; i < head_.size(); ++i) payload_left_ = payload_left_ << 8 | head_[i];
  }
  return true;
}

void Tail::append(std::string_view bytes) {
  if (bytes.size() > bytes_max_) bytes.remove_prefix(bytes.size() - bytes_max_);
  if (text_.size() + bytes.size() > 2 * bytes_max_) text_.erase(0, text_.size() + bytes.size() - bytes_max_);
  text_.append(bytes);
}

std::string Tail::take() {
  if (text_.size() > bytes_max_) text_.erase(0, text_.size() - bytes_max_);
  return std::move(text_);
}

std::optional<std::string> PullProgress::feed(std::string_view line) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(line.data(), line.size()).get(root)) return std::nullopt;
  auto const error = text_at(root, "/error");
  if (!error.empty()) error_ = excerpt(error, 400);
  auto const layer = text_at(root, "/id");
  auto const status = text_at(root, "/status");
  bool const is_done = status == "Pull complete" || status == "Already exists";
  bool const is_known = is_done || status == "Pulling fs layer";
  if (layer.empty() || !is_known) return std::nullopt;
  bool is_news = layers_.insert(layer).second;
  if (is_done && done_.insert(layer).second) is_news = true;
  if (!is_news) return std::nullopt;
  return "pulling image: layer " + std::to_string(done_.size()) + " of " + std::to_string(layers_.size());
}

std::optional<ImageReference> parse_image(std::string_view text) {
  ImageReference out;
  if (auto const at = text.find('@'); at != text.npos) {
    auto const digest = text.substr(at + 1);
    auto const is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    if (!digest.starts_with("sha256:") || digest.size() != 71 || !std::all_of(digest.begin() + 7, digest.end(), is_hex))
      return std::nullopt;
    out = {std::string(text.substr(0, at)), std::string(digest)};
  } else {
    auto const colon = text.rfind(':');
    bool const has_tag = colon != text.npos && text.find('/', colon) == text.npos;
    out = {std::string(text.substr(0, has_tag ? colon : text.npos)),
           has_tag ? std::string(text.substr(colon + 1)) : std::string("latest")};
    if (!std::all_of(out.tag.begin(), out.tag.end(), is_image_char) || out.tag.empty()) return std::nullopt;
  }
  if (!is_image_path(out.name)) return std::nullopt;
  return out;
}

std::string registry_of(std::string_view image_name) {
  constexpr std::string_view docker_io = "docker.io";
  if (!names_registry(image_name)) return std::string(docker_io);
  auto const host = image_name.substr(0, image_name.find('/'));
  if (host == "index.docker.io" || host == "registry-1.docker.io") return std::string(docker_io);
  return std::string(host);
}

bool is_auth_for(std::string_view auth_json, std::string_view registry) {
  simdjson::dom::parser parser;
  simdjson::dom::object auth;
  std::string_view server = "docker.io";
  if (parser.parse(simdjson::padded_string(auth_json)).get(auth)) return false;
  [[maybe_unused]] auto const names_one = auth["serveraddress"].get(server);
  if (auto const scheme = server.find("://"); scheme != server.npos) server.remove_prefix(scheme + 3);
  server = server.substr(0, server.find('/'));
  return registry_of(std::string(server) + "/image") == registry;
}

Secret container_body(NewContainer const& c) {
  std::size_t const room = room_for(c);
  std::string out;
  out.reserve(room);  // never grows, so no copy of a key is left behind
  codec::JsonWriter w(out);
  w.begin_object().member("Image", c.image);
  if (c.without_entry_point) w.key("Entrypoint").begin_array().value("").end_array();
  if (!c.command.empty()) write_texts(w, "Cmd", c.command);
  if (!c.working_dir.empty()) w.member("WorkingDir", c.working_dir);
  if (!c.user.empty()) w.member("User", c.user);
  w.key("Env").begin_array();
  for (auto const& [name, value] : c.environment) w.value(name + "=" + value);
  for (auto const& [name, value] : c.secret_environment) {
    std::string variable;
    variable.reserve(name.size() + 1 + value.size());
    variable.append(name).append("=").append(value.reveal());
    Secret const wiped(std::move(variable));
    w.value(wiped.reveal());
  }
  w.end_array();
  write_labels(w, c.labels);
  w.key("ExposedPorts").begin_object();
  for (auto const port : c.ports) w.key(std::to_string(port) + "/tcp").begin_object().end_object();
  w.end_object();
  write_host_config(w, c);
  w.end_object();
  NESTGATE_INVARIANT(out.size() <= room, "the room was counted from what is written");
  return Secret(std::move(out));
}

std::string exec_body(std::vector<std::string> const& command) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("AttachStdout", true).member("AttachStderr", true);
  write_texts(w, "Cmd", command);
  w.end_object();
  return out;
}

std::string exec_start_body() { return R"({"Detach":false,"Tty":false})"; }

std::string volume_body(std::string_view name, std::vector<std::pair<std::string, std::string>> const& labels) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("Name", name);
  write_labels(w, labels);
  w.end_object();
  return out;
}

std::string filters(std::vector<std::pair<std::string, std::vector<std::string>>> const& wanted) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object();
  for (auto const& [key, values] : wanted) write_texts(w, key, values);
  w.end_object();
  return out;
}

}  // namespace nestgate::runtime::docker
