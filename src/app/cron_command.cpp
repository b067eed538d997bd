#include "app/cron_command.hpp"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <ostream>

#include "nestgate/base/text.hpp"
#include "nestgate/schedule/describe.hpp"
#include "nestgate/schedule/zones.hpp"

namespace nestgate::app {
namespace {

using schedule::Moment;
using schedule::Now;

constexpr std::size_t count_default = 5;
constexpr std::size_t count_max = 10'000;

int complain(Terminal terminal, std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';  // one line, whatever was typed
  }
  terminal.err << "nestgate: " << text << '\n';
  return exit_wrong_usage;
}

int written(Terminal terminal) {
  if (terminal.out.flush()) return exit_done;
  terminal.err << "nestgate: standard output cannot be written to\n";
  return exit_failed;
}

struct Span {
  Now after;
  Moment until;
  std::size_t count;
};

int print_moments(schedule::Rule const& rule, Moment first, Span const& span, Terminal terminal) {
  std::size_t printed = 0;
  for (auto at = std::optional(first); at && *at <= span.until; at = rule.next(*at)) {
    if (printed == span.count) {
      if (span.count == count_max) terminal.err << "nestgate: no more than " << count_max << " moments are shown\n";
      break;
    }
    terminal.out << rfc3339(*at, 0) << '\n';
    ++printed;
  }
  return written(terminal);
}

}  // namespace

CronCommand::CronCommand(CLI::App& app)
    : command_(app.add_subcommand("cron", "Print the moments of a cron expression in UTC, one a line")) {
  command_->set_version_flag("--version", "nestgate " NESTGATE_VERSION);
  command_->add_option("EXPR", expression_, "Minute, hour, day of month, month, day of week; then second, then year")
      ->required()
      ->type_name("");
  command_->add_option("--tz", zone_, "Whose clocks it goes by; UTC without it")->type_name("ZONE");
  command_->add_option("--after", after_, "Moments after this one, RFC 3339; now without it")->type_name("TIME");
  command_->add_option("--until", until_, "And not after this one")->type_name("TIME");
  command_->add_option("--count", count_, "As many at most; 5 without it and without --until")
      ->check(CLI::Range(std::size_t{1}, count_max).description(""))
      ->type_name("N");
  command_->add_option("--dst-gap", gap_, "What the clocks leave out: run_after (the gap, once) or skip")
      ->check(CLI::IsMember({"run_after", "skip"}).description(""))
      ->type_name("POLICY");
  command_->add_option("--dst-overlap", overlap_, "What the clocks repeat: first (time only) or both")
      ->check(CLI::IsMember({"first", "both"}).description(""))
      ->type_name("POLICY");
  command_->add_flag("--explain", explain_, "Say it in words, too, in a line before the moments");
}

std::optional<int> CronCommand::run(Terminal terminal) const {
  if (!*command_) return std::nullopt;
  auto const cron = schedule::Cron::parse(expression_);
  if (!cron) return complain(terminal, std::string(cron.error().field) + ": " + cron.error().reason);
  auto const zone = schedule::Zones().find(zone_);
  if (!zone) return complain(terminal, "--tz: " + zone.error().reason);
  schedule::Rule const rule{*cron, *zone, schedule::parse_dst_gap(gap_).value(),
                            schedule::parse_dst_overlap(overlap_).value()};

  auto const after = after_.empty() ? std::chrono::system_clock::now() : parse_rfc3339(after_);
  if (!after) return complain(terminal, "--after: \"" + after_ + "\" is no time of RFC 3339 in 1970 to 2200");
  Span span{*after, schedule::latest_moment, count_.value_or(until_.empty() ? count_default : count_max)};
  if (!until_.empty()) {
    auto const until = parse_rfc3339(until_);
    if (!until) return complain(terminal, "--until: \"" + until_ + "\" is no time of RFC 3339 in 1970 to 2200");
    span.until = std::chrono::floor<std::chrono::seconds>(*until);
  }
  auto const first = rule.next(span.after);
  if (!first) return complain(terminal, "expression: it never fires after " + rfc3339(span.after, 0));
  if (explain_) terminal.out << schedule::describe(rule, span.after) << '\n';
  return print_moments(rule, *first, span, terminal);
}

}  // namespace nestgate::app
