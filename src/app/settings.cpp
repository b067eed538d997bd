#include "nestgate/app/settings.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "app/settings_keys.hpp"
#include "app/settings_values.hpp"
#include "nestgate/base/invariant.hpp"
#include "nestgate/identity/webhook_signature.hpp"
#include "nestgate/runtime/factory.hpp"

namespace nestgate::app {
namespace {

constexpr std::string_view environment_prefix = "NESTGATE_";
constexpr std::string_view secret_variable = "NESTGATE_SECRET";
constexpr std::size_t secret_bytes_max = 64 * 1024;

RawValue raw_from(toml::node const& node) {
  using Kind = RawValue::Kind;
  RawValue value;
  if (auto const* text = node.as_string()) return {Kind::text, text->get(), {}, {}};
  if (auto const* number = node.as_integer()) return {Kind::integer, std::to_string(number->get()), {}, {}};
  if (auto const* flag = node.as_boolean()) return {Kind::boolean, flag->get() ? "true" : "false", {}, {}};
  if (auto const* list = node.as_array()) {
    value.kind = Kind::list;
    value.text = "a list of " + std::to_string(list->size());
    for (auto const& item : *list) value.items.push_back(raw_from(item));
    return value;
  }
  if (auto const* table = node.as_table()) {
    value.kind = Kind::map;
    value.text = "a table of " + std::to_string(table->size());
    for (auto const& [name, item] : *table) {
      value.names.emplace_back(name.str());
      value.items.push_back(raw_from(item));
    }
    return value;
  }
  std::ostringstream shown;
  shown << "a " << node.type();
  value.text = shown.str();
  return value;
}

// Reads one settings source into a Settings and keeps where each value came from, for what is found later.
class Loader {
 public:
  explicit Loader(SettingsSource const& source) : source_(source) {}

  LoadedSettings load() {
    toml::table root;
    if (source_.file) root = parse_file();
    if (out_.faults.empty()) {
      find_unknown(root, "");
      for (auto const& key : settings_keys()) read_key(key, root);
      read_tables<ApiKeyTable>(root);
      read_tables<CertificateTable>(root);
      read_tables<StaticRuntimeTable>(root);
      read_tables<SandboxSpecTable>(root);
      find_unknown_environment();
      resolve_paths();
      check_listeners();
      check_certificates();
      load_nested_authorities();
      check_access_log();
      check_provider();
      read_secrets();
      read_signing_keys();
      read_automation();
      check_api_keys();
      check_static_runtimes();
      check_sandbox_specs();
      check_limits();
    }
    if (out_.faults.empty()) out_.settings = std::move(settings_);
    return std::move(out_);
  }

 private:
  std::string file_name() const { return source_.file ? source_.file->string() : "settings"; }

  std::filesystem::path absolute(std::filesystem::path const& path) const {
    if (!source_.file) return std::filesystem::absolute(path);
    return std::filesystem::absolute(*source_.file).parent_path() / path;
  }

  std::string where(std::string_view key) const {
    auto const known = where_.find(key);
    return known == where_.end() ? file_name() : known->second;
  }
  void fault(std::string_view key, std::string_view what) {
    out_.faults.push_back(where(key).append(": ").append(key).append(": ").append(what));
    faulty_.emplace(key);
  }
  void warn(std::string_view key, std::string_view what) {
    out_.warnings.push_back(where(key).append(": ").append(key).append(": ").append(what));
  }
  void note_line(std::string_view key, toml::node const& node) {
    where_.insert_or_assign(std::string(key), file_name() + ":" + std::to_string(node.source().begin.line));
  }

  toml::table parse_file() {
    std::ifstream in(*source_.file, std::ios::binary);
    std::ostringstream text;
    bool const is_empty = in.peek() == std::ifstream::traits_type::eof() && in.eof() && !in.bad();
    if (!is_empty && (!in || !(text << in.rdbuf()))) {
      out_.faults.push_back(file_name() + ": cannot be read, a readable file is needed: " + std::strerror(errno));
      return {};
    }
    try {
      return toml::parse(text.view(), file_name());
    } catch (toml::parse_error const& error) {
      out_.faults.push_back(file_name() + ":" + std::to_string(error.source().begin.line) +
                            ": not TOML: " + std::string(error.description()));
      return {};
    }
  }

