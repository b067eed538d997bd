#include "store_fixture.hpp"

namespace nestgate::store {
namespace {

using identity::Role;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr Time some_time{1'700'000'000'123'456'789ns};

UserRow user_of(std::string name, std::string organisation = "acme") {
  UserRow user;
  user.name = std::move(name);
  user.organisation = std::move(organisation);
  user.created_at = some_time;
  return user;
}

ApiKeyRow key_of(std::string id, std::string name, std::string owner = "", Role role = Role::admin) {
  ApiKeyRow key;
  key.hash = identity::hash_api_key("the key " + id);
  key.id = std::move(id);
  key.name = std::move(name);
  key.owner = std::move(owner);
  key.role = role;
  key.created_at = some_time;
  return key;
}

UserSecretRow secret_of(std::string name, std::string value) {
  UserSecretRow secret;
  secret.name = std::move(name);
  secret.description = "described";
  secret.value = Secret(std::move(value));
  return secret;
}

class Identities : public StoreCalls {
 protected:
  std::vector<UserRow> users() { return gateway_.get(store_.users()); }
  std::vector<ApiKeyRow> keys() { return gateway_.get(store_.api_keys()); }
  std::uint64_t version() { return gateway_.get(store_.identity_version()); }
  ApiKeyRow key(std::string_view id) {
    for (auto& row : keys())
      if (row.id == id) return std::move(row);
    throw std::runtime_error("no such key");
  }
};

TEST_P(Identities, AreUsersByName) {
  EXPECT_THAT(users(), IsEmpty());
  gateway_.get(store_.put_user(user_of("bob", "")));
  gateway_.get(store_.put_user(user_of("alice")));
  auto const all = users();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name + " " + all[0].organisation, "alice acme");
  EXPECT_EQ(all[0].created_at, some_time);
  EXPECT_FALSE(all[0].disabled);
  EXPECT_EQ(all[1].name + " " + all[1].organisation, "bob ");
}

TEST_P(Identities, ChangeButForTheirBeginning) {
  gateway_.get(store_.put_user(user_of("alice")));
  auto changed = user_of("alice", "other");
  changed.created_at = some_time + 1h;
  changed.disabled = true;
  gateway_.get(store_.put_user(changed));
  auto const all = users();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].organisation, "other");
  EXPECT_TRUE(all[0].disabled);
  EXPECT_EQ(all[0].created_at, some_time);
}

TEST_P(Identities, ThatAreDisabledLoseTheirKeys) {
  for (auto const name : {"alice", "bob"}) gateway_.get(store_.put_user(user_of(name)));
  gateway_.get(store_.add_api_key(key_of("1", "one", "alice", Role::user)));
  gateway_.get(store_.add_api_key(key_of("2", "two", "bob", Role::user)));
  auto alice = user_of("alice");
  alice.disabled = true;
  gateway_.get(store_.put_user(alice));
  EXPECT_TRUE(key("1").revoked_at);
  EXPECT_FALSE(key("2").revoked_at);
  EXPECT_EQ(gateway_.fault(store_.add_api_key(key_of("3", "three", "alice", Role::user))), FaultKind::conflict);
  gateway_.get(store_.put_user(user_of("alice")));
  EXPECT_TRUE(key("1").revoked_at) << "it does not come back with its owner";
}

TEST_P(Identities, HaveSettings) {
  EXPECT_TRUE(gateway_.get(store_.user_settings("alice")).empty());
  gateway_.get(store_.put_user_settings("alice", Secret(R"({"llm":"x"})")));
  gateway_.get(store_.put_user_settings("bob", Secret("{}")));
  EXPECT_TRUE(gateway_.get(store_.user_settings("alice")).equals(R"({"llm":"x"})"));
  gateway_.get(store_.put_user_settings("alice", Secret("{}")));
  EXPECT_TRUE(gateway_.get(store_.user_settings("alice")).equals("{}"));
  gateway_.get(store_.put_user_settings("alice", Secret()));
  EXPECT_TRUE(gateway_.get(store_.user_settings("alice")).empty());
}

