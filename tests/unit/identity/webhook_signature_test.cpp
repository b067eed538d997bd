#include "nestgate/identity/webhook_signature.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

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

TEST(Base64, RefusesWhatIsNotCanonical) {
  for (auto const* text : {"Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm9v\n", "Zm-_", "Zg==Zg==", "=g==", " Zg="})
    EXPECT_FALSE(decode_base64(text)) << text;
}

}  // namespace
}  // namespace nestgate::identity
