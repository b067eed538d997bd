#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "nestgate/schedule/time.hpp"

// The TZ string in a TZif file's footer: which offset holds after the last transition (RFC 8536 section 3.3, POSIX.1
// section 8.3 with the hours of version 3: -167 to 167).
namespace nestgate::schedule {

inline constexpr std::size_t posix_zone_bytes_max = 256;

// From when on which offset.
struct Transition {
  Moment at;
  std::chrono::seconds offset;
};

class PosixZone {
 public:
  static std::optional<PosixZone> parse(std::string_view text);

  // The offset at `from` and every change after it before `until`, ordered; the first one is at `from`. Ends.
  std::vector<Transition> transitions(Moment from, Moment until) const;

 private:
  friend class PosixZoneParser;

  struct Change {
    enum class Form : std::uint8_t { julian, day_of_year, week } form = Form::week;
    int day = 0;  // J1 to J365; 0 to 365; weekday 0 to 6
    unsigned month = 0, week = 0;
    std::chrono::seconds time{7200};
    std::chrono::local_seconds in(std::chrono::year year) const;
  };
  struct Summer {
    std::chrono::seconds offset;
    Change begin, end;
  };

  std::chrono::seconds offset_{};
  std::optional<Summer> summer_;
};

}  // namespace nestgate::schedule
