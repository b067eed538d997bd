// A store as a whole: copied to another database, and backed up.
#include "nestgate/store/maintenance.hpp"

#include <sys/stat.h>

#include <map>

#include "automation_fixture.hpp"
#include "store/schema.hpp"

namespace nestgate::store {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAreArray;

void fill_automations(AutomationGateway& gateway) {
  auto& store = gateway.automations();
  gateway.create(automation_of("a1"));
  EndpointRow endpoint;
  endpoint.id = "e1";
  endpoint.tenant = store::alice;
  endpoint.url = "https://example.org/";
  gateway.get(store.put_endpoint(std::move(endpoint)));
  UploadRow upload;
  upload.id = "u1";
  upload.tenant = store::alice;
  upload.status = "COMPLETED";
  auto own = run_of("r1", "");
  own.wish_json = Secret("{}");
  gateway.get(store.enqueue_own(std::move(own), std::move(upload), "bytes", 0));
  auto const run = gateway.begin(run_of("r2"), "dead");
  gateway.judge(run.id, ending(RunStatus::completed));
  auto const due = gateway.get(store.claim_deliveries("g", 1s, 10));
  AutomationStore::DeliveryResult result;
  result.delivery_id = due.at(0).delivery.id;
  result.fence = due.at(0).delivery.fence;
  result.attempt.delivery_id = result.delivery_id;
  result.attempt.number = 1;
  result.state = DeliveryState::delivered;
  std::vector<AutomationStore::DeliveryResult> results;
  results.push_back(std::move(result));
  gateway.get(store.record_deliveries(std::move(results)));
  Firing firing;
  firing.automation_id = "a1";
  firing.skipped.emplace_back();
  gateway.fire(std::move(firing));
  gateway.get(store.take_event("acme", "github", "d1", {}, 0));
  WebhookRow webhook;
  webhook.id = "w1";
  webhook.org_id = "acme";
  webhook.source = "own";
  gateway.get(store.add_webhook(std::move(webhook)));
  KvJudge const write = [](KvDocument const&) { return KvDecision{KvDecision::What::write, "{}"}; };
  gateway.get(store.change_kv("a1", write));
  gateway.get(store.put_metadata("consent", Secret("{}")));
}

// Something in every table, in some more than goes in a batch.
void fill(SharedDatabase& database) {
  AutomationGateway gateway(database.url());
  auto& store = gateway.store();
  auto row = row_of("c1");
  row.configuration_json = Secret(std::string("\0\xff{}", 4));
  row.reason = "it's \\ quoted \n";
  gateway.claim(std::move(row));
  auto const gone = gateway.claim(row_of("gone")).row;
  gateway.get(store.forget(gone.id, "a", gone.epoch));
  std::vector<StaticRow> statics(450);
  for (std::size_t i = 0; i < statics.size(); ++i) {
    statics[i].id = "s" + std::to_string(i);
    statics[i].url = "http://127.0.0.1:9001";
    if (i % 2 == 0) statics[i].session_key.emplace("key");
  }
  gateway.get(store.put_statics(std::move(statics), {}));
  gateway.get(store.put_statics({}, {"s2"}));
  UserRow alice;
  alice.name = "alice";
  gateway.get(store.put_user(std::move(alice)));
  gateway.get(store.put_user_settings("alice", Secret("{}")));
  gateway.get(store.put_user_secret("alice", {"token", "", Secret("v")}));
  database.execute(
      "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) INSERT INTO user_secret SELECT 'bob', "
      "'t' || i, '', value FROM n, user_secret");
  ApiKeyRow key;
  key.id = "00000001";
  key.name = "ci";
  key.owner = "alice";
  key.hash = "h";
  gateway.get(store.add_api_key(std::move(key)));
  gateway.get(store.renew("dead", 0ms));
  fill_automations(gateway);
}

std::map<std::string, std::uint64_t> counts_of(std::vector<CopiedTable> const& tables) {
  std::map<std::string, std::uint64_t> counts;
  for (auto const& table : tables) counts.emplace(table.name, table.rows);
  return counts;
}

std::string reason_of(Outcome<std::vector<CopiedTable>> const& outcome) { return outcome ? "" : outcome.error().reason; }

class CopiedStore : public testing::TestWithParam<std::tuple<Kind<SharedDatabase>, Kind<SharedDatabase>>> {
 protected:
  std::unique_ptr<SharedDatabase> from_ = std::get<0>(GetParam()).make();
  std::unique_ptr<SharedDatabase> to_ = std::get<1>(GetParam()).make();
};

INSTANTIATE_TEST_SUITE_P(Between, CopiedStore,
                         testing::Combine(testing::ValuesIn(shared_databases()), testing::ValuesIn(shared_databases())),
                         [](auto const& test) {
                           return std::string(std::get<0>(test.param).name) + "_and_" +
                                  std::string(std::get<1>(test.param).name);
                         });

TEST_P(CopiedStore, IsWhatItWas) {
  fill(*from_);
  auto const copied = copy_store(from_->url(), to_->url());
  ASSERT_TRUE(copied) << reason_of(copied);
  auto const counts = counts_of(*copied);
  EXPECT_EQ(counts.size(), schema_tables().size());
  for (auto const& [table, rows] : counts) EXPECT_GT(rows, 0u) << table;
  EXPECT_EQ(counts.at("static_runtime"), 449u);
  EXPECT_EQ(counts.at("user_secret"), 251u);
  for (auto const& table : schema_tables()) {
    auto const all = "SELECT CAST(count(*) AS TEXT) FROM \"" + std::string(table.name) + "\"";
    EXPECT_EQ(to_->rows(all), from_->rows(all)) << table.name;
  }
  Gateway before(from_->url()), after(to_->url());
  auto const was = before.get(before.store().changes_since(0));
  auto const is = after.get(after.store().changes_since(0));
  EXPECT_EQ(is.version, was.version);
  auto const found = after.get(after.store().find(id_of("c1")));
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->configuration_json.equals(std::string("\0\xff{}", 4)));
  EXPECT_EQ(found->reason, "it's \\ quoted \n");
  EXPECT_EQ(after.get(after.store().statics_since(0)).rows.size(), 449u);
  EXPECT_EQ(after.get(after.store().api_keys()).at(0).owner, "alice");
  EXPECT_GT(after.claim(row_of("new")).row.epoch, Epoch(2));
}

