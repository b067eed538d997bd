#pragma once

#include "automation_rows.hpp"
#include "run_rows.hpp"

namespace nestgate::store {

// Runs come to a gateway. Each call within a transaction; everything may throw Unusable.
class RunClaims {
 public:
  // They outlive this.
  RunClaims(RunRows const& runs, AutomationRows const& automations) : runs_(runs), automations_(automations) {}

  Task<std::vector<ClaimAnswer>> claim(Sql& sql, std::vector<std::string> const& ids, std::string const& gateway,
                                       RunCaps caps) const;
  // A run that is about to be made is the gateway's and RUNNING where the caps have room. Whoever asks stands in the line of
  // claims.
  Task<bool> begin_new(Sql& sql, RunRow& run, std::string const& gateway, RunCaps caps) const;
  Task<std::vector<RunRow>> to_clean_up(Sql& sql, std::string const& gateway, std::size_t limit) const;
  Task<std::vector<ClaimedRun>> take_over(Sql& sql, std::string const& gateway, std::size_t limit) const;

 private:
  Task<std::vector<ClaimedRun>> with_automations(Sql& sql, std::vector<RunRow> runs) const;

  RunRows const& runs_;
  AutomationRows const& automations_;
};

}  // namespace nestgate::store
