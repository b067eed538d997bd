#include "nestgate/app/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::app {
namespace {

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warn: return "warn";
    case LogLevel::error: return "error";
  }
  return "error";
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warn: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

spdlog::logger& logger() {
  static spdlog::logger only = [] {
    spdlog::logger made("nestgate", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made.set_pattern("%v");  // the line is JSON already
    return made;
  }();
  return only;
}

}  // namespace

void LogField::append_to(std::string& json) const {
  json.push_back(',');
  codec::append_json_string(json, name_);
  json.push_back(':');
  codec::JsonWriter writer(json);
  std::visit([&writer](auto value) { writer.value(value); }, value_);
}

std::string log_line(std::chrono::system_clock::time_point time, LogLevel level, std::string_view message,
                     LogFields fields) {
  std::string line;
  codec::JsonWriter(line)
      .begin_object()
      .member("ts", rfc3339(time, 3))
      .member("level", to_string(level))
      .member("msg", message);
  for (auto const& field : fields) field.append_to(line);
  line.push_back('}');
  return line;
}

void log(LogLevel level, std::string_view message, LogFields fields) {
  if (!logger().should_log(spdlog_level(level))) return;
  auto const line = log_line(std::chrono::system_clock::now(), level, message, fields);
  logger().log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
}

void set_log_level(LogLevel level) { logger().set_level(spdlog_level(level)); }

}  // namespace nestgate::app
