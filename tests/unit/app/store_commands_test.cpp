#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "nestgate/app/cli.hpp"
#include "nestgate/store/store.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::app {
namespace {

using testing::HasSubstr;

class StoreCommand : public testing::Test {
 protected:
  StoreCommand() {
    folder_.write("secret", "0123456789abcdef0123456789abcdef\n");
    config_ =
        folder_.write("nestgate.toml", "[identity]\nsecret_file = \"secret\"\n[store]\nurl = \"sqlite:s.db\"\n").string();
  }
  int run(std::vector<std::string> words) {
    words.insert(words.begin(), {"nestgate", "store"});
    std::vector<char const*> argv;
    for (auto const& word : words) argv.push_back(word.c_str());
    std::istringstream in;
    std::ostringstream out, err;
    auto const never = [](Settings, ServeOptions) { return 99; };
    auto const code = run_command_line(static_cast<int>(argv.size()), argv.data(), Environment{}, {in, out, err}, never);
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  std::string file(std::string_view name) const { return (folder_.path() / name).string(); }
  std::string url(std::string_view name) const { return "sqlite:" + file(name); }
  void make_store() {
    std::vector<Secret> secrets;
    secrets.emplace_back("0123456789abcdef0123456789abcdef");
    asio::io_context loop(1);
    ASSERT_TRUE(store::open_store(url("s.db"), std::move(secrets), loop.get_executor()));
  }

  test::TempFolder folder_;
  std::string config_, out_, err_;
};

TEST_F(StoreCommand, ChecksTheStoreOfTheSettingsOrAnother) {
  make_store();
  EXPECT_EQ(run({"check", "--config", config_}), 0) << err_;
  EXPECT_EQ(out_ + err_, "");
  folder_.write("text.db", "this is no database, and long enough to be read as one");
  EXPECT_EQ(run({"check", "--config", config_, url("text.db")}), 1);
  EXPECT_THAT(err_, HasSubstr("text.db: file is not a database"));
  EXPECT_EQ(run({"check", "--config", config_, "nonsense"}), 2);
  EXPECT_EQ(run({"check", "--config", config_, "postgresql:///nestgate?host=" + folder_.path().string()}), 1);
  EXPECT_THAT(err_, HasSubstr("store: the server cannot be reached: No such file or directory"));
}

TEST_F(StoreCommand, CopiesAStoreAndSaysHowManyRowsOfEachTable) {
  make_store();
  EXPECT_EQ(run({"copy", url("s.db"), url("t.db")}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("conversation\t0\n"));
  EXPECT_THAT(out_, HasSubstr("probe\t1\n"));
  EXPECT_EQ(run({"check", "--config", config_, url("t.db")}), 0) << err_;
  EXPECT_EQ(run({"copy", url("s.db"), url("t.db")}), 1);
  EXPECT_THAT(err_, HasSubstr("the target: store: is not empty"));
  EXPECT_EQ(run({"copy", url("s.db"), "nonsense"}), 2);
  EXPECT_EQ(run({"copy", url("s.db")}), 2);
}

TEST_F(StoreCommand, TakesNoPasswordFromTheCommandLine) {
  for (auto const& words : {std::vector<std::string>{"copy", url("s.db"), "postgresql://u:word@h/d"},
                            {"copy", "postgresql://h/d?password=word", url("s.db")},
                            {"check", "postgresql://u:word@h/d"}}) {
    EXPECT_EQ(run(words), 2);
    EXPECT_THAT(err_, HasSubstr("passfile"));
    EXPECT_THAT(err_, testing::Not(HasSubstr("word@")));
  }
}

TEST_F(StoreCommand, WritesABackupOfTheStoreOfTheSettings) {
  make_store();
  EXPECT_EQ(run({"backup", "--config", config_, file("backup.db")}), 0) << err_;
  EXPECT_EQ(run({"check", "--config", config_, url("backup.db")}), 0) << err_;
  EXPECT_EQ(run({"backup", "--config", config_, file("backup.db")}), 1);
  EXPECT_THAT(err_, HasSubstr("backup.db: File exists"));
}

}  // namespace
}  // namespace nestgate::app
