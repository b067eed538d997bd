#include "nestgate/base/conversation_id.hpp"

#include <gtest/gtest.h>

namespace nestgate {
namespace {

constexpr std::string_view hex_form = "9eba03e68cc24c3daa8a225f0e79e062";
constexpr std::string_view dashed_form = "9eba03e6-8cc2-4c3d-aa8a-225f0e79e062";

TEST(ConversationId, TakesEveryAllowedCharacterUpToItsLimit) {
  EXPECT_TRUE(ConversationId::parse("ABCXYZabcxyz0189._-"));
  EXPECT_TRUE(ConversationId::parse(std::string(128, 'a')));
  EXPECT_FALSE(ConversationId::parse(std::string(129, 'a')));
  EXPECT_FALSE(ConversationId::parse(""));
}

TEST(ConversationId, RefusesEveryOtherByte) {
  for (int byte = 0; byte < 256; ++byte) {
    auto const c = static_cast<char>(byte);
    bool const allowed =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '_' || c == '-';
    EXPECT_EQ(ConversationId::parse(std::string("a") + c + "b").has_value(), allowed) << byte;
  }
}

TEST(ConversationId, RefusesNamesOfFoldersButNotDotsWithinAnId) {
  EXPECT_FALSE(ConversationId::parse("."));
  EXPECT_FALSE(ConversationId::parse(".."));
  EXPECT_TRUE(ConversationId::parse("..."));
  EXPECT_TRUE(ConversationId::parse("a..b"));
}

TEST(ConversationId, CountsTheFormsOfOneUuidAsOneConversation) {
  auto const hex = ConversationId::parse(hex_form);
  for (auto const& form : {std::string(dashed_form), std::string("9EBA03E68CC24C3DAA8A225F0E79E062"),
                           std::string("9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062")}) {
    auto const id = ConversationId::parse(form);
    ASSERT_TRUE(id) << form;
    EXPECT_EQ(*id, *hex);
    EXPECT_TRUE(id->is_uuid());
    EXPECT_EQ(id->canonical(), hex_form);
    EXPECT_EQ(id->dashed(), dashed_form);
  }
}

TEST(ConversationId, KeepsTheFormItWasGivenIn) {
  EXPECT_EQ(ConversationId::parse("9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062")->text(), "9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062");
}

TEST(ConversationId, TakesOtherIdsAsTheyAreCaseIncluded) {
  auto const id = ConversationId::parse("Chat-7");
  ASSERT_TRUE(id);
  EXPECT_FALSE(id->is_uuid());
  EXPECT_EQ(id->canonical(), "Chat-7");
  EXPECT_EQ(id->dashed(), "Chat-7");
  EXPECT_NE(*id, *ConversationId::parse("chat-7"));
}

TEST(ConversationId, TakesMisplacedDashesAsAnIdOfItsOwn) {
  auto const id = ConversationId::parse("9eba03e-68cc2-4c3d-aa8a-225f0e79e062");
  ASSERT_TRUE(id);
  EXPECT_FALSE(id->is_uuid());
}

TEST(ConversationIdInAPath, NamesAUuidAlsoInBracesAndAsUrn) {
  auto const hex = ConversationId::parse(hex_form);
  for (auto const form : {"{9eba03e6-8cc2-4c3d-aa8a-225f0e79e062}", "{9eba03e68cc24c3daa8a225f0e79e062}",
                          "%7B9eba03e6-8cc2-4c3d-aa8a-225f0e79e062%7d", "urn:uuid:9eba03e6-8cc2-4c3d-aa8a-225f0e79e062",
                          "URN:UUID:9EBA03E68CC24C3DAA8A225F0E79E062", "urn%3Auuid%3A9eba03e68cc24c3daa8a225f0e79e062",
                          "%39eba03e68cc24c3daa8a225f0e79e062"}) {
    auto const id = ConversationId::parse_in_path(form);
    ASSERT_TRUE(id) << form;
    EXPECT_EQ(*id, *hex) << form;
  }
}

TEST(ConversationIdInAPath, IsDecodedOnceOnly) { EXPECT_FALSE(ConversationId::parse_in_path("a%252e")); }

TEST(ConversationIdInAPath, IsRefusedWhenWhatIsEncodedIsNoId) {
  for (auto const form :
       {"%2e%2e", "%2E.", "a%2fb", "a%00", "a%", "a%4", "a%zz", "{chat-7}", "urn:uuid:chat-7", "{}",
        "urn:uuid:", "{9eba03e68cc24c3daa8a225f0e79e062", "9eba03e68cc24c3daa8a225f0e79e062}", "a b", ""}) {
    EXPECT_FALSE(ConversationId::parse_in_path(form)) << form;
  }
}

}  // namespace
}  // namespace nestgate