  // Whether `name` is a key, an array of tables, or the start of one.
  static bool is_key(std::string_view name) {
    auto const& keys = settings_keys();
    return std::any_of(keys.begin(), keys.end(), [name](auto const& key) { return key.name == name; }) ||
           name == ApiKeyTable::name || name == CertificateTable::name || name == StaticRuntimeTable::name ||
           name == SandboxSpecTable::name;
  }
  static std::vector<std::string_view> names_below(std::string const& prefix) {
    std::vector<std::string_view> names;
    for (auto const& key : settings_keys()) names.push_back(key.name);
    for (auto const name : {ApiKeyTable::name, CertificateTable::name, StaticRuntimeTable::name, SandboxSpecTable::name})
      names.push_back(name);
    std::vector<std::string_view> below;
    for (auto name : names) {
      if (!name.starts_with(prefix)) continue;
      name.remove_prefix(prefix.size());
      name = name.substr(0, name.find('.'));
      if (std::find(below.begin(), below.end(), name) == below.end()) below.push_back(name);
    }
    return below;
  }
  static std::string list_of(std::vector<std::string_view> const& names) {
    std::string out;
    for (auto const name : names) out.append(out.empty() ? "" : ", ").append(name);
    return out;
  }

  void find_unknown(toml::table const& table, std::string const& prefix) {
    for (auto const& [key, node] : table) {
      auto const name = prefix + std::string(key.str());
      if (is_key(name)) continue;
      note_line(name, node);
      if (names_below(name + ".").empty()) {
        fault(name, "unknown key; allowed here: " + list_of(names_below(prefix)));
      } else if (auto const* below = node.as_table()) {
        find_unknown(*below, name + ".");
      } else {
        fault(name, "must be a table, [" + name + "]");
      }
    }
  }

  void read_key(Key<Settings> const& key, toml::table const& root) {
    auto const variable = environment_name(key.name);
    std::optional<RawValue> value;
    if (auto const* node = root.at_path(key.name).node()) {
      note_line(key.name, *node);
      value = raw_from(*node);
    }
    if (auto const set = source_.environment.variables.find(variable); set != source_.environment.variables.end()) {
      where_.insert_or_assign(std::string(key.name), variable);
      value = RawValue{RawValue::Kind::text, set->second, {}, {}, RawValue::Origin::environment};
    }
    if (!value) return;
    if (auto const problem = key.read(settings_, *value)) fault(key.name, *problem);
  }

  template <class Table>
  void read_tables(toml::table const& root) {
    auto const* node = root.at_path(Table::name).node();
    if (node == nullptr) return;
    note_line(Table::name, *node);
    auto const* list = node->as_array();
    if (list == nullptr || list->size() > Table::elements_max) {
      return fault(Table::name, "must be an array of at most " + std::to_string(Table::elements_max) + " tables, [[" +
                                    std::string(Table::name) + "]]");
    }
    for (auto const& element : *list) {
      auto const prefix = element_name(Table::name, Table::in(settings_).size());
      Table::in(settings_).emplace_back();
      note_line(prefix, element);
      if (auto const* table = element.as_table()) {
        read_element<Table>(*table, prefix + ".", Table::in(settings_).back());
      } else {
        fault(prefix, "must be a table, [[" + std::string(Table::name) + "]]");
      }
    }
  }

