#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "nestgate/net/tls.hpp"

namespace nestgate::runtime {

struct DockerPort {
  std::string name;  // "editor"
  std::uint16_t container_port = 0;
};

// `[runtime.docker]`. `{id}` is the conversation's canonical id, `{port}` is `container_port`.
struct DockerSettings {
  // How a server in a container is reached. published: by a port of the host, which the engine chooses; network: by the
  // container's own address in `network`, where the gateway is in it or on the engine's host.
  enum class Reach : std::uint8_t { published, network };
  enum class Pull : std::uint8_t { missing, always, never };
  // Whether a command is put behind the image's entry point or is all that runs.
  enum class EntryPoint : std::uint8_t { of_image, none };

  std::string host = "unix:///var/run/docker.sock";  // or "tcp://host:port"
  ClientTlsFiles tls;                                // with a ca_file: tcp is spoken over TLS
  // Whose containers these are: others' are not listed, and not touched.
  std::string installation = "nestgate";
  std::string image;                 // "": each start must name one
  std::vector<std::string> command;  // `{port}`, `{id}`; empty: the image's
  EntryPoint entry_point = EntryPoint::of_image;
  std::string name = "openhands-runtime-{id}";
  std::uint16_t container_port = 8000;  // where the server in the container listens
  std::vector<DockerPort> ports;        // further ones
  Reach reach = Reach::published;
  std::string bind_interface = "127.0.0.1";  // of published ports; an address
  std::string network;                       // "": the engine's default
  // "src:dst[:mode]" with `{id}`. A volume (not a path) with `{id}` in its name belongs to the conversation and goes with
  // its files; folders of the host are the operator's.
  std::vector<std::string> volumes;
  std::vector<std::pair<std::string, std::string>> environment;  // `{port}`, `{id}` in values; readable by commands
  std::string user;                                              // "": the image's
  std::uint64_t memory_bytes = 0;                                // 0: no limit, as in the two below
  double cpus = 0;
  std::uint32_t pids_max = 0;
  std::uint64_t output_bytes_max = 8 * 1024 * 1024;  // of a runtime's output are kept by the engine
  std::uint32_t runtimes_max = 256;
  Pull pull = Pull::missing;
  // {"username": .., "password": .., "serveraddress": ..}; "": a registry that asks for none. Read at each pull, and sent
  // for images of that server only (docker.io where it names none).
  std::filesystem::path registry_auth_file;
  std::chrono::milliseconds stop_grace{10'000};  // from SIGTERM to SIGKILL; whole seconds, rounded up
  std::chrono::milliseconds call_time_max{30'000};
  std::chrono::milliseconds pull_time_max{900'000};
};

}  // namespace nestgate::runtime
