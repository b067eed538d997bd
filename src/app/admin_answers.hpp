#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "nestgate/app/admin.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestgate/upstream/failure.hpp"

// What answers at the admin address are made of. Pure.
namespace nestgate::app {

AdminAnswer refuse(unsigned status, std::string_view code, std::string message);
AdminAnswer not_allowed(std::string allow);
AdminAnswer failed(upstream::Failure const& failure);
// A 200 with JSON.
AdminAnswer shown(std::string body);

// "" is null.
// To the millisecond.
void time_or_null(codec::JsonWriter& w, std::string_view name,
                  std::optional<std::chrono::system_clock::time_point> const& time);

template <class T>
void value_or_null(codec::JsonWriter& w, std::string_view name, std::optional<T> const& value) {
  w.key(name);
  if (value) {
    w.value(*value);
  } else {
    w.null();
  }
}

}  // namespace nestgate::app
