#include "postgres_values.hpp"

#include <bit>
#include <boost/endian/conversion.hpp>
#include <charconv>

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
  if (std::holds_alternative<std::string>(value)) return type_text;
  if (std::holds_alternative<Blob>(value)) return type_bytea;
  return unknown;
}

}  // namespace

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
    } else if (auto const* const text = std::get_if<std::string>(&value)) {
      add_text(*text);
    } else if (auto const* const blob = std::get_if<Blob>(&value); blob != nullptr && blob->bytes) {
      add_text(*blob->bytes);
    } else {
      values_.push_back(nullptr);
      lengths_.push_back(0);
    }
  }
}

void ValuesOut::add_number(std::uint64_t bits) {
  numbers_.push_back(native_to_big(bits));
  values_.push_back(reinterpret_cast<char const*>(&numbers_.back()));
  lengths_.push_back(sizeof bits);
}

void ValuesOut::add_text(std::string const& text) {
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
