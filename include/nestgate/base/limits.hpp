#pragma once

#include <chrono>
#include <cstdint>

namespace nestgate {

// The sizes, counts and times of the data plane, each with its setting in `[limits]` or `[timeouts]`
// (config/nestgate.example.toml has one line for each); those of a feature are in its own settings. Sizes in bytes.
struct Limits {
  std::uint32_t connections_per_core_max = 20'000;    // client connections, tunnels included
  std::uint32_t request_head_bytes_max = 128 * 1024;  // the agent server takes heads of 70 KB (agent_server.md 10.2)
  std::uint32_t request_fields_max = 128;
  std::uint32_t response_head_bytes_max = 128 * 1024;
  std::uint32_t response_fields_max = 256;
  std::uint32_t chunk_extension_bytes_max = 1024;  // per message
  std::uint32_t trailer_bytes_max = 8 * 1024;
  std::uint32_t relay_buffer_bytes = 64 * 1024;
  std::uint32_t api_body_bytes_max = 64 * 1024 * 1024;  // a request to the gateway's own routes (tarballs are the largest)
  std::uint64_t own_bodies_bytes_max = 512ULL * 1024 * 1024;  // such bodies that are held at once, of all cores together
  std::uint32_t callback_body_bytes_max = 64 * 1024;          // a run's report: comes without an API key
  std::uint32_t webhook_body_bytes_max = 8 * 1024 * 1024;     // what a nested server pushes: 5 MiB at once, with its key
  std::uint32_t alias_answer_bytes_max = 1024 * 1024;         // an answer that is read for the id it hands out
  std::uint32_t aliases_per_runtime_max = 10'000;
  std::uint32_t tunnel_backlog_bytes_max = 8 * 1024 * 1024;       // what a client did not read yet, then 1013
  std::uint32_t first_frame_bytes_max = 64 * 1024;                // agent_server.md 2.2
  std::uint32_t upstream_connections_per_runtime_max = 16'384;    // per core
  std::uint32_t upstream_idle_connections_per_runtime_max = 512;  // per core
  std::uint32_t upgrades_per_key_per_second_max = 5;              // per core; agent_server_live.md 1.1
  std::uint32_t upgrades_per_address_per_second_max = 200;        // per core; of clients that have shown no key yet
  std::uint32_t socket_io_sessions_per_core_max = 100'000;
  std::uint32_t waking_requests_per_core_max = 1'000;  // that wait until their conversation runs
  std::uint32_t access_log_backlog_bytes_max = 16 * 1024 * 1024;
};

struct Timeouts {
  std::chrono::milliseconds head{10'000};           // from the first byte of a request head to its end
  std::chrono::milliseconds keep_alive{75'000};     // between two requests
  std::chrono::milliseconds body_progress{60'000};  // without a byte moved, either way
  std::chrono::milliseconds connect{5'000};         // to a nested server; under the client's 10 s handshake watchdog
  std::chrono::milliseconds first_byte{900'000};    // an agent's `ask_agent` or bash call may think for 600 s and more
  std::chrono::milliseconds stream_idle{0};         // SSE; 0: off
  std::chrono::milliseconds tunnel_idle{0};         // websocket without a frame; 0: off (pings find the dead)
  std::chrono::milliseconds tunnel_ping{30'000};    // the gateway's own ping to clients
  std::chrono::milliseconds tunnel_pong{30'000};    // without any byte after a ping: dead
  std::chrono::milliseconds first_frame{10'000};    // agent_server.md 2.2
  std::chrono::milliseconds tls_handshake{10'000};
  std::chrono::milliseconds wake{30'000};          // a user's act for a conversation that sleeps, until that runs
  std::chrono::milliseconds upstream_idle{4'000};  // the agent server closes after 5.0 s
  std::chrono::milliseconds drain_grace{30'000};   // SIGTERM: what runs may finish
  std::chrono::milliseconds sweep{250};            // how often a core looks at its deadlines
};

static_assert(Timeouts{}.upstream_idle < std::chrono::milliseconds{5'000}, "the nested server must not close first");

}  // namespace nestgate
