#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace nestgate::nestlet {

// Each with a flag of the same name (dashes for underscores). Sizes in bytes unless the name says otherwise.
struct Limits {
  std::uint64_t output_chars_max = 1'048'576;  // a stream's text in one bash event (agent_server.md 4)
  // A started command's text is told when it has waited this long; 0: only when a stream is past its text, and at the end.
  std::uint64_t output_flush_milliseconds = 250;
  std::uint64_t command_timeout_seconds = 300;  // where the request names none
  std::uint64_t commands_max = 256;             // running at once
  std::uint64_t bash_events_max = 10'000;       // kept; the oldest go first
  std::uint64_t bash_event_bytes_max = 64 * 1024 * 1024;
  std::uint64_t conversations_max = 10'000;
  std::uint64_t conversation_events_max = 100'000;  // kept for each conversation; the oldest go first
  std::uint64_t conversation_event_bytes_max = 64 * 1024 * 1024;
  std::uint64_t json_body_bytes_max = 64 * 1024 * 1024;
  std::uint64_t head_bytes_max = 128 * 1024;
  std::uint64_t event_subscribers_max = 48;  // of one conversation (agent_server_live.md 2)
  std::uint64_t bash_subscribers_max = 50;
  std::uint64_t subscriber_queue_bytes_max = 16 * 1024 * 1024;   // what one subscriber did not read yet, then 1013
  std::uint64_t frame_bytes_max = 16 * 1024 * 1024;              // a websocket message from a client
  std::uint64_t unpacked_bytes_max = 4ull * 1024 * 1024 * 1024;  // of one uploaded archive
  std::uint64_t keep_alive_seconds = 5;                          // the agent server's own (agent_server.md 0.8)
  std::uint64_t progress_seconds = 60;                           // without a byte moved in a body, either way
  std::uint64_t stop_grace_seconds = 5;                          // what runs may finish after SIGTERM
  std::uint64_t close_seconds = 1;  // from the wish to close a websocket to its end, answer included
  // How long an echoing run stays `running`: an SDK client looks out for its end only once its POST is answered
  // (agent_server.md 7.4).
  std::uint64_t run_milliseconds = 100;
};

struct Settings {
  std::vector<std::string> listen;  // "127.0.0.1:8000", "[::1]:0", "unix:/path"
  std::string workspace = ".";      // where commands run that name no directory
  std::string ready_file;           // "": none
  std::string session_key_file;     // "": the environment's keys; one key a line
  Limits limits;
};

enum class Notice : std::uint8_t { help, version };
struct UsageFaults {
  std::vector<std::string> lines;  // one for each fault, for stderr; exit code 2
};

// Pure. `arguments` without the program's name.
std::variant<Settings, Notice, UsageFaults> parse_command_line(std::vector<std::string_view> const& arguments);
std::string usage();

}  // namespace nestgate::nestlet
