#pragma once

#include "sqlite.hpp"

namespace nestgate::store {

// Counts in the file: what a change is known by.
std::uint64_t counter(Database& database, std::string_view name);
std::uint64_t count_up(Database& database, std::string_view name);

// What is gone, for who asks for changes: a table of ids with the version of their removal. Only the newest are kept; the
// counter of the table's name says up to which version they were dropped.
class Tombstones {
 public:
  // `table`: a literal.
  Tombstones(Database& database, std::string_view table);

  void put(std::string_view id, std::uint64_t version);
  // To be called once behind a transaction's puts.
  void drop_oldest();
  void take_back(std::string_view id);
  // Whether all that went since is still known.
  bool know_since(std::uint64_t version) const;
  std::vector<std::string> since(std::uint64_t version) const;

 private:
  Database& database_;
  std::string table_;
  std::string insert_, remove_, list_, oldest_, drop_;
};

}  // namespace nestgate::store