TEST_P(Identities, HaveSecrets) {
  EXPECT_THAT(gateway_.get(store_.user_secrets("alice")), IsEmpty());
  gateway_.get(store_.put_user_secret("alice", secret_of("B", "value of b")));
  gateway_.get(store_.put_user_secret("alice", secret_of("A", "")));
  gateway_.get(store_.put_user_secret("bob", secret_of("A", "bob's")));
  gateway_.get(store_.put_user_secret("alice", secret_of("B", "newer")));
  auto const secrets = gateway_.get(store_.user_secrets("alice"));
  ASSERT_EQ(secrets.size(), 2u);
  EXPECT_EQ(secrets[0].name, "A");
  EXPECT_TRUE(secrets[0].value.empty());
  EXPECT_EQ(secrets[1].name + " " + secrets[1].description, "B described");
  EXPECT_TRUE(secrets[1].value.equals("newer"));
  gateway_.get(store_.remove_user_secret("alice", "B"));
  gateway_.get(store_.remove_user_secret("alice", "never was"));
  EXPECT_EQ(gateway_.get(store_.user_secrets("alice")).size(), 1u);
  EXPECT_EQ(gateway_.get(store_.user_secrets("bob")).size(), 1u);
}

TEST_P(Identities, HaveKeys) {
  gateway_.get(store_.put_user(user_of("alice")));
  gateway_.get(store_.add_api_key(key_of("0badcafe", "ci", "alice", Role::automation)));
  auto const added = key("0badcafe");
  EXPECT_EQ(added.name + " " + added.owner, "ci alice");
  EXPECT_EQ(added.role, Role::automation);
  EXPECT_EQ(added.hash, identity::hash_api_key("the key 0badcafe"));
  EXPECT_EQ(added.created_at, some_time);
  EXPECT_FALSE(added.revoked_at);
}

TEST_P(Identities, OwnKeysOnlyWhenTheyAreKnown) {
  EXPECT_EQ(gateway_.fault(store_.add_api_key(key_of("1", "one", "alice", Role::user))), FaultKind::not_found);
  gateway_.get(store_.add_api_key(key_of("2", "two")));  // an admin's needs no owner
}

TEST_P(Identities, HaveOneKeyOfAName) {
  gateway_.get(store_.add_api_key(key_of("1", "ci")));
  EXPECT_EQ(gateway_.fault(store_.add_api_key(key_of("2", "ci"))), FaultKind::conflict);
  EXPECT_EQ(gateway_.fault(store_.add_api_key(key_of("1", "other"))), FaultKind::conflict);
  auto same_key = key_of("3", "third");
  same_key.hash = key("1").hash;
  EXPECT_EQ(gateway_.fault(store_.add_api_key(same_key)), FaultKind::conflict);
  gateway_.get(store_.revoke_api_key("ci"));
  gateway_.get(store_.add_api_key(key_of("2", "ci")));
}

TEST_P(Identities, LoseKeysByIdOrName) {
  for (auto const& [id, name] : std::vector<std::pair<std::string, std::string>>{{"1", "one"}, {"2", "two"}, {"3", "1"}})
    gateway_.get(store_.add_api_key(key_of(id, name)));
  gateway_.get(store_.revoke_api_key("two"));
  EXPECT_TRUE(key("2").revoked_at);
  gateway_.get(store_.revoke_api_key("1"));
  EXPECT_TRUE(key("1").revoked_at);
  EXPECT_FALSE(key("3").revoked_at) << "an id goes before a name";
  auto const first = key("1").revoked_at;
  gateway_.get(store_.revoke_api_key("1"));
  EXPECT_EQ(key("1").revoked_at, first);
  EXPECT_EQ(gateway_.fault(store_.revoke_api_key("four")), FaultKind::not_found);
}

TEST_P(Identities, LoseTheKeyOfANameThatIsInUse) {
  gateway_.get(store_.add_api_key(key_of("1", "ci")));
  gateway_.get(store_.revoke_api_key("ci"));
  gateway_.get(store_.add_api_key(key_of("2", "ci")));
  gateway_.get(store_.revoke_api_key("ci"));
  EXPECT_TRUE(key("2").revoked_at);
}

TEST_P(Identities, CountTheirChanges) {
  auto seen = version();
  auto const expect_counted = [&](std::string_view what) {
    auto const now = version();
    EXPECT_GT(now, seen) << what;
    seen = now;
  };
  gateway_.get(store_.put_user(user_of("alice")));
  expect_counted("a user");
  gateway_.get(store_.add_api_key(key_of("1", "ci", "alice", Role::user)));
  expect_counted("a key");
  gateway_.get(store_.revoke_api_key("ci"));
  expect_counted("a key less");
  gateway_.fault(store_.revoke_api_key("none"));
  gateway_.get(store_.put_user_settings("alice", Secret("{}")));
  gateway_.get(store_.put_user_secret("alice", secret_of("A", "a")));
  EXPECT_EQ(version(), seen);
}

