#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/base/secret.hpp"

// Encryption at rest. Pure; any thread.
namespace nestgate::store {

// Where a sealed value stands. It can be opened there only: one that was moved to another row is refused.
struct Place {
  std::string_view table;
  std::string_view column;
  std::string_view key;          // of the row
  std::string_view subkey = {};  // where a row's key has two parts
};

enum class SealProblem : std::uint8_t {
  malformed,  // not a sealed value, or of a later format
  other_key,  // sealed with none of the secrets
  tampered,   // changed, or sealed for another place
};
std::string_view to_string(SealProblem problem) noexcept;

template <class T>
using Opened = boost::system::result<T, SealProblem>;

// AES-256-GCM under keys that are derived from the installation's secrets (README.md has the format).
class Sealer {
 public:
  static constexpr std::size_t header_bytes = 9;  // of a sealed value: its format, and by which secret

  // The first secret seals, all open; never empty.
  explicit Sealer(std::vector<Secret> const& secrets);

  std::string seal(Place const& place, std::string_view plain) const;
  Opened<Secret> open(Place const& place, std::string_view sealed) const;

 private:
  struct Key {
    std::string id;  // names the key without telling it
    Secret bytes;
  };
  std::vector<Key> keys_;
};

}  // namespace nestgate::store
