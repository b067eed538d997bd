#include "nestgate/app/settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "support/temp_folder.hpp"
#include "support/tls.hpp"

namespace nestgate::app {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view secret_text = "0123456789abcdef0123456789abcdef";
constexpr std::string_view with_secret = "[identity]\nsecret_file = \"secret\"\n";

class SettingsFile : public testing::Test {
 protected:
  SettingsFile() { folder_.write("secret", std::string(secret_text) + "\n"); }

  LoadedSettings load(std::string_view text) {
    SettingsSource source;
    source.file = folder_.write("nestgate.toml", text);
    source.environment.variables = variables_;
    source.secret_rule = rule_;
    if (secret_) source.environment.secret.emplace(*secret_);
    return load_settings(source);
  }
  LoadedSettings load_with_secret(std::string_view text) { return load(std::string(text) + std::string(with_secret)); }
  // The one fault, without the folder's name.
  std::string fault_of(std::string_view text) {
    auto const loaded = load(text);
    EXPECT_FALSE(loaded.settings);
    if (loaded.faults.size() != 1) return testing::PrintToString(loaded.faults);
    return without_folder(loaded.faults.front());
  }
  std::string without_folder(std::string line) const {
    auto const prefix = folder_.path().string() + "/";
    for (auto at = line.find(prefix); at != line.npos; at = line.find(prefix)) line.erase(at, prefix.size());
    return line;
  }