  template <class Table>
  void read_element(toml::table const& table, std::string const& prefix, typename Table::Element& element) {
    auto const& keys = Table::keys();
    std::vector<std::string_view> names;
    for (auto const& key : keys) {
      names.push_back(key.name);
      auto const name = prefix + std::string(key.name);
      auto const* node = table.get(key.name);
      note_line(name, node != nullptr ? *node : table);
      if (node == nullptr) {
        if (key.presence == Presence::required) fault(name, "is missing; allowed: " + key.allowed);
      } else if (auto const problem = key.read(element, raw_from(*node))) {
        fault(name, *problem);
      }
    }
    for (auto const& [key, node] : table) {
      if (std::find(names.begin(), names.end(), key.str()) != names.end()) continue;
      auto const name = prefix + std::string(key.str());
      note_line(name, node);
      fault(name, "unknown key; allowed here: " + list_of(names));
    }
  }

  static std::string element_name(std::string_view table, std::size_t index) {
    return std::string(table) + "[" + std::to_string(index) + "]";
  }

  // A name that begins like a section's is a key that is misspelt; any other is somebody else's.
  void find_unknown_environment() {
    std::set<std::string, std::less<>> known;
    std::set<std::string, std::less<>> sections;
    auto const note = [&sections](std::string_view key) {
      sections.insert(environment_name(key.substr(0, key.find('.'))) + "_");
    };
    for (auto const& key : settings_keys()) {
      known.insert(environment_name(key.name));
      note(key.name);
    }
    for (auto const table : {ApiKeyTable::name, CertificateTable::name, StaticRuntimeTable::name, SandboxSpecTable::name})
      note(table);
    for (auto const& [name, value] : source_.environment.variables) {
      if (known.contains(name)) continue;
      auto const begins_name = [&name](std::string const& section) { return name.starts_with(section); };
      auto& list = std::any_of(sections.begin(), sections.end(), begins_name) ? out_.faults : out_.warnings;
      list.push_back(name +
                     ": no setting has this name; allowed: NESTGATE_SECTION_KEY of a key that is not in an array of tables");
    }
  }

  void resolve_paths() {
    for (auto* list : {&settings_.listen.client, &settings_.listen.client_tls}) {
      for (auto& address : *list) {
        if (auto* path = std::get_if<std::filesystem::path>(&address)) *path = absolute(*path);
      }
    }
    if (auto* path = std::get_if<std::filesystem::path>(&settings_.log.access)) *path = absolute(*path);
    settings_.process.workspace_dir = absolute(settings_.process.workspace_dir);
    auto& docker = settings_.docker;
    for (auto* const path : {&docker.tls.ca_file, &docker.tls.cert_file, &docker.tls.key_file, &docker.registry_auth_file})
      if (!path->empty()) *path = absolute(*path);
    resolve_store();
    for (std::size_t i = 0; i < settings_.tls.certificates.size(); ++i) {
      auto& certificate = settings_.tls.certificates[i];
      auto const prefix = element_name(CertificateTable::name, i);
      resolve_readable(certificate.cert_file, prefix + ".cert_file");
      resolve_readable(certificate.key_file, prefix + ".key_file");
    }
  }

  void resolve_store() {
    if (!settings_.store_url.starts_with(sqlite_scheme)) return;
    auto const path = settings_.store_url.substr(sqlite_scheme.size());
    if (path != ":memory:") settings_.store_url = std::string(sqlite_scheme) + absolute(path).string();
  }

  void resolve_readable(std::filesystem::path& path, std::string const& key) {
    if (faulty_.contains(key)) return;
    path = absolute(path);
    if (::access(path.c_str(), R_OK) != 0) fault(key, path.string() + " cannot be read: " + std::strerror(errno));
  }

