#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/http/head.hpp"

namespace nestgate::proxy {

enum class AfterAnswer : std::uint8_t { keep_alive, close };
enum class SendBody : bool { no, yes };

// What a Socket.IO client learns of a conversation that was closed for another (nested_server.md 1.6): Engine.IO's message
// with an event in it.
inline constexpr std::string_view socket_io_closed_packet =
    R"(42["oh_event",{"status_update":true,"type":"error","id":"AGENT_ERROR$TOO_MANY_CONVERSATIONS",)"
    R"("message":"Too many conversations at once. If you are still using this one, try reactivating it by prompting )"
    R"(the agent to continue"}])";

// How an answer's end is told. `chunked` and `until_close`: its body comes behind the head, piece by piece.
enum class Framing : std::uint8_t { length, chunked, until_close };

// An answer of the gateway's own.
struct LocalAnswer {
  unsigned status;
  std::string_view content_type = "application/json";
  std::string_view body = {};
  unsigned retry_after_s = 0;                                                 // 0: not said
  std::string_view fields = {};                                               // further ones, whole lines
  std::vector<std::pair<std::string, std::string>> const* headers = nullptr;  // further ones; may be nullptr
  Framing framing = Framing::length;
  bool challenges = true;  // a 401 has WWW-Authenticate
};

// With its body, but for one that comes piece by piece.
void append_local_answer(std::string& out, LocalAnswer const& answer, http::Version client, AfterAnswer after,
                         SendBody send_body, std::string_view request_id);

// A runtime that is not running, as an answer tells of it. Empty: the answer is of none.
struct RuntimeInAnswer {
  std::string_view state;
  std::string_view progress;  // of a start
};

// {"error": {code, message, request_id}} (operator.md "Over the wire"), with the nested server's own {"detail"} beside
// it, which its clients read (agent_server.md 1.2), and with {state, progress} of a runtime that is not running.
std::string error_body(unsigned status, std::string_view code, std::string_view message, std::string_view request_id,
                       RuntimeInAnswer runtime = {});

// What goes into one line of the access log.
struct AccessRecord {
  std::string_view request_id, peer, method, target, route, conversation;
  unsigned status;
  std::uint64_t bytes_in, bytes_out;
  std::uint64_t duration_us;
  std::uint64_t upstream_us;
};
// Without a newline.
void append_access_line(std::string& out, AccessRecord const& record);

}  // namespace nestgate::proxy
