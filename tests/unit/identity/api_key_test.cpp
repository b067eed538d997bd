#include "nestgate/identity/api_key.hpp"

#include <gtest/gtest.h>

namespace nestgate::identity {
namespace {

ApiKeyEntry entry(std::string name, std::string_view key, Role role = Role::user) {
  return {{std::move(name), role, "alice"}, hash_api_key(key)};
}

// Computed with python3: sha256(b"nestgate api key v1\0" + key).
TEST(ApiKeyHash, FollowsItsDefinition) {
  EXPECT_EQ(hash_api_key("an api key of some length"),
            "sha256:600d4ca0adedc56f04f6c2eefd3fd38faa99133df57436b1693acb7ca582e50d");
}

TEST(ApiKeyHash, IsRecognisedInItsOneFormOnly) {
  auto const hash = hash_api_key("key");
  EXPECT_TRUE(is_api_key_hash(hash));
  EXPECT_FALSE(is_api_key_hash(hash.substr(7)));
  EXPECT_FALSE(is_api_key_hash(hash + "0"));
  EXPECT_FALSE(is_api_key_hash("sha256:" + std::string(64, 'A')));
  EXPECT_FALSE(is_api_key_hash("sha512:" + std::string(64, 'a')));
  EXPECT_FALSE(is_api_key_hash(""));
}

TEST(ApiKeys, FindsTheHolderOfAKeyAndNobodyElse) {
  ApiKeys const keys({entry("first", "key one"), entry("second", "key two"), entry("third", "key three")});
  for (auto const& [key, name] : {std::pair{"key one", "first"}, {"key two", "second"}, {"key three", "third"}}) {
    auto const* const principal = keys.find(key);
    ASSERT_NE(principal, nullptr) << key;
    EXPECT_EQ(principal->name, name);
  }
  EXPECT_EQ(keys.find("key four"), nullptr);
  EXPECT_EQ(keys.find(""), nullptr);
}

TEST(ApiKeys, DoesNotTakeTheHashForTheKey) {
  ApiKeys const keys({entry("only", "key one")});
  EXPECT_EQ(keys.find(hash_api_key("key one")), nullptr);
}

TEST(ApiKeys, FindsEachOfMany) {
  std::vector<ApiKeyEntry> entries;
  for (int i = 0; i < 1000; ++i) entries.push_back(entry(std::to_string(i), "key " + std::to_string(i)));
  ApiKeys const keys(std::move(entries));
  for (int i = 0; i < 1000; ++i) {
    auto const* const principal = keys.find("key " + std::to_string(i));
    ASSERT_NE(principal, nullptr) << i;
    EXPECT_EQ(principal->name, std::to_string(i));
  }
  EXPECT_EQ(keys.find("key 1000"), nullptr);
}

TEST(ApiKeys, NeverFindsWhoseHashIsNoHash) {
  ApiKeys const keys({{{"broken", Role::admin, ""}, "sha256:"}, {{"empty", Role::admin, ""}, ""}, entry("good", "key one")});
  EXPECT_EQ(keys.find(""), nullptr);
  EXPECT_EQ(keys.find("key one")->name, "good");
}

TEST(ApiKeys, FindsNobodyWhenThereAreNone) { EXPECT_EQ(ApiKeys({}).find("key"), nullptr); }

TEST(ApiKeys, FindAgainTheHolderInALaterSetByKeyAndName) {
  auto const set_of = [](std::vector<std::pair<std::string, std::string>> const& names_and_keys) {
    std::vector<ApiKeyEntry> entries;
    for (auto const& [name, key] : names_and_keys) entries.push_back({{name, Role::user, name}, hash_api_key(key)});
    return ApiKeys(std::move(entries));
  };
  auto const before = set_of({{"a", "key-a"}, {"b", "key-b"}, {"c", "key-c"}, {"d", "key-d"}});
  auto const after = set_of({{"d", "key-d"}, {"b", "another-key"}, {"someone-else", "key-c"}});
  auto const again = [&](std::string_view key) { return after.find_again(before, *before.find(key)); };
  EXPECT_EQ(again("key-a"), nullptr) << "its key is gone";
  EXPECT_EQ(again("key-b"), nullptr) << "it has another key";
  EXPECT_EQ(again("key-c"), nullptr) << "its key names another";
  ASSERT_NE(again("key-d"), nullptr);
  EXPECT_EQ(again("key-d"), after.find("key-d"));
}

TEST(Principal, MayUseWhatItsOwnerOwnsAndAnAdminEverything) {
  Principal const admin{"ops", Role::admin, ""};
  Principal const user{"u", Role::user, "alice"};
  EXPECT_TRUE(admin.may_use("bob"));
  EXPECT_TRUE(admin.may_use(""));
  EXPECT_TRUE(user.may_use("alice"));
  EXPECT_FALSE(user.may_use("bob"));
  EXPECT_FALSE(user.may_use(""));
}

TEST(Principal, WithoutOwnerMayNotUseWhatHasNone) {
  Principal const user{"u", Role::user, ""};
  EXPECT_FALSE(user.may_use(""));
}

TEST(Role, IsReadBackFromItsName) {
  for (auto const role : {Role::admin, Role::user, Role::automation}) EXPECT_EQ(parse_role(to_string(role)), role);
  EXPECT_FALSE(parse_role("Admin"));
  EXPECT_FALSE(parse_role(""));
}

TEST(BearerToken, IsTakenFromAnyCaseOfTheScheme) {
  EXPECT_EQ(bearer_token("Bearer abc-123._~+/="), "abc-123._~+/=");
  EXPECT_EQ(bearer_token("bEaReR   abc \t"), "abc");
}

TEST(BearerToken, IsEmptyForEverythingElse) {
  for (auto const value :
       {"", "Bearer", "Bearer ", "Bearerabc", "Basic abc", "Bearer a b", "Bearer a,b", " Bearer abc", "Bear abc"}) {
    EXPECT_TRUE(bearer_token(value).empty()) << value;
  }
}

}  // namespace
}  // namespace nestgate::identity
