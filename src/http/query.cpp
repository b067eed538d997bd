#include <algorithm>
#include <array>

#include "http/lists.hpp"
#include "http/percent.hpp"
#include "nestgate/http/head.hpp"
#include "nestgate/http/rewrite.hpp"

namespace nestgate::http {
namespace {

struct Parameter {
  std::string_view text;  // as it stands in the query
  std::string_view name;
  std::string_view value;
  bool has_value = false;  // there is a '='
};

// Calls `take` with each piece between '&', empty ones included, until it returns false.
template <class Take>
void for_each_parameter(std::string_view query, Take&& take) {
  for (;;) {
    auto const cut = query.find('&');
    Parameter parameter;
    parameter.text = query.substr(0, cut);
    auto const equals = parameter.text.find('=');
    parameter.has_value = equals != query.npos;
    parameter.name = parameter.text.substr(0, equals);
    if (parameter.has_value) parameter.value = parameter.text.substr(equals + 1);
    if (!take(parameter) || cut == query.npos) return;
    query.remove_prefix(cut + 1);
  }
}

bool is_secret_name(std::string_view name) noexcept {
  constexpr std::array<std::string_view, 5> secrets = {"session_api_key", "tkn", "token", "api_key", "access_token"};
  return std::any_of(secrets.begin(), secrets.end(), [name](auto secret) { return equals_decoded(name, secret); });
}

}  // namespace

QueryValue query_value(std::string_view query, std::string_view name) noexcept {
  QueryValue out;
  for_each_parameter(query, [&](Parameter const& parameter) {
    if (!equals_decoded(parameter.name, name)) return true;
    out.found = true;
    out.value = parameter.value;
    return false;
  });
  return out;
}

std::string_view cookie_value(std::string_view cookie_field, std::string_view name) noexcept {
  for (;;) {
    auto const cut = cookie_field.find(';');
    std::string_view const pair = without_white_space(cookie_field.substr(0, cut));
    auto const equals = pair.find('=');
    if (equals != pair.npos && without_white_space(pair.substr(0, equals)) == name) {
      std::string_view value = without_white_space(pair.substr(equals + 1));
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
      return value;
    }
    if (cut == cookie_field.npos) return {};
    cookie_field.remove_prefix(cut + 1);
  }
}

void append_target_without(std::string& out, std::string_view path, std::string_view query, std::string_view name) {
  out += path;
  if (query.empty()) return;
  char separator = '?';
  for_each_parameter(query, [&](Parameter const& parameter) {
    if (equals_decoded(parameter.name, name)) return true;
    out += separator;
    out += parameter.text;
    separator = '&';
    return true;
  });
}

void append_target_with(std::string& out, std::string_view path, std::string_view query, std::string_view name,
                        std::string_view value) {
  out += path;
  char separator = '?';
  bool written = false;
  auto write = [&](std::string_view parameter_name) {
    out += separator;
    out += parameter_name;
    out += '=';
    out += value;
    separator = '&';
    written = true;
  };
  if (!query.empty()) {
    for_each_parameter(query, [&](Parameter const& parameter) {
      if (equals_decoded(parameter.name, name)) {
        if (!written) write(parameter.name);  // further copies are dropped: one value, ours
        return true;
      }
      out += separator;
      out += parameter.text;
      separator = '&';
      return true;
    });
  }
  if (!written) write(name);
}

void append_redacted_target(std::string& out, std::string_view target) {
  auto const question = target.find('?');
  out += target.substr(0, question);
  if (question == target.npos) return;
  char separator = '?';
  for_each_parameter(target.substr(question + 1), [&](Parameter const& parameter) {
    out += separator;
    separator = '&';
    if (parameter.has_value && is_secret_name(parameter.name)) {
      out += parameter.name;
      out += "=***";
    } else {
      out += parameter.text;
    }
    return true;
  });
}

}  // namespace nestgate::http
