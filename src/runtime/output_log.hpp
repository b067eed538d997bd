#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace nestgate::runtime {

// Keeps the last bytes of what is appended, at least half of `bytes_max` and never more than it: `path` and, once that
// has reached half, `path`.1. Written at once, so that it can be read after the gateway was killed. Errors of the disk
// are not the runtime's fault and are ignored.
class OutputLog {
 public:
  OutputLog(std::filesystem::path path, std::uint64_t bytes_max);
  OutputLog(OutputLog&& other) noexcept;
  OutputLog& operator=(OutputLog&&) = delete;
  ~OutputLog();

  void append(std::string_view bytes);
  // The last line that is not empty, of what was appended to this object: printable, at most its last 512 bytes.
  std::string last_line() const;
  // The files were moved there.
  void move_to(std::filesystem::path path) { path_ = std::move(path); }
  // The newest `bytes_max` of the log at `path`, whoever writes it. Blocks.
  static std::string read_newest(std::filesystem::path const& path, std::uint64_t bytes_max);

 private:
  void turn_over();

  std::filesystem::path path_;
  std::uint64_t half_;
  std::uint64_t size_ = 0;
  int file_ = -1;
  std::string tail_;
};

}  // namespace nestgate::runtime
