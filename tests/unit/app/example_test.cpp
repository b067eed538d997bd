// config/nestgate.example.toml is what operators read: it and the table of keys must say the same.
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "app/settings_keys.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::app {
namespace {

std::string example() { return test::read_file(NESTGATE_TEST_DATA "/../config/nestgate.example.toml"); }

// As a comment of the example, wrapped at 118 columns.
std::string comment(std::string_view text) {
  constexpr std::size_t width = 118;
  std::string out = "#";
  std::size_t column = 1;
  while (!text.empty()) {
    auto const word = text.substr(0, text.find(' '));
    if (column + 1 + word.size() > width) {
      out += "\n#";
      column = 1;
    }
    out.append(" ").append(word);
    column += 1 + word.size();
    text.remove_prefix(std::min(word.size() + 1, text.size()));
  }
  return out + "\n";
}

template <class Owner>
std::string documentation(Key<Owner> const& key) {
  auto const default_value = key.presence == Presence::required ? std::string("none, required") : key.print(Owner{});
  auto const reload = key.reload == Reload::yes ? "applied" : "needs a restart";
  return comment(key.doc) +
         comment("Allowed: " + key.allowed + ". Default: " + default_value + ". On reload: " + reload + ".");
}

// The example's text from `[header]` to the next one.
std::string section(std::string const& text, std::string const& header) {
  auto const begin = text.find(header + "\n");
  if (begin == text.npos) return {};
  static std::regex const next_header(R"(\n#?\[)");
  std::smatch next;
  auto const rest = text.substr(begin + header.size());
  return std::regex_search(rest, next, next_header) ? rest.substr(0, static_cast<std::size_t>(next.position())) : rest;
}

TEST(ExampleSettings, DocumentsEveryKeyWithDefaultUnitAndBounds) {
  auto const text = example();
  for (auto const& key : settings_keys()) {
    auto const dot = key.name.rfind('.');
    auto const header = "[" + std::string(key.name.substr(0, dot)) + "]";
    auto const expected = documentation(key) + std::string(key.name.substr(dot + 1)) + " = ";
    EXPECT_NE(section(text, header).find(expected), std::string::npos) << "in " << header << " is missing:\n" << expected;
  }
}

template <class Table>
void expect_table_documented() {
  auto const header = "#[[" + std::string(Table::name) + "]]";
  for (auto const& key : Table::keys()) {
    auto const expected = documentation(key) + "#" + std::string(key.name) + " = ";
    EXPECT_NE(section(example(), header).find(expected), std::string::npos) << "in " << header << " is missing:\n"
                                                                            << expected;
  }
}

TEST(ExampleSettings, DocumentsEveryKeyOfArraysOfTables) {
  expect_table_documented<ApiKeyTable>();
  expect_table_documented<CertificateTable>();
  expect_table_documented<StaticRuntimeTable>();
  expect_table_documented<SandboxSpecTable>();
}

TEST(ExampleSettings, IsTheDefaultsAndASecretFile) {
  test::TempFolder const folder;
  folder.write("secret", std::string(32, 's'));
  SettingsSource source;
  source.file = folder.write("example.toml", example());
  auto loaded = load_settings(source);
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  SettingsSource bare;
  bare.file = folder.write("bare.toml", "[identity]\nsecret_file = \"secret\"\n");
  auto const plan = plan_reload(*load_settings(bare).settings, std::move(*loaded.settings));
  EXPECT_EQ(plan.applied, std::vector<std::string>{});
  EXPECT_EQ(plan.needs_restart, std::vector<std::string>{});
}

TEST(ExampleSettings, IsAlsoValidWithItsCommentedTables) {
  test::TempFolder const folder;
  for (auto const name : {"cert.pem", "key.pem"}) folder.write(name, "");
  folder.write("secret", std::string(32, 's'));
  SettingsSource source;
  source.file = folder.write("example.toml", std::regex_replace(example(), std::regex(R"((^|\n)#([\[a-z]))"), "$1$2"));
  auto const loaded = load_settings(source);
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  EXPECT_EQ(loaded.settings->tls.certificates.size(), 1u);
  EXPECT_EQ(loaded.settings->identity.api_keys.size(), 1u);
  EXPECT_EQ(loaded.settings->static_runtimes.size(), 1u);
}

TEST(SettingsKeys, HaveDefaultsThatAreAllowed) {
  test::TempFolder const folder;
  std::string text;
  for (auto const& key : settings_keys()) {
    if (key.name == "identity.secret_file") continue;
    text += std::string(key.name) + " = " + key.print(Settings{}) + "\n";
  }
  SettingsSource source;
  source.file = folder.write("defaults.toml", text);
  source.environment.secret.emplace(std::string(32, 's'));
  EXPECT_EQ(load_settings(source).faults, std::vector<std::string>{});
}

TEST(SettingsKeys, HaveNamesOfTheirOwnInTheEnvironmentToo) {
  std::set<std::string> names;
  for (auto const& key : settings_keys()) EXPECT_TRUE(names.insert(environment_name(key.name)).second) << key.name;
  EXPECT_TRUE(names.contains("NESTGATE_LIMITS_TRAILER_BYTES_MAX"));
  EXPECT_FALSE(names.contains("NESTGATE_SECRET"));
}

}  // namespace
}  // namespace nestgate::app
