#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nestgate/base/result.hpp"

namespace nestgate::upstream {

// "http" or "https", host, port and path of a base URL; no user info, query or fragment.
struct Url {
  std::string scheme;
  std::string host;  // without brackets
  std::uint16_t port = 0;
  std::string path;  // as written; "" when there is none
  std::string query;
  std::string authority() const;  // for Host
  std::string text() const;
  // This URL as a base: `path_below` is put behind its path, `query` replaces its query.
  Url at(std::string_view path_below, std::string_view query = {}) const;
};
// A fault (bad_input) for anything else than an absolute http(s) URL.
Result<Url> parse_url(std::string_view text);

}  // namespace nestgate::upstream
