#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "nestgate/base/result.hpp"

namespace nestgate {

// Where lines of all cores end: a file, standard error, or nowhere. One thread of its own writes, so that no core waits
// for a disk. Thread-safe; outlives every LineBuffer.
class LineSink {
 public:
  struct Options {
    std::size_t backlog_bytes_max = 16 * 1024 * 1024;  // handed over and not written; what is beyond is dropped and counted
    std::chrono::milliseconds finish_grace{2'000};     // the destructor's patience with a pipe that nobody reads
  };

  // Takes lines and drops them at once, uncounted: no thread.
  static std::unique_ptr<LineSink> nowhere();
  // The descriptor stays the caller's.
  static std::unique_ptr<LineSink> to_descriptor(int fd, Options options);
  // Appends; made with mode 0640 when missing. A fault (bad_input, with the system's code) when it cannot be opened.
  static Result<std::unique_ptr<LineSink>> to_file(std::filesystem::path path, Options options);

  LineSink(LineSink const&) = delete;
  LineSink& operator=(LineSink const&) = delete;
  // Writes what was handed over, within `finish_grace` where the reader is slow.
  ~LineSink();

  // Takes whole lines, newline included, and leaves `buffer` empty with capacity. Never waits for the disk.
  void hand_over(std::string& buffer, std::uint64_t lines);
  // The file of that name is opened anew before the next write (log rotation). When that fails the old one stays.
  void reopen();

  std::uint64_t lines_dropped() const noexcept { return lines_dropped_.load(std::memory_order_relaxed); }
  std::uint64_t write_failures() const noexcept { return write_failures_.load(std::memory_order_relaxed); }

 private:
  enum class Medium : std::uint8_t { none, file, pipe };
  struct Batch {
    std::string text;
    std::uint64_t lines = 0;
  };

  LineSink(Medium medium, int fd, std::optional<std::filesystem::path> path, Options options);
  void write_until_finished();
  void open_again();
  enum class Written : std::uint8_t { no, yes };
  Written write_batch(std::string_view text);
  Written wait_writable();
  bool grace_is_over() const;

  Medium medium_;
  int fd_;                                     // used by the writer only, once it runs
  std::optional<std::filesystem::path> path_;  // set: fd_ is ours
  Options options_;

  std::mutex mutex_;  // held at hand-over, never while writing
  std::condition_variable wake_;
  std::deque<Batch> queue_;
  std::vector<std::string> spare_;
  std::size_t backlog_bytes_ = 0;
  bool reopen_asked_ = false;
  bool finishing_ = false;
  std::chrono::steady_clock::time_point finish_by_{};

  std::atomic<bool> finish_seen_{false};
  std::atomic<std::uint64_t> lines_dropped_{0};
  std::atomic<std::uint64_t> write_failures_{0};
  std::thread writer_;
};

// One core's lines on their way to the sink. Used by its core's thread only, which calls flush() now and then.
class LineBuffer {
 public:
  static constexpr std::size_t hand_over_bytes = 64 * 1024;

  explicit LineBuffer(LineSink& sink) : sink_(sink) {}
  LineBuffer(LineBuffer const&) = delete;
  LineBuffer& operator=(LineBuffer const&) = delete;
  ~LineBuffer() { flush(); }

  void append(std::string_view line) {
    text_.append(line);
    end_line();
  }
  // For writing a line in place: append to text(), then end_line().
  std::string& text() noexcept { return text_; }
  void end_line() {
    text_.push_back('\n');
    ++lines_;
    if (text_.size() >= hand_over_bytes) flush();
  }
  void flush() {
    if (lines_ == 0) return;
    sink_.hand_over(text_, lines_);
    lines_ = 0;
  }

 private:
  LineSink& sink_;
  std::string text_;
  std::uint64_t lines_ = 0;
};

}  // namespace nestgate
