#pragma once

#include <CLI/App.hpp>
#include <filesystem>
#include <optional>
#include <string>

#include "nestgate/app/cli.hpp"

namespace nestgate::app {

// `nestgate ps|logs|stop|top|runs|run`: asks the admin address of a gateway that runs, blocking.
class OperatorCommands {
 public:
  // Declares them; `app` outlives this.
  explicit OperatorCommands(CLI::App& app);

  // The exit code of the one that was given; nothing when it was none of them.
  std::optional<int> run(Environment const& environment, Terminal terminal) const;

 private:
  CLI::App* add(CLI::App& app, std::string const& name, std::string const& does);
  int run_runs(Environment const& environment, Terminal terminal) const;

  std::filesystem::path config_file_;
  std::string admin_, id_, state_, automation_;
  std::size_t log_bytes_ = 64 * 1024;
  std::size_t runs_max_ = 100;
  bool as_json_ = false, once_ = false, follows_ = false;
  CLI::App *ps_, *logs_, *stop_, *top_, *runs_, *run_;
};

}  // namespace nestgate::app
