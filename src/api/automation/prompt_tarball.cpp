#include "prompt_tarball.hpp"

#include "tarball.hpp"

namespace nestgate::api {

std::optional<std::string> with_prompt(std::string_view tar_gz, std::string_view prompt, std::size_t bytes_max) {
  TarLimits limits;
  limits.bytes_max = bytes_max;
  return with_file(tar_gz, "prompt.txt", prompt, limits);
}

}  // namespace nestgate::api
