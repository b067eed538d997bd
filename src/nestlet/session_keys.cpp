#include "nestlet/session_keys.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "nestlet/fd.hpp"

namespace nestgate::nestlet {
namespace {

constexpr std::size_t key_file_bytes_max = 64 * 1024;

bool is_secret_name(std::string_view name) {
  return name == "SESSION_API_KEY" || name == "OH_SECRET_KEY" || name.starts_with("OH_SESSION_API_KEYS");
}

}  // namespace

bool SessionKeys::accept(std::string_view key) const noexcept {
  bool accepted = keys_.empty();
  for (auto const& mine : keys_) accepted |= mine.equals(key);
  return accepted;
}

SessionKeys keys_from_environment() {
  std::vector<Secret> keys;
  auto take = [&keys](char const* name) {
    char const* const value = std::getenv(name);
    if (value == nullptr) return false;
    if (*value != '\0') keys.emplace_back(std::string(value));
    return true;
  };
  for (int i = 0; take(("OH_SESSION_API_KEYS_" + std::to_string(i)).c_str()); ++i) {
  }
  if (keys.empty()) take("SESSION_API_KEY");
  return SessionKeys(std::move(keys));
}

Result<SessionKeys> keys_from_file(std::string const& path) {
  Fd const file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return Fault{FaultKind::not_found, {errno, boost::system::system_category()}, "session_key_file"};
  std::string buffer(key_file_bytes_max, '\0');
  auto const n = ::read(file.get(), buffer.data(), buffer.size());
  if (n < 0) return Fault{FaultKind::not_found, {errno, boost::system::system_category()}, "session_key_file"};
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
  if (keys.empty()) return Fault{FaultKind::bad_input, {}, "session_key_file"};
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
