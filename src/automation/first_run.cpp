#include "first_run.hpp"

#include <simdjson.h>

#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::automation {
namespace {

namespace dom = simdjson::dom;
using store::RunStatus;

std::string_view failure_stage(store::RunRow const& run) {
  dom::parser parser;
  std::string_view phase;
  auto const& detail = run.status_detail_json;
  bool const is_dispatch = !detail.empty() && !parser.parse(detail)["phase"].get_string().get(phase) && phase == "dispatch";
  if (is_dispatch) return "dispatch";
  return run.error_is_guess ? "watchdog" : "execution";
}

}  // namespace

std::optional<std::string> with_first_run(std::string_view preset_metadata_json, store::RunRow const& ended,
                                          store::Time now) {
  bool const is_outcome = ended.status == RunStatus::completed || ended.status == RunStatus::failed;
  dom::parser parser;
  dom::object metadata, from;
  if (!is_outcome || preset_metadata_json.empty()) return std::nullopt;
  if (parser.parse(preset_metadata_json.data(), preset_metadata_json.size()).get_object().get(metadata)) return std::nullopt;
  if (metadata["template"].get_object().get(from) || metadata["first_run"].error() == simdjson::SUCCESS) return std::nullopt;
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object();
  for (auto const [name, value] : metadata) w.key(name).raw(simdjson::minify(value));
  w.key("first_run").begin_object();
  bool const has_failed = ended.status == RunStatus::failed;
  w.member("status", has_failed ? "failure" : "success").key("failure_stage");
  if (has_failed) {
    w.value(failure_stage(ended));
  } else {
    w.null();
  }
  std::string_view version;
  w.key("template_version");
  if (from["version"].get_string().get(version)) {
    w.null();
  } else {
    w.value(version);
  }
  w.member("recorded_at", rfc3339(now, 6)).end_object().end_object();
  return out;
}

}  // namespace nestgate::automation