class Statics : public StoreCalls {
 protected:
  static StaticRow row_of(std::string id, std::string url, std::optional<std::string> key = {}) {
    StaticRow row;
    row.id = std::move(id);
    row.url = std::move(url);
    row.ports_json = R"([{"name":"vscode","port":1}])";
    if (key) row.session_key.emplace(std::move(*key));
    return row;
  }
  void put(std::vector<StaticRow> rows, std::vector<std::string> removed = {}) {
    gateway_.get(store_.put_statics(std::move(rows), std::move(removed)));
  }
};

TEST_P(Statics, AreAsTheyWerePut) {
  std::vector<StaticRow> rows;
  rows.push_back(row_of("b", "http://b", "the key"));
  rows.push_back(row_of("a", "http://a"));
  rows.push_back(row_of("c", "http://c", ""));
  put(std::move(rows));
  auto const all = gateway_.get(store_.statics_since(0)).rows;
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].id + " " + all[0].url, "a http://a");
  EXPECT_EQ(all[0].ports_json, R"([{"name":"vscode","port":1}])");
  EXPECT_FALSE(all[0].session_key);
  EXPECT_TRUE(all[1].session_key->equals("the key"));
  EXPECT_TRUE(all[2].session_key->empty());
}

TEST_P(Statics, AreReplacedAndRemoved) {
  std::vector<StaticRow> rows;
  for (auto const id : {"a", "b", "c"}) rows.push_back(row_of(id, "http://old"));
  put(std::move(rows));
  std::vector<StaticRow> changed;
  changed.push_back(row_of("b", "http://new"));
  changed.push_back(row_of("d", "http://new"));
  put(std::move(changed), {"a", "d", "never was"});
  std::vector<std::string> lines;
  for (auto const& row : gateway_.get(store_.statics_since(0)).rows) lines.push_back(row.id + " " + row.url);
  EXPECT_THAT(lines, ElementsAre("b http://new", "c http://old", "d http://new")) << "removed first, then put";
}

TEST_P(Statics, TellWhatChangedSinceAVersion) {
  std::vector<StaticRow> rows;
  for (auto const id : {"a", "b", "c"}) rows.push_back(row_of(id, "http://old"));
  put(std::move(rows));
  auto const before = gateway_.get(store_.statics_since(0));
  EXPECT_TRUE(before.is_all);
  std::vector<StaticRow> changed;
  changed.push_back(row_of("b", "http://new"));
  put(std::move(changed), {"a", "never was"});
  auto const since = gateway_.get(store_.statics_since(before.version));
  EXPECT_EQ(since.version, before.version + 1);
  EXPECT_FALSE(since.is_all);
  ASSERT_EQ(since.rows.size(), 1u);
  EXPECT_EQ(since.rows[0].id, "b");
  EXPECT_THAT(since.removed, ElementsAre("a"));
  auto const nothing = gateway_.get(store_.statics_since(since.version));
  EXPECT_TRUE(nothing.rows.empty() && nothing.removed.empty());
  std::vector<StaticRow> back;
  back.push_back(row_of("a", "http://again"));
  put(std::move(back));
  EXPECT_THAT(gateway_.get(store_.statics_since(before.version)).removed, testing::IsEmpty()) << "it is back";
}

TEST_P(Statics, AreToldInFullOnceTooMuchIsGone) {
  std::vector<StaticRow> rows;
  std::vector<std::string> removed;
  for (int i = 0; i < 10'001; ++i) {
    auto const id = "r" + std::to_string(i);
    rows.push_back(row_of(id, "http://a"));
    removed.push_back(id);
  }
  rows.push_back(row_of("stays", "http://a"));
  put(std::move(rows));
  auto const before = gateway_.get(store_.statics_since(0)).version;
  put({}, std::move(removed));
  auto const since = gateway_.get(store_.statics_since(before));
  EXPECT_TRUE(since.is_all);
  ASSERT_EQ(since.rows.size(), 1u);
  EXPECT_EQ(since.rows[0].id, "stays");
}

INSTANTIATE_TEST_SUITE_P(On, Identities, testing::ValuesIn(every_database()), by_name);
INSTANTIATE_TEST_SUITE_P(On, Statics, testing::ValuesIn(every_database()), by_name);

}  // namespace
}  // namespace nestgate::store
