#include <algorithm>
#include <cstdint>

#include "http/lists.hpp"
#include "http/percent.hpp"
#include "http/scan.hpp"
#include "nestgate/base/text.hpp"
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

// Looks for names of secrets, and for URLs with user information, in a text that is given byte by byte, in any case. All
// that it looks for fits into the eight bytes that it remembers.
class SecretNames {
 public:
  constexpr void take(char c) noexcept {
    last_ = last_ << 8 | static_cast<unsigned char>(scan::to_lower(c));
    if (c == '=' || ends_with("%3d")) assigned_ = assigned_ || named_;
    key_ = key_ || ends_with("api_key");
    named_ = named_ || ends_with("key") || ends_with("token") || ends_with("tkn") || ends_with("secret") ||
             ends_with("passw") || ends_with("auth") || ends_with("jwt") || ends_with("sig") || ends_with("code") ||
             ends_with("cred");
    take_of_url(c);
  }
  constexpr bool named() const noexcept { return named_; }
  constexpr bool assigned() const noexcept { return assigned_; }
  // A name with a value behind it, the session key's own name, or user information.
  constexpr bool likely_with_value() const noexcept { return assigned_ || key_ || user_information_; }
  // It ends where a URL's user information would.
  constexpr bool ends_in_authority() const noexcept { return in_authority_; }

 private:
  // https://user:token@host/, also encoded twice.
  constexpr void take_of_url(char c) noexcept {
    if (ends_with("//") || ends_with("%2f%2f")) {
      in_authority_ = true;
    } else if (c == '/' || c == '?' || c == '#' || ends_with("%2f")) {
      in_authority_ = false;
    } else if (c == '@' || ends_with("%40")) {
      user_information_ = user_information_ || in_authority_;
    }
  }
  constexpr bool ends_with(std::string_view word) const noexcept {
    std::uint64_t packed = 0;
    for (char const c : word) packed = packed << 8 | static_cast<unsigned char>(c);
    return ((last_ ^ packed) & ((std::uint64_t{1} << 8 * word.size()) - 1)) == 0;
  }

  std::uint64_t last_ = 0;
  bool named_ = false, assigned_ = false, key_ = false;
  bool in_authority_ = false, user_information_ = false;
};

constexpr SecretNames secret_names_in(std::string_view raw) noexcept {
  SecretNames names;
  for (DecodedCursor cursor(raw); !cursor.at_end();) names.take(cursor.next());
  return names;
}
static_assert(secret_names_in("X-Session-API%2dKey").named() && secret_names_in("session_api_KE%59=").likely_with_value());
static_assert(secret_names_in("https%3A//u%40h").likely_with_value() && !secret_names_in("//h/u@x").likely_with_value());
static_assert(!secret_names_in("conversation_id").named() && !secret_names_in("tokens for a key").likely_with_value());

using Credentials = std::span<std::string_view const>;

bool is_one_of(Credentials credentials, std::string_view raw) noexcept {
  return std::any_of(credentials.begin(), credentials.end(), [raw](auto one) { return equals_decoded(raw, one); });
}

bool has_at_sign(std::string_view raw) noexcept {
  for (DecodedCursor cursor(raw); !cursor.at_end();) {
    if (cursor.next() == '@') return true;
  }
  return false;
}

bool must_be_masked(std::string_view raw, Credentials credentials) noexcept {
  return is_one_of(credentials, raw) || secret_names_in(raw).likely_with_value();
}

constexpr std::string_view mask = "***";

void append_redacted_path(std::string& out, std::string_view path, Credentials credentials) {
  bool const shows_one =
      std::any_of(credentials.begin(), credentials.end(), [path](auto one) { return path.find(one) != path.npos; });
  if (!shows_one && path.find_first_of("%=@") == path.npos) {
    out += path;
    return;
  }
  std::size_t const start = out.size();
  for (;;) {
    auto const cut = path.find('/');
    auto const segment = path.substr(0, cut);
    bool const is_authority = out.size() > start + 1 && std::string_view(out).ends_with("//");
    bool const is_secret = must_be_masked(segment, credentials) || (is_authority && has_at_sign(segment));
    out += is_secret ? mask : segment;
    if (cut == path.npos) return;
    out += '/';
    path.remove_prefix(cut + 1);
  }
}

void append_redacted(std::string& out, Parameter const& parameter, Credentials credentials) {
  auto const names = secret_names_in(parameter.name);
  bool const is_value = names.assigned() || (!parameter.has_value && names.likely_with_value()) ||
                        (parameter.has_value && names.ends_in_authority());
  if (is_value || is_one_of(credentials, parameter.name)) {
    out += mask;
  } else if (parameter.has_value && (names.named() || must_be_masked(parameter.value, credentials))) {
    out += parameter.name;
    out += '=';
    out += mask;
  } else {
    out += parameter.text;
  }
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

std::string_view decode_query_value(std::string_view raw, std::span<char> out) noexcept {
  if (raw.find_first_of("%+") == raw.npos) return raw;
  std::size_t size = 0;
  for (DecodedCursor cursor(raw); !cursor.at_end(); ++size) {
    if (size == out.size()) return raw;
    bool const space = cursor.rest().front() == '+';
    char const c = cursor.next();
    out[size] = space ? ' ' : c;
  }
  return {out.data(), size};
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
    append_percent_encoded(out, value);
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

void append_redacted_target(std::string& out, std::string_view target, std::span<std::string_view const> credentials) {
  auto const question = target.find('?');
  append_redacted_path(out, target.substr(0, question), credentials);
  if (question == target.npos) return;
  char separator = '?';
  for_each_parameter(target.substr(question + 1), [&](Parameter const& parameter) {
    out += separator;
    separator = '&';
    append_redacted(out, parameter, credentials);
    return true;
  });
}

}  // namespace nestgate::http
