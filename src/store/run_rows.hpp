#pragma once

#include "nestgate/store/automation_store.hpp"
#include "values.hpp"

namespace nestgate::store {

// The counter of runs' versions. Whoever changes runs counts it up before anything else, so that what it then reads of
// them stays until it has written.
inline constexpr std::string_view run_versions = "automation_run";

// The tables of runs and of what they were made with. Each call within a transaction; everything may throw Unusable.
class RunRows {
 public:
  // It outlives this.
  explicit RunRows(Sealer const& sealer) : sealer_(sealer) {}

  // New ones, each with a version of its own and its time already; those whose dedupe_key is known are found. Fault
  // conflict: an id is taken. Who waits is still to be counted.
  Task<Outcome<std::vector<Enqueued>>> insert(Sql& sql, std::vector<RunRow> runs) const;
  // The upload that goes when the run is purged.
  Task<> own_upload(Sql& sql, std::string const& run_id, std::string const& upload_id) const;
  // So many more wait, or fewer.
  Task<> count_waiting(Sql& sql, std::int64_t change) const;
  // So many more. Fault overloaded: more than `max` (0: no limit) do.
  Task<Outcome<>> count_waiting(Sql& sql, std::int64_t change, std::uint64_t max) const;
  // What a schedule made ahead of a moment that has not come is as never made. The first of those moments.
  Task<std::optional<Time>> take_back(Sql& sql, std::string const& automation_id) const;
  // If it is still what it was read as: of that version.
  struct Change {
    RunRow const* run;
    std::uint64_t of_version, to_version;
  };
  // Which of them were written.
  Task<std::vector<bool>> update(Sql& sql, std::vector<Change> const& changes) const;

  Task<std::optional<RunRow>> find(Sql& sql, std::string const& id) const;
  // With its wish, without an event's payload; nothing where there is none of that id.
  Task<std::vector<std::optional<RunRow>>> find_each_for_judgement(Sql& sql, std::vector<std::string> const& ids) const;
  Task<std::vector<std::optional<RunRow>>> find_each(Sql& sql, std::vector<std::string> const& ids) const;
  Task<std::vector<WaitingRun>> waiting_since(Sql& sql, std::uint64_t version, std::size_t limit) const;
  Task<RowPage<RunRow>> list(Sql& sql, RunFilter const& filter, PageOf page) const;
  Task<std::map<RunStatus, std::uint64_t>> count(Sql& sql, RunFilter const& filter) const;
  Task<std::uint64_t> purge(Sql& sql, Time before, std::size_t limit) const;

 private:
  Task<std::vector<std::optional<RunRow>>> find_each(Sql& sql, std::string_view statement,
                                                     std::vector<std::string> const& ids) const;
  Task<std::optional<RunRow>> find_same(Sql& sql, RunRow const& run) const;
  Task<> insert_inputs(Sql& sql, std::vector<RunRow const*> const& runs) const;
  std::optional<RunRow> with_input(Rows rows) const;

  Sealer const& sealer_;
};

}  // namespace nestgate::store
