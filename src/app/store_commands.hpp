#pragma once

#include <CLI/App.hpp>
#include <filesystem>
#include <string>

#include "nestgate/app/cli.hpp"

namespace nestgate::app {

// `nestgate store check|copy|backup`: the store as a whole, blocking.
class StoreMaintenance {
 public:
  // Declares them; `app` outlives this.
  explicit StoreMaintenance(CLI::App& app);

  // Whether one of them was given.
  bool is_given() const;
  // That one's exit code.
  int run(Environment environment, Terminal terminal) const;

 private:
  static CLI::App* add(CLI::App& store, std::string const& name, std::string const& does);
  int check(Settings settings, Terminal terminal) const;
  int copy(Terminal terminal) const;
  int back_up(Settings const& settings, Terminal terminal) const;

  std::filesystem::path config_file_, target_;
  std::string url_, from_, to_;
  CLI::App *store_, *check_, *copy_, *backup_;
};

}  // namespace nestgate::app
