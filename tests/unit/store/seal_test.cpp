#include "store/seal.hpp"

#include <gtest/gtest.h>

#include <set>

#include "nestgate/identity/base64.hpp"

namespace nestgate::store {
namespace {

constexpr Place here{"conversation", "configuration", "c1"};
constexpr std::string_view text = R"({"token":"the plain text of a token"})";

std::vector<Secret> secrets(std::initializer_list<std::string_view> texts) {
  std::vector<Secret> out;
  for (auto const one : texts) out.emplace_back(std::string(one));
  return out;
}

SealProblem problem_of(Opened<Secret> const& opened) {
  EXPECT_FALSE(opened);
  return opened ? SealProblem{} : opened.error();
}

TEST(Sealer, OpensWhatItSealed) {
  Sealer const sealer(secrets({"one"}));
  auto const opened = sealer.open(here, sealer.seal(here, text));
  ASSERT_TRUE(opened);
  EXPECT_TRUE(opened->equals(text));
}

TEST(Sealer, SealsEmptyTextAndLongText) {
  Sealer const sealer(secrets({"one"}));
  for (auto const& plain : {std::string(), std::string(1, '\0'), std::string(300'000, 'x')}) {
    auto const opened = sealer.open(here, sealer.seal(here, plain));
    ASSERT_TRUE(opened);
    EXPECT_TRUE(opened->equals(plain));
  }
}

TEST(Sealer, SealsTheSameTextDifferentlyEachTimeAndShowsNoneOfIt) {
  Sealer const sealer(secrets({"one"}));
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    auto const sealed = sealer.seal(here, text);
    EXPECT_EQ(sealed.find("plain"), sealed.npos);
    EXPECT_TRUE(seen.insert(sealed).second);
  }
}

// Made with another implementation of the format.
TEST(Sealer, OpensWhatEarlierVersionsSealed) {
  Sealer const sealer(secrets({"0123456789abcdef0123456789abcdef"}));
  auto const sealed = identity::decode_base64(
      "AQ5h6rJdYbHGAAECAwQFBgcICQoLvXwzZ5dh383uDSchUk2PVR9cSHASliz3i//UP3Y+7JigFOXPgYZa22lWYz6TZkqcYxhH7Jc=");
  ASSERT_TRUE(sealed);
  auto const opened = sealer.open(here, *sealed);
  ASSERT_TRUE(opened) << to_string(opened.error());
  EXPECT_TRUE(opened->equals(text));
}

TEST(Sealer, RefusesEveryChangedByte) {
  Sealer const sealer(secrets({"one"}));
  auto const sealed = sealer.seal(here, text);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    auto changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    auto const expected = i == 0 ? SealProblem::malformed : i < 9 ? SealProblem::other_key : SealProblem::tampered;
    EXPECT_EQ(problem_of(sealer.open(here, changed)), expected) << "byte " << i;
  }
}

TEST(Sealer, RefusesWhatWasCutOrGrew) {
  Sealer const sealer(secrets({"one"}));
  auto const sealed = sealer.seal(here, text);
  for (std::size_t size = 0; size < sealed.size(); ++size) EXPECT_FALSE(sealer.open(here, sealed.substr(0, size)));
  EXPECT_FALSE(sealer.open(here, sealed + "x"));
  EXPECT_EQ(problem_of(sealer.open(here, "plain text that nobody ever sealed, long enough")), SealProblem::malformed);
}

TEST(Sealer, RefusesAValueThatWasMoved) {
  Sealer const sealer(secrets({"one"}));
  auto const sealed = sealer.seal(here, text);
  for (auto const& there : {Place{"conversation", "configuration", "c2"}, Place{"conversation", "wish", "c1"},
                            Place{"static_runtime", "configuration", "c1"}, Place{"conversation", "configuration", "", "c1"},
                            Place{"conversationc", "onfiguration", "c1"}})
    EXPECT_EQ(problem_of(sealer.open(there, sealed)), SealProblem::tampered);
}

TEST(Sealer, RefusesAnotherSecretsValue) {
  auto const sealed = Sealer(secrets({"one"})).seal(here, text);
  EXPECT_EQ(problem_of(Sealer(secrets({"two", "three"})).open(here, sealed)), SealProblem::other_key);
}

TEST(Sealer, OpensOldValuesAfterARotationAndSealsWithTheNewSecret) {
  auto const before = Sealer(secrets({"old"})).seal(here, text);
  Sealer const rotated(secrets({"new", "old"}));
  EXPECT_TRUE(rotated.open(here, before));
  auto const after = rotated.seal(here, text);
  EXPECT_TRUE(Sealer(secrets({"new"})).open(here, after));
  EXPECT_EQ(problem_of(Sealer(secrets({"old"})).open(here, after)), SealProblem::other_key);
}

}  // namespace
}  // namespace nestgate::store