  void check_listeners() {
    auto const& listen = settings_.listen;
    if (listen.client.empty() && listen.client_tls.empty()) {
      fault("listen.client", "no address to listen on; at least one is needed here or in listen.client_tls");
    }
    if (!listen.client_tls.empty() && settings_.tls.certificates.empty()) {
      fault("listen.client_tls", "there is no certificate; at least one [[tls.certificate]] is needed");
    }
    check_admin_address();
    std::set<std::string> known;
    for (auto const* list : {&listen.client, &listen.client_tls}) {
      std::string_view const key = list == &listen.client ? "listen.client" : "listen.client_tls";
      for (auto const& address : *list) {
        constexpr std::size_t path_length_max = sizeof(sockaddr_un::sun_path) - 1;
        auto const* path = std::get_if<std::filesystem::path>(&address);
        bool const any_port = path == nullptr && std::get<boost::asio::ip::tcp::endpoint>(address).port() == 0;
        if (!any_port && !known.insert(to_string(address)).second) {
          fault(key,
                to_string(address) + " is there twice; each address is allowed once in listen.client and listen.client_tls");
        }
        if (path != nullptr && path->native().size() > path_length_max) {
          fault(key, path->string() + " is too long for a socket; allowed: " + std::to_string(path_length_max) + " bytes");
        }
      }
    }
  }

  void check_admin_address() {
    auto const& listen = settings_.listen;
    auto const is_admins = [&listen](ListenAddress const& address) {
      auto const* const endpoint = std::get_if<boost::asio::ip::tcp::endpoint>(&address);
      return endpoint != nullptr && endpoint->port() != 0 && *endpoint == listen.admin;
    };
    bool const is_clients = std::any_of(listen.client.begin(), listen.client.end(), is_admins) ||
                            std::any_of(listen.client_tls.begin(), listen.client_tls.end(), is_admins);
    if (is_clients)
      fault("listen.admin", print_endpoint(listen.admin) + " is in listen.client or listen.client_tls; it needs its own");
  }

  void check_certificates() {
    if (settings_.listen.client_tls.empty() || !out_.faults.empty()) return;
    std::string problem;
    if (!TlsServer::load(settings_.tls.certificates, settings_.tls.min_version, problem))
      fault(CertificateTable::name, problem);
  }

  void load_nested_authorities() {
    auto& file = settings_.nested_ca_file;
    if (file.empty()) return;
    file = absolute(file);
    std::string problem;
    auto const tls = ClientTls::load({file, {}, {}}, problem);
    if (!tls) return fault("runtime.ca_file", problem);
    settings_.conversations.nested_tls = tls;
    settings_.remote.nested_tls = tls;
  }

  void check_provider() {
    if (!out_.faults.empty()) return;
    if (settings_.provider == "remote") read_remote_key();
    if (!out_.faults.empty()) return;
    auto const problem = problem_with_provider();
    if (!problem) return;
    // Who wrote nothing of it may want no runtimes of ours; the remote ones were asked for by name.
    if (where_.contains(problem->key) || settings_.provider == "remote") {
      fault(problem->key, problem->what);
    } else {
      warn(problem->key, problem->what + "; no conversation can be started");
    }
  }

  std::optional<runtime::SettingProblem> problem_with_provider() const {
    if (settings_.provider == "docker") return runtime::problem_with(settings_.docker);
    if (settings_.provider == "remote") return runtime::problem_with(settings_.remote);
    return runtime::problem_with(settings_.process);
  }

  void read_remote_key() {
    auto& remote = settings_.remote;
    if (remote.api_key_file.empty()) return;
    auto key = read_secret_file(remote.api_key_file, "runtime.remote.api_key_file");
    if (key) remote.api_key = std::move(*key);
  }

  void check_access_log() {
    auto const* path = std::get_if<std::filesystem::path>(&settings_.log.access);
    if (path == nullptr) return;
    auto const& written = std::filesystem::exists(*path) ? *path : path->parent_path();
    if (::access(written.c_str(), W_OK) != 0) {
      fault("log.access", written.string() + " cannot be written to: " + std::strerror(errno));
    }
  }

