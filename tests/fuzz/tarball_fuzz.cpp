// Any bytes as an archive, as the tar within one, and as a tar whose headers have the right sums.
#include <zlib.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "api/automation/tarball.hpp"
#include "nestgate/base/invariant.hpp"

namespace {

using namespace nestgate::api;

constexpr TarLimits limits{.bytes_max = 1024 * 1024, .entries_max = 64};

void check(std::string_view archive) {
  auto const files = read_tar_gz(archive, limits);
  auto const changed = with_file(archive, "prompt.txt", "changed", limits);
  NESTGATE_INVARIANT(files || !changed, "what cannot be read is not changed");
  if (!changed) return;
  auto const again = read_tar_gz(*changed, {.bytes_max = 2 * limits.bytes_max, .entries_max = limits.entries_max});
  NESTGATE_INVARIANT(again && again->size() == files->size(), "the same files");
  for (std::size_t i = 0; i < files->size(); ++i) {
    auto const& [name, bytes, mode] = (*again)[i];
    bool const is_the_one = name == "prompt.txt" || name == "./prompt.txt";
    NESTGATE_INVARIANT(name == (*files)[i].name && mode == (*files)[i].mode, "by name and mode");
    NESTGATE_INVARIANT(bytes == (is_the_one ? "changed" : (*files)[i].bytes), "and by contents");
  }
}

std::string gzip_of(std::string_view bytes) {
  z_stream stream{};
  deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// A mutation hardly ever finds a header's sum.
std::string with_sums(std::string_view bytes) {
  std::string out(bytes);
  for (std::size_t at = 0; at + 512 <= out.size(); at += 512) {
    out.replace(at + 148, 8, 8, ' ');
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(out[at + i]);
    std::snprintf(out.data() + at + 148, 8, "%06o", sum);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string_view const text(reinterpret_cast<char const*>(data), size);
  check(text);
  check(gzip_of(text));
  check(gzip_of(with_sums(text)));
  return 0;
}
