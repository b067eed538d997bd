#include "nestgate/app/cli.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "nestgate/identity/api_key.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::app {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct Served {
  Settings settings;
  ServeOptions options;
};
std::optional<Served> served;

int record_serve(Settings settings, ServeOptions options) {
  served.emplace(Served{std::move(settings), std::move(options)});
  return 42;
}

class CommandLine : public testing::Test {
 protected:
  CommandLine() {
    served.reset();
    folder_.write("secret", "0123456789abcdef0123456789abcdef\n");
    config_ = folder_.write("nestgate.toml", "[identity]\nsecret_file = \"secret\"\n").string();
  }

  int run(std::vector<std::string> words, std::string_view input = {}) {
    words.insert(words.begin(), "nestgate");
    std::vector<char const*> argv;
    for (auto const& word : words) argv.push_back(word.c_str());
    std::istringstream in{std::string(input)};
    std::ostringstream out, err;
    Environment environment;
    environment.variables = variables_;
    if (secret_) environment.secret.emplace(*secret_);
    auto const code =
        run_command_line(static_cast<int>(argv.size()), argv.data(), std::move(environment), {in, out, err}, record_serve);
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  bool err_is_one_line() const { return !err_.empty() && err_.find('\n') == err_.size() - 1; }

  test::TempFolder folder_;
  std::string config_, out_, err_;
  std::map<std::string, std::string, std::less<>> variables_;
  std::optional<std::string> secret_;
};

TEST_F(CommandLine, ServesWithTheSettingsAndReturnsWhatServingReturned) {
  EXPECT_EQ(run({"serve", "--config", config_, "--ready-file", "/run/ready.json"}), 42);
  ASSERT_TRUE(served);
  EXPECT_EQ(served->options.config_file, config_);
  EXPECT_EQ(served->options.ready_file, "/run/ready.json");
  EXPECT_EQ(served->settings.identity.secrets.size(), 1u);
}

TEST_F(CommandLine, HandsTheEnvironmentOnForReloads) {
  variables_ = {{"NESTGATE_LISTEN_THREADS", "2"}};
  secret_ = std::string(32, 'e');
  run({"serve", "--config", config_});
  ASSERT_TRUE(served);
  EXPECT_FALSE(served->options.ready_file);
  EXPECT_EQ(served->settings.listen.threads, 2u);
  EXPECT_TRUE(served->options.environment.secret->equals(*secret_));
}

TEST_F(CommandLine, DoesNotServeWithFaultySettings) {
  folder_.write("nestgate.toml",
                "[identity]\nsecret_file = \"secret\"\n[log]\nlevel = \"loud\"\n[tls]\nmin_version = \"1.1\"\n");
  EXPECT_EQ(run({"serve", "--config", config_}), 2);
  EXPECT_FALSE(served);
  EXPECT_EQ(std::count(err_.begin(), err_.end(), '\n'), 2);
  EXPECT_THAT(err_, HasSubstr("nestgate.toml:4: log.level: \"loud\" is not allowed"));
}

TEST_F(CommandLine, ChecksGoodSettingsWithoutAWord) {
  EXPECT_EQ(run({"check", "--config", config_}), 0);
  EXPECT_EQ(out_ + err_, "");
}

TEST_F(CommandLine, ChecksThatTheStoreCouldBeOpenedAndMakesNone) {
  folder_.write("nestgate.toml", "[identity]\nsecret_file = \"secret\"\n[store]\nurl = \"sqlite:s.db\"\n");
  EXPECT_EQ(run({"check", "--config", config_}), 0) << err_;
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "s.db"));
  folder_.write("s.db", "this is no database, and long enough to be read as one");
  EXPECT_EQ(run({"check", "--config", config_}), 2);
  EXPECT_THAT(err_, HasSubstr("store.url: store: "));
  EXPECT_THAT(err_, HasSubstr("s.db: file is not a database"));
  EXPECT_TRUE(err_is_one_line());
}

TEST_F(CommandLine, ChecksFaultySettingsWithALineForEachFault) {
  folder_.write("nestgate.toml", "[nonsense]\n");
  EXPECT_EQ(run({"check", "--config", config_}), 2);
  EXPECT_EQ(out_, "");
  EXPECT_THAT(err_, HasSubstr("nestgate.toml:1: nonsense: unknown key"));
}

