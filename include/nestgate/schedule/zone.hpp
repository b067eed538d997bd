#pragma once

#include <boost/system/result.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/schedule/time.hpp"

namespace nestgate::schedule {

inline constexpr std::size_t tzif_bytes_max = 256 * 1024;  // the largest of tzdata are under 4 KB
inline constexpr std::size_t tzif_transitions_max = 8192;  // about 240 at most in tzdata

// Where the clocks of a zone are away from UTC by the same offset.
struct Segment {
  Moment begin, end;  // [begin, end)
  std::chrono::seconds offset{};
  // What the clocks had shown at most before `begin`: earlier than local_begin() where they were put forward, later where
  // they were put back.
  LocalTime shown_until{};

  LocalTime to_local(Moment moment) const noexcept { return LocalTime{moment.time_since_epoch() + offset}; }
  Moment to_utc(LocalTime local) const noexcept { return Moment{local.time_since_epoch() - offset}; }
  LocalTime local_begin() const noexcept { return to_local(begin); }
  LocalTime local_end() const noexcept { return to_local(end); }
  bool operator==(Segment const&) const = default;
};

// The clocks of one time zone from earliest_moment to latest_moment. Immutable; any thread.
class Zone {
 public:
  // A file in the format of RFC 8536. Nothing if it is not one, or if it counts leap seconds: `reason` then says why, as a
  // literal. `bytes` may be hostile.
  static std::shared_ptr<Zone const> read(std::string name, std::string_view bytes, std::string_view& reason);
  static std::shared_ptr<Zone const> utc();

  std::string const& name() const noexcept { return name_; }
  // At least one, ordered, without holes; neighbours differ in their offsets.
  std::vector<Segment> const& segments() const noexcept { return segments_; }
  // The index of the segment that has the moment; of the first or the last one for moments outside of them all.
  std::size_t segment_at(Moment moment) const noexcept;
  bool same_clocks(Zone const& other) const noexcept { return segments_ == other.segments_; }

 private:
  Zone(std::string name, std::vector<Segment> segments) : name_(std::move(name)), segments_(std::move(segments)) {}

  std::string name_;
  std::vector<Segment> segments_;
};

}  // namespace nestgate::schedule
