#include "nestlet/session_keys.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "nestlet/fd.hpp"
#include "nestlet/json.hpp"

namespace nestgate::nestlet {
namespace {

constexpr std::size_t key_file_bytes_max = 64 * 1024;

constexpr std::string_view keys_name = "OH_SESSION_API_KEYS";

// Both say what is wrong, or nothing. An empty key would let in whoever sends none.
std::string_view add_list(std::vector<Secret>& keys, std::string_view json) {
  auto list = parse_string_list(json);
  if (!list) return "not a JSON list of keys";
  if (list->empty() || std::any_of(list->begin(), list->end(), [](auto const& key) { return key.empty(); })) {
    return "a list without a key, or with an empty one";
  }
  for (auto& key : *list) keys.emplace_back(std::move(key));
  return {};
}
std::string_view add_numbered(std::vector<Secret>& keys, std::string_view suffix, std::string_view value) {
  bool const numbered =
      suffix.size() > 1 && suffix.front() == '_' && suffix.find_first_not_of("0123456789", 1) == suffix.npos;
  if (!numbered) return "not the name of a key: OH_SESSION_API_KEYS_0, _1, ... or a JSON list in OH_SESSION_API_KEYS";
  if (value.empty()) return "no key in it";
  keys.emplace_back(std::string(value));
  return {};
}

}  // namespace

bool is_secret_name(std::string_view name) {
  return name == "SESSION_API_KEY" || name == "OH_SECRET_KEY" || name.starts_with(keys_name);
}

bool SessionKeys::accept(std::string_view key) const noexcept {
  bool accepted = keys_.empty();
  for (auto const& mine : keys_) accepted |= mine.equals(key);
  return accepted;
}

boost::system::result<SessionKeys, KeyFault> keys_from(std::vector<std::string_view> const& environment) {
  std::vector<Secret> keys;
  std::string_view single;
  for (auto const entry : environment) {
    auto const name = entry.substr(0, entry.find('='));
    auto const value = entry.substr(std::min(entry.size(), name.size() + 1));
    if (name == "SESSION_API_KEY") single = value;
    if (!name.starts_with(keys_name)) continue;
    auto const why = name == keys_name ? add_list(keys, value) : add_numbered(keys, name.substr(keys_name.size()), value);
    if (!why.empty()) return KeyFault{std::string(name) + ": " + std::string(why)};
  }
  if (keys.empty() && !single.empty()) keys.emplace_back(std::string(single));
  return SessionKeys(std::move(keys));
}

std::vector<std::string_view> own_environment() {
  std::vector<std::string_view> out;
  for (char** entry = environ; *entry != nullptr; ++entry) out.emplace_back(*entry);
  return out;
}

boost::system::result<SessionKeys, KeyFault> keys_from_file(std::string const& path) {
  Fd const file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  auto const fault = [&path](char const* why) { return KeyFault{"session key file \"" + path + "\": " + why}; };
  if (!file) return fault(::strerror(errno));
  std::string buffer(key_file_bytes_max, '\0');
  auto const n = ::read(file.get(), buffer.data(), buffer.size());
  if (n < 0) return fault(::strerror(errno));
  ::unlink(path.c_str());
  Secret const text(std::move(buffer));
  std::vector<Secret> keys;
  std::string_view rest = text.reveal().substr(0, static_cast<std::size_t>(n));
  while (!rest.empty()) {
    auto const end = rest.find('\n');
    auto line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) keys.emplace_back(std::string(line));
    rest = end == rest.npos ? std::string_view{} : rest.substr(end + 1);
  }
  if (keys.empty()) return fault("no key in it");
  return SessionKeys(std::move(keys));
}

void scrub_environment() {
  char** kept = environ;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view const text = *entry;
    if (is_secret_name(text.substr(0, text.find('=')))) {
      ::explicit_bzero(*entry, text.size());  // what /proc/PID/environ shows is this very memory
    } else {
      *kept++ = *entry;
    }
  }
  *kept = nullptr;
}

}  // namespace nestgate::nestlet
