#include "runtime_files.hpp"

#include <fcntl.h>
#include <stdio.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <system_error>

#include "remove_tree.hpp"

namespace nestgate::runtime {
namespace {

namespace fs = std::filesystem;
using upstream::fail;

constexpr char trash_mark = '~';  // in no id
constexpr std::string_view taken = "create: this id has files that belong to someone else";

Result<> make_private_directory(fs::path const& path) {
  std::error_code ec;
  fs::create_directories(path, ec);
  if (!ec) fs::permissions(path, fs::perms::owner_all, ec);
  if (ec) return Fault{FaultKind::unavailable, ec, "runtime.workspace"};
  return Result<>{};
}

std::optional<std::string> read_file(fs::path const& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// A link to a name beside it. One that leads elsewhere is an operator's, who keeps a folder on another disk.
bool is_alias(fs::path const& path) {
  std::error_code ec;
  auto const target = fs::read_symlink(path, ec);
  return !ec && !target.has_parent_path() && ConversationId::parse(target.string());
}

Outcome<> give_name(fs::path const& from, fs::path const& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0) {
    int const error = errno;
    if (error == EEXIST) return fail(FaultKind::conflict, "runtime.assign", "assign: this id has files already");
    Fault const fault{FaultKind::unavailable, {error, boost::system::system_category()}, "runtime.assign"};
    return upstream::failed("assign: folder", fault);
  }
  std::error_code ec;
  fs::create_directory_symlink(to.filename(), from, ec);
  if (!ec) return Outcome<>{};
  std::error_code ignored;
  fs::rename(to, from, ignored);
  return upstream::failed("assign: link to the folder", Fault{FaultKind::unavailable, ec, "runtime.assign"});
}

bool write_file(fs::path const& path, std::string const& text) {
  return static_cast<bool>((std::ofstream(path, std::ios::binary) << text).flush());
}

}  // namespace

RuntimeFiles::RuntimeFiles(fs::path const& directory) {
  std::error_code ec;
  directory_ = fs::absolute(directory, ec).lexically_normal();
  if (!directory_.has_filename()) directory_ = directory_.parent_path();  // it was written with a slash at its end
}

fs::path RuntimeFiles::trash(ConversationId const& id) const { return directory_ / (trash_mark + id.canonical()); }

Outcome<bool> RuntimeFiles::claim(Spec const& spec) const {
  auto const at = folder(spec.id);
  std::error_code ignored;
  if (is_alias(at))
    return fail(FaultKind::conflict, "runtime.create", "create: a server that was started by this id runs under another");
  bool const is_first = !fs::exists(directory_, ignored);  // one that is there keeps its rights
  auto made = is_first ? make_private_directory(directory_) : Result<>{};
  if (made) made = make_private_directory(at);
  if (!made) return upstream::failed("create: working directory", made.error());
  auto const found = read_file(at / "owner");
  if (found && *found != spec.owner) return fail(FaultKind::conflict, "runtime.create", std::string(taken));
  if (!found) {
    if (fs::exists(at / "workspace", ignored))
      return fail(FaultKind::conflict, "runtime.create",
                  "create: this id has files of a removed conversation; delete it once more");
    if (!write_file(at / "owner", spec.owner)) {
      unclaim(spec.id);
      return fail(FaultKind::unavailable, "runtime.create", "create: cannot write to the runtime's folder");
    }
  }
  if (made = make_private_directory(at / "workspace"); !made) {
    if (!found) unclaim(spec.id);
    return upstream::failed("create: working directory", made.error());
  }
  return found.has_value();
}

void RuntimeFiles::unclaim(ConversationId const& id) const {
  std::error_code ignored;
  fs::remove_all(folder(id) / "workspace", ignored);
  fs::remove(folder(id) / "owner", ignored);
  fs::remove(folder(id), ignored);
}

// The owner first: should this gateway end in between, the files are nobody's conversation yet, but never another's.
Outcome<> RuntimeFiles::reassign(ConversationId const& from, ConversationId const& to, std::string const& owner) const {
  auto const earlier = read_file(folder(from) / "owner");
  if (!earlier || !write_file(folder(from) / "owner", owner))
    return fail(FaultKind::unavailable, "runtime.assign", "assign: cannot write to the runtime's folder");
  auto given = give_name(folder(from), folder(to));
  if (!given) write_file(folder(from) / "owner", *earlier);
  return given;
}

void RuntimeFiles::remove_alias(ConversationId const& id) const {
  std::error_code ignored;
  if (is_alias(folder(id))) fs::remove(folder(id), ignored);
}

std::optional<std::string> RuntimeFiles::owner(ConversationId const& id) const {
  return is_alias(folder(id)) ? std::nullopt : read_file(folder(id) / "owner");
}

bool RuntimeFiles::exists(ConversationId const& id) const {
  std::error_code ignored;
  return fs::is_directory(folder(id), ignored) && !is_alias(folder(id));
}

std::vector<RuntimeFiles::Kept> RuntimeFiles::list() const {
  std::vector<Kept> out;
  std::error_code ec;
  for (fs::directory_iterator entry(directory_, ec), end; !ec && entry != end; entry.increment(ec)) {
    auto id = ConversationId::parse(entry->path().filename().string());
    std::error_code ignored;
    if (!id || !entry->is_directory(ignored) || is_alias(entry->path())) continue;
    auto found = owner(*id);
    out.push_back({std::move(*id), std::move(found)});
  }
  return out;
}

void RuntimeFiles::remove_old_aliases() const {
  std::error_code ec;
  for (fs::directory_iterator entry(directory_, ec), end; !ec && entry != end; entry.increment(ec)) {
    std::error_code ignored;
    // One that leads somewhere may be a server's of another gateway that lives.
    if (is_alias(entry->path()) && !fs::exists(entry->path(), ignored)) fs::remove(entry->path(), ignored);
  }
}

// What cannot be removed now is tried again at the next start.
void RuntimeFiles::remove_old_trash(std::atomic<bool> const& stop) const {
  std::error_code ec;
  for (fs::directory_iterator entry(directory_, ec), end; !ec && entry != end; entry.increment(ec))
    if (entry->path().filename().string().front() == trash_mark) [[maybe_unused]]
      auto const removed = remove_tree(entry->path(), stop);
}

}  // namespace nestgate::runtime
