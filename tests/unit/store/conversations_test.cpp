#include "store_fixture.hpp"

namespace nestgate::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using What = Claim::What;

ConversationRow full_row() {
  auto row = row_of("9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062");
  row.organisation = "acme";
  row.purpose = "sandbox";
  row.reason = "a reason";
  row.closed = "to make room";
  row.key_generation = 7;
  row.provider = "docker";
  row.handle = "openhands-runtime-1";
  row.endpoint = "127.0.0.1:4711";
  row.ports_json = R"([{"name":"vscode"}])";
  row.spec_id = "spec";
  row.dialect = "agent_server";
  row.session_key = Secret("key");
  row.wish_json = Secret(R"({"image":"x"})");
  row.configuration_json = Secret(R"({"token":"t"})");
  row.about_json = Secret(R"({"title":"T"})");
  row.created_at = Time(1'700'000'000'123'456'789ns);
  row.last_act_at = Time(1'700'000'001'000'000'001ns);
  return row;
}

void expect_same(ConversationRow const& a, ConversationRow const& b) {
  EXPECT_EQ(a.id.text(), b.id.text());
  auto const texts = [](ConversationRow const& r) {
    return std::vector<std::string>{r.owner,    r.organisation, r.purpose, r.reason,  r.closed, r.provider, r.handle,
                                    r.endpoint, r.ports_json,   r.spec_id, r.dialect, r.asked,  r.holder};
  };
  EXPECT_EQ(texts(a), texts(b));
  EXPECT_EQ(a.phase, b.phase);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.key_generation, b.key_generation);
  EXPECT_TRUE(a.session_key == b.session_key);
  EXPECT_TRUE(a.wish_json == b.wish_json);
  EXPECT_TRUE(a.configuration_json == b.configuration_json);
  EXPECT_TRUE(a.about_json == b.about_json);
  EXPECT_EQ(a.created_at, b.created_at);
  EXPECT_EQ(a.changed_at, b.changed_at);
  EXPECT_EQ(a.last_act_at, b.last_act_at);
}

std::vector<std::string> ids_of(std::vector<ConversationRow> const& rows) {
  std::vector<std::string> ids;
  for (auto const& row : rows) ids.push_back(row.id.text());
  return ids;
}

class Conversations : public StoreCalls {
 protected:
  Conversations() { live("a"); }
  void live(std::string gateway) { gateway_.get(store_.renew(std::move(gateway), 1h)); }
  void die(std::string gateway) { gateway_.get(store_.renew(std::move(gateway), 0ms)); }
  Store::Changes changes(std::uint64_t since) { return gateway_.get(store_.changes_since(since)); }
};

TEST(Phases, HaveNamesThatReadBack) {
  for (auto const phase :
       {Phase::starting, Phase::running, Phase::paused, Phase::stopping, Phase::stopped, Phase::error, Phase::removing})
    EXPECT_EQ(parse_phase(to_string(phase)), phase);
  EXPECT_EQ(parse_phase("dead"), std::nullopt);
}

