#pragma once

#include <string_view>

namespace nestgate::runtime {

// Whether an image's name says where it is fetched from: its first part looks like a host, as Docker reads it.
inline bool names_registry(std::string_view image) {
  auto const slash = image.find('/');
  if (slash == image.npos) return false;
  auto const first = image.substr(0, slash);
  return first == "localhost" || first.find_first_of(".:") != first.npos;
}

}  // namespace nestgate::runtime
