#include "nestgate/identity/webhook_signature.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <array>

#include "nestgate/identity/base64.hpp"

namespace nestgate::identity {
namespace {

std::string_view text_of(simdjson::dom::element element) { return element.get_string().value(); }

TEST(WebhookSignature, IsThatOfEveryPublishedVectorWithASharedSecret) {
  simdjson::dom::parser parser;
  auto const document = parser.load(NESTGATE_TEST_DATA "/corpus/standard_webhooks.json");
  int checked = 0;
  for (auto const vector : document["vectors"]) {
    simdjson::dom::array secrets;
    if (vector["secrets"].get_array().get(secrets)) continue;  // the asymmetric one
    std::vector<Secret> keys;
    for (auto const secret : secrets) keys.push_back(std::move(parse_webhook_secret(text_of(secret)).value()));
    auto const headers = vector["headers"];
    auto const timestamp = std::stoll(std::string(text_of(headers["webhook-timestamp"].value())));
    EXPECT_EQ(
        webhook_signature(keys, text_of(headers["webhook-id"].value()), timestamp, text_of(vector["payload_utf8"].value())),
        text_of(headers["webhook-signature"].value()))
        << text_of(vector["name"].value());
    ++checked;
  }
  EXPECT_GE(checked, 4);
}

TEST(WebhookSignature, ChangesWithEachOfItsInputs) {
  auto const keys = [](char c) {
    std::vector<Secret> out;
    out.emplace_back(std::string(32, c));
    return out;
  };
  auto const reference = webhook_signature(keys('a'), "msg_1", 1000, "{}");
  EXPECT_NE(webhook_signature(keys('b'), "msg_1", 1000, "{}"), reference);
  EXPECT_NE(webhook_signature(keys('a'), "msg_2", 1000, "{}"), reference);
  EXPECT_NE(webhook_signature(keys('a'), "msg_1", 1001, "{}"), reference);
  EXPECT_NE(webhook_signature(keys('a'), "msg_1", 1000, "{} "), reference);
}

struct Vector {
  std::vector<Secret> keys;
  std::string id, timestamp, signature, payload;
};

std::vector<Vector> published() {
  std::vector<Vector> out;
  simdjson::dom::parser parser;
  auto const document = parser.load(NESTGATE_TEST_DATA "/corpus/standard_webhooks.json");
  for (auto const vector : document["vectors"]) {
    simdjson::dom::array secrets;
    if (vector["secrets"].get_array().get(secrets)) continue;
    auto& one = out.emplace_back();
    for (auto const secret : secrets) one.keys.push_back(std::move(parse_webhook_secret(text_of(secret)).value()));
    auto const headers = vector["headers"];
    one.id = text_of(headers["webhook-id"].value());
    one.timestamp = text_of(headers["webhook-timestamp"].value());
    one.signature = text_of(headers["webhook-signature"].value());
    one.payload = text_of(vector["payload_utf8"].value());
  }
  return out;
}

FreshWithin as_sent(Vector const& vector, std::chrono::seconds later = std::chrono::seconds(0)) {
  std::chrono::seconds const sent(std::stoll(vector.timestamp));
  return {std::chrono::system_clock::time_point(sent + later)};
}

bool verifies(Vector const& vector, std::chrono::seconds later = std::chrono::seconds(0)) {
  return verify_webhook(vector.keys, {vector.id, vector.timestamp, vector.signature}, vector.payload,
                        as_sent(vector, later));
}

TEST(VerifyWebhook, TakesEveryPublishedVector) {
  auto const all = published();
  ASSERT_GE(all.size(), 4U);
  for (auto const& vector : all) EXPECT_TRUE(verifies(vector)) << vector.id;
}

TEST(VerifyWebhook, RefusesWhatWasChangedOnTheWay) {
  for (auto const& vector : published()) {
    auto const fresh = as_sent(vector);
    auto const later = std::to_string(std::stoll(vector.timestamp) + 1);
    EXPECT_FALSE(verify_webhook(vector.keys, {vector.id, vector.timestamp, vector.signature}, vector.payload + " ", fresh));
    EXPECT_FALSE(verify_webhook(vector.keys, {vector.id, later, vector.signature}, vector.payload, fresh));
    EXPECT_FALSE(verify_webhook(vector.keys, {vector.id + "x", vector.timestamp, vector.signature}, vector.payload, fresh));
    EXPECT_FALSE(verify_webhook(vector.keys, {"", vector.timestamp, vector.signature}, vector.payload, fresh));
    EXPECT_FALSE(verify_webhook(vector.keys, {vector.id, "", vector.signature}, vector.payload, fresh));
    EXPECT_FALSE(verify_webhook(vector.keys, {vector.id, vector.timestamp + "x", vector.signature}, vector.payload, fresh));
    for (auto const* signature : {"", "v1,", "v1", "v1, ", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="})
      EXPECT_FALSE(verify_webhook(vector.keys, {vector.id, vector.timestamp, signature}, vector.payload, fresh));
    EXPECT_FALSE(verify_webhook({}, {vector.id, vector.timestamp, vector.signature}, vector.payload, fresh));
  }
}

TEST(VerifyWebhook, PassesOverVersionsThatItDoesNotKnow) {
  for (auto& vector : published()) {
    vector.signature = "v2,xxx  v1a,yyy " + vector.signature;
    EXPECT_TRUE(verifies(vector));
  }
}

TEST(VerifyWebhook, LooksAtTheTimeOnBothSides) {
  auto const vector = std::move(published().front());
  EXPECT_TRUE(verifies(vector, std::chrono::seconds(300)));
  EXPECT_FALSE(verifies(vector, std::chrono::seconds(301)));
  EXPECT_TRUE(verifies(vector, std::chrono::seconds(-300)));
  EXPECT_FALSE(verifies(vector, std::chrono::seconds(-301)));
}

std::vector<Secret> keys_of(std::initializer_list<char const*> texts) {
  std::vector<Secret> out;
  for (auto const* text : texts) out.emplace_back(std::string(text));
  return out;
}

TEST(VerifyHexSignature, TakesGithubsPublishedExampleWithOrWithoutItsPrefix) {
  // docs.github.com, "Validating webhook deliveries".
  std::string const signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
  auto const keys = keys_of({"It's a Secret to Everybody"});
  EXPECT_TRUE(verify_hex_signature(keys, "sha256=" + signature, "Hello, World!"));
  EXPECT_TRUE(verify_hex_signature(keys, signature, "Hello, World!"));
  EXPECT_FALSE(verify_hex_signature(keys, "sha1=" + signature, "Hello, World!"));
  EXPECT_FALSE(verify_hex_signature(keys, signature, "Hello, World"));
  EXPECT_FALSE(verify_hex_signature(keys, "", "Hello, World!"));
  EXPECT_FALSE(verify_hex_signature(keys, signature.substr(1), "Hello, World!"));
  EXPECT_FALSE(verify_hex_signature(keys_of({"another"}), signature, "Hello, World!"));
  EXPECT_TRUE(verify_hex_signature(keys_of({"another", "It's a Secret to Everybody"}), signature, "Hello, World!"));
}

TEST(VerifySlackWebhook, TakesSlacksPublishedExample) {
  // api.slack.com, "Verifying requests from Slack".
  std::string const body =
      "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&"
      "user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%"
      "2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121."
      "803a0bc887a14d10d2c447fce8b6703c";
  auto const keys = keys_of({"8f742231b10e8888abcd99yyyzzz85a5"});
  std::string const signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
  FreshWithin const fresh{std::chrono::system_clock::time_point(std::chrono::seconds(1531420618))};
  EXPECT_TRUE(verify_slack_webhook(keys, {"", "1531420618", signature}, body, fresh));
  EXPECT_FALSE(verify_slack_webhook(keys, {"", "1531420619", signature}, body, fresh));
  EXPECT_FALSE(verify_slack_webhook(keys, {"", "1531420618", signature.substr(3)}, body, fresh));
  FreshWithin const old{fresh.now + std::chrono::seconds(301)};
  EXPECT_FALSE(verify_slack_webhook(keys, {"", "1531420618", signature}, body, old));
}

TEST(WebhookSecret, OfAnyTextIsItsBytesWhereItIsNotBase64) {
  auto const key_of = [](std::string text) { return std::string(webhook_key_of(Secret(std::move(text))).reveal()); };
  std::string const bytes("\xfb\xff 0123456789012345678901234567", 32);
  EXPECT_EQ(key_of("whsec_" + encode_base64(bytes)), bytes);
  EXPECT_EQ(key_of("whsec_" + encode_base64url(bytes)), bytes);
  EXPECT_EQ(key_of("a word of mine"), "a word of mine");
  EXPECT_EQ(key_of("whsec_short"), "whsec_short");
}

TEST(WebhookSecret, IsMadeAsItIsRead) {
  std::array<unsigned char, 32> random;
  random.fill(0xfb);
  auto const made = webhook_secret_of(random);
  EXPECT_EQ(made.size(), 49U);
  EXPECT_EQ(webhook_key_of(made).reveal(), std::string(32, '\xfb'));
}

TEST(WebhookSecret, IsTwentyFourToSixtyFourBytesWithOrWithoutItsPrefix) {
  auto const of = [](std::size_t bytes) { return encode_base64(std::string(bytes, 'k')); };
  EXPECT_TRUE(parse_webhook_secret("whsec_" + of(24)));
  EXPECT_TRUE(parse_webhook_secret(of(64)));
  EXPECT_FALSE(parse_webhook_secret("whsec_" + of(23)));
  EXPECT_FALSE(parse_webhook_secret("whsec_" + of(65)));
  EXPECT_FALSE(parse_webhook_secret("whsec_not base64"));
  EXPECT_FALSE(parse_webhook_secret(""));
}

TEST(Base64, GoesThereAndBackForEveryLength) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(decode_base64(encode_base64(bytes)), bytes);
    bytes += static_cast<char>(i * 7);
  }
  EXPECT_EQ(encode_base64("foob"), "Zm9vYg==");  // RFC 4648 section 10
  EXPECT_EQ(encode_base64("fooba"), "Zm9vYmE=");
}

TEST(Base64Url, GoesThereAndBackForEveryLength) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(decode_base64url(encode_base64url(bytes)), bytes);
    bytes += static_cast<char>(i * 7);
  }
  EXPECT_EQ(encode_base64url("\xfb\xff\xfe"), "-__-");
  for (auto const* text : {"A", "Zg==", "Zh", "+__-", "-_ -", "-__-\n"}) EXPECT_FALSE(decode_base64url(text)) << text;
}

TEST(Base64, RefusesWhatIsNotCanonical) {
  for (auto const* text : {"Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm9v\n", "Zm-_", "Zg==Zg==", "=g==", " Zg="})
    EXPECT_FALSE(decode_base64(text)) << text;
}

}  // namespace
}  // namespace nestgate::identity