TEST_P(Conversations, AreAsTheyWereSaved) {
  auto row = gateway_.claim(full_row()).row;
  row.phase = Phase::running;
  row.changed_at = Time(1'700'000'002s);
  gateway_.get(store_.save(Gateway::copy_of(row)));
  auto const found = gateway_.get(store_.find(row.id));
  ASSERT_TRUE(found);
  expect_same(*found, row);
  auto const all = gateway_.get(store_.conversations());
  ASSERT_EQ(all.size(), 1u);
  expect_same(all.front(), row);
}

TEST_P(Conversations, AreFoundByEveryFormOfTheirUuid) {
  gateway_.claim(full_row());
  EXPECT_TRUE(gateway_.get(store_.find(id_of("9eba03e68cc24c3daa8a225f0e79e062"))));
  EXPECT_FALSE(gateway_.get(store_.find(id_of("c1"))));
}

TEST_P(Conversations, AreTakenWithAnEpochThatGrows) {
  auto const first = gateway_.claim(row_of("c1"));
  auto const second = gateway_.claim(row_of("c2"));
  EXPECT_EQ(first.what, What::taken);
  EXPECT_EQ(first.row.phase, Phase::starting);
  EXPECT_EQ(first.row.holder, "a");
  EXPECT_NE(first.row.created_at, Time{});
  EXPECT_EQ(first.row.changed_at, first.row.created_at);
  EXPECT_GT(first.row.epoch, Epoch(0));
  EXPECT_GT(second.row.epoch, first.row.epoch);
  gateway_.get(store_.forget(id_of("c2"), "a", second.row.epoch));
  EXPECT_GT(gateway_.claim(row_of("c2")).row.epoch, second.row.epoch) << "also of an id that was forgotten";
}

TEST_P(Conversations, KeepWhatAClaimDoesNotSay) {
  auto const before = gateway_.bring_up(full_row(), Phase::stopped);
  auto const after = gateway_.claim(row_of(before.id.text())).row;
  EXPECT_EQ(after.created_at, before.created_at);
  EXPECT_EQ(after.key_generation, before.key_generation);
  EXPECT_TRUE(after.configuration_json == before.configuration_json);
  EXPECT_TRUE(after.wish_json == before.wish_json);
  EXPECT_EQ(after.provider, before.provider);
  EXPECT_EQ(after.handle, before.handle);
  EXPECT_EQ(after.organisation, "") << "this a claim says";
  EXPECT_TRUE(after.session_key.empty());
  expect_same(*gateway_.get(store_.find(before.id)), after);
}

TEST_P(Conversations, TakeWhatAClaimDoesSay) {
  gateway_.bring_up(full_row(), Phase::stopped);
  auto wanted = row_of("9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062");
  wanted.configuration_json = Secret("{}");
  wanted.wish_json = Secret("[]");
  wanted.provider = "process";
  wanted.handle = "other";
  auto const after = gateway_.claim(std::move(wanted)).row;
  EXPECT_TRUE(after.configuration_json.equals("{}"));
  EXPECT_TRUE(after.wish_json.equals("[]"));
  EXPECT_EQ(after.provider + after.handle, "processother");
}

TEST_P(Conversations, OfSomeoneElseAreAConflict) {
  gateway_.bring_up(row_of("c1"), Phase::stopped);
  EXPECT_EQ(gateway_.fault(store_.claim(row_of("c1", "bob"), "a", {})), FaultKind::conflict);
  EXPECT_EQ(gateway_.get(store_.find(id_of("c1")))->phase, Phase::stopped);
}

TEST_P(Conversations, ThatAnotherLivingGatewayHoldsAreElsewhere) {
  for (auto const phase : {Phase::starting, Phase::running, Phase::paused, Phase::stopping, Phase::removing}) {
    auto const id = std::string("c-") + std::string(to_string(phase));
    auto const row = gateway_.bring_up(row_of(id), phase);
    auto const claim = gateway_.claim(row_of(id), "b");
    EXPECT_EQ(claim.what, What::elsewhere) << id;
    EXPECT_EQ(claim.row.holder, "a");
    EXPECT_EQ(claim.row.epoch, row.epoch);
    EXPECT_FALSE(gateway_.get(store_.take(id_of(id), "b"))) << id;
  }
}

TEST_P(Conversations, ThatAreOverAreAnybodys) {
  for (auto const phase : {Phase::stopped, Phase::error}) {
    auto const id = std::string("c-") + std::string(to_string(phase));
    gateway_.bring_up(row_of(id), phase);
    EXPECT_TRUE(gateway_.get(store_.take(id_of(id), "b")));
    EXPECT_EQ(gateway_.claim(row_of(id), "c").what, What::taken);
  }
}

TEST_P(Conversations, OfADeadGatewayAreTaken) {
  gateway_.bring_up(row_of("c1"));
  gateway_.bring_up(row_of("c2"));
  die("a");
  EXPECT_EQ(gateway_.claim(row_of("c1"), "b").what, What::taken);
  auto const taken = gateway_.get(store_.take(id_of("c2"), "b"));
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->holder, "b");
  EXPECT_EQ(taken->phase, Phase::running) << "as it is";
}

TEST_P(Conversations, OfAGatewayThatNeverRenewedAreTaken) {
  gateway_.bring_up(row_of("c1"), Phase::running, "nobody");
  EXPECT_EQ(gateway_.claim(row_of("c1"), "b").what, What::taken);
}

TEST_P(Conversations, AreHeldAsLongAsTheGatewayRenews) {
  die("a");
  live("a");
  gateway_.bring_up(row_of("c1"));
  EXPECT_EQ(gateway_.claim(row_of("c1"), "b").what, What::elsewhere);
}

TEST_P(Conversations, OfAGatewayThatLeavesAreNobodys) {
  gateway_.bring_up(row_of("c1"));
  live("b");
  gateway_.bring_up(row_of("c2"), Phase::running, "b");
  auto const before = changes(0).version;
  gateway_.get(store_.leave("a"));
  EXPECT_EQ(gateway_.get(store_.find(id_of("c1")))->holder, "");
  EXPECT_EQ(gateway_.get(store_.find(id_of("c2")))->holder, "b");
  EXPECT_THAT(ids_of(changes(before).rows), ElementsAre("c1"));
  EXPECT_EQ(gateway_.claim(row_of("c1"), "b").what, What::taken);
}

