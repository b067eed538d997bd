#include "own_run.hpp"

#include <simdjson.h>

#include "nestgate/codec/json_writer.hpp"

namespace nestgate::automation {
namespace {

namespace dom = simdjson::dom;

std::string text_of(dom::object object, std::string_view name) {
  std::string_view text;
  if (object[name].get_string().get(text)) return {};
  return std::string(text);
}

}  // namespace

Secret to_json(OwnRun const& run) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("entrypoint", run.entrypoint).member("setup_script", run.setup_script);
  w.member("callback_url", run.callback_url).member("base_url", run.base_url).member("upload_id", run.upload_id);
  w.member("time_max_s", run.time_max.count()).key("environment").begin_object();
  for (auto const& [name, value] : run.environment) w.member(name, value.reveal());
  w.end_object().end_object();
  return Secret(std::move(out));
}

OwnRun parse_own_run(Secret const& json) {
  OwnRun run;
  dom::parser parser;
  dom::object object;
  auto const text = json.reveal();
  if (text.empty() || parser.parse(text.data(), text.size()).get_object().get(object)) return run;
  run.entrypoint = text_of(object, "entrypoint");
  run.setup_script = text_of(object, "setup_script");
  run.callback_url = text_of(object, "callback_url");
  run.base_url = text_of(object, "base_url");
  run.upload_id = text_of(object, "upload_id");
  std::int64_t seconds = 0;
  if (!object["time_max_s"].get_int64().get(seconds)) run.time_max = std::chrono::seconds(seconds);
  dom::object environment;
  if (object["environment"].get_object().get(environment)) return run;
  for (auto const [name, value] : environment) {
    std::string_view word;
    if (!value.get_string().get(word)) run.environment.emplace_back(std::string(name), Secret(std::string(word)));
  }
  return run;
}

}  // namespace nestgate::automation