  // The file's bytes without line ends at its end.
  std::optional<Secret> read_secret_file(std::string const& written, std::string const& key) {
    auto const path = absolute(written);
    int const fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status{};
    if (fd < 0 || ::fstat(fd, &status) != 0) {
      fault(key, path.string() + " cannot be read: " + std::strerror(errno));
      if (fd >= 0) ::close(fd);
      return std::nullopt;
    }
    std::string content(secret_bytes_max + 1, '\0');
    std::size_t size = 0;
    ssize_t got = 0;
    while (size < content.size() && (got = ::read(fd, content.data() + size, content.size() - size)) > 0) {
      size += static_cast<std::size_t>(got);
    }
    int const error = errno;
    ::close(fd);
    std::optional<Secret> secret;
    if (got < 0) {
      fault(key, path.string() + " cannot be read: " + std::strerror(error));
    } else if (size > secret_bytes_max) {
      fault(key, path.string() + " is too long; allowed: " + std::to_string(secret_bytes_max) + " bytes");
    } else {
      while (size > 0 && (content[size - 1] == '\n' || content[size - 1] == '\r')) --size;
      secret.emplace(content.substr(0, size));
    }
    OPENSSL_cleanse(content.data(), content.size());
    if (secret && secret->empty()) {
      fault(key, path.string() + " is empty; allowed: 1 to " + std::to_string(secret_bytes_max) + " bytes");
      return std::nullopt;
    }
    if ((status.st_mode & (S_IRGRP | S_IROTH)) != 0) {
      warn(key, path.string() + " can be read by others than its owner; mode 0600 is safe");
    }
    return secret;
  }

  void read_secrets() {
    auto& identity = settings_.identity;
    if (auto const& secret = source_.environment.secret) {
      where_.insert_or_assign(std::string("identity.secret"), std::string(secret_variable));
      if (secret->empty()) return fault("identity.secret", "is empty; allowed: 32 bytes and more");
      return add_secret(secret->clone(), "identity.secret", "the secret");
    }
    if (faulty_.contains("identity.secret_file") || faulty_.contains("identity.secret_files")) return;
    if (!identity.secret_file.empty() && !identity.secret_files.empty()) {
      return fault("identity.secret_files", "only one of secret_file and secret_files is allowed");
    }
    if (!identity.secret_file.empty()) {
      auto secret = read_secret_file(identity.secret_file, "identity.secret_file");
      if (secret) add_secret(std::move(*secret), "identity.secret_file", "the secret in " + identity.secret_file);
      return;
    }
    for (auto const& file : identity.secret_files) {
      auto secret = read_secret_file(file, "identity.secret_files");
      if (secret) add_secret(std::move(*secret), "identity.secret_files", "the secret in " + file);
    }
    if (identity.secret_files.empty()) {
      fault("identity.secret_file", "there is no secret; secret_file, secret_files or NESTGATE_SECRET is needed");
    }
  }

  void add_secret(Secret secret, std::string_view key, std::string const& which) {
    bool const is_short = secret.size() < identity::secret_bytes_min;
    auto const said = which + " has " + std::to_string(secret.size()) + " bytes";
    if (is_short && source_.secret_rule == SecretRule::long_enough) {
      if (settings_.identity.allow_short_secret) {
        warn(key, said + "; 32 and more are safe");
      } else {
        fault(key, said + "; allowed: 32 and more (identity.allow_short_secret = true for an old installation)");
      }
    }
    settings_.identity.secrets.push_back(std::move(secret));
  }

  void read_signing_keys() {
    constexpr std::string_view key = "automation.completion_signing_key_files";
    std::vector<Secret> keys;
    for (auto const& file : settings_.completion_signing_key_files) {
      auto const secret = read_secret_file(file, std::string(key));
      if (!secret) continue;
      if (auto bytes = identity::parse_webhook_secret(secret->reveal())) {
        keys.push_back(std::move(*bytes));
      } else {
        fault(key, absolute(file).string() +
                       " holds no key; allowed: base64 of 24 to 64 bytes, with or without \"whsec_\" before it");
      }
    }
    if (!keys.empty()) {
      settings_.automation.webhook_signing_keys = std::make_shared<std::vector<Secret> const>(std::move(keys));
    }
  }

