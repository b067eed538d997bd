#include "nestgate/base/secret.hpp"

#include <gtest/gtest.h>

#include <type_traits>

namespace nestgate {
namespace {

static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>,
              "copies are made by clone() only");
static_assert(!std::is_convertible_v<Secret, std::string_view> && !std::is_convertible_v<Secret, std::string>);
static_assert(!std::is_convertible_v<std::string, Secret>, "text becomes a secret only when it is said");

TEST(Secret, EqualsTheSameTextOnly) {
  Secret const secret("correct horse");
  EXPECT_TRUE(secret.equals("correct horse"));
  EXPECT_FALSE(secret.equals("correct hors"));
  EXPECT_FALSE(secret.equals("correct horsf"));
  EXPECT_FALSE(secret.equals(""));
  EXPECT_TRUE(Secret().equals(""));
}

TEST(Secret, LeavesNothingBehindWhenItIsMovedFrom) {
  for (std::size_t const length : {8u, 64u}) {  // in the object itself, and on the heap
    std::string const plain(length, 's');
    Secret from(plain);
    auto const* const bytes = from.reveal().data();
    Secret const to = std::move(from);
    EXPECT_EQ(to.reveal(), plain);
    EXPECT_TRUE(from.empty());  // NOLINT(bugprone-use-after-move): what a move leaves is what is tested
    if (length == 8) {
      EXPECT_EQ(std::string_view(bytes, length), std::string(length, '\0'));
    }
  }
}

TEST(Secret, KeepsItsValueWhenMovedToItself) {
  Secret secret("value");
  auto& same = secret;
  secret = std::move(same);
  EXPECT_TRUE(secret.equals("value"));
}

TEST(Secret, IsClonedAsAnEqualOne) {
  Secret const secret("value");
  auto const copy = secret.clone();
  EXPECT_EQ(copy, secret);
  EXPECT_NE(copy.reveal().data(), secret.reveal().data());
}

}  // namespace
}  // namespace nestgate
