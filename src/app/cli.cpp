#include "nestgate/app/cli.hpp"

#include <openssl/crypto.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <istream>
#include <ostream>

#include "app/identity_commands.hpp"
#include "app/operator_commands.hpp"
#include "app/store_commands.hpp"
#include "nestgate/app/log.hpp"
#include "nestgate/identity/api_key.hpp"
#include "nestgate/identity/session_key.hpp"
#include "nestgate/store/store.hpp"

namespace nestgate::app {
namespace {

// API keys are hashed once, fast: only long random ones withstand guessing by whoever reads the hash.
constexpr std::size_t api_key_length_min = 8;
constexpr std::size_t api_key_length_max = 512;

void print_lines(std::ostream& to, std::vector<std::string> const& lines) {
  for (auto const& line : lines) to << line << '\n';
}

int written(Terminal terminal) {
  if (terminal.out.flush()) return exit_done;
  terminal.err << "nestgate: standard output cannot be written to\n";
  return exit_failed;
}

std::optional<Settings> load_or_complain(SettingsSource const& source, Terminal terminal) {
  auto loaded = load_settings(source);
  print_lines(terminal.err, loaded.faults);
  return std::move(loaded.settings);
}

int run_serve(SettingsSource source, std::optional<std::filesystem::path> ready_file, Terminal terminal,
              ServeFunction serve_with) {
  auto loaded = load_settings(source);
  print_lines(terminal.err, loaded.faults);
  if (!loaded.settings) return exit_wrong_usage;
  set_log_level(loaded.settings->log.level);
  for (auto const& warning : loaded.warnings) log(LogLevel::warn, "settings", {{"warning", warning}});
  ServeOptions options{*source.file, std::move(ready_file), std::move(source.environment)};
  return serve_with(std::move(*loaded.settings), std::move(options));
}

int run_check(SettingsSource const& source, Terminal terminal) {
  auto const settings = load_or_complain(source, terminal);
  if (!settings) return exit_wrong_usage;
  auto const store = store::check_store(settings->store_url, settings->identity.secrets);
  if (store) return exit_done;
  terminal.err << "nestgate: store.url: " << store.error().reason << '\n';
  return exit_wrong_usage;
}

int run_key(SettingsSource const& source, std::vector<std::string> const& texts, Terminal terminal) {
  std::vector<ConversationId> ids;
  for (auto const& text : texts) {
    if (auto id = ConversationId::parse(text)) {
      ids.push_back(std::move(*id));
    } else {
      terminal.err << "nestgate: \"" << text << "\" is not a conversation id; allowed: 1 to 128 of A-Za-z0-9._-\n";
    }
  }
  if (ids.size() != texts.size()) return exit_wrong_usage;
  auto settings = load_or_complain(source, terminal);
  if (!settings) return exit_wrong_usage;
  identity::KeyRing const keys(settings->identity.derivation, std::move(settings->identity.secrets));
  for (auto const& id : ids) terminal.out << id.text() << ' ' << keys.derive(id).reveal() << '\n';
  return written(terminal);
}

int run_api_key_hash(Terminal terminal) {
  std::array<char, api_key_length_max + 2> line{};  // the longest key, a carriage return and the end
  terminal.in.getline(line.data(), line.size());
  Secret const key = [&line, &terminal] {
    std::string_view text(line.data());
    if (text.ends_with('\r')) text.remove_suffix(1);
    return Secret(terminal.in.bad() ? std::string() : std::string(text));
  }();
  OPENSSL_cleanse(line.data(), line.size());
  auto const text = key.reveal();
  bool const is_token = std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F && c != ','; });
  if (!is_token || text.size() < api_key_length_min || text.size() > api_key_length_max) {
    terminal.err << "nestgate: the key on standard input is not allowed; allowed: one line of " << api_key_length_min
                 << " to " << api_key_length_max
                 << " visible ASCII characters without comma (openssl rand -base64 32 makes one)\n";
    return exit_wrong_usage;
  }
  terminal.out << identity::hash_api_key(text) << '\n';
  return written(terminal);
}

// `command` on the store of the settings.
template <class Command>
int run_on_store(int (*run)(Command const&, Settings, Terminal), Command const& command, SettingsSource const& source,
                 Terminal terminal) {
  auto settings = load_or_complain(source, terminal);
  if (!settings) return exit_wrong_usage;
  int const code = run(command, std::move(*settings), terminal);
  return code == exit_done ? written(terminal) : code;
}

// The subcommands that one kind of thing in the store has, and what they were given.
template <class Command>
struct StoreCommands {
  StoreCommands(CLI::App& parent, std::filesystem::path& config_file, std::string const& thing, std::string_view revoked)
      : add(parent.add_subcommand("add", "Add " + thing)),
        list(parent.add_subcommand("list", "List what was added, a line each")),
        revoke(parent.add_subcommand("revoke", std::string(revoked))) {
    for (auto* const sub : {add, list, revoke})
      sub->add_option("--config", config_file, "Settings, TOML")->required()->type_name("FILE");
    add->add_option("NAME", command.name, "Its name, unique")->required()->type_name("");
    list->add_flag("--json", as_json, "One JSON array");
  }
  // What was asked for; nothing when it was none of these.
  std::optional<Command> parsed() {
    using What = typename Command::What;
    if (!*add && !*list && !*revoke) return std::nullopt;
    command.what = *add ? What::add : *list ? What::list : What::revoke;
    command.listing = as_json ? Listing::json : Listing::lines;
    return command;
  }

