#include "tarball.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <limits>

#include "nestgate/base/invariant.hpp"

namespace nestgate::api {
namespace {

constexpr std::size_t block = 512;
constexpr std::size_t record = 20 * block;  // what tar pads an archive to
constexpr int gzip_window = 15 + 16;        // zlib: the largest window, in gzip's wrapping
constexpr std::string_view gzip_magic = "\x1f\x8b";

// Where the fields of a header stand.
struct Field {
  std::size_t at, size;
};
constexpr Field name_field{0, 100}, mode_field{100, 8}, user_field{108, 8}, group_field{116, 8}, size_field{124, 12},
    time_field{136, 12}, sum_field{148, 8}, prefix_field{345, 155};
constexpr std::size_t type_at = 156;
constexpr std::size_t magic_at = 257;

std::size_t padded(std::size_t bytes) { return (bytes + block - 1) / block * block; }

void put_octal(std::string& header, Field field, std::uint64_t value) {
  for (std::size_t i = field.size - 1; i-- > 0; value /= 8) header[field.at + i] = static_cast<char>('0' + value % 8);
  header[field.at + field.size - 1] = '\0';
  NESTGATE_INVARIANT(value == 0, "what is written fits its field");
}

// The sum of all bytes, those of the sum itself as spaces.
std::uint64_t sum_of(std::string_view header) {
  std::uint64_t sum = sum_field.size * std::uint64_t{' '};
  for (std::size_t i = 0; i < block; ++i)
    if (i < sum_field.at || i >= sum_field.at + sum_field.size) sum += static_cast<unsigned char>(header[i]);
  return sum;
}

void put_sum(std::string& header) {
  auto const sum = sum_of(header);
  put_octal(header, {sum_field.at, sum_field.size - 1}, sum);
  header[sum_field.at + sum_field.size - 1] = ' ';
}

std::string_view text_in(std::string_view header, Field field) {
  auto const text = header.substr(field.at, field.size);
  return text.substr(0, text.find('\0'));
}

// Octal digits between spaces, or GNU's base 256 behind a high bit.
std::optional<std::uint64_t> number_in(std::string_view header, Field field) {
  auto text = header.substr(field.at, field.size);
  std::uint64_t value = 0;
  if (static_cast<unsigned char>(text.front()) == 0x80) {
    for (char const c : text.substr(1)) {
      if (value > std::numeric_limits<std::uint64_t>::max() >> 8) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
  }
  text = text.substr(0, text.find('\0'));
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  for (char const c : text) {
    if (c < '0' || c > '7' || value > std::numeric_limits<std::uint64_t>::max() >> 3) return std::nullopt;
    value = value << 3 | static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

// Calls zlib until it wants no more, and hands over what comes out by pieces. False: zlib's fault, or `take` had enough.
template <class Step, class Take>
bool pump(z_stream& stream, std::string_view in, Step step, Take take) {
  std::array<char, 64 * 1024> piece;
  while (true) {
    // zlib counts in 32 bits.
    auto const part = std::min<std::size_t>(in.size(), 1U << 30);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream.avail_in = static_cast<uInt>(part);
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    int const result = step(stream, part == in.size());
    in.remove_prefix(part - stream.avail_in);
    if (result != Z_OK && result != Z_STREAM_END) return false;
    if (!take(std::string_view(piece.data(), piece.size() - stream.avail_out))) return false;
    if (result == Z_STREAM_END && !in.starts_with(gzip_magic)) break;
    if (result == Z_STREAM_END && inflateReset(&stream) != Z_OK) return false;
  }
  // Tapes and block devices leave zeros behind.
  return in.find_first_not_of('\0') == in.npos;
}

std::string gzipped(std::string_view bytes) {
  z_stream stream{};
  bool const ready = deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzip_window, 8, Z_DEFAULT_STRATEGY) == Z_OK;
  NESTGATE_INVARIANT(ready, "zlib takes these parameters");
  std::string out;
  auto const step = [](z_stream& s, bool is_last) { return deflate(&s, is_last ? Z_FINISH : Z_NO_FLUSH); };
  bool const done = pump(stream, bytes, step, [&](std::string_view piece) { return out.append(piece), true; });
  deflateEnd(&stream);
  NESTGATE_INVARIANT(done, "deflating bytes in memory cannot fail");
  return out;
}

std::optional<std::string> inflated(std::string_view gzip, std::size_t bytes_max) {
  z_stream stream{};
  if (inflateInit2(&stream, gzip_window) != Z_OK) return std::nullopt;
  std::string out;
  bool const done = pump(
      stream, gzip, [](z_stream& s, bool) { return inflate(&s, Z_NO_FLUSH); },
      [&](std::string_view piece) {
        if (piece.size() > bytes_max - out.size()) return false;
        out.append(piece);
        return true;
      });
  inflateEnd(&stream);
  if (!done) return std::nullopt;
  return out;
}

// A regular file of a tar, where it stands.
struct Entry {
  std::string name;
  std::uint32_t mode = 0;
  std::size_t header_at = 0;
  std::size_t bytes = 0;           // behind the header
  bool size_is_elsewhere = false;  // an extended header says it
};

// What an extended header (pax) says of the entry behind it.
struct Extended {
  std::optional<std::string> name;
  std::optional<std::uint64_t> size;
};

std::optional<std::uint64_t> decimal(std::string_view text) {
  if (text.empty() || text.size() > 18) return std::nullopt;
  std::uint64_t value = 0;
  for (char const c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

// Records of "LENGTH KEY=VALUE\n", the length that of all of it.
bool read_extended(std::string_view text, Extended& into) {
  while (!text.empty()) {
    auto const space = text.find(' ');
    auto const length = space == text.npos ? std::nullopt : decimal(text.substr(0, space));
    if (!length || *length <= space + 1 || *length > text.size() || text[*length - 1] != '\n') return false;
    auto const entry = text.substr(space + 1, *length - space - 2);
    text.remove_prefix(*length);
    auto const equals = entry.find('=');
    if (equals == entry.npos) return false;
    auto const value = entry.substr(equals + 1);
    if (entry.starts_with("path=")) into.name = std::string(value);
    if (entry.starts_with("size=")) {
      into.size = decimal(value);
      if (!into.size) return false;
    }
  }
  return true;
}

std::string name_of(std::string_view header) {
  auto const prefix = header.substr(magic_at, 6) == std::string_view("ustar\0", 6) ? text_in(header, prefix_field) : "";
  std::string out(prefix);
  if (!out.empty()) out += '/';
  return out.append(text_in(header, name_field));
}

// Whether contents of `size` bytes stand behind the header; a link or a folder may say a size and has none.
bool has_contents(char type) { return type < '1' || type > '6'; }

// The tar's entries up to its end; `see` gets the regular files. False for what is no whole tar.
class TarWalk {
 public:
  TarWalk(std::string_view tar, std::size_t entries_max) : tar_(tar), entries_left_(entries_max) {}

  bool run(std::function<void(Entry)> const& see) {
    while (at_ < tar_.size()) {
      if (tar_.size() - at_ < block) return false;
      auto const header = tar_.substr(at_, block);
      if (header.find_first_not_of('\0') == header.npos) return true;
      if (entries_left_-- == 0 || !step(header, see)) return false;
    }
    return at_ > 0;
  }

  // Where the end's empty blocks begin.
  std::size_t end() const noexcept { return at_; }

 private:
  bool step(std::string_view header, std::function<void(Entry)> const& see) {
    auto const sum = number_in(header, sum_field);
    auto const said = number_in(header, size_field);
    if (!sum || *sum != sum_of(header) || !said) return false;
    char const type = header[type_at];
    bool const is_about_next = type == 'x' || type == 'L';
    auto const size = is_about_next ? *said : next_.size.value_or(*said);
    std::size_t const bytes = has_contents(type) ? size : 0;
    if (bytes > tar_.size() - at_ - block || padded(bytes) > tar_.size() - at_ - block) return false;
    auto const contents = tar_.substr(at_ + block, bytes);
    if (type == 'x' && !read_extended(contents, next_)) return false;
    if (type == 'L') next_.name = std::string(contents.substr(0, contents.find('\0')));
    if (type == '0' || type == '\0' || type == '7') see(entry_of(header, bytes));
    // What an extended header says holds for the one entry behind it; 'K' and 'g' may stand between.
    if (!is_about_next && type != 'K' && type != 'g') next_ = {};
    at_ += block + padded(bytes);
    return true;
  }

  Entry entry_of(std::string_view header, std::size_t bytes) const {
    Entry out;
    out.name = next_.name ? *next_.name : name_of(header);
    out.mode = static_cast<std::uint32_t>(number_in(header, mode_field).value_or(0) & 07777);
    out.header_at = at_;
    out.bytes = bytes;
    out.size_is_elsewhere = next_.size.has_value();
    return out;
  }

  std::string_view tar_;
  std::size_t entries_left_;
  std::size_t at_ = 0;
  Extended next_;
};

std::string header_of(TarFile const& file, std::chrono::sys_seconds modified) {
  NESTGATE_INVARIANT(!file.name.empty() && file.name.size() <= name_field.size, "a name that fits its field");
  std::string out(block, '\0');
  out.replace(name_field.at, file.name.size(), file.name);
  put_octal(out, mode_field, file.mode & 07777);
  put_octal(out, user_field, 0);
  put_octal(out, group_field, 0);
  put_octal(out, size_field, file.bytes.size());
  put_octal(out, time_field, static_cast<std::uint64_t>(std::max<std::int64_t>(0, modified.time_since_epoch().count())));
  out[type_at] = '0';
  out.replace(magic_at, 8,
              std::string_view("ustar\0"
                               "00",
                               8));
  put_sum(out);
  return out;
}

void append_end(std::string& tar) {
  tar.append(2 * block, '\0');
  tar.resize((tar.size() + record - 1) / record * record, '\0');
}

}  // namespace

std::string write_tar_gz(std::span<TarFile const> files, std::chrono::sys_seconds modified) {
  std::string tar;
  for (auto const& file : files) {
    tar.append(header_of(file, modified)).append(file.bytes);
    tar.resize(padded(tar.size()), '\0');
  }
  append_end(tar);
  return gzipped(tar);
}

std::optional<std::vector<TarFile>> read_tar_gz(std::string_view tar_gz, TarLimits const& limits) {
  auto const tar = inflated(tar_gz, limits.bytes_max);
  if (!tar) return std::nullopt;
  std::vector<TarFile> out;
  TarWalk walk(*tar, limits.entries_max);
  bool const is_whole = walk.run([&](Entry entry) {
    out.push_back({std::move(entry.name), tar->substr(entry.header_at + block, entry.bytes), entry.mode});
  });
  if (!is_whole) return std::nullopt;
  return out;
}

std::optional<std::string> with_file(std::string_view tar_gz, std::string_view name, std::string_view bytes,
                                     TarLimits const& limits) {
  auto const tar = inflated(tar_gz, limits.bytes_max);
  if (!tar) return std::nullopt;
  std::string out;
  std::size_t copied = 0;
  bool found = false, can_be_changed = true;
  TarWalk walk(*tar, limits.entries_max);
  // Of several of one name the last counts for whoever unpacks: all are changed.
  bool const is_whole = walk.run([&](Entry const& entry) {
    std::string_view const bare = std::string_view(entry.name).substr(entry.name.starts_with("./") ? 2 : 0);
    if (bare != name) return;
    found = true;
    can_be_changed = can_be_changed && !entry.size_is_elsewhere;
    out.append(*tar, copied, entry.header_at - copied);
    std::string header = tar->substr(entry.header_at, block);
    put_octal(header, size_field, bytes.size());
    put_sum(header);
    out.append(header).append(bytes);
    out.resize(padded(out.size()), '\0');
    copied = entry.header_at + block + padded(entry.bytes);
  });
  if (!is_whole || !found || !can_be_changed) return std::nullopt;
  out.append(*tar, copied, walk.end() - copied);
  append_end(out);
  return gzipped(out);
}

}  // namespace nestgate::api
