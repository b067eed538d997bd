#include "postgres_values.hpp"

#include <bit>
#include <boost/endian/conversion.hpp>
#include <charconv>
#include <concepts>

#include "nestgate/base/invariant.hpp"

namespace nestgate::store {
namespace {

// Of pg_type; they never change.
enum Type : Oid {
  type_bool = 16,
  type_bytea = 17,
  type_name = 19,
  type_int8 = 20,
  type_int2 = 21,
  type_int4 = 23,
  type_text = 25,
  type_float8 = 701,
  type_bytea_array = 1001,
  type_text_array = 1009,
  type_int8_array = 1016,
  type_float8_array = 1022,
  type_varchar = 1043,
  type_void = 2278,
};

using boost::endian::big_to_native;
using boost::endian::load_big_s16;
using boost::endian::load_big_s32;
using boost::endian::load_big_s64;
using boost::endian::load_big_u64;
using boost::endian::native_to_big;

SqlValue value_of(Oid type, char const* bytes, std::size_t size) {
  auto const* const begin = reinterpret_cast<unsigned char const*>(bytes);
  switch (type) {
    case type_int8: return load_big_s64(begin);
    case type_int4: return std::int64_t{load_big_s32(begin)};
    case type_int2: return std::int64_t{load_big_s16(begin)};
    case type_bool: return std::int64_t{*begin};
    case type_float8: return std::bit_cast<double>(load_big_u64(begin));
    case type_bytea: return Blob{std::string(bytes, size)};
    case type_text:
    case type_varchar:
    case type_name: return std::string(bytes, size);
    case type_void: return std::monostate{};
    default: give_up("a statement returned a value of type " + std::to_string(type));
  }
}

// How many rows a statement wrote; of one that only looks the server counts what it found.
std::int64_t changed_by(PGresult const& result) {
  auto* const asked = const_cast<PGresult*>(&result);
  if (std::string_view(PQcmdStatus(asked)).starts_with("SELECT")) return 0;
  std::string_view const text = PQcmdTuples(asked);
  std::int64_t count = 0;
  std::from_chars(text.data(), text.data() + text.size(), count);
  return count;
}

Oid type_of(SqlValue const& value) {
  constexpr Oid unknown = 0;
  if (std::holds_alternative<std::int64_t>(value)) return type_int8;
  if (std::holds_alternative<double>(value)) return type_float8;
  if (std::holds_alternative<std::string>(value) || std::holds_alternative<std::string_view>(value)) return type_text;
  if (std::holds_alternative<Blob>(value)) return type_bytea;
  return unknown;
}

Oid array_type_of(Oid type) {
  switch (type) {
    case type_int8: return type_int8_array;
    case type_float8: return type_float8_array;
    case type_bytea: return type_bytea_array;
    default: return type_text_array;
  }
}

void append_big(std::string& to, std::integral auto number) {
  auto const big = native_to_big(number);
  to.append(reinterpret_cast<char const*>(&big), sizeof big);
}

void append_sized(std::string& to, std::string_view bytes) {
  append_big(to, static_cast<std::int32_t>(bytes.size()));
  to.append(bytes);
}

// Its size, or -1 for NULL, and itself.
void append_element(std::string& to, SqlValue const& value) {
  if (auto const* const number = std::get_if<std::int64_t>(&value)) {
    append_big(to, std::int32_t{sizeof *number});
    append_big(to, *number);
  } else if (auto const* const real = std::get_if<double>(&value)) {
    append_big(to, std::int32_t{sizeof *real});
    append_big(to, std::bit_cast<std::uint64_t>(*real));
  } else if (auto const bytes = bytes_in(value)) {
    append_sized(to, *bytes);
  } else {
    append_big(to, std::int32_t{-1});
  }
}

}  // namespace

std::optional<std::string_view> bytes_in(SqlValue const& value) {
  if (auto const* const text = std::get_if<std::string>(&value)) return *text;
  if (auto const* const lent = std::get_if<std::string_view>(&value)) return *lent;
  auto const* const blob = std::get_if<Blob>(&value);
  if (blob == nullptr || !blob->bytes) return std::nullopt;
  return *blob->bytes;
}

// As array_recv of PostgreSQL reads it: dimensions, whether there may be NULLs, the type, and of each dimension size and
// first index.
std::optional<ArrayOut> array_of(std::span<std::vector<SqlValue> const> rows, std::size_t column) {
  Oid type = 0;
  for (auto const& row : rows)
    if (type == 0) type = type_of(row[column]);
  if (type == 0) return std::nullopt;
  ArrayOut out{array_type_of(type), {}};
  for (auto const number : {1, 1}) append_big(out.bytes, std::int32_t{number});
  append_big(out.bytes, static_cast<std::uint32_t>(type));
  append_big(out.bytes, static_cast<std::int32_t>(rows.size()));
  append_big(out.bytes, std::int32_t{1});
  for (auto const& row : rows) {
    auto const& value = row[column];
    auto const its = type_of(value);
    NESTGATE_INVARIANT(its == 0 || its == type, "the values of a column are of one type");
    append_element(out.bytes, value);
  }
  return out;
}

std::vector<Oid> types_of(std::span<SqlValue const> values) {
  std::vector<Oid> types;
  types.reserve(values.size());
  for (auto const& value : values) types.push_back(type_of(value));
  return types;
}

ValuesOut::ValuesOut(std::span<SqlValue const> values) : formats_(values.size(), 1) {
  numbers_.reserve(values.size());  // they are pointed into
  values_.reserve(values.size());
  lengths_.reserve(values.size());
  for (auto const& value : values) {
    if (auto const* const number = std::get_if<std::int64_t>(&value)) {
      add_number(static_cast<std::uint64_t>(*number));
    } else if (auto const* const real = std::get_if<double>(&value)) {
      add_number(std::bit_cast<std::uint64_t>(*real));
    } else if (auto const bytes = bytes_in(value)) {
      add_text(*bytes);
    } else {
      values_.push_back(nullptr);
      lengths_.push_back(0);
    }
  }
}

ValuesOut::ValuesOut(std::span<ArrayOut const> arrays) : formats_(arrays.size(), 1) {
  for (auto const& array : arrays) add_text(array.bytes);
}

void ValuesOut::add_number(std::uint64_t bits) {
  numbers_.push_back(native_to_big(bits));
  values_.push_back(reinterpret_cast<char const*>(&numbers_.back()));
  lengths_.push_back(sizeof bits);
}

void ValuesOut::add_text(std::string_view text) {
  values_.push_back(text.data());
  lengths_.push_back(static_cast<int>(text.size()));
}

Rows rows_of(PGresult const& result) {
  int const rows = PQntuples(&result);
  int const columns = PQnfields(&result);
  std::vector<SqlValue> cells;
  cells.reserve(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      if (PQgetisnull(&result, row, column) != 0) {
        cells.emplace_back();
        continue;
      }
      auto const size = static_cast<std::size_t>(PQgetlength(&result, row, column));
      cells.push_back(value_of(PQftype(&result, column), PQgetvalue(&result, row, column), size));
    }
  }
  return Rows(std::move(cells), static_cast<std::size_t>(columns), changed_by(result));
}

}  // namespace nestgate::store
