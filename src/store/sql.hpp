#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nestgate/net/net.hpp"
#include "nestgate/store/store.hpp"

// What the statements of the store are written against: one text for SQLite and PostgreSQL. Integers are 64 bits wide
// (BIGINT), booleans 0 and 1, times nanoseconds since 1970, sealed values bytes. `nestgate_now()` is the store's clock in
// that form: the machine's of the file, the server's of PostgreSQL.
namespace nestgate::store {

// Thrown within the module when the store cannot be used as it must be; Backend makes it the outcome of the call.
struct Unusable {
  Failure failure;  // unavailable
};
// `reason` does not say which file or server: clients may be shown it.
[[noreturn]] void give_up(std::string reason);

// Bytes, or NULL.
struct Blob {
  std::optional<std::string> bytes;
};

// A string_view is of a parameter alone: a text that outlives the call it is in.
using SqlValue = std::variant<std::monostate, std::int64_t, double, std::string, Blob, std::string_view>;
// A text that is such a parameter.
struct Lent {
  std::string_view text;
};

// What a statement returned. Columns are read in their order, each once.
class Rows {
 public:
  Rows() = default;
  // `cells`: row by row, `columns` of them each.
  Rows(std::vector<SqlValue> cells, std::size_t columns, std::int64_t changed)
      : cells_(std::move(cells)), columns_(columns), changed_(changed) {}

  // Whether there is a row, or a further one; to be called before the first.
  bool step();
  std::size_t size() const noexcept;
  // How many rows the statement wrote.
  std::int64_t changed() const noexcept { return changed_; }

  std::int64_t integer();
  std::uint64_t count() { return static_cast<std::uint64_t>(integer()); }
  bool flag() { return integer() != 0; }
  double real();
  std::string text();
  Blob blob();
  Time time() { return Time(Time::duration(integer())); }
  std::optional<std::int64_t> optional_integer();
  std::optional<double> optional_real();
  std::optional<std::string> optional_text();
  std::optional<Time> optional_time();
  // Whatever it is.
  SqlValue value() { return std::move(take()); }

 private:
  SqlValue& take();

  std::vector<SqlValue> cells_;
  std::size_t columns_ = 0;
  std::int64_t changed_ = 0;
  std::size_t next_row_ = 0;  // counts from 1 once stepped
  std::size_t next_cell_ = 0;
};

// Where rows are added. Lives as long as the program, as a statement does.
struct Insertion {
  // `columns`: "id, name, …", the table's key first.
  Insertion(std::string_view into, std::string_view columns);
  std::string table, columns, key;
  std::string statement;  // adds one row
};

// An UPDATE of at most one row, which its first parameter names. Lives as long as the program.
struct RowUpdate {
  // "table SET a = ?2", "id = ?1 AND b = ?3"
  RowUpdate(std::string_view set, std::string_view where);
  std::string set, where;
  std::string statement;
};

// What lets only one transaction of all gateways through at a time, where row locks do not say enough.
enum class Line : std::uint8_t { conversations, statics, identities, claims };

// One transaction. Calls are made one after the other; everything here throws Unusable.
class Sql {
 public:
  virtual ~Sql() = default;

  // Parameters are ?1, ?2, … in the order of `values`; `statement` lives as long as the program (it is prepared once).
  template <class... Values>
  Task<Rows> query(std::string_view statement, Values const&... values) {
    std::vector<SqlValue> packed;
    packed.reserve(sizeof...(values));
    (packed.push_back(as_value(values)), ...);
    return execute(statement, std::move(packed));
  }
  // Waits until no other transaction of any gateway is in that line; it is left at the transaction's end.
  virtual Task<> stand_in(Line line) = 0;
  // Statements of several `values` that differ in nothing else, told together: one round trip.
  virtual Task<std::vector<Rows>> execute_each(std::string_view statement, std::vector<std::vector<SqlValue>> values) = 0;
  // Adds rows of an insertion's columns. Which are added: one whose key the table has, or that is like another in what is to
  // be unique, is left out.
  virtual Task<std::vector<bool>> insert_each(Insertion const& insertion, std::vector<std::vector<SqlValue>> rows) = 0;
  // Of rows that differ from each other. Which there were.
  virtual Task<std::vector<bool>> update_each(RowUpdate const& update, std::vector<std::vector<SqlValue>> rows) = 0;
  // One whose answer nobody looks at: it may go to the server with what follows it.
  virtual Task<> execute_unseen(std::string_view statement, std::vector<SqlValue> values) = 0;
  virtual Task<Rows> execute(std::string_view statement, std::vector<SqlValue> values) = 0;
  // Wakes who follows the store, once this transaction is committed. Where nothing can wake them they look by themselves.
  virtual Task<> notify() = 0;

  static SqlValue as_value(std::string_view text) { return std::string(text); }
  static SqlValue as_value(Lent lent) { return lent.text; }
  static SqlValue as_value(std::integral auto number) { return static_cast<std::int64_t>(number); }
  static SqlValue as_value(double number) { return number; }
  static SqlValue as_value(Blob const& blob) { return blob; }
  static SqlValue as_value(Time time) { return static_cast<std::int64_t>(time.time_since_epoch().count()); }
  template <class T>
  static SqlValue as_value(std::optional<T> const& value) {
    if (!value) return std::monostate{};
    return as_value(*value);
  }
};

}  // namespace nestgate::store
