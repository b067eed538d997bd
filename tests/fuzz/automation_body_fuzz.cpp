// Any bytes as the body of a request of the automation API; the first byte says which.
#include <simdjson.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "api/automation/automation_body.hpp"
#include "api/automation/preset_body.hpp"
#include "api/automation/report_body.hpp"
#include "api/automation/run_body.hpp"
#include "nestgate/base/invariant.hpp"

namespace {

using namespace nestgate;
using namespace nestgate::api;
using namespace std::chrono_literals;

BodyRules rules() {
  static schedule::Zones zones;
  auto const day = std::chrono::sys_days(std::chrono::year(2026) / 11 / 22);
  return {zones, 1800s, automation::PrivateCallbacks::refuse, day};
}

void check_answer(std::string_view json) {
  simdjson::dom::parser parser;
  NESTGATE_INVARIANT(!parser.parse(json.data(), json.size()).error(), "what clients are told is JSON");
}

void create(Model in, Faults const& faults) {
  auto const body = read_create(in, rules());
  if (!faults.empty()) return;
  auto const kept = automation::to_json(body.trigger);
  auto const trigger = automation::parse_trigger(kept);
  NESTGATE_INVARIANT(trigger.has_value(), "what the store keeps of a trigger is read again");
  NESTGATE_INVARIANT(automation::to_json(*trigger) == kept, "and says the same");
}

void change(Model in, Faults const&) { read_change(in, rules()); }
void prompt(Model in, Faults const&) { read_prompt_preset(in, rules()); }
void plugin(Model in, Faults const&) { read_plugin_preset(in, rules()); }

void report(Model in, Faults const& faults) {
  auto const read = read_report(in, rules().now);
  if (!faults.empty()) return;
  if (!read.status_detail_json.empty()) check_answer(read.status_detail_json);
}

void phase(Model in, Faults const& faults) {
  auto const text = read_phase(in);
  NESTGATE_INVARIANT(!faults.empty() || text.find_first_of("\r\n\t") == text.npos, "one line");
}

using Read = void (*)(Model in, Faults const& faults);
constexpr std::array<Read, 6> reads{create, change, prompt, plugin, report, phase};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  if (size == 0) return 0;
  std::string const text(reinterpret_cast<char const*>(data) + 1, size - 1);
  auto const which = static_cast<std::size_t>(data[0] - 'a');
  if (which < reads.size()) {
    Faults faults;
    JsonBody const json("application/json", text);
    reads[which](Model(body_value(faults, json)), faults);
    check_answer(faults_json(faults));
  } else if (data[0] == 'r') {
    parse_run_body("application/json", text);
  } else if (data[0] == 'm') {
    parse_run_body("multipart/form-data; boundary=b", text);
  }
  return 0;
}
