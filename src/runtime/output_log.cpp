#include "output_log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

namespace nestgate::runtime {
namespace {

constexpr std::size_t line_bytes_max = 512;
constexpr std::size_t tail_bytes_max = 2 * line_bytes_max;  // room for the ends of lines behind it

void keep_end(std::string& text, std::size_t bytes_max) {
  if (text.size() > bytes_max) text.erase(0, text.size() - bytes_max);
}

// The last `bytes_max` of a file; nothing of one that cannot be read.
std::string read_end(std::filesystem::path const& path, std::uint64_t bytes_max) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  auto const size = static_cast<std::streamoff>(file.tellg());
  if (!file || size <= 0) return {};
  auto const wanted = std::min<std::uint64_t>(static_cast<std::uint64_t>(size), bytes_max);
  std::string out(static_cast<std::size_t>(wanted), '\0');
  file.seekg(size - static_cast<std::streamoff>(wanted));
  file.read(out.data(), static_cast<std::streamsize>(wanted));
  out.resize(static_cast<std::size_t>(file.gcount()));
  return out;
}

}  // namespace

OutputLog::OutputLog(std::filesystem::path path, std::uint64_t bytes_max)
    : path_(std::move(path)), half_(std::max<std::uint64_t>(bytes_max / 2, 1)) {
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  struct stat info{};
  if (file_ >= 0 && ::fstat(file_, &info) == 0) size_ = static_cast<std::uint64_t>(info.st_size);
}

OutputLog::OutputLog(OutputLog&& other) noexcept
    : path_(std::move(other.path_)),
      half_(other.half_),
      size_(other.size_),
      file_(std::exchange(other.file_, -1)),
      tail_(std::move(other.tail_)) {}

OutputLog::~OutputLog() {
  if (file_ >= 0) ::close(file_);
}

void OutputLog::append(std::string_view bytes) {
  tail_ += bytes.substr(bytes.size() - std::min(bytes.size(), tail_bytes_max));
  keep_end(tail_, tail_bytes_max);
  while (!bytes.empty()) {
    if (size_ >= half_) turn_over();
    if (file_ < 0) return;
    auto const written =
        ::write(file_, bytes.data(), static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), half_ - size_)));
    if (written <= 0) return;
    size_ += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void OutputLog::turn_over() {
  if (file_ >= 0) ::close(file_);
  std::error_code ignored;
  std::filesystem::rename(path_, path_.string() + ".1", ignored);
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  size_ = 0;
}

std::string OutputLog::last_line() const {
  auto const last = tail_.find_last_not_of("\r\n \t");
  if (last == tail_.npos) return {};
  auto const before = tail_.find_last_of("\r\n", last);
  auto const begin = before == tail_.npos ? 0 : before + 1;
  std::string line = tail_.substr(begin, last + 1 - begin);
  keep_end(line, line_bytes_max);
  std::replace_if(line.begin(), line.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return line;
}

std::string OutputLog::read_newest(std::filesystem::path const& path, std::uint64_t bytes_max) {
  auto newest = read_end(path, bytes_max);
  return read_end(path.string() + ".1", bytes_max - newest.size()) + newest;
}

}  // namespace nestgate::runtime