TEST_P(Conversations, ThatAreUpHereAreNotTakenAgain) {
  for (auto const phase : {Phase::starting, Phase::running, Phase::stopping}) {
    auto const id = std::string("c-") + std::string(to_string(phase));
    auto const row = gateway_.bring_up(row_of(id), phase);
    auto const claim = gateway_.claim(row_of(id));
    EXPECT_EQ(claim.what, What::up) << id;
    EXPECT_EQ(claim.row.phase, phase);
    EXPECT_EQ(claim.row.epoch, row.epoch);
  }
}

TEST_P(Conversations, ThatArePausedHereAreClaimedToGoOn) {
  auto wanted = row_of("c1");
  wanted.handle = "container";
  auto const before = gateway_.bring_up(std::move(wanted), Phase::paused);
  auto const claim = gateway_.claim(row_of("c1"));
  EXPECT_EQ(claim.what, What::taken);
  EXPECT_EQ(claim.row.handle, "container");
  EXPECT_GT(claim.row.epoch, before.epoch);
}

TEST_P(Conversations, ThatAreBeingRemovedStartNoMore) {
  gateway_.bring_up(row_of("c1"), Phase::removing);
  EXPECT_EQ(gateway_.fault(store_.claim(row_of("c1"), "a", {})), FaultKind::conflict);
  die("a");
  EXPECT_EQ(gateway_.fault(store_.claim(row_of("c1"), "b", {})), FaultKind::conflict);
  EXPECT_TRUE(gateway_.get(store_.take(id_of("c1"), "b"))) << "to finish it";
}

TEST_P(Conversations, AreTakenOverOnce) {
  gateway_.bring_up(row_of("c1"), Phase::running, "dead");
  live("b");
  EXPECT_TRUE(gateway_.get(store_.take(id_of("c1"), "b")));
  EXPECT_TRUE(gateway_.get(store_.take(id_of("c1"), "b"))) << "it is b's";
  EXPECT_FALSE(gateway_.get(store_.take(id_of("c1"), "a")));
  EXPECT_FALSE(gateway_.get(store_.take(id_of("c2"), "a"))) << "there is none";
}

TEST_P(Conversations, AreSavedByTheirHolderOnly) {
  auto row = gateway_.bring_up(row_of("c1"));
  die("a");
  gateway_.get(store_.take(row.id, "b"));
  row.phase = Phase::paused;
  EXPECT_EQ(gateway_.fault(store_.save(Gateway::copy_of(row))), FaultKind::conflict);
  EXPECT_EQ(gateway_.get(store_.find(row.id))->phase, Phase::running);
  EXPECT_EQ(gateway_.fault(store_.save(row_of("c2"))), FaultKind::conflict) << "there is none";
}

TEST_P(Conversations, AreNotSavedByAnEarlierLifeOfTheirHolder) {
  auto const earlier = gateway_.bring_up(row_of("c1"), Phase::stopped);
  gateway_.claim(row_of("c1"));
  EXPECT_EQ(gateway_.fault(store_.save(Gateway::copy_of(earlier))), FaultKind::conflict);
  EXPECT_EQ(gateway_.get(store_.find(earlier.id))->phase, Phase::starting);
}

TEST_P(Conversations, RememberWhatWasAskedOfTheirHolder) {
  auto row = gateway_.bring_up(row_of("c1"));
  auto const before = changes(0).version;
  gateway_.get(store_.ask_holder(row.id, "stop"));
  auto const seen = changes(before);
  ASSERT_EQ(seen.rows.size(), 1u);
  EXPECT_EQ(seen.rows.front().asked, "stop");
  row.reason = "saved by who has not seen it yet";
  gateway_.get(store_.save(Gateway::copy_of(row)));
  EXPECT_EQ(gateway_.get(store_.find(row.id))->asked, "stop");
  gateway_.get(store_.ask_holder(row.id, ""));
  EXPECT_EQ(gateway_.get(store_.find(row.id))->asked, "");
  EXPECT_EQ(gateway_.fault(store_.ask_holder(id_of("c2"), "stop")), FaultKind::not_found);
}

