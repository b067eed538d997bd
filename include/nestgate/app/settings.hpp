#pragma once

#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "nestgate/api/settings.hpp"
#include "nestgate/automation/settings.hpp"
#include "nestgate/base/conversation_id.hpp"
#include "nestgate/base/limits.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/conversation/credentials.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/http/route.hpp"
#include "nestgate/identity/api_key.hpp"
#include "nestgate/identity/session_key.hpp"
#include "nestgate/net/tls.hpp"
#include "nestgate/proxy/config.hpp"
#include "nestgate/runtime/docker_settings.hpp"
#include "nestgate/runtime/process_settings.hpp"
#include "nestgate/runtime/remote_settings.hpp"
#include "nestgate/store/store.hpp"

// What operators set (operator.md "Settings"); config/nestgate.example.toml documents every key. The table of keys is
// src/app/settings_keys.cpp.
namespace nestgate::app {

// "127.0.0.1:8080", "[::1]:8080" (port 0: any free port) or "unix:/path".
using ListenAddress = std::variant<boost::asio::ip::tcp::endpoint, std::filesystem::path>;
std::string to_string(ListenAddress const& address);

struct ListenSettings {
  std::vector<ListenAddress> client{boost::asio::ip::tcp::endpoint(boost::asio::ip::address_v4::any(), 8080)};
  std::vector<ListenAddress> client_tls;
  std::uint32_t threads = 0;  // 0: one a core
  boost::asio::ip::tcp::endpoint admin{boost::asio::ip::address_v4::loopback(), 9090};
};

struct TlsSettings {
  TlsVersionMin min_version = TlsVersionMin::tls_1_2;
  std::vector<TlsCertificate> certificates;
};

struct IdentitySettings {
  std::string secret_file;  // as written, relative to the settings file; empty: none
  std::vector<std::string> secret_files;
  std::vector<Secret>
      secrets;  // read from the files or NESTGATE_SECRET; the first derives, all verify; never empty once loaded
  identity::Derivation derivation = identity::Derivation::sha256;
  bool allow_short_secret = false;
  std::vector<identity::ApiKeyEntry> api_keys;
};

struct TrustedProxies {
  std::vector<boost::asio::ip::network_v4> v4;
  std::vector<boost::asio::ip::network_v6> v6;
};

struct RoutingSettings {
  http::RouteRules rules;
  std::optional<ConversationId> fallback;
  TrustedProxies trusted_proxies;
  std::string public_url;  // origin in answers, without trailing slash; empty: as the client wrote it
};

// `[[runtime.static]]`: a nested server that someone else runs.
struct StaticRuntimeSettings {
  std::string id;                         // a ConversationId, checked
  std::string url;                        // "http://host:port" or https, checked
  std::string session_api_key_file;       // as written
  std::optional<Secret> session_api_key;  // read from the file; nothing: the derived key
  std::vector<std::pair<std::string, std::uint16_t>> ports;
};

enum class LogLevel : std::uint8_t { debug, info, warn, error };

struct AccessLogOff {};
struct AccessLogStderr {};
using AccessLogTarget = std::variant<AccessLogStderr, AccessLogOff, std::filesystem::path>;

struct LogSettings {
  LogLevel level = LogLevel::info;
  AccessLogTarget access = AccessLogStderr{};
};

// Move-only: it owns secrets.
struct Settings {
  ListenSettings listen;
  TlsSettings tls;
  IdentitySettings identity;
  RoutingSettings routing;
  std::vector<StaticRuntimeSettings> static_runtimes;
  std::string provider = "process";
  std::filesystem::path nested_ca_file;  // made absolute once loaded; loaded into `remote` and `conversations`
  runtime::ProcessSettings process;
  runtime::DockerSettings docker;
  runtime::RemoteSettings remote;
  conversation::ManagerSettings conversations;
  conversation::CredentialSettings credentials;
  std::string store_url = "sqlite:nestgate.db";  // the path made absolute once loaded
  store::OpenOptions store_options;
  api::Settings api;
  std::vector<api::SandboxSpec> sandbox_specs;  // none: one named "default"
  automation::Settings automation;
  std::string automation_target = "fresh";                // as written; parsed into automation.target
  std::string automation_local_key_file;                  // as written; read into api.automation.local_key
  std::string automation_kv_secret_file;                  // as written; read into automation.kv_secret
  std::string automation_webhook_secret_file;             // as written; read into api.automation.webhook_secrets
  std::string automation_webhook_secret_previous_file;    // as written; read into api.automation.webhook_secrets
  std::vector<std::string> completion_signing_key_files;  // as written; read into automation.webhook_signing_keys
  Limits limits;
  Timeouts timeouts;
  proxy::WakeRules wake;
  LogSettings log;
};

// Whether a secret of fewer than `identity::secret_bytes_min` bytes is a fault. `any` is for deriving keys of old
// installations (`nestgate key`).
enum class SecretRule : std::uint8_t { long_enough, any };

// What the process was started with.
struct Environment {
  std::map<std::string, std::string, std::less<>> variables;  // NESTGATE_SECTION_KEY; each overrides the file's key
  std::optional<Secret> secret;                               // NESTGATE_SECRET; used instead of the secret files
};

struct SettingsSource {
  std::optional<std::filesystem::path> file;  // nothing: defaults and environment only
  Environment environment;
  SecretRule secret_rule = SecretRule::long_enough;
};

struct LoadedSettings {
  std::optional<Settings> settings;   // only without faults
  std::vector<std::string> faults;    // each one line: "file:line: key: what is wrong, what is allowed"
  std::vector<std::string> warnings;  // same form
};

// Reads the settings, every file they name for a secret included, and reports all faults. Blocking; starts nothing.
LoadedSettings load_settings(SettingsSource const& source);

// The process's NESTGATE_* variables. The value of NESTGATE_SECRET is wiped from the process's environment, so that no
// child inherits it and /proc does not show it. Call before any thread starts, once.
Environment take_environment();

struct ReloadPlan {
  Settings settings;                       // what is to run: the next settings, but for the keys that need a restart
  std::vector<std::string> applied;        // changed keys that take effect on reload
  std::vector<std::string> needs_restart;  // changed keys that do not
};
ReloadPlan plan_reload(Settings const& running, Settings next);

}  // namespace nestgate::app