TEST_P(CopiedStore, GoesIntoAnEmptyOneOnly) {
  {
    Gateway const made(from_->url());
  }
  {
    Gateway(to_->url()).claim(row_of("c1"));
  }
  EXPECT_THAT(reason_of(copy_store(from_->url(), to_->url())), HasSubstr("the target: store: is not empty"));
  EXPECT_EQ(to_->rows("SELECT id FROM conversation").size(), 1u);
}

TEST_P(CopiedStore, IsNotCopiedWhileAGatewayLivesOnIt) {
  {
    Gateway gateway(from_->url());
    gateway.get(gateway.store().renew("a-gateway", 1h));
  }
  auto const copied = copy_store(from_->url(), to_->url());
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(copied.error().reason, "the source: store: the gateway a-gateway runs on it; stop it first");
  from_->execute("UPDATE gateway SET alive_until = 0");
  EXPECT_TRUE(copy_store(from_->url(), to_->url()));
}

TEST_P(CopiedStore, IsCopiedWhollyOrNotAtAll) {
  fill(*from_);
  {
    Gateway const made(to_->url());
  }
  to_->execute("DELETE FROM probe; DROP TABLE api_key; CREATE TABLE api_key (id TEXT)");
  EXPECT_THAT(reason_of(copy_store(from_->url(), to_->url())), HasSubstr("copying api_key: store: "));
  EXPECT_TRUE(to_->rows("SELECT id FROM conversation").empty());
}

TEST(Copy, NeedsASourceThatIsThereAndKeepsSomething) {
  test::TempFolder const folder;
  auto const none = "sqlite:" + (folder.path() / "none.db").string();
  auto const target = "sqlite:" + (folder.path() / "to.db").string();
  EXPECT_EQ(reason_of(copy_store(none, target)), "the source: store: there is no such file");
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "none.db"));
  EXPECT_THAT(reason_of(copy_store("sqlite::memory:", target)), HasSubstr("keeps nothing"));
  EXPECT_THAT(reason_of(copy_store("mysql://h/d", target)), HasSubstr("the source: store: the url is none of"));
  EXPECT_THAT(reason_of(copy_store(none, "nonsense")), HasSubstr("the target: store: the url is none of"));
}

TEST(Schema, ListsEveryTableThatItsStepsMake) {
  SqliteFile file;
  {
    Gateway const made(file.url());
  }
  std::vector<std::string> listed;
  for (auto const& table : schema_tables()) listed.emplace_back(table.name);
  EXPECT_THAT(file.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"),
              UnorderedElementsAreArray(listed));
}

TEST(Schema, KnowsTheKeyOfEveryTable) {
  SqliteFile file;
  {
    Gateway const made(file.url());
  }
  for (auto const& table : schema_tables()) {
    std::string key;
    for (auto const& column :
         file.rows("SELECT name FROM pragma_table_info('" + std::string(table.name) + "') WHERE pk > 0 ORDER BY pk"))
      key.append(key.empty() ? "" : ", ").append(column == "user" ? "\"user\"" : column);
    EXPECT_EQ(table.key, key) << table.name;
  }
}

TEST(Backup, IsAFileOfOneMomentWhileAGatewayGoesOn) {
  SqliteFile file;
  auto const target = file.folder().path() / "backup.db";
  Gateway gateway(file.url());
  gateway.claim(row_of("c1"));
  ASSERT_TRUE(back_up_store(file.url(), target));
  gateway.claim(row_of("c2"));
  struct stat status{};
  ASSERT_EQ(::stat(target.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  Gateway restored("sqlite:" + target.string());
  EXPECT_EQ(restored.get(restored.store().conversations()).size(), 1u);
}

TEST(Backup, OverwritesNothing) {
  SqliteFile file;
  {
    Gateway const made(file.url());
  }
  auto const target = file.folder().write("there", "somebody's");
  auto const backed_up = back_up_store(file.url(), target);
  ASSERT_FALSE(backed_up);
  EXPECT_EQ(backed_up.error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(test::read_file(target), "somebody's");
}

TEST(Backup, IsOfSqliteFilesOnly) {
  test::TempFolder const folder;
  auto const target = folder.path() / "backup.db";
  EXPECT_THAT(back_up_store("postgresql:///db", target).error().reason, HasSubstr("pg_dump"));
  EXPECT_THAT(back_up_store("sqlite::memory:", target).error().reason, HasSubstr("keeps nothing"));
  EXPECT_FALSE(back_up_store("sqlite:" + (folder.path() / "none.db").string(), target));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(StoreUrl, ShowsWhetherItHoldsAPassword) {
  EXPECT_TRUE(has_password("postgresql://user:word@host/db"));
  EXPECT_TRUE(has_password("postgresql://user@host/db?password=word"));
  EXPECT_FALSE(has_password("postgresql://user@host/db"));
  EXPECT_FALSE(has_password("sqlite:user:word@host"));
}

}  // namespace
}  // namespace nestgate::store
