#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/base/deadline.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/net/net.hpp"

namespace nestgate::upstream {

// "http" or "https", host, port and path of a base URL; no user info, query or fragment.
struct Url {
  std::string scheme;
  std::string host;  // without brackets
  std::uint16_t port = 0;
  std::string path;  // "" or "/prefix", without trailing slash for a base
  std::string query;
  std::string authority() const;  // for Host
};
// A fault (bad_input) for anything else than an absolute http(s) URL.
Result<Url> parse_url(std::string_view text);

struct Call {
  std::string method = "GET";
  Url url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::pair<std::string, Secret>> secret_headers;  // X-Session-API-Key and the like; never logged
  std::string body;
  std::string content_type;
  std::size_t answer_bytes_max = 16 * 1024 * 1024;
};

struct Answer {
  unsigned status = 0;
  std::string content_type;
  std::string body;
  bool ok() const noexcept { return status >= 200 && status < 300; }
};

// One exchange over a fresh connection (TCP, TLS for https with verification): what nestgate calls itself is rare enough.
// Faults: upstream (refused, reset, not HTTP), timed_out, too_large, cancelled. Redirects are not followed. Any status
// is an Answer.
Task<Result<Answer>> call(Call request, Deadline by);

}  // namespace nestgate::upstream
