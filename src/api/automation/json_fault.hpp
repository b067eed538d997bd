#pragma once

#include <cstddef>
#include <string_view>

namespace nestgate::api {

// Where a text that is no JSON stops being so, in the words and by the counting of Python's decoder, which clients of the
// automation service know. Pure; only for texts that the real parser refused.
struct JsonFault {
  std::string_view text;  // a literal
  std::size_t at = 0;     // characters before it
};
JsonFault find_json_fault(std::string_view json);

}  // namespace nestgate::api
