#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "store/sqlite.hpp"
#include "support/postgres_server.hpp"
#include "support/temp_folder.hpp"

// What the tests of the store run over: each kind of database, every test with a fresh one.
namespace nestgate::store {

// Empty at first, and gone with this.
class TestDatabase {
 public:
  virtual ~TestDatabase() = default;
  virtual std::string url() const = 0;
};

// One that any number of gateways may open, one after the other and at once, in any process.
class SharedDatabase : public TestDatabase {
 public:
  // What a program beside the gateways does in it: any number of statements.
  virtual void execute(std::string const& statements) = 0;
  // The first column of each row, which is a text.
  virtual std::vector<std::string> rows(std::string const& query) = 0;
  // What the database itself finds broken in it; "" when it is whole.
  virtual std::string damage() = 0;
};

class SqliteInMemory final : public TestDatabase {
 public:
  std::string url() const override { return "sqlite::memory:"; }
};

class SqliteFile final : public SharedDatabase {
 public:
  std::string file() const { return (folder_.path() / "nestgate.db").string(); }
  test::TempFolder const& folder() const { return folder_; }

  std::string url() const override { return "sqlite:" + file(); }
  void execute(std::string const& statements) override { Database(file()).execute(statements.c_str()); }
  std::vector<std::string> rows(std::string const& query) override {
    std::vector<std::string> texts;
    auto found = Database(file()).run(query);
    while (found.step()) texts.push_back(found.text());
    return texts;
  }
  std::string damage() override {
    auto const found = rows("PRAGMA integrity_check").at(0);
    return found == "ok" ? std::string() : found;
  }

 private:
  test::TempFolder folder_;
};

// A database of the test program's own server.
class PostgresDatabase final : public SharedDatabase {
 public:
  std::string url() const override { return server_.url(name_); }
  void execute(std::string const& statements) override { server_.psql(name_, statements); }
  std::vector<std::string> rows(std::string const& query) override {
    std::vector<std::string> texts;
    std::istringstream lines(server_.psql(name_, query));
    for (std::string line; std::getline(lines, line);) texts.push_back(line);
    return texts;
  }
  std::string damage() override { return ""; }  // the server outlives who is killed

 private:
  test::PostgresServer& server_ = test::PostgresServer::shared();
  std::string name_ = server_.make_database();
};

template <class Base>
struct Kind {
  std::string_view name;
  std::function<std::unique_ptr<Base>()> make;

  friend void PrintTo(Kind const& kind, std::ostream* out) { *out << kind.name; }
};

inline std::vector<Kind<SharedDatabase>> shared_databases() {
  return {{"sqlite", [] { return std::make_unique<SqliteFile>(); }},
          {"postgres", [] { return std::make_unique<PostgresDatabase>(); }}};
}

inline std::vector<Kind<TestDatabase>> every_database() {
  std::vector<Kind<TestDatabase>> kinds{{"memory", [] { return std::make_unique<SqliteInMemory>(); }}};
  for (auto const& shared : shared_databases()) kinds.push_back({shared.name, shared.make});
  return kinds;
}

// A parameter's name in a test's.
inline constexpr auto by_name = [](auto const& test) { return std::string(test.param.name); };

}  // namespace nestgate::store