  std::shared_ptr<Secret const> read_shared_secret(std::string const& file, std::string const& key) {
    if (file.empty()) return nullptr;
    auto secret = read_secret_file(file, key);
    if (!secret) return nullptr;
    return std::make_shared<Secret const>(std::move(*secret));
  }

  void read_webhook_secrets() {
    constexpr std::string_view previous_key = "automation.webhook_secret_previous_file";
    auto const& current = settings_.automation_webhook_secret_file;
    auto const& previous = settings_.automation_webhook_secret_previous_file;
    if (current.empty() && !previous.empty())
      fault(previous_key, "is there without automation.webhook_secret_file; allowed: beside it");
    std::vector<Secret> secrets;
    for (auto const& [file, key] : {std::pair{current, std::string("automation.webhook_secret_file")},
                                    std::pair{previous, std::string(previous_key)}}) {
      if (file.empty()) continue;
      if (auto secret = read_secret_file(file, key)) secrets.push_back(std::move(*secret));
    }
    if (!secrets.empty())
      settings_.api.automation.webhook_secrets = std::make_shared<std::vector<Secret> const>(std::move(secrets));
  }

  void read_automation() {
    settings_.automation.target = *automation::parse_target(settings_.automation_target);
    settings_.api.automation.local_key =
        read_shared_secret(settings_.automation_local_key_file, "automation.local_api_key_file");
    settings_.automation.kv_secret = read_shared_secret(settings_.automation_kv_secret_file, "automation.kv_secret_file");
    read_webhook_secrets();
    if (settings_.automation.base_url.empty() && !settings_.conversations.internal_url.empty())
      settings_.automation.base_url_default = settings_.conversations.internal_url + "/api/automation";
  }

  void check_api_keys() {
    std::set<std::string_view> names, hashes;
    auto const& keys = settings_.identity.api_keys;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      auto const prefix = element_name(ApiKeyTable::name, i);
      auto const& principal = keys[i].principal;
      if (!principal.name.empty() && !names.insert(principal.name).second) {
        fault(prefix + ".name", "\"" + principal.name + "\" is there twice; each name is allowed once");
      }
      if (!keys[i].hash.empty() && !hashes.insert(keys[i].hash).second) {
        fault(prefix + ".hash", "this key is there twice; each key is allowed once");
      }
      if (principal.role != identity::Role::admin && principal.owner.empty() && !faulty_.contains(prefix + ".owner")) {
        fault(prefix + ".owner", "is missing; a key that is not an admin's needs one");
      }
    }
  }

  void check_static_runtimes() {
    std::set<std::string> ids;
    auto& runtimes = settings_.static_runtimes;
    for (std::size_t i = 0; i < runtimes.size(); ++i) {
      auto& runtime = runtimes[i];
      auto const prefix = element_name(StaticRuntimeTable::name, i);
      auto const why_not = http::why_not_an_id(runtime.id);
      if (why_not && !runtime.id.empty()) fault(prefix + ".id", "\"" + runtime.id + "\" " + std::string(*why_not));
      if (auto const id = ConversationId::parse(runtime.id); id && !ids.insert(id->canonical()).second) {
        fault(prefix + ".id", "\"" + runtime.id + "\" is there twice; each id (in any form of a UUID) is allowed once");
      }
      if (runtime.session_api_key_file.empty()) continue;
      auto const key_name = prefix + ".session_api_key_file";
      auto key = read_secret_file(runtime.session_api_key_file, key_name);
      if (!key) continue;
      auto const text = key->reveal();
      bool const is_field_value = std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
      if (!is_field_value)
        fault(key_name, "the key has bytes that no header field can carry; allowed: visible ASCII without spaces");
      runtime.session_api_key = std::move(*key);
    }
  }

  void check_sandbox_specs() {
    std::set<std::string_view> ids;
    auto const& specs = settings_.sandbox_specs;
    for (std::size_t i = 0; i < specs.size(); ++i) {
      bool const is_new = specs[i].id.empty() || ids.insert(specs[i].id).second;
      if (!is_new)
        fault(element_name(SandboxSpecTable::name, i) + ".id",
              "\"" + specs[i].id + "\" is there twice; each id is allowed once");
    }
  }

