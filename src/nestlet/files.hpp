#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nestgate/base/result.hpp"
#include "nestlet/answer.hpp"
#include "nestlet/fd.hpp"
#include "nestlet/text.hpp"

// Files of the local disk. All of it blocks, a call at a time: nestlet serves one agent, and its disk is local.
namespace nestgate::nestlet {

// A file on its way to `path`: written beside it under another name and renamed when it is whole, so that nobody sees half
// of it. Removed again when it is not committed.
class PendingFile {
 public:
  // Makes the parent directories. Errors are errno. Where `path` is a symbolic link, what it leads to is written, or the
  // link is replaced.
  enum class AtLink : bool { follow, replace };
  static boost::system::result<PendingFile, int> create(std::string path, AtLink at_link = AtLink::follow);
  PendingFile(PendingFile&& other) noexcept;
  PendingFile& operator=(PendingFile&&) = delete;
  ~PendingFile();

  // 0, or errno.
  int write(std::string_view data);
  int commit() { return commit_as(path_); }
  // `path` on the same file system. A file that is replaced passes its permissions on.
  int commit_as(std::string const& path);
  std::uint64_t size() const noexcept { return size_; }
  int fd() const noexcept { return file_.get(); }
  std::string const& temporary_path() const noexcept { return temporary_; }

 private:
  PendingFile(Fd file, std::string temporary, std::string path)
      : file_(std::move(file)), temporary_(std::move(temporary)), path_(std::move(path)) {}
  Fd file_;
  std::string temporary_;
  std::string path_;
  std::uint64_t size_ = 0;
};

// `path`, or where it leads if it is a symbolic link, even to nothing yet. Errors are errno.
boost::system::result<std::string, int> follow_links(std::string path);

// 0, or errno. No error when it is there already.
int make_directories(std::string const& path);

// 400 `Path must be absolute`, 404 `File not found`, 400 `Path is not a file`, as the agent server says it.
struct OpenedFile {
  Fd file;
  std::uint64_t size = 0;
  std::chrono::sys_seconds modified;
  std::string etag;  // quoted
};
Checked<OpenedFile> open_for_reading(std::string const& path);

// `attachment; filename="..."`, with what a header cannot carry replaced.
std::string attachment(std::string_view name);

std::string temporary_directory();  // TMPDIR, or /tmp

// A `Range` of one piece (RFC 9110 section 14). Pure.
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t length = 0;
};
enum class RangeFault : std::uint8_t { ignore, unsatisfiable };  // ignore: answer 200 with all of it
boost::system::result<ByteRange, RangeFault> parse_range(std::string_view header, std::uint64_t size);

// 500 (507 when the disk is full) with what the system said.
Refusal file_trouble(std::string_view what, int error);

}  // namespace nestgate::nestlet
