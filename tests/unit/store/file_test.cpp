// What stands in the file, and what stands there after something went wrong.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "store/schema.hpp"
#include "store/sqlite_schema.hpp"
#include "store_fixture.hpp"

namespace nestgate::store {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using What = Claim::What;

std::string reason_not_to_open(std::string const& url, std::vector<Secret> keys = installation_secrets()) {
  asio::io_context loop(1);
  auto const opened = open_store(url, std::move(keys), loop.get_executor());
  EXPECT_FALSE(opened);
  if (opened) return {};
  EXPECT_EQ(opened.error().fault.kind, FaultKind::unavailable);
  return opened.error().reason;
}

// The first column of each row, straight from the file.
std::vector<std::string> rows_of(std::string const& file, std::string_view sql) {
  Database database(file);
  std::vector<std::string> rows;
  auto found = database.run(sql);
  while (found.step()) rows.push_back(found.text());
  return rows;
}

mode_t mode_of(std::string const& file) {
  struct stat status{};
  EXPECT_EQ(::stat(file.c_str(), &status), 0) << file;
  return status.st_mode & 0777;
}

ConversationRow with_configuration(std::string_view id, std::string_view configuration) {
  auto row = row_of(id);
  row.configuration_json = Secret(std::string(configuration));
  return row;
}

TEST_F(StoreFile, KeepsWhatItWasTold) {
  Epoch epoch(0);
  std::uint64_t version = 0;
  {
    Gateway gateway(url());
    epoch = gateway.claim(with_configuration("c1", "{}")).row.epoch;
    version = gateway.get(gateway.store().changes_since(0)).version;
  }
  Gateway gateway(url());
  auto const found = gateway.get(gateway.store().find(id_of("c1")));
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->configuration_json.equals("{}"));
  EXPECT_THAT(gateway.get(gateway.store().changes_since(version)).rows, IsEmpty());
  EXPECT_GT(gateway.claim(row_of("c2")).row.epoch, epoch);
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
  for (auto const url : {"", "sqlite", "sqlite:", "postgresql://host/db", "/path"}) {
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
  Database(file()).execute("CREATE TABLE theirs (a)");
  auto const before = test::read_file(file());
  EXPECT_THAT(reason_not_to_open(url()), HasSubstr("nestgate.db: is another program's database"));
  EXPECT_EQ(test::read_file(file()), before);
}

TEST_F(StoreFile, IsNotOpenedWhenALaterVersionWroteIt) {
  {
    Gateway const gateway(url());
  }
  Database(file()).execute("PRAGMA user_version = 1000");
  EXPECT_THAT(reason_not_to_open(url()), HasSubstr("is of version 1000, written by a later nestgate"));
}

TEST_F(StoreFile, SaysWhatIsWrongWhenItBreaksWhileItIsOpen) {
  Gateway gateway(url());
  Database(file()).execute("DROP TABLE conversation");
  auto const outcome = gateway.ask(gateway.store().conversations());
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().fault.kind, FaultKind::unavailable);
  EXPECT_THAT(outcome.error().reason, HasSubstr("no such table: conversation"));
  EXPECT_FALSE(gateway.ask(gateway.store().claim(row_of("c1"), "a", {})));
  gateway.get(gateway.store().users());  // what is whole goes on
}

TEST_F(StoreFile, RefusesARowThatIsNone) {
  Gateway gateway(url());
  gateway.claim(row_of("c1"));
  Database(file()).execute("UPDATE conversation SET phase = 'dancing'");
  auto const outcome = gateway.ask(gateway.store().find(id_of("c1")));
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().reason, HasSubstr("conversation c1: its phase is none"));
}

TEST_F(StoreFile, OfVersion1IsReadAsItWasWritten) {
  Database(file()).execute(test::read_file(NESTGATE_TEST_DATA "/data/store_version_1.sql").c_str());
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
  auto const now = rows_of(file(), "SELECT CAST(user_version AS TEXT) FROM pragma_user_version").at(0);
  EXPECT_EQ(now, std::to_string(schema_steps().size()));
}

