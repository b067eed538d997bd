// deploy/nestgate.service against the settings that it overrides.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "nestgate/app/settings.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::app {
namespace {

std::string source_file(std::string const& path) { return test::read_file(NESTGATE_TEST_DATA "/../" + path); }

// The values of a directive, in their order.
std::vector<std::string> values_of(std::string const& directive) {
  std::vector<std::string> out;
  std::istringstream unit(source_file("deploy/nestgate.service"));
  for (std::string line; std::getline(unit, line);)
    if (line.starts_with(directive + "=")) out.push_back(line.substr(directive.size() + 1));
  return out;
}

// Those of the unit that are settings.
Environment environment_of_unit() {
  Environment out;
  for (auto const& value : values_of("Environment")) {
    auto const equals = value.find('=');
    if (value.starts_with("NESTGATE_")) out.variables.emplace(value.substr(0, equals), value.substr(equals + 1));
  }
  return out;
}

std::string state_folder() { return "/var/lib/" + values_of("StateDirectory").at(0); }

// The path alone: whether it can be written is the machine's to say.
TEST(ServiceUnit, KeepsTheStoreAndTheRuntimesInItsStateDirectory) {
  auto const environment = environment_of_unit();
  EXPECT_EQ(environment.variables.at("NESTGATE_STORE_URL"), "sqlite:" + state_folder() + "/nestgate.db");
  EXPECT_EQ(environment.variables.at("NESTGATE_RUNTIME_PROCESS_WORKSPACE_DIR"), state_folder() + "/runtimes");
  EXPECT_EQ(values_of("WorkingDirectory").at(0), state_folder());
}

TEST(ServiceUnit, OverridesTheExampleSettingsWithoutAFault) {
  test::TempFolder const folder;
  folder.write("secret", std::string(32, 's'));
  SettingsSource source;
  source.file = folder.write("nestgate.toml", source_file("config/nestgate.example.toml"));
  source.environment = environment_of_unit();
  source.environment.variables.insert_or_assign("NESTGATE_RUNTIME_PROCESS_WORKSPACE_DIR", folder.path().string());
  auto const loaded = load_settings(source);
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  EXPECT_EQ(loaded.settings->store_url, environment_of_unit().variables.at("NESTGATE_STORE_URL"));
}

TEST(ServiceUnit, HasItsStoreWhereTheManualsSayIt) {
  auto const assignment = "NESTGATE_STORE_URL=" + environment_of_unit().variables.at("NESTGATE_STORE_URL");
  EXPECT_THAT(source_file("README.md"), testing::HasSubstr(assignment));
  EXPECT_THAT(source_file("deploy/nestgate.1"), testing::HasSubstr(assignment));
}

}  // namespace
}  // namespace nestgate::app
