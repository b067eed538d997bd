#pragma once

#include "run_judgements.hpp"

namespace nestgate::store {

// Moments of schedules become runs, or are noted as skipped. Each call within a transaction; everything may throw Unusable.
class Firings {
 public:
  // They outlive this.
  Firings(RunRows const& runs, RunJudgements const& judgements) : runs_(runs), judgements_(judgements) {}

  Task<Outcome<std::vector<Fired>>> fire(Sql& sql, std::vector<Firing> const& firings) const;
  Task<RowPage<SkippedRow>> skipped(Sql& sql, std::string const& automation_id, PageOf page) const;
  // Rows older than that.
  Task<std::uint64_t> purge(Sql& sql, Time before, std::size_t limit) const;

 private:
  struct Plan;
  Task<Outcome<>> fire_distinct(Sql& sql, std::vector<Plan>& plans) const;
  Task<> plan_overlaps(Sql& sql, std::vector<Plan>& plans) const;
  Task<> number_changes(Sql& sql, std::vector<Plan>& plans) const;
  Task<> advance(Sql& sql, std::vector<Plan>& plans) const;
  Task<> note_changes(Sql& sql, std::vector<Plan> const& plans) const;
  Task<Outcome<>> make_runs(Sql& sql, std::vector<Plan>& plans) const;
  Task<Outcome<>> cancel_open(Sql& sql, std::vector<Plan>& plans) const;
  Task<> note_skipped(Sql& sql, std::vector<Plan>& plans) const;

  RunRows const& runs_;
  RunJudgements const& judgements_;
};

}  // namespace nestgate::store
