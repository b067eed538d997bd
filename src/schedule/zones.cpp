#include "nestgate/schedule/zones.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace nestgate::schedule {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view magic = "TZif";

// Other views of the same zones, and the machine's own settings: no IANA names.
constexpr std::array<std::string_view, 4> no_names{"right", "posix", "posixrules", "localtime"};

bool is_no_name(std::string_view first_part) {
  return std::find(no_names.begin(), no_names.end(), first_part) != no_names.end();
}

// A path below the folder, each part a name of a file.
bool is_normalized(std::string_view name) {
  if (name.find('\0') != name.npos) return false;
  for (;;) {
    auto const end = name.find('/');
    auto const part = name.substr(0, end);
    if (part.empty() || part == "." || part == "..") return false;
    if (end == name.npos) return true;
    name.remove_prefix(end + 1);
  }
}

class File {
 public:
  explicit File(fs::path const& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (fd_ < 0 || ::fstat(fd_, &status_) != 0 || !S_ISREG(status_.st_mode)) close();
  }
  File(File const&) = delete;
  File& operator=(File const&) = delete;
  ~File() { close(); }

  explicit operator bool() const { return fd_ >= 0; }
  struct stat const& status() const { return status_; }

  // At most `count` bytes from the beginning.
  std::string head(std::size_t count) const {
    std::string bytes(count, '\0');
    std::size_t got = 0;
    while (got < count) {
      auto const read = ::pread(fd_, bytes.data() + got, count - got, static_cast<off_t>(got));
      if (read <= 0) break;
      got += static_cast<std::size_t>(read);
    }
    bytes.resize(got);
    return bytes;
  }

 private:
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  int fd_;
  struct stat status_{};
};

void add_names(fs::path const& folder, std::string const& prefix, int depth, std::vector<std::string>& names) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    auto const name = prefix + entry->path().filename().string();
    if (names.size() >= zone_names_max || is_no_name(name)) continue;
    std::error_code unreadable;
    if (entry->is_directory(unreadable)) {
      if (!entry->is_symlink(unreadable) && depth < zone_folder_depth_max)
        add_names(entry->path(), name + '/', depth + 1, names);
    } else if (File const file(entry->path()); file && file.head(magic.size()) == magic) {
      names.push_back(name);
    }
  }
}

}  // namespace

void throw_exception_from_error(ZoneFault const& fault, boost::source_location const&) {
  throw std::logic_error("value() on a fault: " + fault.reason);
}

Zones::Stamp::Stamp(struct stat const& status)
    : device(status.st_dev),
      inode(status.st_ino),
      size(status.st_size),
      modified_ns(status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec) {}

Zones::Zones(fs::path folder) : folder_(std::move(folder)) {}

boost::system::result<std::shared_ptr<Zone const>, ZoneFault> Zones::find(std::string_view name) {
  if (auto const known = loaded_.find(name); known != loaded_.end()) return known->second.zone;
  if (!is_normalized(name)) return ZoneFault{"ZoneInfo keys must be normalized relative paths, got: " + std::string(name)};
  auto const unknown = [name] { return ZoneFault{"Invalid timezone: " + std::string(name)}; };
  if (name.size() > zone_name_bytes_max || is_no_name(name.substr(0, name.find('/')))) return unknown();
  auto loaded = load(name);
  if (!loaded && name == "UTC") loaded = Loaded{Zone::utc(), {}};
  if (!loaded) return unknown();
  return loaded_.emplace(name, std::move(*loaded)).first->second.zone;
}

std::vector<std::string> const& Zones::names() {
  if (!names_) {
    names_ = Names{{}, stamp_of("")};
    add_names(folder_, "", 0, names_->sorted);
    std::sort(names_->sorted.begin(), names_->sorted.end());
  }
  return names_->sorted;
}

bool Zones::has_changed() const {
  if (names_ && stamp_of("") != names_->folder) return true;
  return std::any_of(loaded_.begin(), loaded_.end(),
                     [this](auto const& entry) { return stamp_of(entry.first) != entry.second.stamp; });
}

Zones::Reloaded Zones::reload() {
  Reloaded result;
  for (auto& [name, known] : loaded_) {
    auto const stamp = stamp_of(name);
    if (stamp == known.stamp) continue;
    auto loaded = load(name);
    if (!loaded) {
      known.stamp = stamp;  // told once
      result.unreadable.push_back(name);
    } else if (loaded->zone->same_clocks(*known.zone)) {
      known.stamp = loaded->stamp;
    } else {
      known = std::move(*loaded);
      result.changed.push_back(name);
    }
  }
  names_.reset();
  return result;
}

std::optional<Zones::Loaded> Zones::load(std::string_view name) const {
  File const file(path_of(name));
  if (!file) return std::nullopt;
  std::string_view reason;
  auto zone = Zone::read(std::string(name), file.head(tzif_bytes_max + 1), reason);
  if (!zone) return std::nullopt;
  return Loaded{std::move(zone), Stamp(file.status())};
}

Zones::Stamp Zones::stamp_of(std::string_view name) const {
  struct stat status{};
  if (::stat(path_of(name).c_str(), &status) != 0) return {};
  return Stamp(status);
}

}  // namespace nestgate::schedule
