#pragma once

#include "automation_rows.hpp"
#include "delivery_rows.hpp"
#include "run_rows.hpp"

namespace nestgate::store {

struct ToJudge {
  std::string id;
  std::optional<std::uint64_t> fence;
  RunJudge judge;
};

// Decisions about runs are written with all that follows from them. Each call within a transaction; everything may throw
// Unusable.
class RunJudgements {
 public:
  // They outlive this.
  RunJudgements(RunRows const& runs, AutomationRows const& automations, DeliveryRows const& deliveries)
      : runs_(runs), automations_(automations), deliveries_(deliveries) {}

  Task<std::vector<Outcome<JudgedRun>>> judge(Sql& sql, std::vector<ToJudge> const& wanted) const;

 private:
  struct Decided;
  Task<std::vector<std::size_t>> judge_some(Sql& sql, std::vector<ToJudge> const& wanted,
                                            std::vector<std::size_t> const& which,
                                            std::vector<std::optional<Outcome<JudgedRun>>>& answers) const;
  Task<> follow_up(Sql& sql, std::vector<Decided>& written) const;

  RunRows const& runs_;
  AutomationRows const& automations_;
  DeliveryRows const& deliveries_;
};

}  // namespace nestgate::store
