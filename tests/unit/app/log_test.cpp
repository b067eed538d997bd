#include "nestgate/app/log.hpp"

#include <gtest/gtest.h>

#include <type_traits>

#include "nestgate/base/secret.hpp"

namespace nestgate::app {
namespace {

using namespace std::chrono_literals;

static_assert(!std::is_constructible_v<LogField, std::string_view, Secret const&>, "a secret must not reach a log line");

constexpr std::chrono::system_clock::time_point moment{1'700'000'000'123ms};

TEST(LogLine, IsOneJsonObjectWithItsFields) {
  EXPECT_EQ(
      log_line(moment, LogLevel::warn, "it \"broke\"\n",
               {{"id", "c1"}, {"port", 8080}, {"count", 18'446'744'073'709'551'615u}, {"again", true}, {"delta", -3}}),
      R"({"ts":"2023-11-14T22:13:20.123Z","level":"warn","msg":"it \"broke\"\n","id":"c1","port":8080,"count":18446744073709551615,"again":true,"delta":-3})");
}

TEST(LogLine, NeedsNoFields) {
  EXPECT_EQ(log_line(moment, LogLevel::error, "m", {}), R"({"ts":"2023-11-14T22:13:20.123Z","level":"error","msg":"m"})");
}

TEST(Log, WritesWholeLinesToStandardErrorFromTheSetLevelOn) {
  testing::internal::CaptureStderr();
  set_log_level(LogLevel::warn);
  log(LogLevel::info, "left out");
  log(LogLevel::warn, "said", {{"n", 1}});
  set_log_level(LogLevel::info);
  log(LogLevel::info, "said too");
  auto const text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find("left out"), text.npos);
  EXPECT_NE(text.find("\"level\":\"warn\",\"msg\":\"said\",\"n\":1}\n"), text.npos) << text;
  EXPECT_NE(text.find("\"msg\":\"said too\"}\n"), text.npos) << text;
}

}  // namespace
}  // namespace nestgate::app
