#pragma once

#include <optional>
#include <string>
#include <vector>

#include "automation_body.hpp"

// A draft of an automation, judged without making it (automation.md 1.7). Pure.
namespace nestgate::api {

struct DraftRequest {
  std::string endpoint;  // "/v1", "/v1/preset/prompt", "/v1/preset/plugin"
  std::string draft_json;
  std::optional<std::string> automation_id;
  std::optional<std::string> sample_event_json;
};
DraftRequest read_draft_request(Model in);

struct DraftError {
  std::string field;  // "trigger.schedule", "repos[0].url"; "": the draft as a whole
  std::string code;
  std::string message;
};

struct Draft {
  std::optional<automation::Trigger> trigger;  // nothing: it has faults
  std::vector<DraftError> errors;
};
Draft read_draft(DraftRequest const& request, BodyRules const& rules);

// The faults by the fields that a form has: a list's index in brackets, without the arms of a union.
std::vector<DraftError> draft_errors(Faults const& faults);

// The smallest gap between eleven moments of the schedule from 2026-07-01 on, in UTC; nothing where there are not two.
std::optional<std::chrono::seconds> smallest_gap(std::string_view schedule, schedule::Zones& zones);

// {"valid","errors","sampleEventMatched"}
std::string verdict_json(std::vector<DraftError> const& errors, std::optional<bool> sample_matched);

}  // namespace nestgate::api
