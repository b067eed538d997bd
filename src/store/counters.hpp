#pragma once

#include "sql.hpp"

namespace nestgate::store {

// Counts that the store keeps.
Task<std::uint64_t> counter(Sql& sql, std::string_view name);
// Nobody else counts it up until this transaction is over.
Task<std::uint64_t> count_up(Sql& sql, std::string_view name);
// So many at once: the first of them.
Task<std::uint64_t> count_up(Sql& sql, std::string_view name, std::uint64_t by);
// The same, and the store's time.
struct CountedUp {
  std::uint64_t first = 0;
  Time at{};
};
Task<CountedUp> count_up_now(Sql& sql, std::string_view name, std::uint64_t by);
// Counts up what a change is known by, and wakes who follows.
Task<std::uint64_t> note_change(Sql& sql, std::string_view name);

// What is gone, for who asks for changes: a table of ids with the version of their removal. Only the newest are kept; the
// counter of the table's name says up to which version they were dropped. Lives as long as the program.
class Tombstones {
 public:
  // `table`: a literal.
  explicit Tombstones(std::string_view table);

  Task<> put(Sql& sql, std::vector<std::string> const& ids, std::uint64_t version) const;
  Task<> take_back(Sql& sql, std::vector<std::string> const& ids) const;
  // Whether all that went since is still known.
  Task<bool> know_since(Sql& sql, std::uint64_t version) const;
  Task<std::vector<std::string>> since(Sql& sql, std::uint64_t version) const;

 private:
  std::string table_;
  std::string insert_, remove_, list_, oldest_, drop_;
};

}  // namespace nestgate::store
