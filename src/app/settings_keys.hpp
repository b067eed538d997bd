#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/app/settings.hpp"

// One table of keys serves the parser, the environment, unknown-key detection, reload and the documentation's test.
namespace nestgate::app {

// A value as it was written, before a key gives it a meaning.
struct RawValue {
  enum class Kind : std::uint8_t { text, integer, boolean, list, map, other };
  Kind kind = Kind::other;
  std::string text;                // text, integer, boolean; for the others what is shown in a fault
  std::vector<RawValue> items;     // list, map
  std::vector<std::string> names;  // map: one for each item
  enum class Origin : std::uint8_t { file, environment } origin = Origin::file;  // from the environment everything is text
};

// Says what is wrong and what is allowed; nothing when all is well.
using Problem = std::optional<std::string>;

enum class Reload : std::uint8_t { yes, restart };
enum class Presence : std::uint8_t { optional, required };

// `Owner` is Settings, or the element of an array of tables.
template <class Owner>
struct Key {
  std::string_view name;  // "limits.trailer_bytes_max"; within an array of tables "cert_file"
  std::string allowed;    // unit and bounds, as the documentation and faults say them
  Reload reload;
  std::string_view doc;
  Presence presence = Presence::optional;
  std::function<Problem(Owner&, RawValue const&)> read;
  std::function<std::string(Owner const&)> print;  // as TOML
  std::function<void(Owner&, Owner const&)> copy;  // this key's value, into the first
};

std::vector<Key<Settings>> const& settings_keys();

struct ApiKeyTable {
  static constexpr std::string_view name = "identity.api_key";
  using Element = identity::ApiKeyEntry;
  static std::vector<Key<Element>> const& keys();
  static auto& in(auto& settings) { return settings.identity.api_keys; }
  static constexpr std::size_t elements_max = 10'000;
};
struct CertificateTable {
  static constexpr std::string_view name = "tls.certificate";
  using Element = TlsCertificate;
  static std::vector<Key<Element>> const& keys();
  static auto& in(auto& settings) { return settings.tls.certificates; }
  static constexpr std::size_t elements_max = 1'000;
};
struct StaticRuntimeTable {
  static constexpr std::string_view name = "runtime.static";
  using Element = StaticRuntimeSettings;
  static std::vector<Key<Element>> const& keys();
  static auto& in(auto& settings) { return settings.static_runtimes; }
  static constexpr std::size_t elements_max = 100'000;
};

inline constexpr std::string_view sqlite_scheme = "sqlite:";  // of store.url

struct SandboxSpecTable {
  static constexpr std::string_view name = "cloud.spec";
  using Element = api::SandboxSpec;
  static std::vector<Key<Element>> const& keys();
  static auto& in(auto& settings) { return settings.sandbox_specs; }
  static constexpr std::size_t elements_max = 1'000;
};

// "limits.trailer_bytes_max" is NESTGATE_LIMITS_TRAILER_BYTES_MAX.
std::string environment_name(std::string_view key);

}  // namespace nestgate::app
