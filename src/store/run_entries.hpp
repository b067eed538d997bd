#pragma once

#include "automation_rows.hpp"
#include "run_rows.hpp"
#include "upload_rows.hpp"

namespace nestgate::store {

// New runs, but for those of schedules. Each call within a transaction; everything may throw Unusable.
class RunEntries {
 public:
  // They outlive this.
  RunEntries(RunRows const& runs, AutomationRows const& automations, UploadRows const& uploads)
      : runs_(runs), automations_(automations), uploads_(uploads) {}

  Task<Outcome<std::vector<Enqueued>>> enqueue(Sql& sql, std::vector<RunRow> const& runs, std::uint64_t waiting_max) const;
  Task<Outcome<Enqueued>> enqueue_own(Sql& sql, RunRow const& run, UploadRow const& upload, std::string const& bytes,
                                      std::uint64_t waiting_max) const;
  Task<Outcome<AutomationStore::EventTaken>> take_event(Sql& sql, std::string const& org_id, std::string const& source,
                                                        std::string const& delivery_id, std::vector<RunRow> const& runs,
                                                        std::uint64_t waiting_max) const;
  // Delivery ids of events that were taken before.
  Task<std::uint64_t> purge(Sql& sql, Time before, std::size_t limit) const;

 private:
  RunRows const& runs_;
  AutomationRows const& automations_;
  UploadRows const& uploads_;
};

}  // namespace nestgate::store
