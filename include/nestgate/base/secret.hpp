#pragma once

#include <ostream>
#include <string>
#include <string_view>

namespace nestgate {

// A value that cannot be logged: not copyable by accident, wiped when it dies, compared in constant time.
// `git grep reveal` lists every use of the plain text.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) noexcept : value_(std::move(value)) {}
  Secret(Secret&& other) noexcept : value_(std::move(other.value_)) { other.wipe(); }
  Secret& operator=(Secret&& other) noexcept;
  Secret(Secret const&) = delete;
  Secret& operator=(Secret const&) = delete;
  ~Secret() { wipe(); }

  Secret clone() const { return Secret(value_); }  // said aloud, so that copies can be counted
  bool empty() const noexcept { return value_.empty(); }
  std::size_t size() const noexcept { return value_.size(); }
  std::string_view reveal() const noexcept { return value_; }

  // Time depends on the lengths only.
  bool equals(std::string_view other) const noexcept;
  friend bool operator==(Secret const& a, Secret const& b) noexcept { return a.equals(b.value_); }

  template <class Stream>
  friend Stream& operator<<(Stream&, Secret const&) = delete;

 private:
  void wipe() noexcept;
  std::string value_;
};

template <class T>
concept Loggable = requires(std::ostream& out, T const& value) { out << value; };
static_assert(!Loggable<Secret>, "a secret must not reach a log line");

}  // namespace nestgate
