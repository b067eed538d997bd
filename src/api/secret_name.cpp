#include "secret_name.hpp"

#include <algorithm>

namespace nestgate::api {

bool is_secret_name(std::string_view name) noexcept {
  constexpr std::size_t bytes_max = 128;
  auto const is_allowed = [](char c) { return static_cast<unsigned char>(c) > ' ' && c != 0x7f && c != '/'; };
  if (name == "." || name == "..") return false;
  return !name.empty() && name.size() <= bytes_max && std::all_of(name.begin(), name.end(), is_allowed);
}

}  // namespace nestgate::api
