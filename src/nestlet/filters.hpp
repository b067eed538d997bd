#pragma once

#include <cstddef>
#include <optional>

#include "nestlet/answer.hpp"
#include "nestlet/event_log.hpp"
#include "nestlet/text.hpp"

// The query parameters that the search routes share; 422 names what is wrong (agent_server.md 1.4 and 4).
namespace nestgate::nestlet {

Checked<std::size_t> page_limit(Query const& query, std::size_t otherwise = 100);  // 1 to 100
Checked<Order> sort_order(Query const& query);                                     // TIMESTAMP (default) or TIMESTAMP_DESC
Checked<std::optional<Moment>> moment(Query const& query, std::string_view name, std::chrono::seconds naive_offset);
Checked<bool> boolean(Query const& query, std::string_view name);  // absent: false
Checked<std::optional<std::int64_t>> integer(Query const& query, std::string_view name);

}  // namespace nestgate::nestlet
