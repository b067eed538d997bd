#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>

#include "nestgate/schedule/zone.hpp"

namespace nestgate::schedule {

inline constexpr std::string_view zone_folder = "/usr/share/zoneinfo";
inline constexpr std::size_t zone_name_bytes_max = 128;
inline constexpr std::size_t zone_names_max = 10'000;
inline constexpr int zone_folder_depth_max = 6;

// Why there is no such zone, for people.
struct ZoneFault {
  std::string reason;
};
[[noreturn]] void throw_exception_from_error(ZoneFault const& fault, boost::source_location const& at);

// The time zones of a folder of TZif files. Used by one thread. All calls read files, a few kilobytes each, and block for
// that; names() looks into every file of the folder the first time.
class Zones {
 public:
  explicit Zones(std::filesystem::path folder = std::filesystem::path(zone_folder));

  // "Europe/Berlin". Read once and kept. UTC is there even without a folder. Names that are no names of files in the folder
  // are refused with ZoneInfo's sentence, unknown ones with "Invalid timezone: X".
  boost::system::result<std::shared_ptr<Zone const>, ZoneFault> find(std::string_view name);

  // All IANA names, sorted; empty without a folder.
  std::vector<std::string> const& names();

  // Whether the file of a zone that find() gave was replaced, written or removed since, or the folder behind names(). Costs
  // one stat a zone, so it may be asked every few seconds, or whenever a watch on the folder says something.
  bool has_changed() const;

  struct Reloaded {
    std::vector<std::string> changed;     // their clocks go otherwise now: find() gives the new zone
    std::vector<std::string> unreadable;  // they stay as they were
  };
  // Reads again what has_changed() is about. Zones that were handed out stay as they are.
  Reloaded reload();

 private:
  // What tells one file from another that took its place.
  struct Stamp {
    Stamp() = default;
    explicit Stamp(struct stat const& status);

    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t modified_ns = 0;
    bool operator==(Stamp const&) const = default;
  };
  struct Loaded {
    std::shared_ptr<Zone const> zone;
    Stamp stamp;  // all 0: there was no file
  };

  std::filesystem::path path_of(std::string_view name) const { return folder_ / name; }
  std::optional<Loaded> load(std::string_view name) const;
  Stamp stamp_of(std::string_view name) const;  // of the folder: ""

  std::filesystem::path folder_;
  std::map<std::string, Loaded, std::less<>> loaded_;
  struct Names {
    std::vector<std::string> sorted;
    Stamp folder;
  };
  std::optional<Names> names_;
};

}  // namespace nestgate::schedule
