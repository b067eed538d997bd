#include "sql.hpp"

#include "nestgate/base/invariant.hpp"

namespace nestgate::store {

void give_up(std::string reason) {
  throw Unusable{upstream::fail(FaultKind::unavailable, "store", "store: " + std::move(reason))};
}

bool Rows::step() {
  if (next_row_ >= size()) return false;
  next_cell_ = next_row_ * columns_;
  ++next_row_;
  return true;
}

std::size_t Rows::size() const noexcept { return columns_ == 0 ? 0 : cells_.size() / columns_; }

SqlValue& Rows::take() {
  NESTGATE_INVARIANT(next_cell_ < next_row_ * columns_, "a row has as many columns as the statement asks for");
  return cells_[next_cell_++];
}

namespace {

bool is_null(SqlValue const& value) { return std::holds_alternative<std::monostate>(value); }

// What a database holds is not ours alone to write.
template <class T>
T& expected(SqlValue& value, char const* otherwise) {
  auto* const found = std::get_if<T>(&value);
  if (found == nullptr) give_up(otherwise);
  return *found;
}

std::int64_t integer_of(SqlValue& value) {
  return expected<std::int64_t>(value, "a row has no whole number where one belongs");
}

double real_of(SqlValue& value) {
  if (auto const* const whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
  return expected<double>(value, "a row has no number where one belongs");
}

std::string text_of(SqlValue& value) {
  return std::move(expected<std::string>(value, "a row has no text where one belongs"));
}

template <class Read>
auto unless_null(SqlValue& value, Read read) {
  using T = std::invoke_result_t<Read, SqlValue&>;
  return is_null(value) ? std::optional<T>() : std::optional<T>(read(value));
}

}  // namespace

std::int64_t Rows::integer() { return integer_of(take()); }
double Rows::real() { return real_of(take()); }
std::string Rows::text() { return text_of(take()); }

Blob Rows::blob() {
  auto& value = take();
  if (is_null(value)) return {};
  return std::move(expected<Blob>(value, "a row has no bytes where some belong"));
}

std::optional<std::int64_t> Rows::optional_integer() { return unless_null(take(), integer_of); }
std::optional<double> Rows::optional_real() { return unless_null(take(), real_of); }
std::optional<std::string> Rows::optional_text() { return unless_null(take(), text_of); }

std::optional<Time> Rows::optional_time() {
  auto const since = optional_integer();
  if (!since) return std::nullopt;
  return Time(Time::duration(*since));
}

}  // namespace nestgate::store
