#pragma once

#include <compare>
#include <cstdint>
#include <utility>

namespace nestgate {

// A value with a name of its own, so that two of the same representation cannot be swapped.
template <class Tag, class Rep>
class Strong {
 public:
  explicit constexpr Strong(Rep rep) : rep_(std::move(rep)) {}
  constexpr Rep const& get() const noexcept { return rep_; }
  friend constexpr auto operator<=>(Strong const&, Strong const&) = default;

 private:
  Rep rep_;
};

using CoreIndex = Strong<struct CoreIndexTag, std::uint16_t>;
// Counts up with every start of a runtime: a route, a pooled connection and a key check name the runtime *and* its epoch.
using Epoch = Strong<struct EpochTag, std::uint64_t>;

}  // namespace nestgate
