#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/store/automation_rows.hpp"

// What a run's `status_detail` says (automation.md 3.2). Pure.
namespace nestgate::automation {

struct StatusDetail {
  std::string phase;  // dispatch, execution, callback, verification, cleanup
  std::string kind;   // rate_limited, timeout, transport, server_error, environment_unavailable, execution_error, …
  std::string detail;
  bool transient = false;
  std::string source, operation, code;  // "": left out
  std::optional<int> status_code;
  std::vector<std::pair<std::string, std::string>> extras;  // further members and their values, JSON
};

// With its fingerprint and times; where `previous` (JSON, or "") has the same fingerprint it is counted as one more of it.
std::string to_json(StatusDetail const& detail, std::string_view previous, store::Time now);

}  // namespace nestgate::automation
