#include "plan.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/command_template.hpp"

namespace nestgate::runtime::docker {
namespace {

constexpr std::string_view id_mark = "{id}";

std::string expanded(DockerSettings const& settings, std::string const& text, ConversationId const& id) {
  Placeholders values;
  values.id = id.canonical();
  values.port = std::to_string(settings.container_port);
  return expand({text}, values).front();
}

// The source in "src:dst[:mode]".
std::string source_of(std::string const& volume) { return volume.substr(0, volume.find(':')); }

std::optional<asio::ip::address> address_of(std::string const& text) {
  error_code ec;
  auto address = asio::ip::make_address(text, ec);
  if (ec) return std::nullopt;
  return address;
}

// An interface that stands for all leads to the engine's machine.
asio::ip::address reachable(std::string const& host_ip, asio::ip::address const& engine_host) {
  auto const address = address_of(host_ip);
  return address && !address->is_unspecified() ? *address : engine_host;
}

std::optional<asio::ip::tcp::endpoint> published(Container const& container, std::uint16_t port,
                                                 asio::ip::address const& engine_host) {
  for (auto const& binding : container.bindings)
    if (binding.container_port == port && binding.host_port != 0)
      return asio::ip::tcp::endpoint(reachable(binding.host_ip, engine_host), binding.host_port);
  return std::nullopt;
}

std::optional<asio::ip::tcp::endpoint> in_network(DockerSettings const& settings, Container const& container,
                                                  std::uint16_t port) {
  auto found = container.addresses.find(settings.network);
  if (settings.network.empty()) found = container.addresses.begin();
  if (found == container.addresses.end()) return std::nullopt;
  auto const address = address_of(found->second);
  if (!address) return std::nullopt;
  return asio::ip::tcp::endpoint(*address, port);
}

std::optional<asio::ip::tcp::endpoint> port_endpoint(DockerSettings const& settings, Container const& container,
                                                     std::uint16_t port, asio::ip::address const& engine_host) {
  if (settings.reach == DockerSettings::Reach::published) return published(container, port, engine_host);
  return in_network(settings, container, port);
}

void remove_variable(std::vector<std::pair<std::string, std::string>>& all, std::string const& name) {
  std::erase_if(all, [&name](auto const& variable) { return variable.first == name; });
}

void add_keys(NewContainer& out, Spec const& spec) {
  auto const set = [&out](std::string const& name, Secret value) {
    remove_variable(out.environment, name);
    std::erase_if(out.secret_environment, [&name](auto const& variable) { return variable.first == name; });
    out.secret_environment.emplace_back(name, std::move(value));
  };
  if (spec.session_key.empty()) return;
  if (spec.wakefulness == Spec::Wakefulness::ready) return set("SESSION_API_KEY", spec.session_key.clone());
  set("OH_SESSION_API_KEYS_0", spec.session_key.clone());
  set("OH_SECRET_KEY", spec.session_key.clone());
  set("OH_DEFERRED_INIT", Secret("true"));
}

}  // namespace

std::string container_name(DockerSettings const& settings, ConversationId const& id) {
  return expanded(settings, settings.name, id);
}

std::optional<ConversationId> id_of(DockerSettings const& settings, Container const& container) {
  auto labelled = ConversationId::parse(container.label(conversation_label));
  if (labelled && container_name(settings, *labelled) == container.name) return labelled;
  auto const mark = settings.name.find(id_mark);
  std::string_view const prefix = std::string_view(settings.name).substr(0, mark);
  std::string_view const suffix = std::string_view(settings.name).substr(mark + id_mark.size());
  std::string_view name = container.name;
  if (name.size() <= prefix.size() + suffix.size() || !name.starts_with(prefix) || !name.ends_with(suffix)) return labelled;
  name = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  return ConversationId::parse(name);
}

bool is_labelled_for(Container const& container, ConversationId const& id) {
  auto const labelled = ConversationId::parse(container.label(conversation_label));
  return labelled && *labelled == id;
}

bool is_ours(DockerSettings const& settings, Container const& container) {
  return container.label(installation_label) == settings.installation;
}

bool is_of_another_installation(DockerSettings const& settings, Container const& container) {
  return container.labels.contains(installation_label) && !is_ours(settings, container);
}

std::vector<std::string> own_volumes(DockerSettings const& settings, ConversationId const& id) {
  std::vector<std::string> out;
  for (auto const& volume : settings.volumes) {
    auto const source = source_of(volume);
    if (source.find(id_mark) != source.npos && !source.starts_with('/')) out.push_back(expanded(settings, source, id));
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> labels_for(DockerSettings const& settings, Spec const& spec,
                                                            std::string const& start) {
  return {{std::string(installation_label), settings.installation},
          {std::string(conversation_label), spec.id.text()},
          {std::string(owner_label), spec.owner},
          {std::string(epoch_label), std::to_string(spec.epoch.get())},
          {std::string(start_label), start}};
}

std::string const& image_for(DockerSettings const& settings, Wish const& wish) {
  return wish.image.empty() ? settings.image : wish.image;
}

NewContainer plan(DockerSettings const& settings, Spec const& spec, std::string const& start) {
  NewContainer out;
  out.image = image_for(settings, spec.wish);
  Placeholders values;
  values.id = spec.id.canonical();
  values.port = std::to_string(settings.container_port);
  bool const wants_command = !spec.wish.command.empty();  // a whole command line (nested_server.md 2.6)
  out.command = expand(wants_command ? spec.wish.command : settings.command, values);
  out.without_entry_point = wants_command || settings.entry_point == DockerSettings::EntryPoint::none;
  out.working_dir = spec.wish.working_dir;
  out.user = settings.user;
  for (auto const& [name, value] : settings.environment)
    out.environment.emplace_back(name, expanded(settings, value, spec.id));
  for (auto const& [name, value] : spec.wish.environment) {
    remove_variable(out.environment, name);
    out.secret_environment.emplace_back(name, value.clone());
  }
  add_keys(out, spec);
  out.labels = labels_for(settings, spec, start);
  out.ports = {settings.container_port};
  for (auto const& port : settings.ports) out.ports.push_back(port.container_port);
  out.publish = settings.reach == DockerSettings::Reach::published;
  out.bind_interface = settings.bind_interface;
  out.network = settings.network;
  for (auto const& volume : settings.volumes) out.volumes.push_back(expanded(settings, volume, spec.id));
  auto const factor = std::max<std::uint32_t>(spec.wish.resource_factor, 1);
  out.memory_bytes = settings.memory_bytes * factor;
  out.nano_cpus = std::llround(settings.cpus * 1e9) * factor;
  out.pids_max = settings.pids_max;
  out.output_bytes_max = settings.output_bytes_max;
  return out;
}

Presence presence_of(State state) {
  switch (state) {
    case State::restarting: return Presence::starting;
    case State::running: return Presence::running;
    case State::paused: return Presence::paused;
    case State::created:
    case State::exited: return Presence::stopped;
    case State::removing:
    case State::dead:
    case State::unknown: return Presence::failed;
  }
  return Presence::failed;
}

bool is_up(State state) { return state == State::running || state == State::paused || state == State::restarting; }

std::optional<asio::ip::tcp::endpoint> server_endpoint(DockerSettings const& settings, Container const& container,
                                                       asio::ip::address const& engine_host) {
  std::vector<std::uint16_t> inner = {settings.container_port};
  bool const is_network = settings.reach == DockerSettings::Reach::network;
  if (container.port_variable) inner.insert(is_network ? inner.begin() : inner.end(), *container.port_variable);
  for (auto const port : inner)
    if (auto const at = port_endpoint(settings, container, port, engine_host)) return at;
  if (container.network_mode != "host" || !container.port_variable) return std::nullopt;
  return asio::ip::tcp::endpoint(engine_host, *container.port_variable);
}

std::vector<Port> further_ports(DockerSettings const& settings, Container const& container,
                                asio::ip::address const& engine_host) {
  std::vector<Port> out;
  for (auto const& port : settings.ports)
    if (auto const at = port_endpoint(settings, container, port.container_port, engine_host))
      out.push_back({port.name, port.container_port, *at});
  return out;
}

Secret const* key_of(Container const& container) {
  auto const* const key = container.secret("SESSION_API_KEY");
  return key ? key : container.secret("OH_SESSION_API_KEYS_0");
}

Secret const* boot_key_of(DockerSettings const& settings, Container const& container) {
  auto const made_for = ConversationId::parse(container.label(conversation_label));
  bool const was_given_away = made_for && container_name(settings, *made_for) != container.name;
  return container.starts_dormant && was_given_away ? container.secret("OH_SESSION_API_KEYS_0") : nullptr;
}

std::string end_reason(Container const& container, std::string_view log) {
  std::string out = "exited with status " + std::to_string(container.exit_code);
  if (container.was_out_of_memory) out = "was out of memory (" + out + ")";
  std::string said(container.error.empty() ? log : container.error);
  for (auto const& [name, value] : container.secrets) {
    auto const key = value.reveal();
    for (auto at = said.find(key); !key.empty() && at != said.npos; at = said.find(key)) said.replace(at, key.size(), "***");
  }
  said = last_line(said);
  if (!said.empty()) out.append(": ").append(said);
  return out;
}

}  // namespace nestgate::runtime::docker
