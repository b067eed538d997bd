#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/base/secret.hpp"
#include "nestgate/runtime/provider.hpp"
#include "runtime/excerpt.hpp"

// What the Docker engine says and is told, as owned values. Pure.
namespace nestgate::runtime::docker {

using Labels = std::map<std::string, std::string, std::less<>>;

struct ApiVersion {
  unsigned major = 0;
  unsigned minor = 0;
  friend auto operator<=>(ApiVersion const&, ApiVersion const&) = default;
};
std::optional<ApiVersion> parse_api_version(std::string_view text);
std::string to_string(ApiVersion version);

struct Versions {
  ApiVersion newest;
  ApiVersion oldest;
};
std::optional<Versions> parse_versions(std::string_view answer);

enum class State : std::uint8_t { created, running, paused, restarting, removing, exited, dead, unknown };

// A port of a container that leads out of it.
struct Binding {
  std::uint16_t container_port = 0;
  std::string host_ip;
  std::uint16_t host_port = 0;
};

struct Container {
  std::string id;
  std::string name;  // without the engine's slash
  State state = State::unknown;
  Labels labels;
  std::vector<Binding> bindings;
  std::map<std::string, std::string, std::less<>> addresses;  // by network; of those where it has one
  std::string network_mode;
  std::string status;  // "Exited (1) 2 minutes ago"; in lists only

  // From here on: not in lists.
  int exit_code = 0;
  bool was_out_of_memory = false;
  std::string error;  // why it could not be started
  std::string working_dir;
  bool has_terminal = false;                            // then its log is not framed
  std::vector<std::string> volumes;                     // names, anonymous ones included
  std::vector<std::pair<std::string, Secret>> secrets;  // those of its variables that hold keys, by name
  std::optional<std::uint16_t> port_variable;           // `port=` (nested_server.md 1.8)
  bool starts_dormant = false;                          // its server does (agent_server.md 3.4)

  std::string_view label(std::string_view key) const;
  Secret const* secret(std::string_view variable) const;
};
std::optional<Container> parse_container(std::string_view answer);
// Entries that are none are left out; nothing when it is no list.
std::optional<std::vector<Container>> parse_containers(std::string_view answer);

struct Event {
  std::string action;  // "die"
  std::string container;
  std::int64_t time_ns = 0;  // by the engine's clock
};
// Nothing for what is no event of a container.
std::optional<Event> parse_event(std::string_view line);

// "Id" or "ID" of what was made.
std::optional<std::string> parse_id(std::string_view answer);
struct ExecState {
  bool is_running = true;
  int exit_code = 0;
};
std::optional<ExecState> parse_exec(std::string_view answer);
// Of a container's statistics; empty where there are none. Memory as the engine's own tools count it.
Usage parse_usage(std::string_view answer);
// Of a volume.
Labels parse_volume_labels(std::string_view answer);

// The engine's own message in a refusal, as an excerpt; "" when there is none.
std::string message_in(std::string_view answer);
// The last line with anything on it, as an excerpt.
std::string last_line(std::string_view log);

// The lines of a stream.
class Lines {
 public:
  explicit Lines(std::size_t line_bytes_max) : line_bytes_max_(line_bytes_max) {}
  // Calls `take` with each line that is whole now, without its end; false when one is too long.
  bool feed(std::string_view piece, std::function<void(std::string_view line)> const& take);

 private:
  std::size_t line_bytes_max_;
  std::string begun_;
};

// Takes the frames off a log or a command's output: a byte for the stream, three zeros, the size in four bytes.
class LogFrames {
 public:
  // Calls `take` with the bytes of both streams, in pieces; false when these are no frames.
  bool feed(std::string_view piece, std::function<void(std::string_view bytes)> const& take);

 private:
  std::array<unsigned char, 8> head_{};
  std::size_t head_size_ = 0;
  std::size_t payload_left_ = 0;
};

// The end of what was appended.
class Tail {
 public:
  explicit Tail(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  void append(std::string_view bytes);
  std::string take();

 private:
  std::size_t bytes_max_;
  std::string text_;  // at most twice the bound
};

// What a pull tells line by line.
class PullProgress {
 public:
  // A sentence when there is news: "pulling image: layer 3 of 7".
  std::optional<std::string> feed(std::string_view line);
  // Why it failed; "" while it did not.
  std::string const& error() const noexcept { return error_; }

 private:
  std::set<std::string, std::less<>> layers_;
  std::set<std::string, std::less<>> done_;
  std::string error_;
};

// Of an image's name; a tag or a digest is always there, since the engine pulls all tags where none is named.
struct ImageReference {
  std::string name;
  std::string tag;  // or "sha256:.."
};
// Nothing for what cannot be one, so that it can stand in a path.
std::optional<ImageReference> parse_image(std::string_view text);

// The registry of an image's name as Docker reads it: its first part where that looks like a host, else "docker.io".
std::string registry_of(std::string_view image_name);
// Whether the text of `registry_auth_file` is for that registry: its "serveraddress" names it; without one, for docker.io.
bool is_auth_for(std::string_view auth_json, std::string_view registry);

struct NewContainer {
  std::string image;
  std::vector<std::string> command;
  bool without_entry_point = false;
  std::string working_dir;
  std::string user;
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::pair<std::string, Secret>> secret_environment;
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<std::uint16_t> ports;
  bool publish = true;
  std::string bind_interface;
  std::string network;
  std::vector<std::string> volumes;
  std::uint64_t memory_bytes = 0;
  std::int64_t nano_cpus = 0;
  std::int64_t pids_max = 0;
  std::uint64_t output_bytes_max = 0;
};
Secret container_body(NewContainer const& container);
std::string exec_body(std::vector<std::string> const& command);
std::string exec_start_body();
std::string volume_body(std::string_view name, std::vector<std::pair<std::string, std::string>> const& labels);
// {"label":["key=value"]}
std::string filters(std::vector<std::pair<std::string, std::vector<std::string>>> const& wanted);

}  // namespace nestgate::runtime::docker
