#pragma once

#include <openssl/crypto.h>

#include <memory>
#include <string>

namespace nestgate {

template <class T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <class U>
  WipingAllocator(WipingAllocator<U> const&) noexcept {}

  T* allocate(std::size_t n) { return std::allocator<T>().allocate(n); }
  void deallocate(T* at, std::size_t n) noexcept {
    OPENSSL_cleanse(at, n * sizeof(T));
    std::allocator<T>().deallocate(at, n);
  }
  friend bool operator==(WipingAllocator const&, WipingAllocator const&) noexcept { return true; }
};

// Text that grows piece by piece and may hold secrets, such as a request's body: what it outgrows and what it leaves is
// wiped. Fifteen bytes or fewer stand in the object itself and are not. A secret by itself is a Secret.
using WipedString = std::basic_string<char, std::char_traits<char>, WipingAllocator<char>>;

}  // namespace nestgate
