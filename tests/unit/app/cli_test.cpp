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

TEST_F(CommandLine, SaysWhatIsWrongWithItsUsageInOneLine) {
  for (auto const& words : std::vector<std::vector<std::string>>{{},
                                                                 {"nonsense"},
                                                                 {"serve"},
                                                                 {"serve", "--config"},
                                                                 {"serve", "--config", config_, "--nonsense"},
                                                                 {"check"},
                                                                 {"key"},
                                                                 {"apikey"},
                                                                 {"apikey", "nonsense"},
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
  EXPECT_THAT(out_, testing::AllOf(HasSubstr("serve"), HasSubstr("check"), HasSubstr("key"), HasSubstr("apikey")));
  for (auto const command : {"serve", "check", "key", "apikey"}) {
    EXPECT_EQ(run({command, "--help"}), 0) << command;
    EXPECT_THAT(out_, HasSubstr(command));
    EXPECT_EQ(run({command, "--version"}), 0) << command;
    EXPECT_EQ(out_, "nestgate " NESTGATE_VERSION "\n");
  }
}

}  // namespace
}  // namespace nestgate::app
