#include "app/store_commands.hpp"

#include <ostream>

#include "nestgate/store/maintenance.hpp"

namespace nestgate::app {
namespace {

constexpr char const* version_text = "nestgate " NESTGATE_VERSION;

int complain(Terminal terminal, int code, std::string_view what) {
  terminal.err << "nestgate: " << what << '\n';
  return code;
}

int code_of(store::Failure const& failure) {
  return failure.fault.kind == FaultKind::bad_input ? exit_wrong_usage : exit_failed;
}

constexpr std::string_view password_on_the_line =
    "a password in a URL on the command line is read by everyone on this machine; it belongs in a passfile (~/.pgpass) or "
    "in "
    "PGPASSWORD";

}  // namespace

StoreMaintenance::StoreMaintenance(CLI::App& app)
    : store_(app.add_subcommand("store", "The store as a whole")),
      check_(add(*store_, "check", "Whether a gateway could open the store: nothing and exit code 0, or why not")),
      copy_(
          add(*store_, "copy", "Copy all of a store into an empty one, while no gateway runs on it; a line for each table")),
      backup_(add(*store_, "backup", "Write one moment of an SQLite store to a new file; gateways go on meanwhile")) {
  store_->require_subcommand(1);
  store_->set_version_flag("--version", version_text);
  check_->add_option("--config", config_file_, "Settings, TOML; without it the secret is NESTGATE_SECRET")
      ->type_name("FILE");
  check_->add_option("URL", url_, "Another than that of the settings")->type_name("");
  copy_->add_option("FROM", from_, "sqlite:PATH or postgresql://USER@HOST/DATABASE")->required()->type_name("");
  copy_->add_option("TO", to_, "The same")->required()->type_name("");
  backup_->add_option("--config", config_file_, "Settings, TOML")->required()->type_name("FILE");
  backup_->add_option("TARGET", target_, "The file to write; none is overwritten")->required()->type_name("");
}

CLI::App* StoreMaintenance::add(CLI::App& store, std::string const& name, std::string const& does) {
  auto* const command = store.add_subcommand(name, does);
  command->set_version_flag("--version", version_text);
  return command;
}

bool StoreMaintenance::is_given() const { return bool(*store_); }

int StoreMaintenance::run(Environment environment, Terminal terminal) const {
  for (auto const* const url : {&url_, &from_, &to_})
    if (store::has_password(*url)) return complain(terminal, exit_wrong_usage, password_on_the_line);
  if (*copy_) return copy(terminal);
  SettingsSource source;
  source.environment = std::move(environment);
  if (!config_file_.empty()) source.file = config_file_;
  source.secret_rule = SecretRule::any;
  auto loaded = load_settings(source);
  for (auto const& fault : loaded.faults) terminal.err << fault << '\n';
  if (!loaded.settings) return exit_wrong_usage;
  return *check_ ? check(std::move(*loaded.settings), terminal) : back_up(*loaded.settings, terminal);
}

int StoreMaintenance::check(Settings settings, Terminal terminal) const {
  auto const& url = url_.empty() ? settings.store_url : url_;
  auto const checked = store::check_store(url, settings.identity.secrets);
  return checked ? exit_done : complain(terminal, code_of(checked.error()), checked.error().reason);
}

int StoreMaintenance::copy(Terminal terminal) const {
  auto const copied = store::copy_store(from_, to_);
  if (!copied) return complain(terminal, code_of(copied.error()), copied.error().reason);
  for (auto const& table : *copied) terminal.out << table.name << '\t' << table.rows << '\n';
  if (terminal.out.flush()) return exit_done;
  return complain(terminal, exit_failed, "standard output cannot be written to");
}

// A store that has tools of its own for it is no wrong usage.
int StoreMaintenance::back_up(Settings const& settings, Terminal terminal) const {
  auto const backed_up = store::back_up_store(settings.store_url, target_);
  return backed_up ? exit_done : complain(terminal, exit_failed, backed_up.error().reason);
}

}  // namespace nestgate::app
