#pragma once

#include <map>

#include "nestgate/store/automation_store.hpp"
#include "run_rows.hpp"
#include "values.hpp"

namespace nestgate::store {

// The counter of automations' versions. Who needs that of runs as well counts that one up first.
inline constexpr std::string_view automation_versions = "automation";

// The table of automations. As AutomationStore says, each call within a transaction; everything may throw Unusable.
class AutomationRows {
 public:
  // They outlive this.
  AutomationRows(Sealer const& sealer, RunRows const& runs) : sealer_(sealer), runs_(runs) {}

  Task<AutomationStore::Created> create(Sql& sql, AutomationRow const& row) const;
  Task<std::optional<AutomationRow>> find_template(Sql& sql, Tenant const& tenant, std::string const& template_id) const;
  Task<std::optional<AutomationRow>> find(Sql& sql, std::string const& id) const;
  // Each of the runs' automations, as far as they are there, by id; without their callbacks.
  Task<std::map<std::string, AutomationRow>> find_each(Sql& sql, std::vector<std::string> ids) const;
  Task<RowPage<AutomationRow>> list(Sql& sql, Tenant const& tenant, PageOf page) const;
  Task<std::optional<AutomationRow>> replace(Sql& sql, AutomationRow const& row) const;
  Task<std::vector<AutomationStore::Planned>> plans_since(Sql& sql, std::uint64_t version, std::size_t limit) const;
  Task<std::vector<AutomationRow>> listening(Sql& sql, std::string const& org_id, std::string const& source) const;
  Task<std::vector<std::string>> triggers_of(Sql& sql, std::string const& source) const;
  Task<> disable(Sql& sql, std::string const& id, std::string const& reason, std::string const& detail) const;

  // Its plain callback, or an empty one; nothing: it cannot be opened.
  Task<std::optional<Secret>> callback(Sql& sql, std::string const& id) const;
  // How its count of failures in a row goes on.
  struct FailureCount {
    bool begins_anew = false;
    std::uint32_t more = 0;
  };
  Task<> count_failures(Sql& sql, std::map<std::string, FailureCount> const& counts) const;
  // Runs of them were made by a schedule or by hand.
  Task<> note_triggered(Sql& sql, std::vector<std::string> ids) const;
  // Those that were deleted before and have no runs any more.
  Task<std::uint64_t> purge(Sql& sql, Time before, std::size_t limit) const;

 private:
  Task<std::optional<Time>> take_back_runs(Sql& sql, std::string const& id) const;
  Values members_of(AutomationRow const& row) const;
  // One that cannot be opened would stop the runs of all the others.
  enum class Callback : bool { left_sealed, opened };
  AutomationRow row_of(Rows& rows, Callback callback = Callback::opened) const;
  std::vector<AutomationRow> all_of(Rows rows, Callback callback = Callback::opened) const;
  std::optional<AutomationRow> first_of(Rows rows) const;

  Sealer const& sealer_;
  RunRows const& runs_;
};

}  // namespace nestgate::store
