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

 private:
  void turn_over();

  std::filesystem::path path_;
  std::uint64_t half_;
  std::uint64_t size_ = 0;
  int file_ = -1;
};

}  // namespace nestgate::runtime