TEST_P(Conversations, ForgetWhatWasAskedWhenTheyStartAnew) {
  auto const row = gateway_.bring_up(row_of("c1"), Phase::stopped);
  gateway_.get(store_.ask_holder(row.id, "stop"));
  EXPECT_EQ(gateway_.claim(row_of("c1")).row.asked, "");
  EXPECT_EQ(gateway_.get(store_.find(row.id))->asked, "");
}

TEST_P(Conversations, AreRefusedByTheFirstQuotaThatIsFull) {
  auto const with = [](std::string id, std::string owner, std::string organisation) {
    auto row = row_of(id, std::move(owner));
    row.organisation = std::move(organisation);
    row.reason = "asked for";
    return row;
  };
  gateway_.bring_up(with("c1", "alice", "acme"));
  gateway_.bring_up(with("c2", "bob", "acme"));
  Quota quota;
  quota.of_owner = 1;
  auto refused = gateway_.claim(with("c3", "alice", "acme"), "a", quota);
  EXPECT_EQ(refused.what, What::refused);
  EXPECT_EQ(refused.quota, QuotaKind::owner);
  EXPECT_EQ(refused.limit, 1u);
  EXPECT_EQ(refused.current, 1u);
  EXPECT_EQ(refused.row.reason, "asked for");
  EXPECT_FALSE(gateway_.get(store_.find(id_of("c3"))));
  quota.of_owner = 2;
  quota.of_organisation = 2;
  refused = gateway_.claim(with("c3", "alice", "acme"), "a", quota);
  EXPECT_EQ(refused.quota, QuotaKind::organisation);
  EXPECT_EQ(refused.current, 2u);
  EXPECT_EQ(gateway_.claim(with("c3", "alice", "other"), "a", quota).what, What::taken);
  quota.in_all = 3;
  refused = gateway_.claim(with("c4", "carol", "third"), "a", quota);
  EXPECT_EQ(refused.quota, QuotaKind::all);
  EXPECT_EQ(refused.current, 3u);
  EXPECT_EQ(gateway_.claim(with("c4", "carol", "third")).what, What::taken) << "without a limit";
}

TEST_P(Conversations, CountInTheirQuotaWhileInUse) {
  Quota quota;
  quota.of_owner = 1;
  for (auto const phase : {Phase::starting, Phase::running, Phase::stopping}) {
    auto const owner = std::string(to_string(phase));
    gateway_.bring_up(row_of("c-" + owner, owner), phase);
    EXPECT_EQ(gateway_.claim(row_of("d-" + owner, owner), "a", quota).what, What::refused) << owner;
  }
  for (auto const phase : {Phase::paused, Phase::stopped, Phase::error, Phase::removing}) {
    auto const owner = std::string(to_string(phase));
    gateway_.bring_up(row_of("c-" + owner, owner), phase);
    EXPECT_EQ(gateway_.claim(row_of("d-" + owner, owner), "a", quota).what, What::taken) << owner;
  }
}

TEST_P(Conversations, CountInTheirQuotaWhilePausedWhereItSaysSo) {
  gateway_.bring_up(row_of("c1"), Phase::paused);
  Quota quota;
  quota.of_owner = 1;
  quota.paused_counts = true;
  EXPECT_EQ(gateway_.claim(row_of("c2"), "a", quota).what, What::refused);
  EXPECT_EQ(gateway_.claim(row_of("c1"), "a", quota).what, What::taken) << "itself does not count";
}

TEST_P(Conversations, ThatArePausedGoOnOnlyWithinTheQuota) {
  gateway_.bring_up(row_of("c1"), Phase::paused);
  gateway_.bring_up(row_of("c2"));
  Quota quota;
  quota.of_owner = 1;
  EXPECT_EQ(gateway_.claim(row_of("c1"), "a", quota).what, What::refused);
  EXPECT_EQ(gateway_.get(store_.find(id_of("c1")))->phase, Phase::paused);
}

TEST_P(Conversations, ThatNobodyOwnsAreInNoOwnersQuota) {
  Quota quota;
  quota.of_owner = 1;
  quota.of_organisation = 1;
  for (auto const id : {"c1", "c2"}) EXPECT_EQ(gateway_.claim(row_of(id, ""), "a", quota).what, What::taken);
}

TEST_P(Conversations, ThatAreWarmAreInNobodysQuota) {
  Quota quota;
  quota.in_all = 1;
  auto const warm = [](std::string_view id) {
    auto row = row_of(id, "");
    row.purpose = "warm";
    return row;
  };
  EXPECT_EQ(gateway_.claim(warm("w1"), "a", quota).what, What::taken);
  EXPECT_EQ(gateway_.claim(row_of("c1"), "a", quota).what, What::taken);
  EXPECT_EQ(gateway_.claim(warm("w2"), "a", quota).what, What::taken);
}