TEST_F(CommandLine, PrintsKeysWithTheSecretOfTheSettings) {
  EXPECT_EQ(run({"key", "--config", config_, "9eba03e68cc24c3daa8a225f0e79e062", "abc123"}), 0);
  EXPECT_THAT(out_, StartsWith("9eba03e68cc24c3daa8a225f0e79e062 xjs-Thb--ldnTn0EXUXSvtaLcI7q3fsYTD225x_kBRw\nabc123 "));
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 2);
}

TEST_F(CommandLine, PrintsKeysWithTheSecretOfTheEnvironmentHoweverShort) {
  secret_ = "secret";
  EXPECT_EQ(run({"key", "abc123"}), 0);
  EXPECT_EQ(out_, "abc123 LWEw59aBDxWTXDger2l2ts4M3b_oHhX8goAJGRz4adk\n");
}

TEST_F(CommandLine, PrintsKeysWithTheSettingsDerivation) {
  folder_.write("nestgate.toml", "[identity]\nsecret_file = \"secret\"\nderivation = \"hmac-sha256\"\n");
  EXPECT_EQ(run({"key", "--config", config_, "abc123"}), 0);
  EXPECT_THAT(out_, StartsWith("abc123 ngk1_"));
}

TEST_F(CommandLine, PrintsNoKeyWhenAnIdIsWrong) {
  secret_ = "secret";
  EXPECT_EQ(run({"key", "abc123", "b:c"}), 2);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_, "nestgate: \"b:c\" is not a conversation id; allowed: 1 to 128 of A-Za-z0-9._-\n");
}

TEST_F(CommandLine, PrintsNoKeyWithoutASecret) {
  EXPECT_EQ(run({"key", "abc123"}), 2);
  EXPECT_TRUE(err_is_one_line()) << err_;
  secret_ = "";
  EXPECT_EQ(run({"key", "abc123"}), 2);
  EXPECT_TRUE(err_is_one_line()) << err_;
}

TEST_F(CommandLine, HashesAnApiKeyFromStandardInput) {
  for (auto const input : {"an api key of 24 letters", "an api key of 24 letters\n"})
    EXPECT_EQ(run({"apikey", "hash"}, input), 2) << input;
  for (auto const input :
       {"abcdefghijklmnop", "abcdefghijklmnop\n", "abcdefghijklmnop\r\n", "abcdefghijklmnop\nnext line"}) {
    EXPECT_EQ(run({"apikey", "hash"}, input), 0) << input;
    EXPECT_EQ(out_, identity::hash_api_key("abcdefghijklmnop") + "\n") << input;
  }
}

TEST_F(CommandLine, RefusesApiKeysThatAreGuessedOrCannotBeSent) {
  for (auto const& input : {std::string(), std::string("\n"), std::string(7, 'k'), std::string(513, 'k'),
                            std::string("abcdefgh,ijklmnopq"), std::string("abcdefghijklm\xc3\xabnopq")}) {
    EXPECT_EQ(run({"apikey", "hash"}, input), 2) << input;
    EXPECT_EQ(out_, "");
    EXPECT_TRUE(err_is_one_line()) << err_;
    if (input.size() > 1) {
      EXPECT_THAT(err_, testing::Not(HasSubstr(input)));
    }
  }
}

TEST_F(CommandLine, TakesTheLongestApiKey) {
  EXPECT_EQ(run({"apikey", "hash"}, std::string(512, 'k') + "\r\n"), 0);
  EXPECT_EQ(run({"apikey", "hash"}, std::string(512, 'k')), 0);
}