TEST_F(StoreFile, IsRefusedToAGatewayWithOtherSecretsFromTheBeginning) {
  {
    Gateway const first(url(), installation_secrets({"old"}));
  }
  EXPECT_THAT(reason_not_to_open(url(), installation_secrets({"another"})), HasSubstr("sealed with another secret"));
  {
    Gateway const rotated(url(), installation_secrets({"new", "old"}));
  }
  {
    Gateway const after(url(), installation_secrets({"new"}));
  }
  EXPECT_THAT(reason_not_to_open(url(), installation_secrets({"old"})), HasSubstr("nestgate.db: it is sealed"));
}

TEST_F(StoreFile, IsNotWrittenByWhoOpensItWithItsSecret) {
  auto const probe = [this] { return rows_of(file(), "SELECT hex(sealed) FROM probe").at(0); };
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
  EXPECT_EQ(rows_of(file(), "SELECT CAST(user_version AS TEXT) FROM pragma_user_version").at(0), first);
  {
    upgrade_to(steps);
    upgrade_to(steps);
  }
  EXPECT_EQ(rows_of(file(), "SELECT CAST(user_version AS TEXT) FROM pragma_user_version").at(0),
            std::to_string(steps.size()));
  EXPECT_EQ(rows_of(file(), "SELECT id || more FROM conversation").at(0), "c1m");
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

TEST_F(StoreFile, OpensWhatAnEarlierSecretSealed) {
  {
    Gateway(url(), installation_secrets({"old"})).claim(with_configuration("c1", "{}"));
  }
  {
    Gateway rotated(url(), installation_secrets({"new", "old"}));
    auto row = rotated.get(rotated.store().find(id_of("c1")));
    ASSERT_TRUE(row);
    EXPECT_TRUE(row->configuration_json.equals("{}"));
    rotated.get(rotated.store().save(std::move(*row)));
  }
  Gateway gateway(url(), installation_secrets({"new"}));
  EXPECT_TRUE(gateway.get(gateway.store().find(id_of("c1")))->configuration_json.equals("{}")) << "sealed anew when saved";
}

TEST_F(StoreFile, NamesWhatNoSecretOpens) {
  {
    Gateway gateway(url(), installation_secrets({"old"}));
    gateway.claim(with_configuration("c1", "{}"));
    gateway.claim(row_of("c2"));
    UserSecretRow secret;
    secret.name = "TOKEN";
    secret.value = Secret("x");
    gateway.get(gateway.store().put_user_secret("alice", std::move(secret)));
  }
  {
    Gateway const rotated(url(), installation_secrets({"new", "old"}));
  }
  Gateway gateway(url(), installation_secrets({"new"}));  // too early: not all was sealed anew
  auto const found = gateway.ask(gateway.store().find(id_of("c1")));
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().fault.kind, FaultKind::unavailable);
  EXPECT_EQ(found.error().reason,
            "store: conversation c1: configuration cannot be opened: it was sealed with a secret that is not among those of "
            "the settings");
  EXPECT_FALSE(gateway.ask(gateway.store().conversations()));
  EXPECT_FALSE(gateway.ask(gateway.store().claim(row_of("c1"), "a", {}))) << "it would lose it";
  EXPECT_TRUE(gateway.ask(gateway.store().find(id_of("c2")))) << "nothing is sealed in it";
  auto const secrets = gateway.ask(gateway.store().user_secrets("alice"));
  ASSERT_FALSE(secrets);
  EXPECT_THAT(secrets.error().reason, HasSubstr("user_secret alice, TOKEN: value cannot be opened"));
}