TEST_P(Conversations, OfADeadGatewayCountUntilTheyAreTaken) {
  gateway_.bring_up(row_of("c1"), Phase::running, "dead");
  Quota quota;
  quota.of_owner = 1;
  EXPECT_EQ(gateway_.claim(row_of("c2"), "a", quota).what, What::refused);
  EXPECT_EQ(gateway_.claim(row_of("c1"), "a", quota).what, What::taken);
}

TEST_P(Conversations, TellWhatChangedSinceAVersion) {
  auto const nothing = changes(0);
  EXPECT_TRUE(nothing.is_all);
  EXPECT_THAT(nothing.rows, IsEmpty());
  auto row = gateway_.claim(row_of("c1")).row;
  gateway_.claim(row_of("c2"));
  auto const both = changes(0);
  EXPECT_THAT(ids_of(both.rows), ElementsAre("c1", "c2"));
  EXPECT_THAT(changes(both.version).rows, IsEmpty());
  EXPECT_EQ(changes(both.version).version, both.version);
  EXPECT_FALSE(changes(both.version).is_all);
  gateway_.get(store_.save(Gateway::copy_of(row)));
  auto const saved = changes(both.version);
  EXPECT_THAT(ids_of(saved.rows), ElementsAre("c1"));
  EXPECT_GT(saved.version, both.version);
  die("a");
  gateway_.get(store_.take(row.id, "b"));
  EXPECT_THAT(ids_of(changes(saved.version).rows), ElementsAre("c1"));
}

TEST_P(Conversations, AreForgottenByWhoHasThatLifeOfThemOnly) {
  auto const mine = gateway_.claim(row_of("c1")).row;
  auto const forgotten_by = [&](std::string gateway, Epoch epoch) {
    return gateway_.ask(store_.forget(id_of("c1"), std::move(gateway), epoch));
  };
  EXPECT_EQ(forgotten_by("b", mine.epoch).error().fault.kind, FaultKind::conflict) << "another gateway holds it";
  EXPECT_EQ(forgotten_by("a", Epoch(mine.epoch.get() - 1)).error().fault.kind, FaultKind::conflict) << "an earlier life";
  EXPECT_TRUE(gateway_.get(store_.find(id_of("c1"))));
  auto stopped = gateway_.bring_up(row_of("c2"), Phase::stopped);
  EXPECT_TRUE(gateway_.ask(store_.forget(id_of("c2"), "b", stopped.epoch))) << "what is stopped is nobody's";
  EXPECT_TRUE(forgotten_by("a", mine.epoch));
  EXPECT_FALSE(gateway_.get(store_.find(id_of("c1"))));
}

TEST_P(Conversations, TellWhatWasForgottenSinceAVersion) {
  auto const epoch = gateway_.claim(row_of("9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062")).row.epoch;
  gateway_.claim(row_of("c2"));
  auto const before = changes(0).version;
  gateway_.get(store_.forget(id_of("9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062"), "a", epoch));
  gateway_.get(store_.forget(id_of("c3"), "a", epoch));  // never was
  auto const after = changes(before);
  EXPECT_THAT(after.rows, IsEmpty());
  EXPECT_THAT(after.forgotten, ElementsAre("9eba03e68cc24c3daa8a225f0e79e062"));
  EXPECT_THAT(changes(0).forgotten, IsEmpty());
  gateway_.claim(row_of("9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062"));
  EXPECT_THAT(changes(before).forgotten, IsEmpty()) << "it is back";
  EXPECT_EQ(changes(before).rows.size(), 1u);
}

TEST_P(Conversations, AreToldInFullToWhoAsksForAVersionThatIsYetToCome) {
  gateway_.claim(row_of("c1"));
  auto const told = changes(1'000);
  EXPECT_TRUE(told.is_all);
  EXPECT_EQ(told.rows.size(), 1u);
}

TEST_P(Conversations, AreAFaultAfterTheEnd) {
  test::Control control;
  auto store = open_store(database_->url(), installation_secrets(), control.executor()).value();
  control.run(store->close());
  auto const outcome = control.run(store->find(id_of("c1")));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().fault.kind, FaultKind::unavailable);
  control.run(store->close());
}

INSTANTIATE_TEST_SUITE_P(On, Conversations, testing::ValuesIn(every_database()), by_name);

}  // namespace
}  // namespace nestgate::store
