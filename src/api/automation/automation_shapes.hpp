#pragma once

#include <map>
#include <string>
#include <vector>

#include "nestgate/store/automation_store.hpp"

// Answers of the automation API as JSON (automation.md 1.2, automation_live.md 4). Pure.
namespace nestgate::api {

// With our own members only where they are set; a callback's bearer is never shown.
std::string automation_json(store::AutomationRow const& row);
std::string automations_json(store::RowPage<store::AutomationRow> const& page);

enum class Tails : bool { left_out, shown };
std::string run_json(store::RunRow const& run, Tails tails = Tails::left_out);
// `counts`: of all its runs, whatever the page shows.
std::string runs_json(store::RowPage<store::RunRow> const& page, std::map<store::RunStatus, std::uint64_t> const& counts);

std::string upload_json(store::UploadRow const& row);
std::string uploads_json(store::RowPage<store::UploadRow> const& page);

std::string skipped_json(store::RowPage<store::SkippedRow> const& page);
// The next moments of a schedule.
std::string moments_json(std::vector<store::Time> const& moments);

// With its attempts, oldest first.
struct DeliveryShape {
  store::DeliveryRow delivery;
  std::vector<store::DeliveryAttemptRow> attempts;
};
std::string delivery_json(DeliveryShape const& delivery);
std::string deliveries_json(std::vector<DeliveryShape> const& deliveries, std::uint64_t total);

// The secret, which is shown once, or "" where it is not.
std::string endpoint_json(store::EndpointRow const& row, std::string_view secret = {});
std::string endpoints_json(store::RowPage<store::EndpointRow> const& page);

// The ends of what its command has said.
std::string output_json(store::RunRow const& run);

}  // namespace nestgate::api