TEST_F(CommandLine, AddsListsAndRevokesUsers) {
  EXPECT_EQ(run({"user", "list", "--config", config_}), 0);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(run({"user", "add", "alice", "--organisation", "acme", "--config", config_}), 0);
  EXPECT_EQ(out_ + err_, "");
  EXPECT_EQ(run({"user", "add", "bob", "--config", config_}), 0);
  EXPECT_EQ(run({"user", "add", "alice", "--config", config_}), 1);
  EXPECT_EQ(err_, "nestgate: there is a user alice already\n");
  EXPECT_EQ(run({"user", "revoke", "bob", "--config", config_}), 0);
  EXPECT_EQ(run({"user", "revoke", "carol", "--config", config_}), 1);
  EXPECT_EQ(err_, "nestgate: there is no user carol\n");
  EXPECT_EQ(run({"user", "list", "--config", config_}), 0);
  EXPECT_THAT(out_, testing::MatchesRegex("alice\tacme\tactive\t[0-9T:Z-]+\nbob\t-\tdisabled\t[0-9T:Z-]+\n"));
  EXPECT_EQ(run({"user", "list", "--json", "--config", config_}), 0);
  EXPECT_THAT(out_, StartsWith(R"([{"name":"alice","organisation":"acme","disabled":false,"created_at":"20)"));
  EXPECT_THAT(out_, testing::EndsWith("\"}]\n"));
  EXPECT_EQ(run({"user", "add", "bob", "--config", config_}), 0) << "comes back";
  EXPECT_EQ(run({"user", "list", "--config", config_}), 0);
  EXPECT_THAT(out_, HasSubstr("bob\t-\tactive"));
}

TEST_F(CommandLine, PrintsAnApiKeyOnceAndKeepsItNowhere) {
  run({"user", "add", "alice", "--config", config_});
  EXPECT_EQ(run({"apikey", "add", "ci", "--role", "user", "--owner", "alice", "--config", config_}), 0);
  EXPECT_THAT(out_, testing::MatchesRegex("ng_[A-Za-z0-9_-]+\n"));
  EXPECT_EQ(out_.size(), 3u + 43u + 1u) << "32 random bytes";
  auto const key = out_.substr(0, out_.size() - 1);
  EXPECT_EQ(run({"apikey", "add", "cd", "--role", "automation", "--owner", "alice", "--config", config_}), 0);
  EXPECT_NE(out_, key + "\n");
  EXPECT_EQ(run({"apikey", "list", "--json", "--config", config_}), 0);
  EXPECT_THAT(out_, testing::MatchesRegex(R"(\[\{"id":"[0-9a-f]+","name":"cd","role":"automation","owner":"alice",)"
                                          R"("created_at":"[^"]+","revoked_at":null\},\{"id":.*"name":"ci".*\}\].)"));
  EXPECT_THAT(out_, testing::Not(HasSubstr("sha256:")));
  auto const file = test::read_file(folder_.path() / "nestgate.db");
  EXPECT_THAT(file, HasSubstr(identity::hash_api_key(key)));
  EXPECT_THAT(file, testing::Not(HasSubstr(key)));
}

TEST_F(CommandLine, RevokesApiKeysByIdOrNameAndWithTheirOwner) {
  run({"user", "add", "alice", "--config", config_});
  for (auto const name : {"one", "two", "three"})
    EXPECT_EQ(run({"apikey", "add", name, "--role", "user", "--owner", "alice", "--config", config_}), 0);
  EXPECT_EQ(run({"apikey", "revoke", "one", "--config", config_}), 0);
  run({"apikey", "list", "--config", config_});
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '-'), 3 * 2 + 2 + 2) << "in dates, and for the two that are not revoked";
  auto const line_of_two = out_.substr(out_.find("\ttwo\t") - 8);
  EXPECT_EQ(run({"apikey", "revoke", line_of_two.substr(0, 8), "--config", config_}), 0);
  EXPECT_EQ(run({"apikey", "revoke", "four", "--config", config_}), 1);
  EXPECT_EQ(err_, "nestgate: there is no API key four\n");
  run({"apikey", "list", "--config", config_});
  EXPECT_THAT(out_, testing::ContainsRegex("\tthree\tuser\talice\t[^\t]+\t-\n"));
  EXPECT_THAT(out_, testing::ContainsRegex("\ttwo\tuser\talice\t[^\t]+\t20"));
  EXPECT_EQ(run({"user", "revoke", "alice", "--config", config_}), 0);
  run({"apikey", "list", "--config", config_});
  EXPECT_THAT(out_, testing::ContainsRegex("\tthree\tuser\talice\t[^\t]+\t20"));
}

TEST_F(CommandLine, AddsNoApiKeyThatNobodyOrSomeoneElseHas) {
  EXPECT_EQ(run({"apikey", "add", "ci", "--role", "user", "--config", config_}), 2);
  EXPECT_EQ(err_, "nestgate: --owner is missing; a key that is not an admin's needs one\n");
  EXPECT_EQ(run({"apikey", "add", "ci", "--role", "user", "--owner", "alice", "--config", config_}), 1);
  EXPECT_EQ(err_, "nestgate: there is no user alice\n");
  EXPECT_EQ(run({"apikey", "add", "ci", "--role", "admin", "--config", config_}), 0);
  EXPECT_EQ(run({"apikey", "add", "ci", "--role", "admin", "--config", config_}), 1);
  EXPECT_EQ(err_, "nestgate: there is an API key ci already\n");
  EXPECT_EQ(out_, "");
  folder_.write("nestgate.toml",
                "[identity]\nsecret_file = \"secret\"\n[[identity.api_key]]\nname = \"ops\"\nrole = \"admin\"\nhash = \"" +
                    identity::hash_api_key("the key of ops") + "\"\n");
  EXPECT_EQ(run({"apikey", "add", "ops", "--role", "admin", "--config", config_}), 1);
  EXPECT_EQ(err_, "nestgate: there is an API key ops in the settings\n");
}

