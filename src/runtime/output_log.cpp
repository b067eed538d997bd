#include "output_log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace nestgate::runtime {

OutputLog::OutputLog(std::filesystem::path path, std::uint64_t bytes_max)
    : path_(std::move(path)), half_(std::max<std::uint64_t>(bytes_max / 2, 1)) {
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  struct stat info{};
  if (file_ >= 0 && ::fstat(file_, &info) == 0) size_ = static_cast<std::uint64_t>(info.st_size);
}

OutputLog::OutputLog(OutputLog&& other) noexcept
    : path_(std::move(other.path_)), half_(other.half_), size_(other.size_), file_(std::exchange(other.file_, -1)) {}

OutputLog::~OutputLog() {
  if (file_ >= 0) ::close(file_);
}

void OutputLog::append(std::string_view bytes) {
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

}  // namespace nestgate::runtime
