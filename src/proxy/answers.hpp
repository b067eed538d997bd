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

// An answer of the gateway's own.
struct LocalAnswer {
  unsigned status;
  std::string_view content_type = "application/json";
  std::string_view body = {};
  unsigned retry_after_s = 0;                                                 // 0: not said
  std::string_view fields = {};                                               // further ones, whole lines
  std::vector<std::pair<std::string, std::string>> const* headers = nullptr;  // further ones; may be nullptr
};

void append_local_answer(std::string& out, LocalAnswer const& answer, http::Version client, AfterAnswer after,
                         SendBody send_body, std::string_view request_id);

// {"error": {code, message, request_id}} (operator.md "Over the wire"), with the nested server's own {"detail"} beside
// it, which its clients read (agent_server.md 1.2).
std::string error_body(unsigned status, std::string_view code, std::string_view message, std::string_view request_id);

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
