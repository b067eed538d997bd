#include "nestgate/nested/resources.hpp"

#include <gtest/gtest.h>

namespace nestgate::nested {
namespace {

TEST(Resources, AreWhatAnOlderServerSaysOfItself) {
  auto const said = parse_resources(
      R"({"uptime":5.0,"idle_time":1.5,"resources":{"cpu_percent":12.5,"memory":{"rss":1048576,"vms":2,"percent":0.1}}})");
  EXPECT_EQ(said.memory_bytes, 1048576U);
  EXPECT_EQ(said.cpu_percent, 12.5);
}

TEST(Resources, AreNotKnownWhereTheyAreNotSaid) {
  for (auto const* said :
       {"", "{", "[]", "{}", R"({"resources":[]})", R"({"resources":{"memory":{"rss":"1"},"cpu_percent":null}})",
        R"({"resources":{"memory":{"rss":-1}}})"}) {
    EXPECT_FALSE(parse_resources(said).memory_bytes) << said;
    EXPECT_FALSE(parse_resources(said).cpu_percent) << said;
  }
}

}  // namespace
}  // namespace nestgate::nested
