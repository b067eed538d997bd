#pragma once

#include <string_view>
#include <vector>

#include "app/settings_keys.hpp"
#include "app/settings_specs.hpp"

// What the groups of keys are made with.
namespace nestgate::app {

constexpr std::int64_t operator""_KiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 10; }
constexpr std::int64_t operator""_MiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 20; }
constexpr std::int64_t operator""_TiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 40; }
constexpr std::int64_t operator""_GiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 30; }

// The key whose value is `owner.*A.*B`…
template <auto... Members, class Owner, class Spec>
void add(std::vector<Key<Owner>>& keys, std::string_view name, Spec spec, Reload reload, std::string_view doc) {
  Key<Owner> key;
  key.name = name;
  key.allowed = spec.allowed();
  key.reload = reload;
  key.doc = doc;
  key.read = [spec](Owner& owner, RawValue const& value) { return spec.read((owner.*....*Members), value); };
  key.print = [spec](Owner const& owner) { return spec.print((owner.*....*Members)); };
  key.copy = [](Owner& to, Owner const& from) { (to.*....*Members) = (from.*....*Members); };
  keys.push_back(std::move(key));
}

// Adds keys whose values are below `Settings::*Group`, and wait for a restart.
template <auto... Group>
auto below(std::vector<Key<Settings>>& keys) {
  return [&keys]<auto... Members>(std::string_view name, auto spec, std::string_view doc) {
    add<Group..., Members...>(keys, name, spec, Reload::restart, doc);
  };
}

inline constexpr Text secret_path{0, 4096, "path, may be empty"};

bool is_base_url(std::string_view text);

// `[automation]`.
void add_automation(std::vector<Key<Settings>>& keys);

}  // namespace nestgate::app
