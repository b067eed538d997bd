#include "nestgate/http/field.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "http/scan.hpp"
#include "nestgate/http/fault_status.hpp"

namespace nestgate::http {
namespace {

TEST(FieldId, KnowsListedNamesInAnyCase) {
  EXPECT_EQ(field_id("Host"), FieldId::host);
  EXPECT_EQ(field_id("host"), FieldId::host);
  EXPECT_EQ(field_id("TE"), FieldId::te);
  EXPECT_EQ(field_id("date"), FieldId::date);
  EXPECT_EQ(field_id("Content-Length"), FieldId::content_length);
  EXPECT_EQ(field_id("TRANSFER-ENCODING"), FieldId::transfer_encoding);
  EXPECT_EQ(field_id("sec-websocket-extensions"), FieldId::sec_websocket_extensions);
  EXPECT_EQ(field_id("Sec-WebSocket-Key"), FieldId::sec_websocket_key);
  EXPECT_EQ(field_id("X-Session-API-Key"), FieldId::x_session_api_key);
  EXPECT_EQ(field_id("x-forwarded-proto"), FieldId::x_forwarded_proto);
}

TEST(FieldId, TakesNothingThatOnlyLooksLikeAListedName) {
  for (std::string_view name :
       {"", "t", "hos", "hosts", "xost", "host ", "Content\rLength", "content.length", "te ", "tf", "x-session-api-keyy",
        "x-session-api-ke", "HOS\x14", "dat\x05", "sec-websocket-extensionss"}) {
    EXPECT_EQ(field_id(name), FieldId::other) << name;
  }
}

TEST(FieldId, CallsAnUnderscoredTwinOfAListedNameAShadow) {
  EXPECT_EQ(field_id("X_Session_API_Key"), FieldId::shadow);
  EXPECT_EQ(field_id("x-session_api-key"), FieldId::shadow);
  EXPECT_EQ(field_id("content_length"), FieldId::shadow);
  EXPECT_EQ(field_id("x_other"), FieldId::other);
}

TEST(Token, IsWhatRfc9110Says) {
  EXPECT_TRUE(is_token("!#$%&'*+-.^_`|~09azAZ"));
  for (char c : std::string_view("\"(),/:;<=>?@[\\]{} \t\r\n\x7f\x80\xff\0", 26))
    EXPECT_FALSE(is_token(std::string_view(&c, 1))) << c;
  EXPECT_FALSE(is_token(""));
  EXPECT_FALSE(is_token("a-name-of-more-than-sixteen-bytes and-a-space"));
}

TEST(EqualsIgnoringCase, FoldsAsciiLettersOnly) {
  EXPECT_TRUE(equals_ignoring_case("ChUnKeD", "chunked"));
  EXPECT_FALSE(equals_ignoring_case("chunked", "chunke"));
  EXPECT_FALSE(equals_ignoring_case("a[b", "a{b"));
  EXPECT_FALSE(equals_ignoring_case("\xc9", "\xe9"));
}

TEST(Scan, FindsTheSameByteWideAndNarrowWhereverItStands) {
  std::mt19937 random(7);
  std::uniform_int_distribution<int> any(0, 255);
  for (std::size_t length = 0; length < 70; ++length) {
    for (std::size_t at = 0; at < length; ++at) {
      std::string text(length, 'a');
      text[at] = static_cast<char>(any(random));
      char const* const begin = text.data();
      char const* const end = begin + length;
      EXPECT_EQ(scan::find_control(begin, end), scan::find_control_narrow(begin, end));
      EXPECT_EQ(scan::find_non_token(begin, end), scan::find_non_token_narrow(begin, end));
      EXPECT_EQ(scan::find_non_visible(begin, end), scan::find_non_visible_narrow(begin, end));
    }
  }
}

TEST(Scan, FindsTheSameByteWideAndNarrowForEveryByte) {
  for (int byte = 0; byte < 256; ++byte) {
    std::string const text = "0123456789-abcde" + std::string(1, static_cast<char>(byte)) + "0123456789abcdef";
    char const* const begin = text.data();
    char const* const end = begin + text.size();
    EXPECT_EQ(scan::find_control(begin + 4, end), scan::find_control_narrow(begin + 4, end)) << byte;
    EXPECT_EQ(scan::find_non_token(begin + 4, end), scan::find_non_token_narrow(begin + 4, end)) << byte;
    EXPECT_EQ(scan::find_non_visible(begin + 4, end), scan::find_non_visible_narrow(begin + 4, end)) << byte;
  }
}

static_assert(http_status(FaultKind::unavailable) == 503);

TEST(ReasonPhrase, IsEmptyForAStatusThatNobodyRegistered) {
  EXPECT_EQ(reason_phrase(431), "Request Header Fields Too Large");
  EXPECT_EQ(reason_phrase(299), "");
}

}  // namespace
}  // namespace nestgate::http
