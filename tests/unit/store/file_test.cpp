// What stands in the file, and what stands there after something went wrong.
#include <sys/stat.h>

#include "store/schema.hpp"
#include "store/sqlite_schema.hpp"
#include "store_fixture.hpp"

namespace nestgate::store {
namespace {

using testing::HasSubstr;

mode_t mode_of(std::string const& file) {
  struct stat status{};
  EXPECT_EQ(::stat(file.c_str(), &status), 0) << file;
  return status.st_mode & 0777;
}

TEST_F(StoreFile, IsItsOwnersAloneWithWhatStandsBesideIt) {
  Gateway gateway(url());
  gateway.claim(row_of("c1"));
  for (auto const suffix : {"", "-wal", "-shm"}) EXPECT_EQ(mode_of(file() + suffix), 0600u) << suffix;
}

TEST_F(StoreFile, IsMadeItsOwnersAloneWhenOthersCouldReadIt) {
  {
    Gateway const gateway(url());
  }
  ASSERT_EQ(::chmod(file().c_str(), 0644), 0);
  Gateway const gateway(url());
  EXPECT_EQ(mode_of(file()), 0600u);
}

TEST_F(StoreFile, MayHaveARelativePath) {
  auto const before = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());
  {
    Gateway const gateway("sqlite:file:odd.db");
  }
  std::filesystem::current_path(before);
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "file:odd.db"));
}

TEST(StoreUrl, NamesSqliteAndAPath) {
  asio::io_context loop(1);
  for (auto const url : {"", "sqlite", "sqlite:", "mysql://host/db", "/path"}) {
    auto const opened = open_store(url, installation_secrets(), loop.get_executor());
    ASSERT_FALSE(opened) << url;
    EXPECT_EQ(opened.error().fault.kind, FaultKind::bad_input) << url;
  }
}

TEST_F(StoreFile, IsNotOpenedWhereNoneCanBeMade) {
  EXPECT_THAT(reason_not_to_open("sqlite:" + (folder_.path() / "no folder/nestgate.db").string()),
              HasSubstr("no folder/nestgate.db: cannot be created: No such file or directory"));
  EXPECT_THAT(reason_not_to_open("sqlite:/proc/nestgate.db"), HasSubstr("/proc/nestgate.db: cannot be created"));
  EXPECT_THAT(reason_not_to_open("sqlite:" + folder_.path().string()), HasSubstr("unable to open database file"));
}

TEST_F(StoreFile, IsNotOpenedWhenItIsNoDatabase) {
  std::string const content = "this is a text, and somebody needs it as it is\n" + std::string(8192, 'x');
  folder_.write("nestgate.db", content);
  ASSERT_EQ(::chmod(file().c_str(), 0644), 0);
  EXPECT_THAT(reason_not_to_open(url()), HasSubstr("nestgate.db: file is not a database"));
  EXPECT_EQ(test::read_file(file()), content);
  EXPECT_EQ(mode_of(file()), 0644u);
}

TEST_F(StoreFile, IsNotOpenedWhenItIsAnotherProgramsDatabase) {
  database_.execute("CREATE TABLE theirs (a)");
  auto const before = test::read_file(file());
  EXPECT_THAT(reason_not_to_open(url()), HasSubstr("nestgate.db: is another program's database"));
  EXPECT_EQ(test::read_file(file()), before);
}

TEST_F(StoreFile, IsNotOpenedWhenALaterVersionWroteIt) {
  {
    Gateway const gateway(url());
  }
  database_.execute("PRAGMA user_version = 1000");
  EXPECT_THAT(reason_not_to_open(url()), HasSubstr("is of version 1000, written by a later nestgate"));
}

TEST_F(StoreFile, OfVersion1IsReadAsItWasWritten) {
  database_.execute(test::read_file(NESTGATE_TEST_DATA "/data/store_version_1.sql"));
  Gateway gateway(url(), installation_secrets({"0123456789abcdef0123456789abcdef"}));
  auto& store = gateway.store();
  auto const row = gateway.get(store.find(id_of("c1")));
  ASSERT_TRUE(row);
  EXPECT_EQ(row->owner, "alice");
  EXPECT_EQ(row->phase, Phase::paused);
  EXPECT_EQ(row->epoch, Epoch(5));
  EXPECT_TRUE(row->configuration_json.equals(R"({"token":"the plain text of a token"})"));
  EXPECT_EQ(gateway.get(store.statics_since(0)).rows.at(0).url, "http://127.0.0.1:9001");
  EXPECT_EQ(gateway.get(store.users()).at(0).organisation, "acme");
  EXPECT_TRUE(gateway.get(store.user_settings("alice")).equals("{}"));
  EXPECT_TRUE(gateway.get(store.user_secrets("alice")).at(0).value.equals("value"));
  EXPECT_EQ(gateway.get(store.api_keys()).at(0).name, "ci");
  EXPECT_EQ(gateway.claim(row_of("c2")).row.epoch, Epoch(6));
  auto const now = database_.rows("SELECT CAST(user_version AS TEXT) FROM pragma_user_version").at(0);
  EXPECT_EQ(now, std::to_string(schema_steps().size()));
}