TEST_F(StoreFile, RefusesASealedValueInAnotherRow) {
  Gateway gateway(url());
  gateway.claim(with_configuration("c1", R"({"token":"alice's"})"));
  gateway.claim(with_configuration("c2", R"({"token":"bob's"})"));
  Database(file()).execute(
      "UPDATE conversation SET configuration = (SELECT configuration FROM conversation WHERE id = 'c1') WHERE id = 'c2'");
  auto const moved = gateway.ask(gateway.store().find(id_of("c2")));
  ASSERT_FALSE(moved);
  EXPECT_THAT(moved.error().reason, HasSubstr("conversation c2: configuration cannot be opened: it was changed, or moved"));
}

TEST_F(StoreFile, RemembersSoManyRemovalsAndTellsAllToWhoAsksFromFurtherBack) {
  Gateway gateway(url());
  auto& store = gateway.store();
  auto const beginning = gateway.claim(row_of("c0")).row;
  auto const changes = [&](std::uint64_t since) { return gateway.get(store.changes_since(since)); };
  auto const first = changes(0).version;
  Database(file()).execute(
      "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) INSERT INTO forgotten SELECT 'g' || "
      "i, (SELECT value FROM counter WHERE name = 'version') + i FROM n; UPDATE counter SET value = value + 10000 WHERE "
      "name "
      "= 'version'");
  EXPECT_EQ(changes(first).forgotten.size(), 10'000u);
  for (auto const id : {"c1", "c2"}) {
    auto const epoch = gateway.claim(row_of(id)).row.epoch;
    gateway.get(store.forget(id_of(id), "a", epoch));
  }
  EXPECT_EQ(rows_of(file(), "SELECT CAST(count(*) AS TEXT) FROM forgotten").at(0), "10000");
  auto const from_afar = changes(first);
  EXPECT_TRUE(from_afar.is_all);
  EXPECT_THAT(from_afar.forgotten, IsEmpty());
  EXPECT_EQ(from_afar.rows.size(), 1u);
  auto const remembered = changes(first + 2);  // the first two are what was dropped
  EXPECT_FALSE(remembered.is_all);
  EXPECT_EQ(remembered.forgotten.size(), 10'000u);
}

TEST_F(StoreFile, LetsGatewaysSeeWhatTheOtherDid) {
  Gateway a(url()), b(url());
  a.claim(row_of("c0"), "a");
  auto const before = b.get(b.store().changes_since(0)).version;
  auto const row = a.claim(row_of("c1"), "a").row;
  EXPECT_EQ(b.get(b.store().changes_since(before)).rows.size(), 1u);
  b.get(b.store().ask_holder(row.id, "stop"));
  EXPECT_EQ(a.get(a.store().find(row.id))->asked, "stop");
  a.get(a.store().forget(row.id, "a", row.epoch));
  EXPECT_EQ(b.get(b.store().changes_since(before)).forgotten.size(), 1u);
}

constexpr int contenders = 8;
constexpr int contended_ids = 50;

// Runs `body(i)` on so many threads, which begin together.
template <class Body>
void at_once(Body body) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < contenders; ++i) threads.emplace_back([&body, i] { body(i); });
}

std::string contended(int i) { return "c" + std::to_string(i); }

TEST_F(StoreFile, IsOpenedByManyAtOnceAlsoWhenItIsNew) {
  for (int round = 0; round < 10; ++round) {
    auto const fresh = url() + std::to_string(round);
    at_once([&](int i) { Gateway(fresh).claim(row_of(contended(i))); });
    Gateway gateway(fresh);
    EXPECT_EQ(gateway.get(gateway.store().conversations()).size(), std::size_t{contenders});
  }
}

TEST_F(StoreFile, GivesEachConversationToOneOfManyGateways) {
  std::atomic<int> taken = 0;
  std::array<std::vector<std::string>, contenders> got;
  at_once([&](int i) {
    Gateway gateway(url());
    auto const name = "gateway" + std::to_string(i);
    gateway.get(gateway.store().renew(name, 1h));
    for (int n = 0; n < contended_ids; ++n) {
      auto const claim = gateway.claim(row_of(contended(n)), name);
      EXPECT_TRUE(claim.what == What::taken || claim.what == What::elsewhere);
      EXPECT_EQ(claim.what == What::taken, claim.row.holder == name);
      if (claim.what == What::taken) got[static_cast<std::size_t>(i)].push_back(contended(n));
    }
    taken += static_cast<int>(got[static_cast<std::size_t>(i)].size());
  });
  EXPECT_EQ(taken, contended_ids);
  Gateway gateway(url());
  std::set<Epoch> epochs;
  for (auto const& row : gateway.get(gateway.store().conversations())) {
    EXPECT_TRUE(epochs.insert(row.epoch).second) << "each has an epoch of its own";
    auto const holder = std::stoul(row.holder.substr(std::string_view("gateway").size()));
    EXPECT_THAT(got.at(holder), testing::Contains(row.id.text()));
  }
  EXPECT_EQ(epochs.size(), std::size_t{contended_ids});
}

TEST_F(StoreFile, NeverTakesMoreThanTheQuotaHowManyMayClaim) {
  Quota quota;
  quota.of_owner = 7;
  std::atomic<int> taken = 0;
  at_once([&](int i) {
    Gateway gateway(url());
    for (int n = 0; n < contended_ids; ++n) {
      auto const claim = gateway.claim(row_of(contended(i * contended_ids + n)), "gateway" + std::to_string(i), quota);
      if (claim.what == What::taken) ++taken;
    }
  });
  EXPECT_EQ(taken, 7);
}

// A child process that does `work` with the writing end of a pipe, and the reading end of it.
class Child {
 public:
  template <class Work>
  explicit Child(Work work) {
    std::array<int, 2> ends;
    if (::pipe(ends.data()) != 0) throw std::runtime_error("no pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      try {
        work(ends[1]);
      } catch (...) {
        ::_exit(1);
      }
      ::_exit(0);
    }
    ::close(ends[1]);
    from_ = ends[0];
  }
  Child(Child const&) = delete;
  Child& operator=(Child const&) = delete;
  ~Child() {
    kill();
    ::close(from_);
  }

  // What the child says next; nothing once it has ended.
  std::optional<int> hear() const {
    int word = 0;
    return ::read(from_, &word, sizeof word) == sizeof word ? std::optional(word) : std::nullopt;
  }
  static void say(int to, int word) {
    if (::write(to, &word, sizeof word) != sizeof word) ::_exit(1);
  }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  int from_ = -1;
};

TEST_F(StoreFile, GivesEachConversationToOneOfManyProcesses) {
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(std::make_unique<Child>([this, i](int to) {
      Gateway gateway(url());
      auto const name = "gateway" + std::to_string(i);
      gateway.get(gateway.store().renew(name, 1h));
      for (int n = 0; n < contended_ids; ++n)
        if (gateway.claim(row_of(contended(n)), name).what == What::taken) Child::say(to, n);
    }));
  }
  std::multiset<int> taken;
  for (auto const& child : children)
    while (auto const n = child->hear()) taken.insert(*n);
  EXPECT_EQ(taken.size(), std::size_t{contended_ids});
  EXPECT_EQ(std::set<int>(taken.begin(), taken.end()).size(), taken.size());
}

TEST_F(StoreFile, KeepsEveryAcknowledgedWriteOfAGatewayThatIsKilled) {
  int next = 0;
  for (int const heard_before_the_kill : {1, 7, 40, 150}) {
    Child child([this, next](int to) {
      Gateway gateway(url());
      for (int n = next;; ++n) {
        auto row = gateway.claim(with_configuration(contended(n), std::string(2'000, 'x'))).row;
        row.phase = Phase::running;
        gateway.get(gateway.store().save(std::move(row)));
        Child::say(to, n);
      }
    });
    for (int i = 0; i < heard_before_the_kill; ++i) ASSERT_TRUE(child.hear());
    child.kill();
    int acknowledged = next + heard_before_the_kill;
    while (child.hear()) ++acknowledged;
    EXPECT_EQ(rows_of(file(), "PRAGMA integrity_check").at(0), "ok");
    Gateway gateway(url());
    for (int n = 0; n < acknowledged; ++n) {
      auto const row = gateway.get(gateway.store().find(id_of(contended(n))));
      ASSERT_TRUE(row) << n;
      EXPECT_EQ(row->phase, Phase::running);
      EXPECT_EQ(row->configuration_json.size(), 2'000u);
    }
    gateway.get(gateway.store().put_user(UserRow{}));  // it can be written to
    next = acknowledged + 1;                           // the last one may be half done
    gateway.bring_up(with_configuration(contended(acknowledged), std::string(2'000, 'x')));
  }
}

TEST_F(StoreFile, TakesTwentyThousandStaticsAtOnce) {
  Gateway gateway(url());
  std::vector<StaticRow> rows(20'000);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].id = "static" + std::to_string(i);
    rows[i].url = "http://127.0.0.1:9001";
    rows[i].session_key.emplace("key");
  }
  auto const begin = Clock::now();
  gateway.get(gateway.store().put_statics(std::move(rows), {}));
  auto const written = Clock::now();
  EXPECT_EQ(gateway.get(gateway.store().statics_since(0)).rows.size(), 20'000u);
  auto const ms = [](Clock::duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); };
  RecordProperty("put_ms", std::to_string(ms(written - begin)));
  RecordProperty("read_ms", std::to_string(ms(Clock::now() - written)));
}

}  // namespace
}  // namespace nestgate::store
