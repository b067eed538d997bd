#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "nestgate/codec/json_writer.hpp"

// Columns that hold a JSON object, by its members. Pure.
namespace nestgate::api {

class JsonMembers {
 public:
  // Of a text that is no object: none.
  explicit JsonMembers(std::string_view json);
  // JSON; "" when it is not there.
  std::string_view find(std::string_view name) const;
  // Of a member that is a string.
  std::optional<std::string> text(std::string_view name) const;
  void set(std::string name, std::string json) { members_.insert_or_assign(std::move(name), std::move(json)); }
  void erase(std::string_view name);
  std::size_t count() const noexcept { return members_.size(); }
  // Whether any member is that JSON.
  bool has_value(std::string_view json) const;
  // "" where there are none.
  std::string json() const;

 private:
  std::map<std::string, std::string, std::less<>> members_;
};

// `text` as a JSON string.
std::string json_text(std::string_view text);

// Members of an answer.
// "" is null.
void write_json_or_null(codec::JsonWriter& w, std::string_view name, std::string_view json);

}  // namespace nestgate::api
