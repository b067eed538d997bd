#include "nestgate/automation/completion.hpp"

#include <simdjson.h>

#include <algorithm>
#include <cctype>

#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::automation {
namespace {

using codec::JsonWriter;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

std::string plain_completion(store::RunRow const& run) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("status", to_string(run.status)).member("run_id", run.id);
  if (!run.error_detail.empty()) w.member("error", run.error_detail);
  if (!run.conversation_id.empty()) w.member("conversation_id", run.conversation_id);
  if (run.cost) w.member("cost", *run.cost);
  w.end_object();
  return out;
}

std::string completion_event(store::RunRow const& run) {
  auto const status = lower(to_string(run.status));
  auto const at = run.completed_at.value_or(run.created_at);
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("type", "automation.run." + status).member("timestamp", rfc3339(at, 6));
  w.key("data").begin_object().member("run_id", run.id);
  if (!run.automation_id.empty()) w.member("automation_id", run.automation_id);
  w.member("attempt", run.attempt).member("status", status);
  if (run.exit_code) w.member("exit_code", *run.exit_code);
  if (run.scheduled_for) w.member("scheduled_for", rfc3339(*run.scheduled_for, 0));
  if (run.started_at)
    w.member("dur_ms", std::chrono::duration_cast<std::chrono::milliseconds>(at - *run.started_at).count());
  if (!run.error_detail.empty()) w.member("error", run.error_detail);
  if (!run.conversation_id.empty()) w.member("conversation_id", run.conversation_id);
  if (run.cost) w.member("cost", *run.cost);
  w.end_object().end_object();
  return out;
}

Secret to_json(PlainCallback const& callback) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("url", callback.url).member("bearer", callback.bearer.reveal()).end_object();
  return Secret(std::move(out));
}

PlainCallback parse_plain_callback(Secret const& json) {
  PlainCallback callback;
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  auto const text = json.reveal();
  if (text.empty() || parser.parse(text.data(), text.size()).get_object().get(object)) return callback;
  std::string_view url, bearer;
  if (!object["url"].get_string().get(url)) callback.url = url;
  if (!object["bearer"].get_string().get(bearer)) callback.bearer = Secret(std::string(bearer));
  return callback;
}

}  // namespace nestgate::automation
