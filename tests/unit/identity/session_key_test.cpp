#include "nestgate/identity/session_key.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <array>
#include <set>
#include <string>
#include <thread>

namespace nestgate::identity {
namespace {

Secret secret_of(std::string_view text) { return Secret(std::string(text)); }

KeyRing ring_of(Derivation derivation, std::initializer_list<std::string_view> secrets) {
  std::vector<Secret> list;
  for (auto const text : secrets) list.push_back(secret_of(text));
  return KeyRing(derivation, std::move(list));
}

ConversationId id_of(std::string_view text) { return ConversationId::parse(text).value(); }

constexpr std::string_view old_secret = "0123456789abcdef0123456789abcdef";
constexpr std::string_view new_secret = "f47ac10b58cc4372a5670e02b2c3d479";
constexpr std::string_view id_text = "9eba03e68cc24c3daa8a225f0e79e062";

TEST(SessionKey, IsThatOfEveryPublishedVector) {
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  ASSERT_EQ(parser.load(NESTGATE_TEST_DATA "/corpus/session_keys.json").get(document), simdjson::SUCCESS);
  std::size_t count = 0;
  for (auto const vector : document["vectors"].get_array()) {
    auto const secret = secret_of(vector["secret"].get_string().value());
    auto const id = vector["conversation_id"].get_string().value();
    EXPECT_EQ(derive_session_key(Derivation::sha256, secret, id).reveal(), vector["session_api_key"].get_string().value())
        << id;
    ++count;
  }
  EXPECT_EQ(count, 15u);
}

TEST(SessionKey, OfALaterGenerationIsAnotherKeyAndNoOtherConversationsKey) {
  auto const ring = ring_of(Derivation::sha256, {new_secret, old_secret});
  auto const id = id_of(id_text);
  EXPECT_EQ(ring.derive(id, 0), ring.derive(id));
  EXPECT_FALSE(ring.derive(id, 1) == ring.derive(id));
  EXPECT_FALSE(ring.derive(id, 2) == ring.derive(id, 1));
  EXPECT_EQ(ring.accepted(id, 1).at(0), ring.derive(id, 1));
  EXPECT_FALSE(ConversationId::parse(std::string(id_text) + "~1")) << "no id can name the text that it derives from";
}

TEST(SessionKey, TakesIdsLongerThanAHashBlock) {
  EXPECT_EQ(derive_session_key(Derivation::sha256, secret_of("s3cr3t/+="), std::string(100, 'x')).reveal(),
            "DeO2Sjj5f9LzffviOqLJAvJ3AS5WnufYN1_UhTqECoQ");
}

TEST(SessionKey, TakesSecretsOfAnyLength) {
  EXPECT_EQ(derive_session_key(Derivation::sha256, secret_of(std::string(300, 's')), "abc").reveal(),
            "Zahr5hVeCfeJ0k1fZuhckcX1ax9qDIqxL2cG7vbP6aY");
}

TEST(SessionKey, IsTheSameFromEveryThread) {
  auto const secret = secret_of(old_secret);
  std::vector<std::thread> cores;
  std::array<std::set<std::string>, 4> seen;
  for (auto& keys : seen) {
    cores.emplace_back([&keys, &secret] {
      for (int i = 0; i < 500; ++i) keys.emplace(derive_session_key(Derivation::sha256, secret, id_text).reveal());
    });
  }
  for (auto& core : cores) core.join();
  for (auto const& keys : seen) EXPECT_EQ(keys, std::set<std::string>{"xjs-Thb--ldnTn0EXUXSvtaLcI7q3fsYTD225x_kBRw"});
}

// The expected key was computed with python3: hmac.new(secret, b"nestgate session key v1\0" + id, "sha256"), and
// sha256(b"nestgate secret id v1\0" + secret).hexdigest()[:8].
TEST(HmacSessionKey, NamesItsSecretAndFollowsItsDefinition) {
  auto const key = derive_session_key(Derivation::hmac_sha256, secret_of(old_secret), id_text);
  EXPECT_EQ(key.reveal(), "ngk1_dbfe0e0d_9Ukg5b_1O8x2TLPSLjVqCxdlyUssftByvuGyYatdHXY");
}

TEST(HmacSessionKey, SeparatesWhatTheCompatibleDerivationCannot) {
  auto const with = [](std::string_view secret, std::string_view id) {
    return std::string(derive_session_key(Derivation::hmac_sha256, secret_of(secret), id).reveal());
  };
  EXPECT_NE(with("a:b", "c"), with("a", "b:c"));
}

TEST(KeyRing, DerivesWithTheFirstSecretFromTheFormTheRuntimeWasCreatedWith) {
  auto const ring = ring_of(Derivation::sha256, {new_secret, old_secret});
  auto const dashed = "9eba03e6-8cc2-4c3d-aa8a-225f0e79e062";
  EXPECT_EQ(ring.derive(id_of(id_text)), derive_session_key(Derivation::sha256, secret_of(new_secret), id_text));
  EXPECT_EQ(ring.derive(id_of(dashed)), derive_session_key(Derivation::sha256, secret_of(new_secret), dashed));
  EXPECT_NE(ring.derive(id_of(dashed)), ring.derive(id_of(id_text)));
}

TEST(KeyRing, AcceptsTheKeysOfEverySecretNewestFirst) {
  for (auto const derivation : {Derivation::sha256, Derivation::hmac_sha256}) {
    auto const ring = ring_of(derivation, {new_secret, old_secret});
    auto const keys = ring.accepted(id_of(id_text));
    ASSERT_EQ(keys.size(), 2u);
    EXPECT_EQ(keys[0], ring.derive(id_of(id_text)));
    EXPECT_EQ(keys[1], ring_of(derivation, {old_secret}).derive(id_of(id_text)));
  }
}

}  // namespace
}  // namespace nestgate::identity