TEST_F(CommandLine, SaysWhyTheStoreCannotBeUsed) {
  folder_.write("nestgate.db", std::string(4096, 'x'));
  for (auto const& words : std::vector<std::vector<std::string>>{
           {"user", "list"}, {"user", "add", "alice"}, {"apikey", "list"}, {"apikey", "revoke", "ci"}}) {
    auto all = words;
    all.insert(all.end(), {"--config", config_});
    EXPECT_EQ(run(all), 1);
    EXPECT_THAT(err_, HasSubstr("nestgate.db: file is not a database"));
    EXPECT_TRUE(err_is_one_line()) << err_;
  }
  folder_.write("nestgate.toml", "[identity]\nsecret_file = \"secret\"\n[store]\nurl = \"sqlite::memory:\"\n");
  EXPECT_EQ(run({"user", "list", "--config", config_}), 2);
  EXPECT_TRUE(err_is_one_line()) << err_;
}

TEST_F(CommandLine, TakesNamesThatALineCanHold) {
  for (auto const& name : {std::string(), std::string("a\nb"), std::string("a\tb"), std::string(129, 'n')}) {
    EXPECT_EQ(run({"user", "add", name, "--config", config_}), 2) << name;
    EXPECT_EQ(run({"apikey", "add", name, "--role", "admin", "--config", config_}), 2) << name;
    EXPECT_TRUE(err_is_one_line()) << err_;
  }
  EXPECT_EQ(run({"user", "add", "alice", "--organisation", "a\nb", "--config", config_}), 2);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "nestgate.db"));
}

TEST_F(CommandLine, SaysWhatIsWrongWithItsUsageInOneLine) {
  for (auto const& words :
       std::vector<std::vector<std::string>>{{},
                                             {"nonsense"},
                                             {"serve"},
                                             {"serve", "--config"},
                                             {"serve", "--config", config_, "--nonsense"},
                                             {"check"},
                                             {"key"},
                                             {"apikey"},
                                             {"apikey", "nonsense"},
                                             {"apikey", "add", "ci", "--config", config_},
                                             {"apikey", "add", "ci", "--role", "boss", "--config", config_},
                                             {"apikey", "list"},
                                             {"apikey", "revoke", "--config", config_},
                                             {"user"},
                                             {"user", "add", "--config", config_},
                                             {"user", "revoke", "alice"},
                                             {"apikey", "hash", "the-key-as-an-argument"}}) {
    EXPECT_EQ(run(words), 2) << testing::PrintToString(words);
    EXPECT_TRUE(err_is_one_line()) << err_;
    EXPECT_EQ(out_, "");
  }
}

TEST_F(CommandLine, NamesTheArgumentThatItDoesNotKnow) {
  for (auto const& words : std::vector<std::vector<std::string>>{
           {"nonsense"}, {"--nonsense"}, {"key", "--nonsense"}, {"apikey", "nonsense"}, {"check", "nonsense"}}) {
    EXPECT_EQ(run(words), 2);
    EXPECT_THAT(err_, HasSubstr("nonsense")) << testing::PrintToString(words);
  }
}

TEST_F(CommandLine, SaysItsVersionAndHelp) {
  EXPECT_EQ(run({"--version"}), 0);
  EXPECT_EQ(out_, "nestgate " NESTGATE_VERSION "\n");
  EXPECT_EQ(run({"--help"}), 0);
  EXPECT_THAT(out_, testing::AllOf(HasSubstr("serve"), HasSubstr("check"), HasSubstr("key"), HasSubstr("apikey"),
                                   HasSubstr("user")));
  for (auto const command : {"serve", "check", "key", "apikey", "user"}) {
    EXPECT_EQ(run({command, "--help"}), 0) << command;
    EXPECT_THAT(out_, HasSubstr(command));
    EXPECT_EQ(run({command, "--version"}), 0) << command;
    EXPECT_EQ(out_, "nestgate " NESTGATE_VERSION "\n");
  }
}

}  // namespace
}  // namespace nestgate::app