  test::TempFolder folder_;
  std::map<std::string, std::string, std::less<>> variables_;
  std::optional<std::string> secret_;
  SecretRule rule_ = SecretRule::long_enough;
};

TEST_F(SettingsFile, WithASecretAloneGivesTheDefaults) {
  auto const loaded = load(with_secret);
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  EXPECT_THAT(loaded.warnings, IsEmpty());
  auto const& s = *loaded.settings;
  ASSERT_EQ(s.listen.client.size(), 1u);
  EXPECT_EQ(to_string(s.listen.client.front()), "0.0.0.0:8080");
  EXPECT_EQ(s.listen.admin.port(), 9090);
  EXPECT_EQ(s.limits.tunnel_backlog_bytes_max, Limits{}.tunnel_backlog_bytes_max);
  EXPECT_EQ(s.timeouts.keep_alive, Timeouts{}.keep_alive);
  EXPECT_TRUE(std::holds_alternative<AccessLogStderr>(s.log.access));
  ASSERT_EQ(s.identity.secrets.size(), 1u);
  EXPECT_TRUE(s.identity.secrets.front().equals(secret_text));
}

TEST_F(SettingsFile, SetsEveryKindOfValue) {
  auto const loaded = load(R"(
[listen]
client = ["127.0.0.1:0", "[::1]:8081", "unix:run/nestgate.sock"]
threads = 3
[identity]
secret_file = "secret"
derivation = "hmac-sha256"
[[identity.api_key]]
name = "ops"
role = "admin"
hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
[routing]
domain = "sandboxes.example.org"
default = "9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062"
first_frame = false
trusted_proxies = ["10.0.0.0/8", "::1"]
public_url = "https://gate.example.org"
[[runtime.static]]
id = "c1"
url = "http://127.0.0.1:9001"
ports = { vscode = 8001, app = 8002 }
[runtime.process]
command = ["python", "-m", "openhands.agent_server", "--port", "{port}"]
environment = { TZ = "UTC" }
workspace_dir = "spaces"
open_files_max = 4096
[limits]
tunnel_backlog_bytes_max = "1MiB"
request_fields_max = 64
[timeouts]
head = "250ms"
tunnel_idle = "15m"
stream_idle = 0
[automation]
allow_private_callbacks = true
run_timeout_default = "5m"
[log]
level = "warn"
access = "access.log"
)");
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  auto const& s = *loaded.settings;
  ASSERT_EQ(s.listen.client.size(), 3u);
  EXPECT_EQ(to_string(s.listen.client[1]), "[::1]:8081");
  EXPECT_EQ(std::get<std::filesystem::path>(s.listen.client[2]), folder_.path() / "run/nestgate.sock");
  EXPECT_EQ(s.listen.threads, 3u);
  EXPECT_EQ(s.identity.derivation, identity::Derivation::hmac_sha256);
  ASSERT_EQ(s.identity.api_keys.size(), 1u);
  EXPECT_EQ(s.identity.api_keys[0].principal.role, identity::Role::admin);
  EXPECT_EQ(s.routing.rules.domain, "sandboxes.example.org");
  EXPECT_EQ(s.routing.fallback->canonical(), "9eba03e68cc24c3daa8a225f0e79e062");
  EXPECT_FALSE(s.routing.rules.first_frame);
  EXPECT_TRUE(s.routing.rules.session_key);
  EXPECT_EQ(s.routing.trusted_proxies.v4.size(), 1u);
  EXPECT_EQ(s.routing.trusted_proxies.v6.size(), 1u);
  EXPECT_EQ(s.routing.public_url, "https://gate.example.org");
  ASSERT_EQ(s.static_runtimes.size(), 1u);
  EXPECT_EQ(s.static_runtimes[0].ports.size(), 2u);
  EXPECT_FALSE(s.static_runtimes[0].session_api_key);
  EXPECT_THAT(s.process.command, ElementsAre("python", "-m", "openhands.agent_server", "--port", "{port}"));
  EXPECT_THAT(s.process.environment, ElementsAre(testing::Pair("TZ", "UTC")));
  EXPECT_EQ(s.process.workspace_dir, folder_.path() / "spaces");
  EXPECT_EQ(s.process.limits.open_files, 4096u);
  EXPECT_FALSE(s.process.limits.processes);
  EXPECT_EQ(s.limits.tunnel_backlog_bytes_max, 1u << 20);
  EXPECT_EQ(s.limits.request_fields_max, 64u);
  EXPECT_EQ(s.timeouts.head, 250ms);
  EXPECT_EQ(s.timeouts.tunnel_idle, 15min);
  EXPECT_EQ(s.timeouts.stream_idle, 0ms);
  EXPECT_EQ(s.automation.private_callbacks, automation::PrivateCallbacks::allow);
  EXPECT_EQ(s.automation.run_time_default, 5min);
  EXPECT_EQ(s.log.level, LogLevel::warn);
  EXPECT_EQ(std::get<std::filesystem::path>(s.log.access), folder_.path() / "access.log");
}

TEST_F(SettingsFile, SaysWhereAndWhatIsWrongAndWhatIsAllowed) {
  EXPECT_EQ(fault_of("[limits]\nrequest_fields_max = 4\n[identity]\nsecret_file = \"secret\"\n"),
            "nestgate.toml:2: limits.request_fields_max: 4 is not allowed; allowed: an integer, 8 to 256");
  EXPECT_EQ(fault_of("[identity]\nsecret_file = \"secret\"\n[timeouts]\nhead = \"10\"\n"),
            "nestgate.toml:4: timeouts.head: \"10\" is not allowed; allowed: time, 10ms to 10m (as \"250ms\", \"10s\", "
            "\"15m\", \"1h\")");
}

TEST_F(SettingsFile, ReportsAllFaultsNotOnlyTheFirst) {
  auto const loaded = load(R"([listen]
client = ["localhost:80"]
threads = "many"
[limits]
no_such_limit = 1
[identity]
derivation = "md5"
)");
  std::vector<std::string> faults;
  for (auto const& fault : loaded.faults) faults.push_back(without_folder(fault));
  EXPECT_THAT(
      faults,
      ElementsAre(
          HasSubstr("nestgate.toml:5: limits.no_such_limit: unknown key"),
          HasSubstr("nestgate.toml:2: listen.client: \"localhost:80\" is not allowed"),
          HasSubstr("nestgate.toml:3: listen.threads: \"many\" is not allowed"),
          HasSubstr(
              "nestgate.toml:7: identity.derivation: \"md5\" is not allowed; allowed: one of \"sha256\", \"hmac-sha256\""),
          HasSubstr("identity.secret_file: there is no secret")));
  for (auto const& fault : loaded.faults) EXPECT_EQ(fault.find('\n'), fault.npos);
}

TEST_F(SettingsFile, NamesEachFaultyElementOfAListOrTable) {
  auto const fault = [&](std::string const& text) { return fault_of(std::string(with_secret) + text); };
  EXPECT_THAT(fault("[routing]\ntrusted_proxies = [\"nowhere\", \"10.0.0.0/8\", \"10.0.0.1/8\"]\n"),
              testing::AllOf(HasSubstr("\"nowhere\" is not allowed"), HasSubstr("; \"10.0.0.1/8\" is not allowed")));
  EXPECT_THAT(fault("[wake]\nnever = [\"a\", \"/b\", \"/c/\"]\n"),
              testing::AllOf(HasSubstr("\"a\" is not allowed"), HasSubstr("; \"/c/\" is not allowed")));
  EXPECT_THAT(fault("[runtime.process]\nenvironment = { \"1A\" = \"x\", GOOD = \"y\", \"B-C\" = \"z\" }\n"),
              testing::AllOf(HasSubstr("name \"1A\" is not allowed"), HasSubstr("; name \"B-C\" is not allowed")));
}

TEST_F(SettingsFile, TakesFactorsOfResourcesThatAStartMayHaveToo) {
  for (std::string const table : {"[runtime.remote]\n", "[[cloud.spec]]\nid = \"a\"\n"}) {
    for (auto const* factor : {"0", "3", "16"})
      EXPECT_THAT(fault_of(std::string(with_secret) + table + "resource_factor = " + factor + "\n"),
                  HasSubstr("is not allowed; allowed: 1, 2, 4 or 8"));
    EXPECT_TRUE(load(std::string(with_secret) + table + "resource_factor = 4\n").faults.empty());
  }
}

TEST_F(SettingsFile, RefusesOneSandboxSpecificationTwice) {
  EXPECT_THAT(fault_of(std::string(with_secret) + "[[cloud.spec]]\nid = \"a\"\n[[cloud.spec]]\nid = \"a\"\n"),
              HasSubstr("cloud.spec[1].id: \"a\" is there twice"));
}

TEST_F(SettingsFile, RefusesUnknownKeysOnEveryLevelAndNamesThoseThatExist) {
  EXPECT_THAT(fault_of(std::string(with_secret) + "[nonsense]\na = 1\n"),
              HasSubstr("nestgate.toml:3: nonsense: unknown key; allowed here: listen, tls, identity"));
  EXPECT_THAT(fault_of(std::string(with_secret) + "[log]\nformat = 1\n"),
              HasSubstr("nestgate.toml:4: log.format: unknown key; allowed here: level, access"));
  EXPECT_THAT(fault_of(std::string(with_secret) +
                       "[[identity.api_key]]\nname = \"a\"\nrole = \"admin\"\nkey = \"b\"\n"
                       "hash = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n"),
              HasSubstr("nestgate.toml:6: identity.api_key[0].key: unknown key; allowed here: name, role, owner, hash"));
  EXPECT_THAT(fault_of(std::string("log = 1\n") + std::string(with_secret)), HasSubstr("log: must be a table, [log]"));
}

TEST_F(SettingsFile, RefusesTheWrongTypeEvenWhenTheTextWouldDo) {
  EXPECT_THAT(fault_of(std::string(with_secret) + "allow_short_secret = \"true\"\n"),
              HasSubstr("\"true\" is not allowed; allowed: true or false"));
  EXPECT_THAT(fault_of(std::string(with_secret) + "[listen]\nthreads = \"2\"\n"), HasSubstr("allowed: an integer"));
  EXPECT_THAT(fault_of(std::string(with_secret) + "[listen]\nclient = \"0.0.0.0:80\"\n"), HasSubstr("allowed: list of"));
  EXPECT_THAT(fault_of(std::string(with_secret) + "[limits]\ntrailer_bytes_max = 1.5\n"), HasSubstr("a float"));
}

TEST_F(SettingsFile, NamesTheLineOfASyntaxFault) {
  EXPECT_THAT(fault_of("[listen]\nthreads = \n"), HasSubstr("nestgate.toml:2: not TOML: "));
}

TEST_F(SettingsFile, IsNamedWhenItCannotBeRead) {
  SettingsSource source;
  source.file = folder_.path() / "missing.toml";
  auto const loaded = load_settings(source);
  ASSERT_EQ(loaded.faults.size(), 1u);
  EXPECT_THAT(loaded.faults.front(), HasSubstr("missing.toml: cannot be read"));
}

TEST_F(SettingsFile, MayBeEmptyWhereTheEnvironmentSaysAll) {
  SettingsSource source;
  source.environment.secret.emplace(std::string(secret_text));
  for (auto const& file : {folder_.write("empty.toml", ""), std::filesystem::path("/dev/null")}) {
    source.file = file;
    EXPECT_THAT(load_settings(source).faults, ElementsAre());
  }
  source.file = folder_.path();
  EXPECT_THAT(load_settings(source).faults, ElementsAre(HasSubstr("cannot be read"))) << "a folder is no file";
}

TEST_F(SettingsFile, IsOverriddenByTheEnvironment) {
  variables_ = {{"NESTGATE_LISTEN_CLIENT", "127.0.0.1:1, [::1]:2"},
                {"NESTGATE_LISTEN_THREADS", "7"},
                {"NESTGATE_LIMITS_TRAILER_BYTES_MAX", "16KiB"},
                {"NESTGATE_TIMEOUTS_KEEP_ALIVE", "20s"},
                {"NESTGATE_ROUTING_HOST", "false"},
                {"NESTGATE_ROUTING_TRUSTED_PROXIES", ""},
                {"NESTGATE_RUNTIME_PROCESS_ENVIRONMENT", "TZ=UTC,OPTIONS=a=b"}};
  auto const loaded =
      load("[listen]\nthreads = 1\n[routing]\ntrusted_proxies = [\"10.0.0.0/8\"]\n" + std::string(with_secret));
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  EXPECT_THAT(loaded.warnings, IsEmpty());
  auto const& s = *loaded.settings;
  ASSERT_EQ(s.listen.client.size(), 2u);
  EXPECT_EQ(to_string(s.listen.client[1]), "[::1]:2");
  EXPECT_EQ(s.listen.threads, 7u);
  EXPECT_EQ(s.limits.trailer_bytes_max, 16u * 1024);
  EXPECT_EQ(s.timeouts.keep_alive, 20s);
  EXPECT_FALSE(s.routing.rules.host);
  EXPECT_THAT(s.routing.trusted_proxies.v4, IsEmpty());
  EXPECT_THAT(s.process.environment, ElementsAre(testing::Pair("TZ", "UTC"), testing::Pair("OPTIONS", "a=b")));
}

TEST_F(SettingsFile, NamesTheVariableThatIsWrong) {
  variables_ = {{"NESTGATE_LISTEN_THREADS", "257"}};
  EXPECT_EQ(fault_of(with_secret),
            "NESTGATE_LISTEN_THREADS: listen.threads: \"257\" is not allowed; allowed: an integer, 0 to 256");
}

TEST_F(SettingsFile, RefusesAVariableThatNamesASectionButNoKeyOfIt) {
  for (auto const name : {"NESTGATE_LISTEN_THREAD", "NESTGATE_IDENTITY_API_KEY", "NESTGATE_RUNTIME_STATIC"}) {
    variables_ = {{name, "2"}};
    EXPECT_THAT(fault_of(with_secret), HasSubstr(std::string(name) + ": no setting has this name"));
  }
}

TEST_F(SettingsFile, WarnsOfAVariableThatIsNoSetting) {
  variables_ = {{"NESTGATE_FOO", "2"}};
  auto const loaded = load(with_secret);
  EXPECT_TRUE(loaded.settings);
  EXPECT_THAT(loaded.warnings, ElementsAre(HasSubstr("NESTGATE_FOO: no setting has this name")));
}

TEST_F(SettingsFile, RefusesCertificatesThatAreNone) {
  folder_.write("cert.pem", "nonsense");
  folder_.write("key.pem", "nonsense");
  EXPECT_THAT(fault_of("[listen]\nclient_tls = [\"127.0.0.1:0\"]\n[[tls.certificate]]\ncert_file = \"cert.pem\"\n"
                       "key_file = \"key.pem\"\n" +
                       std::string(with_secret)),
              HasSubstr("nestgate.toml:3: tls.certificate: "));
}

TEST_F(SettingsFile, RefusesAnAccessLogInAFolderThatIsNotThere) {
  EXPECT_THAT(fault_of("[log]\naccess = \"nowhere/access.log\"\n" + std::string(with_secret)),
              HasSubstr("nestgate.toml:2: log.access: nowhere cannot be written to"));
}

TEST_F(SettingsFile, RefusesAShortSecretUnlessToldThatItIsAnOldInstallation) {
  folder_.write("secret", std::string(31, 's'));
  EXPECT_THAT(fault_of(with_secret),
              HasSubstr("nestgate.toml:2: identity.secret_file: the secret in secret has 31 bytes; allowed: 32 and more"));
  auto const loaded = load(std::string(with_secret) + "allow_short_secret = true\n");
  EXPECT_TRUE(loaded.settings);
  EXPECT_THAT(loaded.warnings, ElementsAre(HasSubstr("identity.secret_file: the secret in secret has 31 bytes")));
}

TEST_F(SettingsFile, CountsNoLineEndsOfASecretFileButEveryOtherByte) {
  folder_.write("secret", std::string(secret_text) + "\r\n\n");
  EXPECT_TRUE(load(with_secret).settings->identity.secrets.front().equals(secret_text));
  folder_.write("secret", " " + std::string(secret_text) + " \n");
  EXPECT_EQ(load(with_secret).settings->identity.secrets.front().size(), secret_text.size() + 2);
}

TEST_F(SettingsFile, RefusesAnEmptySecretEvenForDerivingOldKeys) {
  folder_.write("secret", "\n");
  rule_ = SecretRule::any;
  EXPECT_THAT(fault_of(std::string(with_secret) + "allow_short_secret = true\n"), HasSubstr("secret is empty"));
}

TEST_F(SettingsFile, TakesAnySecretForDerivingOldKeysWithoutAWord) {
  folder_.write("secret", "s");
  rule_ = SecretRule::any;
  auto const loaded = load(with_secret);
  ASSERT_TRUE(loaded.settings);
  EXPECT_THAT(loaded.warnings, IsEmpty());
}

TEST_F(SettingsFile, NeverRepeatsASecretInAFault) {
  folder_.write("secret", "hunter2");
  EXPECT_THAT(fault_of(with_secret), testing::Not(HasSubstr("hunter2")));
  EXPECT_THAT(fault_of(std::string("[[identity.api_key]]\nname = \"a\"\nrole = \"admin\"\nhash = "
                                   "\"plain-api-key\"\n[identity]\nsecret_file = \"secret\"\n"
                                   "allow_short_secret = true\n")),
              testing::AllOf(HasSubstr("hash: not a hash"), testing::Not(HasSubstr("plain-api-key"))));
}

TEST_F(SettingsFile, TakesTheSecretOfTheEnvironmentBeforeEveryFile) {
  secret_ = std::string(40, 'e');
  auto const loaded = load("[identity]\nsecret_file = \"missing\"\n");
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  ASSERT_EQ(loaded.settings->identity.secrets.size(), 1u);
  EXPECT_TRUE(loaded.settings->identity.secrets.front().equals(*secret_));
  secret_ = "short";
  EXPECT_THAT(fault_of(with_secret), HasSubstr("NESTGATE_SECRET: identity.secret: the secret has 5 bytes"));
}

TEST_F(SettingsFile, ReadsSecretsInTheirOrderForRotation) {
  folder_.write("new", std::string(32, 'n'));
  auto const loaded = load("[identity]\nsecret_files = [\"new\", \"secret\"]\n");
  ASSERT_TRUE(loaded.settings);
  ASSERT_EQ(loaded.settings->identity.secrets.size(), 2u);
  EXPECT_TRUE(loaded.settings->identity.secrets[0].equals(std::string(32, 'n')));
  EXPECT_TRUE(loaded.settings->identity.secrets[1].equals(secret_text));
}

TEST_F(SettingsFile, RefusesOneSecretFileBesideSeveral) {
  EXPECT_THAT(fault_of("[identity]\nsecret_file = \"secret\"\nsecret_files = [\"secret\"]\n"),
              HasSubstr("nestgate.toml:3: identity.secret_files: only one of secret_file and secret_files is allowed"));
}

TEST_F(SettingsFile, WarnsOfASecretThatOthersCanRead) {
  ::chmod((folder_.path() / "secret").c_str(), 0644);
  auto const loaded = load(with_secret);
  EXPECT_TRUE(loaded.settings);
  EXPECT_THAT(loaded.warnings, ElementsAre(HasSubstr("can be read by others than its owner")));
}

TEST_F(SettingsFile, NeedsSomewhereToListenAndACertificateForTls) {
  EXPECT_THAT(fault_of("[listen]\nclient = []\n" + std::string(with_secret)),
              HasSubstr("nestgate.toml:2: listen.client: no address to listen on"));
  EXPECT_THAT(fault_of("[listen]\nclient_tls = [\"0.0.0.0:8443\"]\n" + std::string(with_secret)),
              HasSubstr("nestgate.toml:2: listen.client_tls: there is no certificate"));
}

TEST_F(SettingsFile, NamesTheCertificateFileThatCannotBeRead) {
  folder_.write("cert.pem", "");
  EXPECT_THAT(fault_of("[[tls.certificate]]\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n" + std::string(with_secret)),
              HasSubstr("nestgate.toml:3: tls.certificate[0].key_file: key.pem cannot be read: No such file"));
}

TEST_F(SettingsFile, NeedsWhatATableCannotDoWithout) {
  EXPECT_THAT(
      fault_of("[[runtime.static]]\nid = \"c1\"\n" + std::string(with_secret)),
      HasSubstr("nestgate.toml:1: runtime.static[0].url: is missing; allowed: http://HOST[:PORT] or https://HOST[:PORT]"));
}

TEST_F(SettingsFile, LoadsWhoVouchesForNestedServersAndNamesTheKeyOfAFileThatIsNone) {
  test::make_certificate(folder_.path(), "ca", {"localhost"});
  auto const loaded = load_with_secret("[runtime]\nca_file = \"ca.crt\"\n");
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  EXPECT_EQ(loaded.settings->nested_ca_file, folder_.path() / "ca.crt");
  EXPECT_TRUE(loaded.settings->conversations.nested_tls);
  EXPECT_EQ(loaded.settings->remote.nested_tls, loaded.settings->conversations.nested_tls);
  EXPECT_FALSE(load(with_secret).settings->conversations.nested_tls) << "the system's authorities";
  EXPECT_THAT(fault_of("[runtime]\nca_file = \"none.crt\"\n" + std::string(with_secret)),
              HasSubstr("nestgate.toml:2: runtime.ca_file: none.crt: "));
  EXPECT_THAT(fault_of("[runtime]\nca_file = \"secret\"\n" + std::string(with_secret)),
              HasSubstr("nestgate.toml:2: runtime.ca_file: secret: "));
}

TEST_F(SettingsFile, TakesStaticRuntimesByHttpAndHttpsWithoutAPath) {
  auto const text = [](std::string const& url) {
    return "[[runtime.static]]\nid = \"c1\"\nurl = \"" + url + "\"\n" + std::string(with_secret);
  };
  for (auto const* url : {"http://a", "https://a", "https://a:8443", "https://127.0.0.1:1"})
    EXPECT_TRUE(load(text(url)).settings) << url;
  for (auto const* url : {"https://a/path", "https://a?b", "ftp://a"})
    EXPECT_THAT(fault_of(text(url)), HasSubstr("allowed: http://HOST[:PORT] or https://HOST[:PORT]")) << url;
}

TEST_F(SettingsFile, RefusesIdsThatNoPathCanNameWithTheReason) {
  auto const fault = [&](std::string const& id) {
    return fault_of("[[runtime.static]]\nid = \"" + id + "\"\nurl = \"http://a\"\n" + std::string(with_secret));
  };
  EXPECT_THAT(fault("search"), HasSubstr("runtime.static[0].id: \"search\" must not be search, count or"));
  EXPECT_THAT(fault(".."), HasSubstr("runtime.static[0].id: \"..\" must not be . or .."));
  EXPECT_THAT(fault("a/b"), HasSubstr("runtime.static[0].id: \"a/b\" must be 1 to 128 of A-Za-z0-9._-"));
}

TEST_F(SettingsFile, RefusesOneConversationTwiceInWhateverFormOfItsUuid) {
  EXPECT_THAT(fault_of("[[runtime.static]]\nid = \"9eba03e68cc24c3daa8a225f0e79e062\"\nurl = \"http://a\"\n"
                       "[[runtime.static]]\nid = \"9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062\"\nurl = \"http://b\"\n" +
                       std::string(with_secret)),
              HasSubstr("nestgate.toml:5: runtime.static[1].id: \"9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062\" is there twice"));
}

TEST_F(SettingsFile, ReadsTheKeyOfAStaticRuntimeAndRefusesOneThatNoHeaderCanCarry) {
  std::string const text =
      "[[runtime.static]]\nid = \"c1\"\nurl = \"http://a\"\nsession_api_key_file = \"key\"\n" + std::string(with_secret);
  folder_.write("key", "visible-key\n");
  EXPECT_TRUE(load(text).settings->static_runtimes.at(0).session_api_key->equals("visible-key"));
  folder_.write("key", "two\nlines\n");
  EXPECT_THAT(fault_of(text),
              HasSubstr("runtime.static[0].session_api_key_file: the key has bytes that no header field can carry"));
}

TEST_F(SettingsFile, RefusesApiKeysThatCannotBeToldApartOrOwnNothing) {
  std::string const hash = "hash = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n";
  EXPECT_THAT(fault_of("[[identity.api_key]]\nname = \"a\"\nrole = \"admin\"\n" + hash +
                       "[[identity.api_key]]\nname = \"b\"\nrole = \"admin\"\n" + hash + std::string(with_secret)),
              HasSubstr("nestgate.toml:8: identity.api_key[1].hash: this key is there twice"));
  EXPECT_THAT(fault_of("[[identity.api_key]]\nname = \"a\"\nrole = \"user\"\n" + hash + std::string(with_secret)),
              HasSubstr("identity.api_key[0].owner: is missing"));
}

TEST_F(SettingsFile, HoldsLimitsAgainstEachOther) {
  EXPECT_THAT(fault_of("[automation]\nrun_timeout_max = \"1m\"\n" + std::string(with_secret)),
              HasSubstr("automation.run_timeout_default: 10m is more than automation.run_timeout_max"));
  EXPECT_THAT(fault_of("[limits]\nown_bodies_bytes_max = \"32MiB\"\n" + std::string(with_secret)),
              HasSubstr("limits.own_bodies_bytes_max: 32MiB is less than one body may have; allowed: at least 64MiB"));
}

TEST_F(SettingsFile, ReadsSigningKeysOfCompletions) {
  std::string const text = "[automation]\ncompletion_signing_key_files = [\"signing\"]\n" + std::string(with_secret);
  folder_.write("signing", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
  auto const loaded = load(text);
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  EXPECT_TRUE(loaded.settings->automation.webhook_signing_keys->at(0).equals(secret_text));
  folder_.write("signing", "not a key");
  EXPECT_THAT(fault_of(text), HasSubstr("holds no key; allowed: base64 of 24 to 64 bytes"));
}

TEST_F(SettingsFile, SendsRunsWhereItSays) {
  auto const target_of = [&](std::string_view target) {
    auto loaded = load_with_secret("[automation]\ntarget = \"" + std::string(target) + "\"\n");
    return loaded.settings ? automation::to_string(loaded.settings->automation.target) : loaded.faults.front();
  };
  EXPECT_EQ(automation::to_string(load(with_secret).settings->automation.target), "fresh");
  for (auto const target : {"fresh", "warm", "conversation:c1", "label:builders"}) EXPECT_EQ(target_of(target), target);
  for (auto const target : {"", "hot", "conversation:", "label:"})
    EXPECT_THAT(target_of(target), HasSubstr("automation.target: ")) << target;
}

TEST_F(SettingsFile, ReadsTheSecretsOfAutomationsFromFiles) {
  folder_.write("local", "the-local-key\n");
  folder_.write("kv", "the-kv-secret");
  folder_.write("events", "the-event-secret");
  auto const loaded = load_with_secret(
      "[automation]\nlocal_api_key_file = \"local\"\nkv_secret_file = \"kv\"\nwebhook_secret_file = \"events\"\n");
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  auto const& s = *loaded.settings;
  EXPECT_TRUE(s.api.automation.local_key->equals("the-local-key"));
  EXPECT_TRUE(s.automation.kv_secret->equals("the-kv-secret"));
  ASSERT_EQ(s.api.automation.webhook_secrets->size(), 1U);
  EXPECT_TRUE(s.api.automation.webhook_secrets->front().equals("the-event-secret"));
  for (std::string const key : {"local_api_key_file", "kv_secret_file", "webhook_secret_file"})
    EXPECT_THAT(fault_of("[automation]\n" + key + " = \"nowhere\"\n" + std::string(with_secret)),
                HasSubstr("automation." + key + ": "))
        << key;
}

TEST_F(SettingsFile, ReadsTheEventSecretThatIsReplacedBesideTheNewOne) {
  folder_.write("new", "the-new-secret");
  folder_.write("old", "the-old-secret\n");
  auto const loaded =
      load_with_secret("[automation]\nwebhook_secret_file = \"new\"\nwebhook_secret_previous_file = \"old\"\n");
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  auto const& secrets = *loaded.settings->api.automation.webhook_secrets;
  ASSERT_EQ(secrets.size(), 2U);
  EXPECT_TRUE(secrets[0].equals("the-new-secret"));
  EXPECT_TRUE(secrets[1].equals("the-old-secret"));
  EXPECT_THAT(fault_of("[automation]\nwebhook_secret_previous_file = \"old\"\n" + std::string(with_secret)),
              HasSubstr("automation.webhook_secret_previous_file: is there without automation.webhook_secret_file"));
  EXPECT_THAT(fault_of("[automation]\nwebhook_secret_file = \"new\"\nwebhook_secret_previous_file = \"nowhere\"\n" +
                       std::string(with_secret)),
              HasSubstr("automation.webhook_secret_previous_file: "));
}

TEST_F(SettingsFile, TakesOriginsAsBrowsersWriteThem) {
  auto const loaded =
      load_with_secret("[automation]\ncors_origins = [\"https://app.example\", \"http://localhost:3000\"]\n");
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  EXPECT_THAT(loaded.settings->api.automation.cors_origins, ElementsAre("https://app.example", "http://localhost:3000"));
  for (std::string const origin : {"*", "app.example", "https://app.example/", "https://app.example/x", "ftp://app.example"})
    EXPECT_THAT(fault_of("[automation]\ncors_origins = [\"" + origin + "\"]\n" + std::string(with_secret)),
                HasSubstr("automation.cors_origins"))
        << origin;
}

TEST_F(SettingsFile, SaysWhatAReloadAppliesAndWhatNeedsARestart) {
  auto const before = load(with_secret);
  folder_.write("secret", std::string(32, 'x'));
  auto after =
      load("[listen]\nthreads = 2\n[timeouts]\nhead = \"5s\"\n[[runtime.static]]\nid = \"c1\"\nurl = \"http://a\"\n" +
           std::string(with_secret));
  auto const plan = plan_reload(*before.settings, std::move(*after.settings));
  EXPECT_THAT(plan.applied, testing::UnorderedElementsAre("timeouts.head", "runtime.static", "identity.secret"));
  EXPECT_THAT(plan.needs_restart, ElementsAre("listen.threads"));
}

TEST_F(SettingsFile, LeavesWhatNeedsARestartAsItRuns) {
  auto running = load(with_secret);
  auto const changed = "[listen]\nthreads = 2\n[log]\naccess = \"off\"\n[routing]\npublic_url = \"https://gw.test\"\n" +
                       std::string(with_secret) + "derivation = \"hmac-sha256\"\n";
  auto const first = plan_reload(*running.settings, std::move(*load(changed).settings));
  EXPECT_EQ(first.settings.listen.threads, running.settings->listen.threads);
  EXPECT_EQ(first.settings.identity.derivation, identity::Derivation::sha256);
  EXPECT_TRUE(std::holds_alternative<AccessLogStderr>(first.settings.log.access));
  EXPECT_EQ(first.settings.routing.public_url, "https://gw.test");
  auto const second = plan_reload(first.settings, std::move(*load(changed).settings));
  EXPECT_THAT(second.applied, IsEmpty());
  EXPECT_THAT(second.needs_restart, testing::UnorderedElementsAre("listen.threads", "log.access", "identity.derivation"))
      << "still due";
  EXPECT_THAT(plan_reload(first.settings, std::move(*load(with_secret).settings)).needs_restart, IsEmpty())
      << "put back as it runs";
}

TEST_F(SettingsFile, NamesAStoreBesideItUnlessItSaysOtherwise) {
  auto const url_of = [&](std::string_view line) {
    auto loaded = load("[store]\n" + std::string(line) + "\n" + std::string(with_secret));
    return loaded.settings ? loaded.settings->store_url : testing::PrintToString(loaded.faults);
  };
  EXPECT_EQ(url_of(""), "sqlite:" + (folder_.path() / "nestgate.db").string());
  EXPECT_EQ(url_of("url = \"sqlite:data/n.db\""), "sqlite:" + (folder_.path() / "data/n.db").string());
  EXPECT_EQ(url_of("url = \"sqlite:/var/lib/nestgate/n.db\""), "sqlite:/var/lib/nestgate/n.db");
  EXPECT_EQ(url_of("url = \"sqlite::memory:\""), "sqlite::memory:");
  EXPECT_EQ(url_of("url = \"postgresql://gate@db.example:5433/nestgate\""), "postgresql://gate@db.example:5433/nestgate");
  for (auto const url : {"sqlite:", "nestgate.db", "mysql://host/db", ""})
    EXPECT_THAT(url_of("url = \"" + std::string(url) + "\""),
                HasSubstr("store.url: \\\"" + std::string(url) + "\\\" is not allowed; allowed: \\\"sqlite:PATH\\\", "));
}

TEST_F(SettingsFile, BoundsTheStoresConnections) {
  auto const loaded = load("[store]\nconnections = 9\n" + std::string(with_secret));
  ASSERT_TRUE(loaded.settings) << testing::PrintToString(loaded.faults);
  EXPECT_EQ(loaded.settings->store_options.connections, 9U);
  for (auto const* const beyond : {"0", "65"})
    EXPECT_THAT(fault_of("[store]\nconnections = " + std::string(beyond) + "\n" + std::string(with_secret)),
                HasSubstr("store.connections: " + std::string(beyond) + " is not allowed; allowed: an integer, 1 to 64"));
}

TEST_F(SettingsFile, DiffersInNothingFromItself) {
  auto const first = load(with_secret);
  auto second = load(with_secret);
  auto const plan = plan_reload(*first.settings, std::move(*second.settings));
  EXPECT_THAT(plan.applied, IsEmpty());
  EXPECT_THAT(plan.needs_restart, IsEmpty());
}

TEST(ProcessEnvironment, IsTakenWithoutLeavingTheSecretToChildren) {
  ::setenv("NESTGATE_SECRET", "the plain text", 1);
  ::setenv("NESTGATE_LISTEN_THREADS", "2", 1);
  ::setenv("OTHER", "x", 1);
  char const* const plain = ::getenv("NESTGATE_SECRET");
  auto const taken = take_environment();
  ASSERT_TRUE(taken.secret);
  EXPECT_TRUE(taken.secret->equals("the plain text"));
  EXPECT_EQ(::getenv("NESTGATE_SECRET"), nullptr);
  EXPECT_EQ(std::string_view(plain, 14), std::string(14, '\0'));  // what /proc/PID/environ shows
  EXPECT_EQ(taken.variables.at("NESTGATE_LISTEN_THREADS"), "2");
  EXPECT_FALSE(taken.variables.contains("OTHER"));
  EXPECT_FALSE(taken.variables.contains("NESTGATE_SECRET"));
  ::unsetenv("NESTGATE_LISTEN_THREADS");
  ::unsetenv("OTHER");
}

TEST_F(SettingsFile, AnAddressIsListenedOnOnce) {
  auto const with = [](std::string_view addresses) {
    return std::string(with_secret) + "[listen]\nclient = " + std::string(addresses);
  };
  for (std::string const address : {"127.0.0.1:8080", "[::1]:8080", "unix:gateway.sock"}) {
    auto const twice = "[\"" + address + "\", \"" + address + "\"]\n";
    EXPECT_THAT(fault_of(with(twice)), HasSubstr("is there twice")) << address;
  }
  EXPECT_THAT(fault_of(with("[\"127.0.0.1:8080\"]\nadmin = \"127.0.0.1:8080\"\n")),
              HasSubstr("listen.admin: 127.0.0.1:8080 is in listen.client or listen.client_tls"));
  EXPECT_TRUE(load(with("[\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n")).faults.empty()) << "any two free ports";
  EXPECT_TRUE(load(with("[\"127.0.0.1:0\", \"127.0.0.1:0\"]\n")).faults.empty()) << "any two free ports";
  EXPECT_TRUE(load(with("[\"127.0.0.1:8080\", \"127.0.0.2:8080\"]\n")).faults.empty());
}

}  // namespace
}  // namespace nestgate::app
