#include "conversation/gateway_name.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace nestgate::conversation {
namespace {

// The name that a gateway with that pid would have had, with any start time but the real one's.
std::string name_with_pid(pid_t pid, std::string const& start_time) {
  auto name = make_gateway_name();
  auto const counter = name.rfind('-');
  auto const started = name.rfind('-', counter - 1);
  auto const own_pid = name.rfind('-', started - 1);
  return name.substr(0, own_pid + 1) + std::to_string(pid) + "-" + start_time + "-1";
}

TEST(GatewayName, OfThisProcessIsAnotherEachTimeAndAlive) {
  auto const one = make_gateway_name();
  EXPECT_NE(one, make_gateway_name());
  EXPECT_FALSE(is_known_dead(one));
}

TEST(GatewayName, OfAProcessThatWasBeforeTheOneWithItsPidIsDead) {
  EXPECT_TRUE(is_known_dead(name_with_pid(::getpid(), "1")));
}

TEST(GatewayName, OfAProcessThatNobodyReapedYetIsDead) {
  pid_t const child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(is_known_dead(name_with_pid(child, "1")));
  // Its real start time is still to be read.
  std::string line;
  {
    auto const path = "/proc/" + std::to_string(child) + "/stat";
    FILE* const file = ::fopen(path.c_str(), "r");
    ASSERT_NE(file, nullptr);
    char text[1024] = {};
    ASSERT_GT(::fread(text, 1, sizeof text - 1, file), 0U);
    ::fclose(file);
    line = text;
  }
  auto at = line.rfind(')');
  for (int i = 0; i < 20; ++i) at = line.find(' ', at + 1);
  auto const start_time = line.substr(at + 1, line.find(' ', at + 1) - at - 1);
  EXPECT_TRUE(is_known_dead(name_with_pid(child, start_time)));
  ::waitpid(child, nullptr, 0);
}

TEST(GatewayName, OfElsewhereIsNotKnownToBeDead) {
  EXPECT_FALSE(is_known_dead(""));
  EXPECT_FALSE(is_known_dead("gateway-1"));
  EXPECT_FALSE(is_known_dead("00000000-4026531836-1-1-1"));
}

}  // namespace
}  // namespace nestgate::conversation
