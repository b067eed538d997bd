#include "nestlet/filters.hpp"

#include "nestgate/base/result.hpp"

namespace nestgate::nestlet {

Checked<std::optional<std::int64_t>> integer(Query const& query, std::string_view name) {
  auto const text = query.get(name);
  if (!text) return std::optional<std::int64_t>();
  auto const number = parse_integer(*text);
  if (!number) return invalid("query", name, "int_parsing", "Input should be a valid integer");
  return number;
}

Checked<bool> boolean(Query const& query, std::string_view name) {
  auto const text = query.get(name);
  if (!text) return false;
  auto const value = parse_boolean(*text);
  if (!value) return invalid("query", name, "bool_parsing", "Input should be a valid boolean, unable to interpret input");
  return *value;
}

Checked<std::size_t> page_limit(Query const& query, std::size_t otherwise) {
  constexpr std::int64_t limit_max = 100;
  NESTGATE_TRY(limit, integer(query, "limit"));
  if (!limit) return otherwise;
  if (*limit <= 0) return invalid("query", "limit", "greater_than", "Input should be greater than 0");
  if (*limit > limit_max) return invalid("query", "limit", "less_than_equal", "Input should be less than or equal to 100");
  return static_cast<std::size_t>(*limit);
}

Checked<Order> sort_order(Query const& query) {
  auto const text = query.get("sort_order").value_or("TIMESTAMP");
  if (text == "TIMESTAMP") return Order::ascending;
  if (text == "TIMESTAMP_DESC") return Order::descending;
  return invalid("query", "sort_order", "enum", "Input should be 'TIMESTAMP' or 'TIMESTAMP_DESC'");
}

Checked<std::optional<Moment>> moment(Query const& query, std::string_view name, std::chrono::seconds naive_offset) {
  auto const text = query.get(name);
  if (!text) return std::optional<Moment>();
  auto const at = parse_moment(*text, naive_offset);
  if (!at) return invalid("query", name, "datetime_from_date_parsing", "Input should be a valid datetime");
  return at;
}

}  // namespace nestgate::nestlet
