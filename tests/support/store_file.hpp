#pragma once

#include <string>

#include "store/sqlite.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::test {

// A store's SQLite file, for tests that change behind the gateway's back what is in it.
class StoreFile {
 public:
  std::string url() const { return "sqlite:" + file(); }
  void execute(std::string const& statements) const { store::Database(file()).execute(statements.c_str()); }

 private:
  std::string file() const { return (folder_.path() / "nestgate.db").string(); }

  TempFolder folder_;
};

}  // namespace nestgate::test
