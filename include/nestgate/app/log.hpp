#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

#include "nestgate/app/settings.hpp"

namespace nestgate::app {

// One more thing that a line says. A Secret is none of the types it takes, so a secret cannot get into a line. Lives no
// longer than what it was made from.
class LogField {
 public:
  LogField(std::string_view name, std::string_view text) : name_(name), value_(text) {}
  LogField(std::string_view name, char const* text) : name_(name), value_(std::string_view(text)) {}
  LogField(std::string_view name, std::string const& text) : name_(name), value_(std::string_view(text)) {}
  LogField(std::string_view name, std::same_as<bool> auto flag) : name_(name), value_(flag) {}
  template <std::signed_integral I>
  LogField(std::string_view name, I number) : name_(name), value_(std::int64_t{number}) {}
  template <std::unsigned_integral I>
    requires(!std::same_as<I, bool>)
  LogField(std::string_view name, I number) : name_(name), value_(std::uint64_t{number}) {}

  void append_to(std::string& json) const;

 private:
  std::string_view name_;
  std::variant<std::string_view, bool, std::int64_t, std::uint64_t> value_;
};

using LogFields = std::initializer_list<LogField>;

// One JSON object without newline: ts, level, msg, then the fields.
std::string log_line(std::chrono::system_clock::time_point time, LogLevel level, std::string_view message, LogFields fields);

// Writes a line to standard error, when `level` is not under the set one. Any thread; each line is one write.
void log(LogLevel level, std::string_view message, LogFields fields = {});
void set_log_level(LogLevel level);

}  // namespace nestgate::app
