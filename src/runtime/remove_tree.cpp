#include "remove_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/system/system_category.hpp>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace nestgate::runtime {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const noexcept { ::closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

// The rights to empty a folder and to move it, which writes to it. Without them what follows fails and says why.
void unlock(int parent, char const* name) { [[maybe_unused]] auto const done = ::fchmodat(parent, name, 0700, 0); }

Folder open_folder(int parent, char const* name) {
  unlock(parent, name);
  int const fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  Folder folder(fd < 0 ? nullptr : ::fdopendir(fd));
  if (fd >= 0 && !folder) ::close(fd);
  return folder;
}

bool is_folder(int parent, char const* name) {
  struct stat info{};
  return ::fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

class Removal {
 public:
  explicit Removal(std::atomic<bool> const& stop) : stop_(stop) {}

  Result<> run(std::filesystem::path const& root) {
    if (!is_folder(AT_FDCWD, root.c_str())) {
      if (::unlink(root.c_str()) != 0 && errno != ENOENT) keep_error();
      return outcome();
    }
    root_ = open_folder(AT_FDCWD, root.c_str());
    if (!root_) keep_error();
    // One pass takes away one level: what is in the root's folders is moved up into the root. A pass that only fails is
    // the last.
    do {
      removed_ = 0;
      error_ = 0;
    } while (root_ && pass(root_.get(), Level::root) && removed_ > 0);
    if (!stop_ && ::rmdir(root.c_str()) != 0) keep_error();
    return outcome();
  }

 private:
  enum class Level : bool { root, below };

  // Takes away what is in the folder; false when it is to stop.
  bool pass(DIR* folder, Level level) {
    int const at = ::dirfd(folder);
    ::rewinddir(folder);
    while (dirent const* entry = ::readdir(folder)) {
      if (stop_) return false;
      std::string_view const name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (!is_folder(at, entry->d_name)) {
        took(::unlinkat(at, entry->d_name, 0));
      } else if (level == Level::below) {
        unlock(at, entry->d_name);
        if (::unlinkat(at, entry->d_name, AT_REMOVEDIR) == 0 || move_up(at, entry->d_name)) ++removed_;
      } else if (!clear(at, entry->d_name)) {
        return false;
      }
    }
    return true;
  }

  bool clear(int at, char const* name) {
    if (auto const folder = open_folder(at, name)) {
      if (!pass(folder.get(), Level::below)) return false;
    } else {
      keep_error();
    }
    took(::unlinkat(at, name, AT_REMOVEDIR));
    return true;
  }

  bool move_up(int at, char const* name) {
    for (;;) {
      auto const free_name = std::to_string(++moved_);
      if (::renameat(at, name, ::dirfd(root_.get()), free_name.c_str()) == 0) return true;
      if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR) continue;  // a name of the tree's own
      keep_error();
      return false;
    }
  }

  void took(int result) {
    if (result == 0) {
      ++removed_;
    } else {
      keep_error();
    }
  }
  // The first is the cause of those that follow in a pass; what failed in an earlier pass may have gone since.
  void keep_error() {
    if (error_ == 0) error_ = errno;
  }
  Result<> outcome() const {
    if (stop_) return Fault{FaultKind::cancelled, {}, "runtime.remove"};
    if (error_ == 0) return Result<>{};
    return Fault{FaultKind::internal, {error_, boost::system::system_category()}, "runtime.remove"};
  }

  std::atomic<bool> const& stop_;
  Folder root_;
  std::uint64_t removed_ = 0;
  std::uint64_t moved_ = 0;
  int error_ = 0;
};

}  // namespace

Result<> remove_tree(std::filesystem::path const& root, std::atomic<bool> const& stop) { return Removal(stop).run(root); }

}  // namespace nestgate::runtime
