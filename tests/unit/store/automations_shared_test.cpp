// Two gateways on one database, what stands in it, and how it is looked up.
#include <thread>

#include "automation_fixture.hpp"
#include "store/postgres_schema.hpp"
#include "store/schema.hpp"
#include "store/sqlite_schema.hpp"

namespace nestgate::store {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

INSTANTIATE_TEST_SUITE_P(On, SharedAutomations, testing::ValuesIn(shared_databases()), by_name);

// The calls at the same time, each on its gateway.
template <class F>
void both(AutomationGateway& one, AutomationGateway& other, F call) {
  std::thread beside([&] { call(other, 1); });
  call(one, 0);
  beside.join();
}

TEST_P(SharedAutomations, RunEachRunOnce) {
  constexpr int runs = 30;
  std::vector<std::string> ids;
  for (int i = 0; i < runs; ++i) ids.push_back(one_.enqueue(run_of("r" + std::to_string(i))).run.id);
  std::array<int, 2> claimed{};
  both(one_, other_, [&](AutomationGateway& gateway, std::size_t nth) {
    for (auto const& id : ids) {
      auto const answer = gateway.claim_runs({id}, {}, nth == 0 ? "one" : "other");
      if (answer.front().what == ClaimAnswer::What::claimed) ++claimed[nth];
    }
  });
  EXPECT_EQ(claimed[0] + claimed[1], runs);
  for (auto const& id : ids) EXPECT_EQ(one_.run(id).fence, 1u);
}

TEST_P(SharedAutomations, HoldTheirCapsTogether) {
  constexpr int runs = 20;
  std::vector<std::string> ids;
  for (int i = 0; i < runs; ++i) ids.push_back(one_.enqueue(run_of("r" + std::to_string(i))).run.id);
  RunCaps caps;
  caps.of_user = 7;
  both(one_, other_, [&](AutomationGateway& gateway, std::size_t) {
    for (auto const& id : ids) gateway.claim_runs({id}, caps);
  });
  EXPECT_EQ(one_.count(RunStatus::running), 7u);
}

TEST_P(SharedAutomations, MakeARunOfOneKeyOnce) {
  std::array<int, 2> made{};
  both(one_, other_, [&](AutomationGateway& gateway, std::size_t nth) {
    for (int i = 0; i < 30; ++i) {
      auto run = run_of(std::to_string(nth) + "-" + std::to_string(i));
      run.dedupe_key = std::to_string(i);
      if (gateway.enqueue(std::move(run)).is_new) ++made[nth];
    }
  });
  EXPECT_EQ(made[0] + made[1], 30);
}

TEST_P(SharedAutomations, FireEachMomentOnce) {
  auto row = automation_of("a1");
  row.next_at = at(0s);
  one_.create(std::move(row));
  both(one_, other_, [&](AutomationGateway& gateway, std::size_t nth) {
    for (int i = 0; i < 30; ++i) {
      Firing firing;
      firing.automation_id = "a1";
      firing.expected_next_at = at(std::chrono::seconds(i));
      firing.new_next_at = at(std::chrono::seconds(i + 1));
      firing.runs.push_back(run_of(std::to_string(nth) + "-" + std::to_string(i)));
      gateway.fire(std::move(firing));
    }
  });
  // Who is ahead of the other fires; a moment that both passed by was fired by one of them.
  auto const next_at = one_.automation("a1").next_at;
  EXPECT_EQ(one_.get(one_.automations().list_runs({}, {})).total,
            static_cast<std::uint64_t>(next_at->time_since_epoch() / 1s));
}

TEST_P(SharedAutomations, JudgeOneAfterTheOther) {
  one_.enqueue(run_of("r1"));
  auto const add = [](RunRow const& run) {
    auto decision = change_of(run, RunStatus::running);
    decision.run.runtime_epoch = run.runtime_epoch + 1;
    return decision;
  };
  both(one_, other_, [&](AutomationGateway& gateway, std::size_t) {
    for (int i = 0; i < 40; ++i) gateway.judge("r1", add);
  });
  EXPECT_EQ(one_.run("r1").runtime_epoch, 80u);
}

TEST_P(SharedAutomations, ChangeADocumentOneAfterTheOther) {
  both(one_, other_, [&](AutomationGateway& gateway, std::size_t) {
    for (int i = 0; i < 40; ++i)
      gateway.get(gateway.automations().change_kv("a1", [](KvDocument const& before) {
        return KvDecision{KvDecision::What::write, before.is_there ? before.json + "x" : "x"};
      }));
  });
  EXPECT_EQ(one_.get(one_.automations().kv("a1")).json.size(), 80u);
}

TEST_P(SharedAutomations, SeeWhatTheOtherChanged) {
  auto const version = one_.create(automation_of("a1")).version;
  other_.get(other_.automations().disable("a1", "", ""));
  EXPECT_EQ(one_.get(one_.automations().plans_since(version, 10)).size(), 1u);
  other_.enqueue(run_of("r1"));
  EXPECT_THAT(one_.waiting(), testing::ElementsAre("r1"));
}

TEST_P(SharedAutomations, KeepSecretsSealed) {
  auto automation = automation_of("a1");
  automation.callback_json = Secret("open sesame");
  one_.create(std::move(automation));
  auto run = run_of("r1", "");
  run.wish_json = Secret("open sesame");
  one_.enqueue(std::move(run));
  one_.get(one_.automations().put_metadata("key", Secret("open sesame")));
  for (auto const* const query :
       {"SELECT CAST(callback AS TEXT) FROM automation", "SELECT CAST(wish AS TEXT) FROM automation_run_input",
        "SELECT CAST(value AS TEXT) FROM service_metadata"}) {
    auto const texts = database_->rows(query);
    ASSERT_EQ(texts.size(), 1u);
    EXPECT_THAT(texts[0], Not(testing::AnyOf(IsEmpty(), HasSubstr("sesame")))) << query;
  }
  EXPECT_TRUE(other_.automation("a1").callback_json.equals("open sesame"));
}

// The database as a gateway left it that knew the first `version` steps of the schema.
void make_earlier(SharedDatabase& database, std::size_t version) {
  if (auto const* const file = dynamic_cast<SqliteFile const*>(&database)) {
    Database opened(file->file());
    Transaction transaction(opened, Transaction::Kind::write);
    upgrade(opened, schema_steps().first(version));
    transaction.commit();
    return;
  }
  std::vector<std::string> steps;
  for (auto const* const step : schema_steps().first(version)) steps.push_back(for_postgres(step));
  test::Control control;
  auto const connection = control.run(PostgresConnection::open(parse_postgres_url(database.url()).value(), {}));
  control.run(upgrade_postgres(*connection, std::move(steps), [](Sql&) -> Task<> { co_return; }));
}

class EarlierAutomations : public testing::TestWithParam<Kind<SharedDatabase>> {};
INSTANTIATE_TEST_SUITE_P(On, EarlierAutomations, testing::ValuesIn(shared_databases()), by_name);

TEST_P(EarlierAutomations, KeepTheirMomentsWhereTheyFire) {
  auto const database = GetParam().make();
  make_earlier(*database, 6);
  auto const put = [&database](std::string const& id, std::string const& enabled, std::string const& deleted_at) {
    database->execute(
        "INSERT INTO automation (id, user_id, org_id, created_at, last_triggered_at, owner, organisation, name, "
        "preset_metadata_json, trigger_json, trigger_kind, tarball_path, entrypoint, enabled, disabled_reason, "
        "disabled_detail, additions_json, policy_json, next_at, failures_in_row, updated_at, deleted_at, version) VALUES "
        "('" +
        id + "', 'u', 'o', 1, 2000000000, '', '', '', '', '', 'cron', '', '', " + enabled +
        ", '', '', '', '', 100000000000, 0, 1, " + deleted_at + ", (SELECT count(*) + 1 FROM automation))");
  };
  put("a1", "1", "NULL");
  put("off", "0", "NULL");
  put("gone", "1", "5");
  AutomationGateway gateway(database->url());
  auto const row = gateway.automation("a1");
  EXPECT_EQ(row.next_at, at(100s));
  EXPECT_EQ(row.last_triggered_at, at(2s));
  for (std::string const id : {"off", "gone"}) {
    EXPECT_FALSE(gateway.automation(id).next_at) << id;
    EXPECT_EQ(gateway.automation(id).last_triggered_at, at(2s)) << id;
  }
}

// What a gateway asks for all the time goes by an index.
TEST(AutomationIndexes, AreUsedByWhatIsAskedForOften) {
  SqliteFile database;
  AutomationGateway const gateway(database.url());
  Database file(database.file());
  for (std::string const statement : {
           "SELECT id FROM automation_run WHERE status = 'PENDING' AND version > 1 ORDER BY version LIMIT 10",
           "SELECT count(*) FROM automation_run WHERE status = 'PENDING' AND automation_id = 'a'",
           "SELECT count(*) FROM automation_run WHERE status = 'RUNNING' AND automation_id = 'a'",
           "SELECT id FROM automation_run WHERE id = 'a'",
           "SELECT id FROM automation_run WHERE dedupe_key = 'k' AND automation_id = 'a' AND user_id = 'u' AND org_id = 'o'",
           "SELECT id FROM automation_run WHERE user_id = 'u' AND org_id = 'o' ORDER BY created_at DESC, id DESC LIMIT 10",
           "SELECT id FROM automation_run WHERE automation_id = 'a' ORDER BY created_at DESC, id DESC LIMIT 10",
           "SELECT id FROM automation_run WHERE sandbox_id = 'c' UNION SELECT id FROM automation_run WHERE conversation_id "
           "= 'c'",
           "SELECT id FROM automation_run WHERE completed_at < 1 ORDER BY completed_at LIMIT 10",
           "SELECT next_at FROM automation JOIN automation_schedule ON automation_id = id WHERE version > 1 ORDER BY "
           "version LIMIT 10",
           "SELECT id FROM automation WHERE event_source = 's' AND org_id = 'o' AND enabled = 1 AND deleted_at IS NULL",
           "SELECT next_at FROM automation JOIN automation_schedule ON automation_id = id WHERE user_id = 'u' AND org_id = "
           "'o' AND deleted_at IS NULL ORDER BY created_at DESC, id DESC LIMIT 10",
           "SELECT id FROM endpoint WHERE user_id = 'u' AND org_id = 'o' AND enabled = 1",
           "SELECT id FROM delivery WHERE state = 'waiting' AND next_at <= 1 ORDER BY next_at LIMIT 10",
           "SELECT id FROM delivery WHERE state = 'waiting' AND holder > '' AND holder <> 'g'",
           "SELECT id FROM delivery WHERE run_id = 'r' ORDER BY created_at DESC, id DESC LIMIT 10",
       }) {
    auto plan = file.run("EXPLAIN QUERY PLAN " + statement);
    while (plan.step()) {
      plan.integer();
      plan.integer();
      plan.integer();
      auto const step = plan.text();
      EXPECT_THAT(step,
                  Not(testing::MatchesRegex("SCAN (automation|automation_schedule|automation_run|endpoint|delivery)( .*)?")))
          << statement;
      EXPECT_THAT(step, Not(HasSubstr("FOR ORDER BY"))) << statement;
    }
  }
}

// What a secret sealed that is not among the settings' any more.
class UnreadableRows : public SharedAutomations {
 protected:
  UnreadableRows() { one_.live("g"); }
  // The one of `other` in the place of that of `id`.
  void spoil(std::string const& table, std::string const& column, std::string const& key, std::string const& id,
             std::string const& other) {
    database_->execute("UPDATE " + table + " SET " + column + " = (SELECT " + column + " FROM " + table + " WHERE " + key +
                       " = '" + other + "') WHERE " + key + " = '" + id + "'");
  }
  void create(std::string id) {
    auto row = automation_of(std::move(id));
    row.callback_json = Secret("callback");
    row.next_at = at(0s);
    one_.create(std::move(row));
  }
  static RunRow own_run(std::string id) {
    auto run = run_of(std::move(id), "");
    run.wish_json = Secret("wish");
    return run;
  }
  static Firing firing_of(std::string id) {
    Firing firing;
    firing.automation_id = id;
    firing.expected_next_at = at(0s);
    firing.new_next_at = at(1s);
    firing.overlap = Overlap::cancel_running;
    firing.cancel = ending(RunStatus::cancelled);
    firing.runs.push_back(run_of("new-" + id, id));
    return firing;
  }
  void expect_given_up(DeliveryRow const& delivery) {
    EXPECT_EQ(delivery.state, DeliveryState::failed);
    auto const attempts = one_.get(one_.automations().attempts(delivery.id));
    ASSERT_EQ(attempts.size(), 1u);
    EXPECT_EQ(attempts[0].error, "callback: its secret cannot be opened");
  }
};
INSTANTIATE_TEST_SUITE_P(On, UnreadableRows, testing::ValuesIn(shared_databases()), by_name);

TEST_P(UnreadableRows, OfTheOutboxAreClaimedAsSuchAmongTheOthers) {
  for (std::string const id : {"e1", "e2"}) {
    EndpointRow endpoint;
    endpoint.id = id;
    endpoint.tenant = alice;
    endpoint.url = "https://example.org/";
    endpoint.secrets.emplace_back("secret");
    one_.get(one_.automations().put_endpoint(std::move(endpoint)));
  }
  create("a1");
  create("a2");
  for (std::string const id : {"1", "2"}) {
    one_.enqueue(run_of("r" + id, "a" + id));
    one_.judge("r" + id, ending(RunStatus::completed));
  }
  database_->execute(
      "UPDATE delivery SET callback = (SELECT callback FROM automation WHERE id = 'a1') WHERE run_id = 'r1' AND callback IS "
      "NOT NULL");
  spoil("endpoint", "secrets", "id", "e1", "e2");
  auto const due = one_.get(one_.automations().claim_deliveries("g", 1h, 100));
  ASSERT_EQ(due.size(), 6u);
  for (auto const& one : due) {
    bool const is_plain = one.delivery.endpoint_id.empty();
    EXPECT_EQ(one.delivery.is_unreadable, is_plain && one.delivery.run_id == "r1");
    if (is_plain && one.delivery.run_id == "r2") EXPECT_TRUE(one.delivery.callback_json.equals("callback"));
    if (!is_plain) EXPECT_EQ(one.endpoint->is_unreadable, one.delivery.endpoint_id == "e1");
  }
  EXPECT_EQ(one_.fault(one_.automations().find_endpoint("e1")), FaultKind::unavailable) << "it could be written without";
}

TEST_P(UnreadableRows, OfRunsAreClaimedAsSuchAmongTheOthers) {
  create("a1");
  one_.enqueue(own_run("r1"));
  one_.enqueue(own_run("r2"));
  one_.enqueue(run_of("r3", "a1"));
  database_->execute("UPDATE automation SET callback = (SELECT wish FROM automation_run_input WHERE run_id = 'r1')");
  spoil("automation_run_input", "wish", "run_id", "r1", "r2");
  auto const claimed = one_.claim_runs({"r1", "r2", "r3"});
  for (auto const& answer : claimed) ASSERT_EQ(answer.what, ClaimAnswer::What::claimed);
  EXPECT_TRUE(claimed[0].claimed->run.is_unreadable);
  EXPECT_TRUE(claimed[0].claimed->run.wish_json.empty());
  EXPECT_FALSE(claimed[1].claimed->run.is_unreadable);
  EXPECT_TRUE(claimed[1].claimed->run.wish_json.equals("wish"));
  EXPECT_TRUE(claimed[2].claimed->automation);
  EXPECT_EQ(one_.judge("r1", ending(RunStatus::failed)).run.status, RunStatus::failed);
  EXPECT_EQ(one_.judge("r3", ending(RunStatus::completed)).run.status, RunStatus::completed);
  expect_given_up(one_.deliveries("r3").at(0));
}

TEST_P(UnreadableRows, StopNoScheduleOfOthers) {
  create("a1");
  create("a2");
  one_.enqueue(run_of("r1", "a1"));
  one_.enqueue(run_of("r2", "a2"));
  spoil("automation", "callback", "id", "a1", "a2");
  std::vector<Firing> firings;
  firings.push_back(firing_of("a1"));
  firings.push_back(firing_of("a2"));
  for (auto const& fired : one_.get(one_.automations().fire(std::move(firings)))) EXPECT_EQ(fired.made.size(), 1u);
  EXPECT_EQ(one_.run("r1").status, RunStatus::cancelled);
  expect_given_up(one_.deliveries("r1").at(0));
  EXPECT_EQ(one_.deliveries("r2").at(0).state, DeliveryState::waiting);
}

}  // namespace
}  // namespace nestgate::store
