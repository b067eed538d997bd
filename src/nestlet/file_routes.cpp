#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "nestgate/codec/json_writer.hpp"
#include "nestlet/app.hpp"
#include "nestlet/files.hpp"
#include "nestlet/filters.hpp"
#include "nestlet/request.hpp"
#include "nestlet/routes.hpp"
#include "nestlet/upload.hpp"

namespace nestgate::nestlet {
namespace {

Checked<std::string> absolute_path(Request const& request) {
  auto const path = request.query().get("path");
  if (!path) return missing("query", "path");
  if (!path->starts_with('/')) return refuse(400, "Path must be absolute");
  return std::string(*path);
}

Task<Answer> upload(App& app, Request& request) {
  NESTGATE_CO_TRY(path, absolute_path(request));
  app.touch();
  NESTGATE_CO_TRY(file, co_await receive_file(request, path));
  if (int const error = file.pending.commit(); error != 0) co_return file_trouble("Failed to upload file", error);
  std::string body;
  codec::JsonWriter(body).begin_object().member("success", true).member("file_size", file.pending.size()).end_object();
  co_return json(std::move(body));
}

Task<Answer> download(App& app, Request& request) {
  NESTGATE_CO_TRY(path, absolute_path(request));
  app.touch();
  NESTGATE_CO_TRY(opened, open_for_reading(path));
  Answer answer;
  answer.content_type = "application/octet-stream";
  answer.fields = {{"accept-ranges", "bytes"},
                   {"content-disposition", attachment(path.substr(path.rfind('/') + 1))},
                   {"last-modified", http_date(opened.modified)},
                   {"etag", opened.etag}};
  ByteRange piece{0, opened.size};
  auto const if_range = request.header(http::field::if_range);
  auto const wanted = request.header(http::field::range);
  if (!wanted.empty() && (if_range.empty() || if_range == opened.etag)) {
    auto const range = parse_range(wanted, opened.size);
    if (range) {
      piece = *range;
      answer.status = 206;
      answer.fields.emplace_back("content-range", "bytes " + std::to_string(piece.first) + "-" +
                                                      std::to_string(piece.first + piece.length - 1) + "/" +
                                                      std::to_string(opened.size));
    } else if (range.error() == RangeFault::unsatisfiable) {
      Answer refused = refuse(416, "The range starts past the end of the file");
      refused.fields.emplace_back("content-range", "bytes */" + std::to_string(opened.size));
      co_return refused;
    }
  }
  answer.body = FileSlice{std::move(opened.file), piece.first, piece.length};
  co_return answer;
}

Task<Answer> create_directory(App& app, Request& request) {
  NESTGATE_CO_TRY(path, absolute_path(request));
  app.touch();
  int const error = make_directories(path);
  if (error == EACCES || error == EPERM) co_return refuse(403, "Permission denied");
  if (error == EEXIST || error == ENOTDIR) co_return refuse(400, "Path exists and is not a directory");
  if (error != 0) co_return file_trouble("Failed to create directory", error);
  co_return success();
}

enum class Hidden : bool { left_out, included };

Checked<Hidden> hidden_of(Query const& query) {
  NESTGATE_TRY(included, boolean(query, "include_hidden"));
  return included ? Hidden::included : Hidden::left_out;
}

// Names of the directories in `path`, symlinks left out, sorted without regard to case.
Checked<std::vector<std::string>> subdirectories(std::string const& path, Hidden hidden) {
  struct Close {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  std::unique_ptr<DIR, Close> const dir(::opendir(path.c_str()));
  if (!dir && errno == ENOENT) return refuse(404, "Directory not found");
  if (!dir && errno == ENOTDIR) return refuse(400, "Path is not a directory");
  if (!dir && errno == EACCES) return refuse(403, "Permission denied");
  if (!dir) return file_trouble("Failed to list directory", errno);
  std::vector<std::string> names;
  while (dirent const* entry = ::readdir(dir.get())) {
    std::string_view const name = entry->d_name;
    if (name == "." || name == ".." || (hidden == Hidden::left_out && name.starts_with('.'))) continue;
    struct stat about{};
    if (::fstatat(::dirfd(dir.get()), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISDIR(about.st_mode)) names.emplace_back(name);
  }
  std::sort(names.begin(), names.end(), [](std::string const& a, std::string const& b) {
    int const order = ::strcasecmp(a.c_str(), b.c_str());
    return order != 0 ? order < 0 : a < b;
  });
  return names;
}

std::string join(std::string const& directory, std::string_view name) {
  return directory + (directory.ends_with('/') ? "" : "/") + std::string(name);
}

Task<Answer> home(App&, Request& request) {
  constexpr std::size_t favorites_max = 50;
  char const* const variable = std::getenv("HOME");
  std::string const directory = variable != nullptr && *variable == '/' ? variable : "/";
  NESTGATE_CO_TRY(hidden, hidden_of(request.query()));
  auto favorites = subdirectories(directory, hidden);
  std::string body;
  codec::JsonWriter w(body);
  w.begin_object().member("home", directory).key("favorites").begin_array();
  if (favorites) {
    favorites->resize(std::min(favorites->size(), favorites_max));
    for (auto const& name : *favorites) {
      w.begin_object().member("label", name).member("path", join(directory, name)).end_object();
    }
  }
  w.end_array().key("locations").begin_array();
  w.begin_object().member("label", "/").member("path", "/").end_object().end_array().end_object();
  co_return json(std::move(body));
}

Task<Answer> search_subdirectories(App&, Request& request) {
  NESTGATE_CO_TRY(path, absolute_path(request));
  NESTGATE_CO_TRY(limit, page_limit(request.query()));
  NESTGATE_CO_TRY(hidden, hidden_of(request.query()));
  NESTGATE_CO_TRY(names, subdirectories(path, hidden));
  auto at = names.begin();
  if (auto const page = request.query().get("page_id")) at = std::find(names.begin(), names.end(), *page);
  std::string body;
  codec::JsonWriter w(body);
  w.begin_object().key("items").begin_array();
  for (std::size_t n = 0; n < limit && at != names.end(); ++n, ++at) {
    w.begin_object().member("name", *at).member("path", join(path, *at)).end_object();
  }
  w.end_array().key("next_page_id");
  if (at == names.end()) {
    w.null();
  } else {
    w.value(*at);
  }
  w.end_object();
  co_return json(std::move(body));
}

constexpr Route routes[] = {
    {"POST", "/api/file/upload", Access::session, upload},
    {"GET", "/api/file/download", Access::session, download},
    {"POST", "/api/file/create_directory", Access::session, create_directory},
    {"GET", "/api/file/home", Access::session, home},
    {"GET", "/api/file/search_subdirs", Access::session, search_subdirectories},
};

}  // namespace

std::span<Route const> file_routes() { return routes; }

}  // namespace nestgate::nestlet