TEST_F(StoreFile, IsNotWrittenByWhoOpensItWithItsSecret) {
  auto const probe = [this] { return database_.rows("SELECT hex(sealed) FROM probe").at(0); };
  {
    Gateway const first(url(), installation_secrets({"old"}));
  }
  auto const sealed = probe();
  {
    Gateway const again(url(), installation_secrets({"old"}));
  }
  EXPECT_EQ(probe(), sealed);
  {
    Gateway const rotated(url(), installation_secrets({"new", "old"}));
  }
  EXPECT_NE(probe(), sealed);
}

TEST_F(StoreFile, IsNotWrittenOnceItIsRemovedOrReplaced) {
  Gateway gateway(url());
  gateway.claim(row_of("c1"));
  std::filesystem::rename(file(), file() + ".away");
  auto const written = gateway.ask(gateway.store().put_user({"alice", "", false, {}}));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().reason, "store: its file was removed or replaced; restart nestgate");
  std::filesystem::rename(file() + ".away", file());
  EXPECT_TRUE(gateway.get(gateway.store().find(id_of("c1"))));
}

TEST_F(StoreFile, IsUpgradedStepByStepOrNotAtAll) {
  {
    Gateway(url()).claim(row_of("c1"));
  }
  std::vector<char const*> steps(schema_steps().begin(), schema_steps().end());
  steps.push_back("ALTER TABLE conversation ADD COLUMN more TEXT NOT NULL DEFAULT 'm'");
  auto const first = std::to_string(schema_steps().size());
  auto const upgrade_to = [this](std::vector<char const*> const& to) {
    Database database(file());
    Transaction transaction(database, Transaction::Kind::write);
    upgrade(database, to);
    transaction.commit();
  };
  {
    auto failing = steps;
    failing.push_back("ALTER TABLE conversation ADD COLUMN again TEXT; ALTER TABLE nothing ADD COLUMN a TEXT");
    EXPECT_THROW(upgrade_to(failing), Unusable);
  }
  EXPECT_EQ(database_.rows("SELECT CAST(user_version AS TEXT) FROM pragma_user_version").at(0), first);
  {
    upgrade_to(steps);
    upgrade_to(steps);
  }
  EXPECT_EQ(database_.rows("SELECT CAST(user_version AS TEXT) FROM pragma_user_version").at(0),
            std::to_string(steps.size()));
  EXPECT_EQ(database_.rows("SELECT id || more FROM conversation").at(0), "c1m");
  EXPECT_THAT(reason_not_to_open(url()), HasSubstr("written by a later nestgate"));
}

TEST_F(StoreFile, HoldsNoSecretInPlainText) {
  constexpr std::string_view plain = "PLAINTEXT-THAT-NOBODY-MAY-READ";
  Gateway gateway(url());
  auto& store = gateway.store();
  auto const secret = [&plain] { return Secret(std::string(plain)); };
  auto row = row_of("c1");
  row.session_key = secret();
  row.wish_json = secret();
  row.about_json = secret();
  row.configuration_json = secret();
  gateway.bring_up(std::move(row));
  std::vector<StaticRow> statics(1);
  statics[0].id = "static";
  statics[0].session_key = secret();
  gateway.get(store.put_statics(std::move(statics), {}));
  gateway.get(store.put_user_settings("alice", secret()));
  UserSecretRow one;
  one.name = "TOKEN";
  one.value = secret();
  gateway.get(store.put_user_secret("alice", std::move(one)));
  auto const log = test::read_file(file() + "-wal");
  EXPECT_THAT(log, HasSubstr("TOKEN")) << "it was written";
  for (auto const& content : {log, test::read_file(file()), test::read_file(file() + "-shm")})
    EXPECT_EQ(content.find(plain), content.npos);
}

}  // namespace
}  // namespace nestgate::store