  Command command;
  bool as_json = false;
  CLI::App *add, *list, *revoke;
};

// One line, whatever the library says.
int complain_of_usage(CLI::App const& app, CLI::ParseError const& error, Terminal terminal) {
  std::string what = error.what();
  // What is missing is often what was misspelt.
  auto const unknown = app.remaining(true);
  if (!unknown.empty() && error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError))
    what = "unknown argument " + unknown.front();
  std::replace(what.begin(), what.end(), '\n', ' ');
  terminal.err << "nestgate: " << what << " (see nestgate --help)\n";
  return exit_wrong_usage;
}

}  // namespace

int run_command_line(int argc, char const* const* argv, Environment environment, Terminal terminal,
                     ServeFunction serve_with) {
  CLI::App app("Gateway for conversations with agents: HTTP and WebSocket traffic, conversations, automations.", "nestgate");
  app.set_help_flag("--help", "Print this help and exit");
  app.require_subcommand(1);

  std::filesystem::path config_file;
  std::string ready_file;
  std::vector<std::string> ids;

  auto* const serve = app.add_subcommand("serve", "Run the gateway; logs JSON lines to standard error");
  serve->add_option("--config", config_file, "Settings, TOML")->required()->type_name("FILE");
  serve->add_option("--ready-file", ready_file, "Written, by rename, when it listens: process id and addresses as JSON")
      ->type_name("PATH");

  auto* const check = app.add_subcommand("check", "Check settings and store: nothing and exit code 0, or the faults and 2");
  check->add_option("--config", config_file, "Settings, TOML")->required()->type_name("FILE");

  auto* const key =
      app.add_subcommand("key",
                         "Print the session key of each conversation id, a line \"ID KEY\" each: the first one, before any "
                         "was withdrawn");
  key->add_option("--config", config_file, "Settings, TOML; without it the secret is NESTGATE_SECRET")->type_name("FILE");
  key->add_option("ID", ids, "Conversation ids")->required()->type_name("");

  auto* const apikey = app.add_subcommand("apikey", "API keys of the gateway");
  apikey->require_subcommand(1);
  auto* const hash = apikey->add_subcommand("hash", "Read a key from standard input, print its hash for the settings");

  StoreCommands<ApiKeyCommand> api_keys(*apikey, config_file, "a key, which is printed once and kept by nobody but you",
                                        "Revoke a key");
  auto const take_role = [&api_keys](std::string const& name) {
    api_keys.command.role = identity::parse_role(name).value();
  };
  api_keys.add->add_option_function<std::string>("--role", take_role, "What it may: admin, user or automation")
      ->required()
      ->check(CLI::IsMember({"admin", "user", "automation"}).description(""))
      ->type_name("ROLE");
  api_keys.add->add_option("--owner", api_keys.command.owner, "The user whose key it is; an admin's may have none")
      ->type_name("USER");
  api_keys.revoke->add_option("ID_OR_NAME", api_keys.command.name, "As `apikey list` prints it")->required()->type_name("");

  auto* const user = app.add_subcommand("user", "Users of the gateway");
  user->require_subcommand(1);
  StoreCommands<UserCommand> users(
      *user, config_file, "a user, or enable a revoked one again",
      "Disable a user and revoke the user's keys; conversations go on, and session keys open them, "
      "until they are stopped");
  users.add->add_option("--organisation", users.command.organisation, "Whose member the user is")->type_name("ORG");
  users.revoke->add_option("NAME", users.command.name, "As `user list` prints it")->required()->type_name("");

  OperatorCommands const operators(app);
  StoreMaintenance const maintenance(app);

  for (auto* const command : {&app, serve, check, key, apikey, hash, api_keys.add, api_keys.list, api_keys.revoke, user,
                              users.add, users.list, users.revoke})
    command->set_version_flag("--version", "nestgate " NESTGATE_VERSION);

  try {
    app.parse(argc, argv);
  } catch (CLI::Success const& asked) {  // help or version
    app.exit(asked, terminal.out, terminal.err);
    return written(terminal);
  } catch (CLI::ParseError const& error) {
    return complain_of_usage(app, error, terminal);
  }

  if (auto const code = operators.run(environment, terminal)) return *code;
  if (maintenance.is_given()) return maintenance.run(std::move(environment), terminal);
  SettingsSource source;
  source.environment = std::move(environment);
  if (!config_file.empty()) source.file = config_file;
  if (*serve) {
    auto const ready = ready_file.empty() ? std::nullopt : std::optional<std::filesystem::path>(ready_file);
    return run_serve(std::move(source), ready, terminal, serve_with);
  }
  if (*check) return run_check(source, terminal);
  if (*key) {
    source.secret_rule = SecretRule::any;
    return run_key(source, ids, terminal);
  }
  if (*hash) return run_api_key_hash(terminal);
  if (auto const command = api_keys.parsed()) return run_on_store(run_apikey_admin, *command, source, terminal);
  if (auto const command = users.parsed()) return run_on_store(run_user, *command, source, terminal);
  return exit_wrong_usage;
}

}  // namespace nestgate::app
