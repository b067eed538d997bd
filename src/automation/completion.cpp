#include "completion.hpp"

#include <algorithm>

#include "nestgate/codec/json_writer.hpp"

namespace nestgate::automation {

std::string completion_body(Run const& run) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("status", to_string(run.status)).member("run_id", run.id);
  if (run.status == RunStatus::failed) w.member("error", run.error_detail);
  if (!run.reported_conversation_id.empty()) w.member("conversation_id", run.reported_conversation_id);
  if (run.cost) w.member("cost", *run.cost);
  w.end_object();
  return out;
}

std::string completion_message_id(Run const& run) {
  std::string id = "msg_" + run.id;
  std::erase(id, '-');
  // A failure that was a guess may be told first and its correction after it: two messages.
  if (run.error_is_guess) id += "_guess";
  return id;
}

}  // namespace nestgate::automation
