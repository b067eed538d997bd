#include <algorithm>
#include <set>

#include "engine.hpp"
#include "nestgate/runtime/factory.hpp"
#include "plan.hpp"
#include "runtime/command_template.hpp"

namespace nestgate::runtime {
namespace {

using Problem = std::optional<SettingProblem>;

constexpr std::uint64_t memory_bytes_min = 6 * 1024 * 1024;  // the engine's own
constexpr std::string_view id_mark = "{id}";

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// What the engine takes as a name, with the id's place filled.
bool is_name(std::string text) {
  if (auto const mark = text.find(id_mark); mark != text.npos) text.replace(mark, id_mark.size(), "0");
  auto const allowed = [](char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; };
  return !text.empty() && is_alphanumeric(text.front()) && std::all_of(text.begin(), text.end(), allowed);
}

Problem problem_with_engine(DockerSettings const& s) {
  auto const address = docker::parse_engine_address(s.host, !s.tls.ca_file.empty());
  if (!address) return SettingProblem{"runtime.docker.host", "must be unix:///path or tcp://host:port"};
  bool const is_tcp = address->unix_socket.empty();
  if (!is_tcp && !s.tls.ca_file.empty())
    return SettingProblem{"runtime.docker.tls.ca_file", "TLS is for a tcp:// host only"};
  if (s.tls.cert_file.empty() != s.tls.key_file.empty())
    return SettingProblem{"runtime.docker.tls.cert_file", "a certificate and its key come together"};
  if (s.tls.ca_file.empty() && !s.tls.cert_file.empty())
    return SettingProblem{"runtime.docker.tls.ca_file", "must be given where there is a certificate"};
  error_code ec;
  auto const interface = asio::ip::make_address(s.bind_interface, ec);
  if (ec) return SettingProblem{"runtime.docker.bind_interface", "must be an IP address"};
  auto const host = asio::ip::make_address(address->url.host, ec);
  bool const is_remote = is_tcp && address->url.host != "localhost" && (ec || !host.is_loopback());
  if (is_remote && s.reach == DockerSettings::Reach::published && interface.is_loopback())
    return SettingProblem{"runtime.docker.bind_interface", "the engine's own loopback cannot be reached from here"};
  return std::nullopt;
}

Problem problem_with_names(DockerSettings const& s) {
  if (s.installation.empty()) return SettingProblem{"runtime.docker.installation", "must not be empty"};
  auto const mark = s.name.find(id_mark);
  bool const has_one = mark != s.name.npos && s.name.find(id_mark, mark + 1) == s.name.npos;
  if (!has_one || !is_name(s.name))
    return SettingProblem{"runtime.docker.name", "must be letters, digits, '_', '.', '-' with one {id}"};
  if (!s.image.empty() && !docker::parse_image(s.image))
    return SettingProblem{"runtime.docker.image", "is not the name of an image"};
  auto const unknown = unknown_placeholder(s.command);
  bool const has_workspace = std::any_of(s.command.begin(), s.command.end(), [](std::string const& argument) {
    return argument.find("{workspace}") != argument.npos;
  });
  if (unknown || has_workspace)
    return SettingProblem{"runtime.docker.command", "{" + unknown.value_or("workspace") + "} is none of {port}, {id}"};
  return std::nullopt;
}

Problem problem_with_ports(DockerSettings const& s) {
  std::set<std::uint16_t> seen = {s.container_port};
  if (s.container_port == 0) return SettingProblem{"runtime.docker.container_port", "must be 1 to 65535"};
  for (auto const& port : s.ports)
    if (port.container_port == 0 || !seen.insert(port.container_port).second)
      return SettingProblem{"runtime.docker.ports", "each must have a name and a port of its own"};
  if (s.network == "host" || s.network == "none" || s.network.starts_with("container:"))
    return SettingProblem{"runtime.docker.network", "each container needs an address of its own: no '" + s.network + "'"};
  return std::nullopt;
}

Problem problem_with_volumes(DockerSettings const& s) {
  for (auto const& volume : s.volumes) {
    auto const source = volume.substr(0, volume.find(':'));
    bool const is_path = source.starts_with('/');
    bool const has_target = volume.size() > source.size() + 1 && volume[source.size() + 1] == '/';
    if (!has_target || (!is_path && !is_name(source)))
      return SettingProblem{"runtime.docker.volumes", "'" + volume + "' is not src:/dst[:mode]"};
  }
  return std::nullopt;
}

Problem problem_with_limits(DockerSettings const& s) {
  if (s.memory_bytes != 0 && s.memory_bytes < memory_bytes_min)
    return SettingProblem{"runtime.docker.memory_bytes", "must be 0 or at least 6 MiB"};
  if (s.cpus < 0) return SettingProblem{"runtime.docker.cpus", "must not be negative"};
  return std::nullopt;
}

}  // namespace

Problem problem_with(DockerSettings const& settings) {
  for (auto const check :
       {problem_with_engine, problem_with_names, problem_with_ports, problem_with_volumes, problem_with_limits})
    if (auto problem = check(settings)) return problem;
  return std::nullopt;
}

}  // namespace nestgate::runtime