  void check_limits() {
    if (settings_.automation.run_time_default > settings_.automation.run_time_max) {
      fault("automation.run_timeout_default", print_duration(settings_.automation.run_time_default) +
                                                  " is more than automation.run_timeout_max; allowed: at most " +
                                                  print_duration(settings_.automation.run_time_max));
    }
    auto const room = static_cast<std::int64_t>(settings_.limits.own_bodies_bytes_max);
    auto const largest =
        std::int64_t{std::max(settings_.limits.api_body_bytes_max, settings_.limits.webhook_body_bytes_max)};
    if (room < largest) {
      fault("limits.own_bodies_bytes_max", print_bytes(room) + " is less than one body may have; allowed: at least " +
                                               print_bytes(largest) +
                                               ", limits.api_body_bytes_max and limits.webhook_body_bytes_max");
    }
  }

  SettingsSource const& source_;
  Settings settings_;
  LoadedSettings out_;
  std::map<std::string, std::string, std::less<>> where_;
  std::set<std::string, std::less<>> faulty_;
};

template <class Table>
std::string print_elements(Settings const& settings) {
  std::string out;
  for (auto const& element : Table::in(settings)) {
    for (auto const& key : Table::keys()) out.append(key.name).append("=").append(key.print(element)).append("\n");
    out.append("\n");
  }
  return out;
}

}  // namespace

std::string to_string(ListenAddress const& address) {
  if (auto const* path = std::get_if<std::filesystem::path>(&address)) return "unix:" + path->string();
  return print_endpoint(std::get<boost::asio::ip::tcp::endpoint>(address));
}

LoadedSettings load_settings(SettingsSource const& source) { return Loader(source).load(); }

Environment take_environment() {
  Environment taken;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    std::string_view const text(*entry);
    auto const equals = text.find('=');
    if (!text.starts_with(environment_prefix) || equals == text.npos) continue;
    auto const name = text.substr(0, equals);
    auto const value = text.substr(equals + 1);
    if (name != secret_variable) {
      taken.variables.emplace(name, value);
      continue;
    }
    taken.secret.emplace(std::string(value));
    OPENSSL_cleanse(*entry + equals + 1, value.size());
  }
  ::unsetenv(std::string(secret_variable).c_str());
  return taken;
}

ReloadPlan plan_reload(Settings const& running, Settings next) {
  ReloadPlan plan;
  for (auto const& key : settings_keys()) {
    if (key.print(running) == key.print(next)) continue;
    auto& list = key.reload == Reload::yes ? plan.applied : plan.needs_restart;
    list.emplace_back(key.name);
    if (key.reload == Reload::restart) key.copy(next, running);
  }
  auto const tables = [&]<class Table>(Table) {
    if (print_elements<Table>(running) != print_elements<Table>(next)) plan.applied.emplace_back(Table::name);
  };
  tables(ApiKeyTable{});
  tables(CertificateTable{});
  tables(StaticRuntimeTable{});
  if (print_elements<SandboxSpecTable>(running) != print_elements<SandboxSpecTable>(next)) {
    plan.needs_restart.emplace_back(SandboxSpecTable::name);
    next.sandbox_specs = running.sandbox_specs;
  }
  if (running.identity.secrets != next.identity.secrets) plan.applied.emplace_back("identity.secret");
  auto const same_key = [](StaticRuntimeSettings const& a, StaticRuntimeSettings const& b) {
    return a.session_api_key == b.session_api_key;
  };
  if (!std::equal(running.static_runtimes.begin(), running.static_runtimes.end(), next.static_runtimes.begin(),
                  next.static_runtimes.end(), same_key) &&
      running.static_runtimes.size() == next.static_runtimes.size()) {
    plan.applied.emplace_back("runtime.static.session_api_key_file");
  }
  plan.settings = std::move(next);
  return plan;
}

}  // namespace nestgate::app
