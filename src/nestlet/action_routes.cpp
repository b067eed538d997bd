#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "nestgate/base/result.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestlet/app.hpp"
#include "nestlet/command_request.hpp"
#include "nestlet/filters.hpp"
#include "nestlet/request.hpp"
#include "nestlet/routes.hpp"
#include "nestlet/upload.hpp"
#include "nestlet/zip_archive.hpp"

namespace nestgate::nestlet {
namespace {

using codec::JsonWriter;

constexpr std::uint64_t action_timeout_seconds = 120;  // nested_server.md 5.3

std::string error_observation(std::string_view text) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("observation", "error").member("content", text).member("message", text);
  w.key("extras").begin_object().member("error_id", "").end_object().end_object();
  return out;
}

Answer not_runnable(std::string_view what) {
  return Answer(500, refuse(500, "Internal server error: 400: " + std::string(what)).body);
}

std::string in_workspace(App const& app, std::string const& path) {
  return path.starts_with('/') ? path : app.settings.workspace + "/" + path;
}

// Lines of a numbered range, as the `read` and `write` actions have it: from `start` (0-based) up to `end` (-1: the last).
struct Lines {
  std::size_t begin;  // byte offsets
  std::size_t end;
};
Lines line_range(std::string_view text, std::int64_t start, std::int64_t end) {
  auto const offset_of = [text](std::int64_t line) {
    std::size_t at = 0;
    for (std::int64_t i = 0; i < line && at < text.size(); ++i) {
      auto const next = text.find('\n', at);
      at = next == text.npos ? text.size() : next + 1;
    }
    return at;
  };
  auto const first = offset_of(std::max<std::int64_t>(0, start));
  auto const last = end < 0 ? text.size() : offset_of(end);
  return {first, std::max(first, last)};
}

Checked<std::string> read_whole(App const& app, std::string const& path) {
  NESTGATE_TRY(opened, open_for_reading(path));
  auto const max = app.settings.limits.json_body_bytes_max;
  if (opened.size > max) return refuse(413, "The file is too large: at most " + std::to_string(max) + " bytes");
  std::string text(static_cast<std::size_t>(opened.size), '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    auto const n = ::pread(opened.file.get(), text.data() + have, text.size() - have, static_cast<off_t>(have));
    if (n <= 0) break;
    have += static_cast<std::size_t>(n);
  }
  text.resize(have);
  return text;
}

Checked<> write_whole(std::string const& path, std::string_view text) {
  auto file = PendingFile::create(path);
  if (!file) return file_trouble("Failed to write file", file.error());
  if (int const error = file->write(text); error != 0) return file_trouble("Failed to write file", error);
  if (int const error = file->commit(); error != 0) return file_trouble("Failed to write file", error);
  return {};
}

Task<Answer> run_action(App& app, JsonObject args, std::uint64_t timeout_seconds) {
  NESTGATE_CO_TRY(wanted, read_shell(args, "body.action.args"));
  wanted.timeout_seconds = timeout_seconds;
  auto const command = wanted.command;
  NESTGATE_CO_TRY(result, co_await app.commands.run_unlogged(std::move(wanted), app.vault.command_environment()));
  std::string text;
  JsonWriter w(text);
  w.begin_object().member("observation", "run").member("content", result.out + result.err);
  w.member("message", "Command `" + command + "` executed with exit code " + std::to_string(result.exit_code) + ".");
  w.key("extras").begin_object().member("command", command).key("metadata").begin_object();
  w.member("exit_code", result.exit_code).member("pid", -1).member("working_dir", app.settings.workspace).end_object();
  w.member("hidden", false).end_object().member("success", result.exit_code == 0).end_object();
  co_return json(std::move(text));
}

Answer file_observation(std::string_view kind, std::string_view path, std::string_view content) {
  std::string text;
  JsonWriter w(text);
  w.begin_object().member("observation", kind).member("content", content).member("message", "").key("extras").begin_object();
  w.member("path", path).member("impl_source", "default").end_object().end_object();
  return json(std::move(text));
}

Answer read_action(App& app, std::string const& path, std::int64_t start, std::int64_t end) {
  auto const text = read_whole(app, in_workspace(app, path));
  if (!text) return json(error_observation("File not found or not readable: " + path));
  auto const lines = line_range(*text, start, end);
  return file_observation("read", path, std::string_view(*text).substr(lines.begin, lines.end - lines.begin));
}

Answer write_action(App& app, std::string const& path, std::string content, std::int64_t start, std::int64_t end) {
  auto const full = in_workspace(app, path);
  auto old = read_whole(app, full);
  if (!old && old.error().status != 404) return json(error_observation("File is not writable: " + path));
  std::string text = old ? std::move(*old) : std::string();
  auto const lines = line_range(text, start, end);
  if (lines.end < text.size() && !content.ends_with('\n')) content.push_back('\n');
  text.replace(lines.begin, lines.end - lines.begin, content);
  if (auto const written = write_whole(full, text); !written)
    return json(error_observation("File is not writable: " + path));
  return file_observation("write", path, "");
}

// `str_replace` of the editor: the old text must be there once.
Checked<std::string> edited(std::string const& text, std::string_view old_text, std::string_view new_text) {
  auto const at = text.find(old_text);
  if (old_text.empty() || at == text.npos) return refuse(400, "No replacement was performed: old_str did not appear");
  if (text.find(old_text, at + 1) != text.npos) return refuse(400, "No replacement was performed: old_str is not unique");
  return std::string(text).replace(at, old_text.size(), new_text);
}

Answer edit_action(App& app, std::string const& path, JsonObject const& args) {
  auto const full = in_workspace(app, path);
  auto const command = maybe_string(args, "command");
  auto const old_text = maybe_string(args, "old_str");
  auto const new_text = maybe_string(args, "new_str");
  auto const file_text = maybe_string(args, "file_text");
  if (!command || !old_text || !new_text || !file_text) return json(error_observation("The edit's texts should be strings"));
  auto const before = read_whole(app, full);
  std::string after;
  if (command->value_or("") == "create") {
    if (before) return json(error_observation("File already exists: " + path));
    after = file_text->value_or("");
  } else if (command->value_or("") == "str_replace") {
    if (!before) return json(error_observation("File not found: " + path));
    auto changed = edited(*before, old_text->value_or(""), new_text->value_or(""));
    if (!changed) return json(error_observation("No replacement was performed: old_str must occur exactly once in " + path));
    after = std::move(*changed);
  } else {
    return json(error_observation("Unknown edit command: create or str_replace"));
  }
  if (auto const written = write_whole(full, after); !written)
    return json(error_observation("File is not writable: " + path));
  std::string text;
  JsonWriter w(text);
  w.begin_object().member("observation", "edit").member("content", "The file " + path + " has been edited.");
  w.member("message", "I edited the file " + path + ".").key("extras").begin_object();
  w.member("path", path).member("prev_exist", before.has_value()).key("old_content");
  if (before) {
    w.value(*before);
  } else {
    w.null();
  }
  w.member("new_content", after).member("impl_source", "oh_aci").end_object().end_object();
  return json(std::move(text));
}

Task<Answer> execute_action(App& app, Request& request) {
  NESTGATE_CO_TRY(body, co_await request.object());
  NESTGATE_CO_TRY(action, need_object(body, "action"));
  NESTGATE_CO_TRY(kind, need_string(action, "action", "body.action"));
  JsonObject args;
  if (action.contains("args")) {
    NESTGATE_CO_TRY(given, need_object(action, "args", "body.action"));
    args = std::move(given);
  }
  NESTGATE_CO_TRY(timeout, read_timeout(action, action_timeout_seconds, "body.action"));
  app.touch();
  auto const pass = co_await app.actions.enter();
  if (kind == "run") co_return co_await run_action(app, std::move(args), timeout);
  if (kind != "read" && kind != "write" && kind != "edit") co_return not_runnable("Invalid action type");
  NESTGATE_CO_TRY(path, need_string(args, "path", "body.action.args"));
  NESTGATE_CO_TRY(start, maybe_integer(args, "start", "body.action.args"));
  NESTGATE_CO_TRY(end, maybe_integer(args, "end", "body.action.args"));
  if (kind == "read") co_return read_action(app, path, start.value_or(0), end.value_or(-1));
  if (kind == "edit") co_return edit_action(app, path, args);
  NESTGATE_CO_TRY(content, need_string(args, "content", "body.action.args"));
  co_return write_action(app, path, std::move(content), start.value_or(0), end.value_or(-1));
}

std::string file_name_of(std::string_view name) {
  auto const base = std::string(name.substr(name.find_last_of("/\\") + 1));
  return base.empty() || base == "." || base == ".." ? "upload" : base;
}

Task<Answer> upload_file(App& app, Request& request) {
  std::string const destination(request.query().get("destination").value_or("/"));
  NESTGATE_CO_TRY(unpacks, boolean(request.query(), "recursive"));
  if (!destination.starts_with('/')) co_return refuse(400, "Destination must be an absolute path");
  app.touch();
  auto base = destination;
  while (base.size() > 1 && base.ends_with('/')) base.pop_back();
  // Its name is in the body; the file is received under a name of ours and gets its own when it is whole.
  auto const landing = base + "/.nestlet-upload-" + new_id();
  NESTGATE_CO_TRY(file, co_await receive_file(request, landing));
  auto const name = file_name_of(file.client_name);
  if (unpacks) {
    auto const limit = app.settings.limits.unpacked_bytes_max;
    auto const archive = file.pending.temporary_path();
    NESTGATE_CO_TRY_VOID(co_await unpack(app.executor, archive, base, limit));
  } else {
    auto const target = follow_links(base + "/" + name);
    int const error = target ? file.pending.commit_as(*target) : target.error();
    if (error != 0) co_return file_trouble("Failed to upload file", error);
  }
  std::string text;
  JsonWriter w(text);
  w.begin_object().member("filename", name).member("destination", destination).member("recursive", unpacks).end_object();
  co_return json(std::move(text));
}

Task<Answer> download_files(App& app, Request& request) {
  auto const path = request.query().get("path");
  if (!path) co_return missing("query", "path");
  if (!path->starts_with('/')) co_return refuse(400, "Path must be an absolute path");
  struct stat about{};
  std::string root(*path);
  while (root.size() > 1 && root.ends_with('/')) root.pop_back();
  if (::stat(root.c_str(), &about) != 0) co_return refuse(404, "Path does not exist");
  app.touch();
  auto const archive = temporary_directory() + "/.nestlet-" + new_id() + ".zip";
  auto const packed = co_await pack(app.executor, root, archive);
  auto opened = packed ? open_for_reading(archive) : Checked<OpenedFile>(packed.error());
  ::unlink(archive.c_str());  // the open file stays readable
  if (!opened) co_return opened.error();
  Answer answer;
  answer.content_type = "application/zip";
  auto const name = root.substr(root.rfind('/') + 1);
  answer.fields = {{"content-disposition", attachment((name.empty() ? "root" : name) + ".zip")}};
  answer.body = FileSlice{std::move(opened->file), 0, opened->size};
  co_return answer;
}

// Directories first, each with a trailing slash, then files; both sorted. What cannot be listed is an empty list.
Task<Answer> list_files(App& app, Request& request) {
  NESTGATE_CO_TRY(text, co_await request.body());
  std::optional<std::string> path;
  if (!text.empty()) {
    NESTGATE_CO_TRY(body, parse_object(text));
    NESTGATE_CO_TRY(given, maybe_string(body, "path"));
    path = std::move(given);
  }
  auto const directory = in_workspace(app, path.value_or(app.settings.workspace));
  struct Close {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  std::unique_ptr<DIR, Close> const dir(::opendir(directory.c_str()));
  std::vector<std::string> directories;
  std::vector<std::string> files;
  for (dirent const* entry = dir ? ::readdir(dir.get()) : nullptr; entry != nullptr; entry = ::readdir(dir.get())) {
    std::string name = entry->d_name;
    struct stat about{};
    if (name == "." || name == ".." || ::fstatat(::dirfd(dir.get()), entry->d_name, &about, 0) != 0) continue;
    if (S_ISDIR(about.st_mode)) {
      directories.push_back(name + "/");
    } else {
      files.push_back(std::move(name));
    }
  }
  std::sort(directories.begin(), directories.end());
  std::sort(files.begin(), files.end());
  std::string out;
  JsonWriter w(out);
  w.begin_array();
  for (auto const& name : directories) w.value(name);
  for (auto const& name : files) w.value(name);
  w.end_array();
  co_return json(std::move(out));
}

constexpr Route routes[] = {
    {"POST", "/execute_action", Access::action, execute_action},
    {"POST", "/upload_file", Access::action, upload_file},
    {"GET", "/download_files", Access::action, download_files},
    {"POST", "/list_files", Access::action, list_files},
};

}  // namespace

std::span<Route const> action_routes() { return routes; }

}  // namespace nestgate::nestlet
