#include "nestgate/nested/configuration.hpp"

#include <gtest/gtest.h>

namespace nestgate::nested {
namespace {

Configuration full() {
  Configuration out;
  out.settings_json = Secret(R"({"llm_api_key":"k\"\\","x":[1,2.5,null]})");
  out.conversation_json = Secret("{\n \"initial_user_msg\": \"ünï\" }");
  out.git_tokens.push_back(GitToken{"github", Secret("gh"), "", ""});
  out.git_tokens.push_back(GitToken{"gitlab", Secret(""), "u", "git.example.org"});
  out.secrets.push_back(CustomSecret{"ONE", Secret(std::string("a\0b\x7f", 4)), "d"});
  return out;
}

void expect_same(Configuration const& a, Configuration const& b) {
  EXPECT_EQ(a.settings_json.reveal(), b.settings_json.reveal());
  EXPECT_EQ(a.conversation_json.reveal(), b.conversation_json.reveal());
  ASSERT_EQ(a.git_tokens.size(), b.git_tokens.size());
  for (std::size_t i = 0; i < a.git_tokens.size(); ++i) {
    EXPECT_EQ(a.git_tokens[i].provider, b.git_tokens[i].provider);
    EXPECT_EQ(a.git_tokens[i].token.reveal(), b.git_tokens[i].token.reveal());
    EXPECT_EQ(a.git_tokens[i].user_id, b.git_tokens[i].user_id);
    EXPECT_EQ(a.git_tokens[i].host, b.git_tokens[i].host);
  }
  ASSERT_EQ(a.secrets.size(), b.secrets.size());
  for (std::size_t i = 0; i < a.secrets.size(); ++i) {
    EXPECT_EQ(a.secrets[i].name, b.secrets[i].name);
    EXPECT_EQ(a.secrets[i].value.reveal(), b.secrets[i].value.reveal());
    EXPECT_EQ(a.secrets[i].description, b.secrets[i].description);
  }
}

std::optional<Configuration> parse(std::string text) { return parse_configuration(Secret(std::move(text))); }

TEST(ConfigurationJson, IsReadBackAsItWas) {
  auto const configuration = full();
  auto const back = parse_configuration(configuration_json(configuration));
  ASSERT_TRUE(back);
  expect_same(*back, configuration);
  auto const nothing = parse_configuration(configuration_json(Configuration{}));
  ASSERT_TRUE(nothing);
  EXPECT_TRUE(nothing->empty());
}

TEST(ConfigurationJson, MayLackMembersAndHaveOthers) {
  auto const some = parse(R"({"secrets":[{"name":"A"}],"of_a_later_version":{}})");
  ASSERT_TRUE(some);
  EXPECT_EQ(some->secrets.at(0).name, "A");
  EXPECT_TRUE(parse("{}")->empty());
}

TEST(ConfigurationJson, OfAnotherShapeIsNone) {
  for (auto const* text :
       {"", "null", "[]", "{", R"({"settings":{}})", R"({"settings":null})", R"({"conversation":7})", R"({"git_tokens":{}})",
        R"({"git_tokens":[7]})", R"({"git_tokens":[{"token":"t"}]})", R"({"git_tokens":[{"provider":"p","token":7}]})",
        R"({"secrets":[{"value":"v"}]})", R"({"secrets":"x"})"})
    EXPECT_FALSE(parse(text)) << text;
}

TEST(ConfigurationJson, HasABoundOnItsLists) {
  auto const of_size = [](std::size_t count) {
    std::string text = R"({"secrets":[)";
    for (std::size_t i = 0; i < count; ++i) text += R"({"name":"A"},)";
    text.back() = ']';
    return parse(text + "}");
  };
  EXPECT_TRUE(of_size(configuration_entries_max));
  EXPECT_FALSE(of_size(configuration_entries_max + 1));
}

TEST(Configuration, IsClonedWhole) {
  auto const configuration = full();
  expect_same(configuration.clone(), configuration);
}

}  // namespace
}  // namespace nestgate::nested
