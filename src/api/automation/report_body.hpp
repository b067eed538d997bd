#pragma once

#include "model.hpp"
#include "nestgate/automation/run_machine.hpp"

namespace nestgate::api {

// POST /v1/runs/{run_id}/complete (automation.md 7): its error as text and as status detail. Pure.
automation::Report read_report(Model in, store::Time now);

// POST /v1/runs/{run_id}/phase: one line, control characters and runs of white space made one space each.
std::string read_phase(Model in);

}  // namespace nestgate::api
