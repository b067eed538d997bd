// What `check_store` says of a file, and that it leaves no trace.
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "store_fixture.hpp"

namespace nestgate::store {
namespace {

using testing::HasSubstr;

class CheckedStore : public StoreFile {
 protected:
  // Every file of the folder with what is in it; not of shared memory, where readers of one process leave their marks.
  std::map<std::string, std::string> contents() const {
    std::map<std::string, std::string> out;
    for (auto const& entry : std::filesystem::directory_iterator(folder_.path())) {
      auto name = entry.path().filename().string();
      auto content = name.ends_with("-shm") ? std::string() : test::read_file(entry.path());
      out.emplace(std::move(name), std::move(content));
    }
    return out;
  }
  // "" when it could be opened; nothing is changed by the question.
  std::string problem(std::vector<Secret> const& keys = installation_secrets()) const { return problem_at(url(), keys); }
  std::string problem_at(std::string const& at, std::vector<Secret> const& keys = installation_secrets()) const {
    auto const before = contents();
    auto const checked = check_store(at, keys);
    EXPECT_EQ(contents(), before);
    return checked ? std::string() : checked.error().reason;
  }
};

TEST_F(CheckedStore, MayNotBeThereYetWhereItCanBeMade) {
  EXPECT_EQ(problem(), "");
  EXPECT_EQ(problem_at("sqlite::memory:"), "");
  EXPECT_THAT(problem_at("sqlite:" + (folder_.path() / "none/nestgate.db").string()),
              HasSubstr("/none/nestgate.db: cannot be created in its folder: No such file or directory"));
  EXPECT_THAT(problem_at("sqlite:"), HasSubstr("is none of"));
}

TEST_F(CheckedStore, IsWellWhileAGatewayHasItOpenAndAfterwards) {
  {
    Gateway gateway(url());
    auto row = row_of("c1");
    row.configuration_json = Secret("{}");
    row.about_json = Secret("{}");
    gateway.claim(std::move(row));
    EXPECT_EQ(problem(), "");
    gateway.claim(row_of("c2"));
  }
  EXPECT_EQ(problem(), "");
  EXPECT_FALSE(contents().contains("nestgate.db-wal")) << "this is how a gateway leaves it";
}

TEST_F(CheckedStore, SeesWhatStandsInTheLogOnly) {
  Gateway const gateway(url());
  EXPECT_THAT(problem(installation_secrets({"another secret of 32 bytes or so"})), HasSubstr("sealed with another secret"));
}

TEST_F(CheckedStore, MustBeOursAndNotALaterVersions) {
  {
    Gateway const gateway(url());
  }
  database_.execute("PRAGMA user_version = 1000");
  EXPECT_THAT(problem(), HasSubstr("is of version 1000, written by a later nestgate"));
  auto const theirs = folder_.path() / "theirs.db";
  Database(theirs.string()).execute("CREATE TABLE theirs (a)");
  EXPECT_THAT(problem_at("sqlite:" + theirs.string()), HasSubstr("is another program's database"));
  auto const text = folder_.write("odd name?#%41.db", "this is a text, and somebody needs it as it is");
  EXPECT_THAT(problem_at("sqlite:" + text.string()), HasSubstr("odd name?#%41.db: file is not a database"));
  EXPECT_THAT(problem_at("sqlite:" + folder_.path().string()), HasSubstr("is no file"));
}

TEST_F(CheckedStore, OfAnEarlierVersionIsNotUpgraded) {
  database_.execute(test::read_file(NESTGATE_TEST_DATA "/data/store_version_1.sql"));
  EXPECT_EQ(problem(installation_secrets({"0123456789abcdef0123456789abcdef"})), "");
  EXPECT_THAT(problem(), HasSubstr("cannot be opened"));
}

}  // namespace
}  // namespace nestgate::store
