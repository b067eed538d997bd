#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nestgate::api {

// One field of a multipart/form-data body. Views point into the body.
struct Part {
  std::string name;
  std::string_view body;
};

// The `boundary` of a multipart/form-data Content-Type, 1 to 70 characters; nothing for any other type.
std::optional<std::string> multipart_boundary(std::string_view content_type);
// RFC 7578: at most `parts_max` parts, each with a name; nothing for a body that does not fit or is cut short.
std::optional<std::vector<Part>> parse_multipart(std::string_view body, std::string_view boundary, std::size_t parts_max);

}  // namespace nestgate::api
