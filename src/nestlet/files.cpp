#include "nestlet/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace nestgate::nestlet {
namespace {

constexpr mode_t file_mode = 0666;  // less the umask, as any program's files
constexpr mode_t directory_mode = 0777;

std::string parent_of(std::string const& path) {
  auto const slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::optional<std::uint64_t> parse_position(std::string_view text) {
  auto const number = parse_integer(text);
  if (text.empty() || text.front() == '-' || text.front() == '+' || !number) return std::nullopt;
  return static_cast<std::uint64_t>(*number);
}

}  // namespace

int make_directories(std::string const& path) {
  if (::mkdir(path.c_str(), directory_mode) == 0) return 0;
  if (errno == EEXIST) {
    struct stat about{};
    return ::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode) ? 0 : EEXIST;
  }
  if (errno != ENOENT || path.empty() || path == "/") return errno;
  auto end = path.find_last_not_of('/');
  auto const slash = path.rfind('/', end);
  if (slash == path.npos || slash == 0) return ENOENT;
  if (int const error = make_directories(path.substr(0, slash)); error != 0) return error;
  return ::mkdir(path.c_str(), directory_mode) == 0 || errno == EEXIST ? 0 : errno;
}

boost::system::result<std::string, int> follow_links(std::string path) {
  constexpr int links_max = 40;  // the kernel's own
  std::array<char, PATH_MAX> target;
  for (int links = 0; links <= links_max; ++links) {
    auto const n = ::readlink(path.c_str(), target.data(), target.size());
    if (n < 0) return path;  // no link, or nothing
    std::string_view const leads(target.data(), static_cast<std::size_t>(n));
    path = leads.starts_with('/') ? std::string(leads) : parent_of(path) + "/" + std::string(leads);
  }
  return ELOOP;
}

boost::system::result<PendingFile, int> PendingFile::create(std::string path, AtLink at_link) {
  if (at_link == AtLink::follow) {
    auto target = follow_links(std::move(path));
    if (!target) return target.error();
    path = std::move(*target);
  }
  struct stat about{};
  if (path.ends_with('/') || (::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode))) return EISDIR;
  auto const parent = parent_of(path);
  if (int const error = make_directories(parent); error != 0) return error;
  // Short and hidden: the name it gets may already be as long as names can be.
  std::string temporary = parent + "/.nestlet-" + new_id();
  Fd file(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, file_mode));
  if (!file) return errno;
  return PendingFile(std::move(file), std::move(temporary), std::move(path));
}

PendingFile::PendingFile(PendingFile&& other) noexcept
    : file_(std::move(other.file_)),
      temporary_(std::exchange(other.temporary_, {})),
      path_(std::move(other.path_)),
      size_(other.size_) {}

PendingFile::~PendingFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

int PendingFile::write(std::string_view data) {
  while (!data.empty()) {
    auto const n = ::write(file_.get(), data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    data.remove_prefix(static_cast<std::size_t>(n));
    size_ += static_cast<std::uint64_t>(n);
  }
  return 0;
}

int PendingFile::commit_as(std::string const& path) {
  struct stat about{};
  constexpr mode_t permissions = 07777;
  if (::stat(path.c_str(), &about) == 0) ::fchmod(file_.get(), about.st_mode & permissions);  // a script stays executable
  if (::rename(temporary_.c_str(), path.c_str()) != 0) return errno;
  temporary_.clear();
  return 0;
}

Checked<OpenedFile> open_for_reading(std::string const& path) {
  if (!path.starts_with('/')) return refuse(400, "Path must be absolute");
  // O_NONBLOCK: opening a FIFO must not wait for its writer. It means nothing to a regular file.
  OpenedFile opened{Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), 0, {}, {}};
  struct stat about{};
  if (!opened.file) {
    if (errno == ENOENT || errno == ENOTDIR) return refuse(404, "File not found");
    if (errno == EACCES) return refuse(403, "Permission denied");
    return file_trouble("Failed to download file", errno);
  }
  if (::fstat(opened.file.get(), &about) != 0) return file_trouble("Failed to download file", errno);
  if (!S_ISREG(about.st_mode)) return refuse(400, "Path is not a file");
  opened.size = static_cast<std::uint64_t>(about.st_size);
  opened.modified = std::chrono::sys_seconds(std::chrono::seconds(about.st_mtim.tv_sec));
  opened.etag = "\"" + std::to_string(about.st_mtim.tv_sec) + "." + std::to_string(about.st_mtim.tv_nsec) + "-" +
                std::to_string(about.st_size) + "\"";
  return opened;
}

std::string attachment(std::string_view name) {
  std::string quoted;
  for (char const c : name) {
    bool const plain = c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
    quoted.push_back(plain ? c : '_');
  }
  return "attachment; filename=\"" + quoted + "\"";
}

std::string temporary_directory() {
  char const* const named = std::getenv("TMPDIR");
  return named != nullptr && *named == '/' ? named : "/tmp";
}

boost::system::result<ByteRange, RangeFault> parse_range(std::string_view header, std::uint64_t size) {
  constexpr std::string_view unit = "bytes=";
  if (!header.starts_with(unit) || header.find(',') != header.npos) return RangeFault::ignore;
  header.remove_prefix(unit.size());
  auto const dash = header.find('-');
  if (dash == header.npos) return RangeFault::ignore;
  auto const from = parse_position(header.substr(0, dash));
  auto const to = parse_position(header.substr(dash + 1));
  bool const suffix = dash == 0;
  bool const open_end = dash + 1 == header.size();
  if ((!suffix && !from) || (!open_end && !to) || (suffix && open_end)) return RangeFault::ignore;
  if (suffix) {
    if (*to == 0 || size == 0) return RangeFault::unsatisfiable;
    auto const length = std::min(*to, size);
    return ByteRange{size - length, length};
  }
  if (!open_end && *to < *from) return RangeFault::ignore;
  if (*from >= size) return RangeFault::unsatisfiable;
  auto const last = open_end ? size - 1 : std::min(*to, size - 1);
  return ByteRange{*from, last - *from + 1};
}

Refusal file_trouble(std::string_view what, int error) {
  return refuse(error == ENOSPC || error == EDQUOT ? 507 : 500, std::string(what) + ": " + ::strerror(error));
}

}  // namespace nestgate::nestlet
