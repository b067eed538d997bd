// What one gateway leaves to the next, what several do at once, and what stands there after something went wrong.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "store_fixture.hpp"

namespace nestgate::store {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using What = Claim::What;

INSTANTIATE_TEST_SUITE_P(On, SharedStore, testing::ValuesIn(shared_databases()), by_name);

ConversationRow with_configuration(std::string_view id, std::string_view configuration) {
  auto row = row_of(id);
  row.configuration_json = Secret(std::string(configuration));
  return row;
}

TEST_P(SharedStore, KeepsWhatItWasTold) {
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

TEST_P(SharedStore, SaysWhatIsWrongWhenItBreaksWhileItIsOpen) {
  Gateway gateway(url());
  database_->execute("DROP TABLE conversation");
  auto const outcome = gateway.ask(gateway.store().conversations());
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().fault.kind, FaultKind::unavailable);
  EXPECT_THAT(outcome.error().reason, HasSubstr("conversation"));
  EXPECT_FALSE(gateway.ask(gateway.store().claim(row_of("c1"), "a", {})));
  gateway.get(gateway.store().users());  // what is whole goes on
}

TEST_P(SharedStore, RefusesARowThatIsNone) {
  Gateway gateway(url());
  gateway.claim(row_of("c1"));
  database_->execute("UPDATE conversation SET phase = 'dancing'");
  auto const outcome = gateway.ask(gateway.store().find(id_of("c1")));
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().reason, HasSubstr("conversation c1: its phase is none"));
}

TEST_P(SharedStore, IsRefusedToAGatewayWithOtherSecretsFromTheBeginning) {
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
  EXPECT_THAT(reason_not_to_open(url(), installation_secrets({"old"})), HasSubstr("sealed with another secret"));
}

TEST_P(SharedStore, OpensWhatAnEarlierSecretSealed) {
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

TEST_P(SharedStore, NamesWhatNoSecretOpens) {
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

TEST_P(SharedStore, IsCheckedForEverySecretThatSomethingWasSealedWith) {
  std::string const old_one = "0123456789abcdef0123456789abcdef", new_one = "fedcba9876543210fedcba9876543210";
  {
    Gateway gateway(url(), installation_secrets({old_one}));
    for (int i = 0; i < 20; ++i) gateway.get(gateway.store().put_user_secret("alice", {std::to_string(i), "", Secret("v")}));
  }
  {
    Gateway gateway(url(), installation_secrets({new_one, old_one}));
    gateway.get(gateway.store().put_user_secret("alice", {"new", "", Secret("v")}));
  }
  auto const problem = [this](std::vector<Secret> const& keys) {
    auto const checked = check_store(url(), keys);
    return checked ? std::string() : checked.error().reason;
  };
  EXPECT_EQ(problem(installation_secrets({new_one, old_one})), "");
  EXPECT_THAT(problem(installation_secrets({new_one})), HasSubstr("user_secret alice, "));
  EXPECT_THAT(problem(installation_secrets({old_one})), HasSubstr("sealed with another secret"));
}

TEST_P(SharedStore, RefusesASealedValueInAnotherRow) {
  Gateway gateway(url());
  gateway.claim(with_configuration("c1", R"({"token":"alice's"})"));
  gateway.claim(with_configuration("c2", R"({"token":"bob's"})"));
  database_->execute(
      "UPDATE conversation SET configuration = (SELECT configuration FROM conversation WHERE id = 'c1') WHERE id = 'c2'");
  auto const moved = gateway.ask(gateway.store().find(id_of("c2")));
  ASSERT_FALSE(moved);
  EXPECT_THAT(moved.error().reason, HasSubstr("conversation c2: configuration cannot be opened: it was changed, or moved"));
}

TEST_P(SharedStore, RemembersSoManyRemovalsAndTellsAllToWhoAsksFromFurtherBack) {
  Gateway gateway(url());
  auto& store = gateway.store();
  auto const beginning = gateway.claim(row_of("c0")).row;
  auto const changes = [&](std::uint64_t since) { return gateway.get(store.changes_since(since)); };
  auto const first = changes(0).version;
  database_->execute(
      "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) INSERT INTO forgotten SELECT 'g' || "
      "i, (SELECT value FROM counter WHERE name = 'version') + i FROM n; UPDATE counter SET value = value + 10000 WHERE "
      "name "
      "= 'version'");
  EXPECT_EQ(changes(first).forgotten.size(), 10'000u);
  for (auto const id : {"c1", "c2"}) {
    auto const epoch = gateway.claim(row_of(id)).row.epoch;
    gateway.get(store.forget(id_of(id), "a", epoch));
  }
  EXPECT_EQ(database_->rows("SELECT CAST(count(*) AS TEXT) FROM forgotten").at(0), "10000");
  auto const from_afar = changes(first);
  EXPECT_TRUE(from_afar.is_all);
  EXPECT_THAT(from_afar.forgotten, IsEmpty());
  EXPECT_EQ(from_afar.rows.size(), 1u);
  auto const remembered = changes(first + 2);  // the first two are what was dropped
  EXPECT_FALSE(remembered.is_all);
  EXPECT_EQ(remembered.forgotten.size(), 10'000u);
}

TEST_P(SharedStore, LetsGatewaysSeeWhatTheOtherDid) {
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

TEST_P(SharedStore, IsOpenedByManyAtOnceAlsoWhenItIsNew) {
  for (int round = 0; round < 10; ++round) {
    auto const fresh = GetParam().make();
    at_once([&](int i) { Gateway(fresh->url()).claim(row_of(contended(i))); });
    Gateway gateway(fresh->url());
    EXPECT_EQ(gateway.get(gateway.store().conversations()).size(), std::size_t{contenders});
  }
}

TEST_P(SharedStore, GivesEachConversationToOneOfManyGateways) {
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

TEST_P(SharedStore, NeverTakesMoreThanTheQuotaHowManyMayClaim) {
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

TEST_P(SharedStore, GivesEachConversationToOneOfManyProcesses) {
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

TEST_P(SharedStore, KeepsEveryAcknowledgedWriteOfAGatewayThatIsKilled) {
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
    EXPECT_EQ(database_->damage(), "");
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

TEST_P(SharedStore, TakesTwentyThousandStaticsAtOnce) {
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
