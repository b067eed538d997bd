#include "runtime_shapes.hpp"

#include "nestgate/codec/json_writer.hpp"
#include "urls.hpp"

namespace nestgate::api {
namespace {

using codec::JsonWriter;
using conversation::RuntimeState;
using conversation::View;

void write_restarts(JsonWriter& w, View const& view) {
  w.member("restart_count", view.restarts.count).key("restart_reasons").begin_array();
  for (auto const& reason : view.restarts.reasons) w.value(reason);
  if (view.state == RuntimeState::error && !view.reason.empty()) w.value(view.reason);
  w.end_array();
}

void write_runtime(JsonWriter& w, View const& view, std::string_view origin, std::string_view domain,
                   std::string_view pod_log) {
  w.begin_object().member("runtime_id", view.id.text()).member("session_id", view.id.text());
  w.member("url", agent_server_url(view.id, origin, domain));
  w.member("status", runtime_status(view.state)).member("pod_status", pod_status(view.state));
  w.key("session_api_key");
  if (view.client_key.empty()) {
    w.null();
  } else {
    w.value(view.client_key.reveal());  // tidy-ok(reveal): the caller may use the runtime, which is checked before
  }
  w.key("work_hosts").begin_object();
  for (auto const& port : view.ports) w.member(port_url(view.id, port.number, origin, domain), port.number);
  w.end_object();
  write_restarts(w, view);
  w.key("container_statuses").begin_array().end_array().key("events").begin_array();
  if (view.state == RuntimeState::starting && !view.progress.empty()) w.value(view.progress);
  w.end_array();
  if (!pod_log.empty()) w.member("pod_logs", pod_log);
  w.end_object();
}

}  // namespace

std::string_view runtime_status(RuntimeState state) noexcept {
  switch (state) {
    case RuntimeState::starting: return "starting";
    case RuntimeState::running: return "running";
    case RuntimeState::paused: return "paused";
    case RuntimeState::stopping:
    case RuntimeState::stopped: return "stopped";
    case RuntimeState::error: return "error";
  }
  return "";
}

std::string_view pod_status(RuntimeState state) noexcept {
  switch (state) {
    case RuntimeState::starting: return "pending";
    case RuntimeState::running: return "ready";
    case RuntimeState::paused:
    case RuntimeState::stopping:
    case RuntimeState::stopped: return "not found";
    case RuntimeState::error: return "failed";
  }
  return "";
}

std::string runtime_json(View const& view, std::string_view origin, std::string_view domain, std::string_view pod_log) {
  std::string out;
  JsonWriter w(out);
  write_runtime(w, view, origin, domain, pod_log);
  return out;
}

std::string runtimes_json(std::string_view name, std::vector<View> const& views, std::string_view origin,
                          std::string_view domain) {
  std::string out;
  JsonWriter w(out);
  if (!name.empty()) w.begin_object().key(name);
  w.begin_array();
  for (auto const& view : views) write_runtime(w, view, origin, domain, {});
  w.end_array();
  if (!name.empty()) w.end_object();
  return out;
}

std::string readiness_json(View const& view) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("runtime_id", view.id.text()).member("pod_status", pod_status(view.state));
  write_restarts(w, view);
  w.end_object();
  return out;
}

std::string registry_prefix_json(std::string_view prefix) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("registry_prefix", prefix).end_object();
  return out;
}

std::string image_json(bool exists) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("exists", exists);
  if (exists) {
    w.key("image").begin_object().member("upload_time", "1970-01-01T00:00:00Z").member("image_size_bytes", 0);
    w.end_object();
  }
  w.end_object();
  return out;
}

}  // namespace nestgate::api
