#include "nestlet/zip_archive.hpp"

#include <fcntl.h>
#include <minizip/unzip.h>
#include <minizip/zip.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <vector>

#include "nestgate/base/result.hpp"
#include "nestlet/files.hpp"

namespace nestgate::nestlet {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t piece_bytes = 64 * 1024;
constexpr std::size_t name_bytes_max = 4096;
constexpr unsigned long made_by_unix = 3ul << 8;
constexpr unsigned attributes_shift = 16;  // where Unix permissions are in a zip's external attributes

struct CloseZip {
  void operator()(void* zip) const { ::zipClose(zip, nullptr); }
};
struct CloseUnzip {
  void operator()(void* zip) const { ::unzClose(zip); }
};
using Writer = std::unique_ptr<void, CloseZip>;
using Reader = std::unique_ptr<void, CloseUnzip>;

// Lets whoever is ready run first. False: told to stop.
Task<bool> give_way(Executor executor) {
  co_await asio::post(executor, asio::deferred);
  co_return !told_to_stop(co_await asio::this_coro::cancellation_state);
}

// `archive` itself may lie in the directory that is packed.
Task<Checked<>> pack_file(Executor executor, void* zip, struct stat archive, std::string path, std::string name) {
  Fd const file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat about{};
  if (!file || ::fstat(file.get(), &about) != 0) co_return Checked<>();  // gone, or not ours to read: left out
  if (!S_ISREG(about.st_mode)) co_return Checked<>();
  if (about.st_dev == archive.st_dev && about.st_ino == archive.st_ino) co_return Checked<>();
  zip_fileinfo info{};
  info.external_fa = static_cast<unsigned long>(about.st_mode) << attributes_shift;
  int const opened =
      ::zipOpenNewFileInZip4_64(zip, name.c_str(), &info, nullptr, 0, nullptr, 0, nullptr, Z_DEFLATED, Z_BEST_SPEED, 0,
                                -MAX_WBITS, DEF_MEM_LEVEL, Z_DEFAULT_STRATEGY, nullptr, 0, made_by_unix, 0, 1);
  if (opened != ZIP_OK) co_return refuse(500, "Failed to write the archive");
  std::vector<char> piece(piece_bytes);
  // No more than it had at first: what grows as fast as it is read would never end.
  for (auto left = static_cast<std::uint64_t>(about.st_size); left > 0;) {
    auto const n = ::read(file.get(), piece.data(), static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), left)));
    if (n <= 0) break;
    left -= static_cast<std::uint64_t>(n);
    if (::zipWriteInFileInZip(zip, piece.data(), static_cast<unsigned>(n)) != ZIP_OK) {
      co_return refuse(507, "Failed to write the archive");
    }
    if (!co_await give_way(executor)) co_return refuse(503, "The server is shutting down");
  }
  if (::zipCloseFileInZip(zip) != ZIP_OK) co_return refuse(507, "Failed to write the archive");
  co_return Checked<>();
}

struct Entry {
  std::string name;
  std::uint64_t size;
  unsigned permissions;  // 0: none given
};

Checked<std::vector<Entry>> read_entries(void* zip, std::uint64_t bytes_max) {
  std::vector<Entry> entries;
  std::uint64_t total = 0;
  for (int at = ::unzGoToFirstFile(zip); at != UNZ_END_OF_LIST_OF_FILE; at = ::unzGoToNextFile(zip)) {
    std::array<char, name_bytes_max> name{};
    unz_file_info64 info{};
    if (at != UNZ_OK ||
        ::unzGetCurrentFileInfo64(zip, &info, name.data(), name.size() - 1, nullptr, 0, nullptr, 0) != UNZ_OK) {
      return refuse(400, "The archive is not a valid zip file");
    }
    std::string_view const text(name.data(), std::min<std::size_t>(info.size_filename, name.size()));
    if (info.size_filename >= name.size() - 1 || !is_safe_entry_name(text)) {
      return refuse(400, "The archive has an entry that would be written outside of its directory");
    }
    total += info.uncompressed_size;
    if (total > bytes_max) return refuse(413, "The archive unpacks to more than " + std::to_string(bytes_max) + " bytes");
    entries.push_back(
        {std::string(text), info.uncompressed_size, static_cast<unsigned>(info.external_fa >> attributes_shift) & 0777u});
  }
  return entries;
}

