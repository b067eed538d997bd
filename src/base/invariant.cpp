#include "nestgate/base/invariant.hpp"

#include <cstdio>
#include <cstdlib>

namespace nestgate {

void invariant_failed(char const* text, char const* why, std::source_location at) {
  std::fprintf(stderr, "%s:%u: invariant %s: %s\n", at.file_name(), at.line(), text, why);
  std::abort();
}

}  // namespace nestgate
