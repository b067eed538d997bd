#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace nestgate {

// Blocks of one size, kept for reuse up to a number. One a core; not thread-safe.
class BlockPool {
 public:
  BlockPool(std::size_t block_bytes, std::size_t kept_max) : block_bytes_(block_bytes), kept_max_(kept_max) {}
  std::size_t block_bytes() const noexcept { return block_bytes_; }
  std::unique_ptr<char[]> take() {
    if (kept_.empty()) return std::unique_ptr<char[]>(new char[block_bytes_]);
    auto block = std::move(kept_.back());
    kept_.pop_back();
    return block;
  }
  void give(std::unique_ptr<char[]> block) {
    if (kept_.size() < kept_max_) kept_.push_back(std::move(block));
  }

 private:
  std::size_t block_bytes_;
  std::size_t kept_max_;
  std::vector<std::unique_ptr<char[]>> kept_;
};

// Bytes that were read and are not used up: [begin, end) of a block. Empty, it may hold no block at all.
class ReadBuffer {
 public:
  explicit ReadBuffer(BlockPool& pool) : pool_(pool) {}
  ReadBuffer(ReadBuffer const&) = delete;
  ReadBuffer& operator=(ReadBuffer const&) = delete;
  ~ReadBuffer() { release(); }

  std::string_view view() const noexcept { return {block_.get() + begin_, end_ - begin_}; }
  std::size_t size() const noexcept { return end_ - begin_; }
  bool empty() const noexcept { return begin_ == end_; }
  void consume(std::size_t n) noexcept {
    begin_ += n;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  void clear() noexcept { begin_ = end_ = 0; }

  // Room behind the bytes, at least one byte as long as size() < bytes_max; moves or grows what is there when needed.
  char* space(std::size_t bytes_max) {
    if (!block_) {
      block_ = pool_.take();
      capacity_ = pool_.block_bytes();
    }
    if (end_ == capacity_ && begin_ > 0) {
      std::memmove(block_.get(), block_.get() + begin_, size());
      end_ -= begin_;
      begin_ = 0;
    }
    if (end_ == capacity_ && capacity_ < bytes_max) {
      auto const larger = std::min(capacity_ * 2, bytes_max);
      std::unique_ptr<char[]> grown(new char[larger]);
      std::memcpy(grown.get(), block_.get(), end_);
      give_back();
      block_ = std::move(grown);
      capacity_ = larger;
    }
    return block_.get() + end_;
  }
  std::size_t space_bytes() const noexcept { return capacity_ - end_; }
  void filled(std::size_t n) noexcept { end_ += n; }

  // Gives the block back while nothing is in it.
  void release() noexcept {
    if (!block_) return;
    give_back();
    capacity_ = begin_ = end_ = 0;
  }

 private:
  void give_back() {
    if (capacity_ == pool_.block_bytes()) {
      pool_.give(std::move(block_));
    } else {
      block_.reset();
    }
  }
  BlockPool& pool_;
  std::unique_ptr<char[]> block_;
  std::size_t capacity_ = 0, begin_ = 0, end_ = 0;
};

}  // namespace nestgate