Task<Checked<>> unpack_file(Executor executor, void* zip, Entry entry, std::string path) {
  if (::unzOpenCurrentFile(zip) != UNZ_OK) co_return refuse(400, "The archive is not a valid zip file");
  // Not through a link: it could lead out of the directory.
  auto created = PendingFile::create(path, PendingFile::AtLink::replace);
  if (!created) co_return file_trouble("Failed to unpack", created.error());
  std::vector<char> piece(piece_bytes);
  for (;;) {
    int const n = ::unzReadCurrentFile(zip, piece.data(), static_cast<unsigned>(piece.size()));
    if (n == 0) break;
    // The size in the directory was counted; more than it says is a lie.
    if (n < 0 || created->size() + static_cast<std::uint64_t>(n) > entry.size) {
      co_return refuse(400, "The archive is not a valid zip file");
    }
    int const error = created->write({piece.data(), static_cast<std::size_t>(n)});
    if (error != 0) co_return file_trouble("Failed to unpack", error);
    if (!co_await give_way(executor)) co_return refuse(503, "The server is shutting down");
  }
  if (::unzCloseCurrentFile(zip) != UNZ_OK) co_return refuse(400, "The archive is damaged: a checksum does not match");
  if (entry.permissions != 0) ::fchmod(created->fd(), static_cast<mode_t>(entry.permissions));
  if (int const error = created->commit(); error != 0) co_return file_trouble("Failed to unpack", error);
  co_return Checked<>();
}

}  // namespace

bool is_safe_entry_name(std::string_view name) {
  if (name.empty() || name.front() == '/' || name.find('\\') != name.npos || name.find('\0') != name.npos) return false;
  while (!name.empty()) {
    auto const end = name.find('/');
    if (name.substr(0, end) == "..") return false;
    name = end == name.npos ? std::string_view{} : name.substr(end + 1);
  }
  return true;
}

Task<Checked<>> pack(Executor executor, std::string path, std::string archive) {
  Writer const zip(::zipOpen64(archive.c_str(), APPEND_STATUS_CREATE));
  if (!zip) co_return refuse(500, "Failed to create the archive");
  struct stat own{};
  if (::stat(archive.c_str(), &own) != 0) co_return refuse(500, "Failed to create the archive");
  std::error_code ec;
  if (!fs::is_directory(path, ec)) {
    co_return co_await pack_file(executor, zip.get(), own, path, path.substr(path.rfind('/') + 1));
  }
  fs::recursive_directory_iterator at(path, fs::directory_options::skip_permission_denied, ec);
  for (fs::recursive_directory_iterator const end; !ec && at != end; at.increment(ec)) {
    auto const name = at->path().lexically_relative(path).string();
    if (at->is_symlink(ec) || !at->is_regular_file(ec)) continue;
    auto const packed = co_await pack_file(executor, zip.get(), own, at->path().string(), name);
    if (!packed) co_return packed.error();
  }
  co_return Checked<>();
}

Task<Checked<>> unpack(Executor executor, std::string archive, std::string into, std::uint64_t bytes_max) {
  Reader const zip(::unzOpen64(archive.c_str()));
  if (!zip) co_return refuse(400, "The file is not a zip archive");
  NESTGATE_CO_TRY(entries, read_entries(zip.get(), bytes_max));
  ::unzGoToFirstFile(zip.get());
  for (auto const& entry : entries) {
    auto const path = into + "/" + entry.name;
    if (entry.name.ends_with('/')) {
      auto const directory = path.substr(0, path.size() - 1);
      if (int const error = make_directories(directory); error != 0) co_return file_trouble("Failed to unpack", error);
    } else {
      auto const unpacked = co_await unpack_file(executor, zip.get(), entry, path);
      if (!unpacked) co_return unpacked.error();
    }
    ::unzGoToNextFile(zip.get());
  }
  co_return Checked<>();
}

}  // namespace nestgate::nestlet
