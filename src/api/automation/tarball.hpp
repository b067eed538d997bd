#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// tar.gz archives in memory: ustar (POSIX 1003.1) within gzip (RFC 1952). Pure; thread-safe; for a worker thread where the
// archive is somebody else's, since inflating takes its time.
namespace nestgate::api {

struct TarFile {
  std::string name;  // when written: 1 to 100 bytes
  std::string bytes;
  std::uint32_t mode = 0644;
};

// In that order, all modified then.
std::string write_tar_gz(std::span<TarFile const> files, std::chrono::sys_seconds modified);

struct TarLimits {
  std::size_t bytes_max = 64 * 1024 * 1024;  // once inflated, headers included
  std::size_t entries_max = 10'000;          // of any kind
};

// Its regular files, in their order. Nothing for what is no whole tar.gz or passes a limit. Names are as they stand there:
// whoever unpacks them checks them.
std::optional<std::vector<TarFile>> read_tar_gz(std::string_view tar_gz, TarLimits const& limits);

// The same archive with other contents of the file `name` (also where it is written "./name"): every other byte of the tar
// stays. Nothing where there is no such regular file, or for what read_tar_gz does not take.
std::optional<std::string> with_file(std::string_view tar_gz, std::string_view name, std::string_view bytes,
                                     TarLimits const& limits);

}  // namespace nestgate::api
