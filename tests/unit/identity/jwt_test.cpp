#include "nestgate/identity/jwt.hpp"

#include <gtest/gtest.h>

#include "nestgate/identity/base64.hpp"

namespace nestgate::identity {
namespace {

Secret key(std::string text = "a secret of the installation") { return Secret(std::move(text)); }

TEST(Jwt, OfAnotherImplementationIsTaken) {
  // The example of jwt.io.
  auto const claims = verify_jwt(key("your-256-bit-secret"),
                                 Secret("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
                                        "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
                                        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"));
  ASSERT_TRUE(claims);
  EXPECT_EQ(*claims, R"({"sub":"1234567890","name":"John Doe","iat":1516239022})");
}

TEST(Jwt, IsReadBackAsItWasMade) {
  for (auto const* claims : {"{}", R"({"exp":1})", R"({"a":"\u00fc"})"}) {
    auto const token = make_jwt(key(), claims);
    auto const back = verify_jwt(key(), token);
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, claims);
  }
}

std::string_view why_not(std::string_view token) {
  auto const read = verify_jwt(key(), Secret(std::string(token)));
  return read ? std::string_view() : to_string(read.error());
}

TEST(Jwt, OfAnotherKeyOrWithOtherClaimsIsRefused) {
  auto const other = make_jwt(key("another"), "{}");
  EXPECT_EQ(why_not(other.reveal()), "Signature verification failed");
  std::string const token(make_jwt(key(), R"({"id":1})").reveal());
  auto const middle = token.find('.') + 1;
  std::string const changed = token.substr(0, middle) + encode_base64url(R"({"id":2})") + token.substr(token.rfind('.'));
  EXPECT_EQ(why_not(changed), "Signature verification failed");
  EXPECT_EQ(why_not(token.substr(0, token.rfind('.') + 1)), "Signature verification failed");
}

TEST(Jwt, ThatAsksForNoAlgorithmIsRefused) {
  auto const none = encode_base64url(R"({"alg":"none"})") + "." + encode_base64url("{}") + ".";
  EXPECT_EQ(why_not(none), "Signature verification failed");
}

TEST(Jwt, SaysWhichPartIsNone) {
  EXPECT_EQ(why_not(""), "Not enough segments");
  EXPECT_EQ(why_not("an-api-key"), "Not enough segments");
  EXPECT_EQ(why_not("a.b"), "Not enough segments");
  EXPECT_EQ(why_not("a.e30.e30"), "Invalid header padding");
  EXPECT_EQ(why_not("e30.e30.e30.e30"), "Invalid payload padding");
  EXPECT_EQ(why_not("e30.e30.a"), "Invalid crypto padding");
}

}  // namespace
}  // namespace nestgate::identity
