#pragma once

#include <CLI/App.hpp>
#include <optional>
#include <string>

#include "nestgate/app/cli.hpp"

namespace nestgate::app {

// `nestgate cron`: the moments of an expression. Needs no settings and no gateway.
class CronCommand {
 public:
  // Declares it; `app` outlives this.
  explicit CronCommand(CLI::App& app);

  // The exit code; nothing when it was not this command.
  std::optional<int> run(Terminal terminal) const;

 private:
  std::string expression_, zone_ = "UTC", after_, until_, gap_ = "run_after", overlap_ = "first";
  std::optional<std::size_t> count_;
  bool explain_ = false;
  CLI::App* command_;
};

}  // namespace nestgate::app
