#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "nestgate/base/secret.hpp"

namespace nestgate::automation {

// What a run without an automation brings along: the sealed column `wish_json` of its row.
struct OwnRun {
  std::string entrypoint;
  std::string setup_script;
  std::string callback_url;
  std::string base_url;   // as its client wrote it
  std::string upload_id;  // of its tarball
  std::chrono::seconds time_max{0};
  std::vector<std::pair<std::string, Secret>> environment;
};
Secret to_json(OwnRun const& run);
// Of what to_json wrote; an empty one for an empty text.
OwnRun parse_own_run(Secret const& json);

}  // namespace nestgate::automation
