#include "nestgate/net/line_sink.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

namespace nestgate {
namespace {

constexpr std::size_t spare_buffers_max = 64;
constexpr int poll_step_ms = 50;

int open_log(std::filesystem::path const& path) {
  return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR | S_IRGRP);
}

// How much of `text` goes into one write on a pipe: whole lines up to PIPE_BUF, so that lines of several writers on one
// standard error do not mix (pipe(7)).
std::size_t pipe_piece(std::string_view text) {
  if (text.size() <= PIPE_BUF) return text.size();
  auto const newline = text.rfind('\n', PIPE_BUF - 1);
  return newline == text.npos ? PIPE_BUF : newline + 1;
}

}  // namespace

std::unique_ptr<LineSink> LineSink::nowhere() {
  return std::unique_ptr<LineSink>(new LineSink(Medium::none, -1, std::nullopt, Options{}));
}

std::unique_ptr<LineSink> LineSink::to_descriptor(int fd, Options options) {
  struct stat status{};
  bool const file = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  return std::unique_ptr<LineSink>(new LineSink(file ? Medium::file : Medium::pipe, fd, std::nullopt, options));
}

Result<std::unique_ptr<LineSink>> LineSink::to_file(std::filesystem::path path, Options options) {
  int const fd = open_log(path);
  if (fd < 0) {
    return Fault{FaultKind::bad_input, boost::system::error_code(errno, boost::system::system_category()), "line_sink.open"};
  }
  return std::unique_ptr<LineSink>(new LineSink(Medium::file, fd, std::move(path), options));
}

LineSink::LineSink(Medium medium, int fd, std::optional<std::filesystem::path> path, Options options)
    : medium_(medium), fd_(fd), path_(std::move(path)), options_(options) {
  if (medium_ != Medium::none) writer_ = std::thread([this] { write_until_finished(); });
}

LineSink::~LineSink() {
  if (!writer_.joinable()) return;
  {
    std::lock_guard const lock(mutex_);
    finishing_ = true;
    finish_by_ = std::chrono::steady_clock::now() + options_.finish_grace;
    finish_seen_.store(true, std::memory_order_release);
  }
  wake_.notify_one();
  writer_.join();
  if (path_) ::close(fd_);
}

void LineSink::hand_over(std::string& buffer, std::uint64_t lines) {
  if (medium_ == Medium::none) return buffer.clear();
  {
    std::lock_guard const lock(mutex_);
    if (backlog_bytes_ + buffer.size() > options_.backlog_bytes_max) {
      lines_dropped_.fetch_add(lines, std::memory_order_relaxed);
      return buffer.clear();
    }
    backlog_bytes_ += buffer.size();
    std::string fresh;
    if (!spare_.empty()) {
      fresh = std::move(spare_.back());
      spare_.pop_back();
    }
    queue_.push_back({std::exchange(buffer, std::move(fresh)), lines});
  }
  wake_.notify_one();
}

void LineSink::reopen() {
  {
    std::lock_guard const lock(mutex_);
    reopen_asked_ = path_.has_value();
  }
  wake_.notify_one();
}

void LineSink::write_until_finished() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return !queue_.empty() || reopen_asked_ || finishing_; });
    bool const open_first = std::exchange(reopen_asked_, false);
    if (queue_.empty() && !open_first) return;
    Batch batch;
    if (!queue_.empty()) {
      batch = std::move(queue_.front());
      queue_.pop_front();
    }
    lock.unlock();
    if (open_first) open_again();
    auto const size = batch.text.size();
    if (write_batch(batch.text) == Written::no) lines_dropped_.fetch_add(batch.lines, std::memory_order_relaxed);
    batch.text.clear();
    lock.lock();
    backlog_bytes_ -= size;
    if (size > 0 && spare_.size() < spare_buffers_max) spare_.push_back(std::move(batch.text));
  }
}

void LineSink::open_again() {
  int const fd = open_log(*path_);
  if (fd < 0) {
    write_failures_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  ::close(std::exchange(fd_, fd));
}

LineSink::Written LineSink::write_batch(std::string_view text) {
  while (!text.empty()) {
    if (medium_ == Medium::pipe && wait_writable() == Written::no) return Written::no;
    auto const piece = medium_ == Medium::pipe ? pipe_piece(text) : text.size();
    auto const written = ::write(fd_, text.data(), piece);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) continue;  // somebody made the shared descriptor non-blocking: poll again
    if (written < 0) {
      write_failures_.fetch_add(1, std::memory_order_relaxed);
      return Written::no;
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return Written::yes;
}

LineSink::Written LineSink::wait_writable() {
  for (;;) {
    pollfd waiting{fd_, POLLOUT, 0};
    int const ready = ::poll(&waiting, 1, poll_step_ms);
    if (ready > 0) return Written::yes;  // an error too: the write will say it
    if (ready < 0 && errno != EINTR) return Written::no;
    if (grace_is_over()) return Written::no;
  }
}

// finish_by_ is written once, before finish_seen_.
bool LineSink::grace_is_over() const {
  return finish_seen_.load(std::memory_order_acquire) && std::chrono::steady_clock::now() >= finish_by_;
}

}  // namespace nestgate
