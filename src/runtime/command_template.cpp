#include "command_template.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace nestgate::runtime {
namespace {

// The placeholder's name at `text[at]`, which is '{'; empty when it is plain text.
std::string_view name_at(std::string_view text, std::size_t at) {
  auto const close = text.find('}', at);
  if (close == text.npos) return {};
  auto const name = text.substr(at + 1, close - at - 1);
  bool const is_name = std::all_of(name.begin(), name.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
  return is_name ? name : std::string_view{};
}

std::string const* value_of(Placeholders const& values, std::string_view name) {
  if (name == "port") return &values.port;
  if (name == "id") return &values.id;
  if (name == "workspace") return &values.workspace;
  return nullptr;
}

bool is_executable_file(std::filesystem::path const& path) {
  std::error_code ec;
  return std::filesystem::is_regular_file(path, ec) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

std::vector<std::string> expand(std::vector<std::string> const& command, Placeholders const& values) {
  std::vector<std::string> out;
  for (std::string_view argument : command) {
    std::string& expanded = out.emplace_back();
    for (std::size_t i = 0; i < argument.size();) {
      std::string_view const name = argument[i] == '{' ? name_at(argument, i) : std::string_view{};
      if (auto const* value = value_of(values, name)) {
        expanded += *value;
        i += name.size() + 2;
      } else {
        expanded += argument[i++];
      }
    }
  }
  return out;
}

std::optional<std::string> unknown_placeholder(std::vector<std::string> const& command) {
  Placeholders const known;
  for (std::string_view argument : command)
    for (auto at = argument.find('{'); at != argument.npos; at = argument.find('{', at + 1)) {
      auto const name = name_at(argument, at);
      if (!name.empty() && !value_of(known, name)) return std::string(name);
    }
  return std::nullopt;
}

std::optional<std::string> find_program(std::string_view program, std::string_view own_directory,
                                        std::string_view search_path) {
  namespace fs = std::filesystem;
  if (program.empty()) return std::nullopt;
  if (program.find('/') != program.npos) {
    std::error_code ec;
    fs::path const path = fs::absolute(program, ec);  // the child starts in another directory
    return !ec && is_executable_file(path) ? std::optional(path.string()) : std::nullopt;
  }
  if (fs::path const beside = fs::path(own_directory) / program; is_executable_file(beside)) return beside.string();
  while (!search_path.empty()) {
    auto const colon = std::min(search_path.find(':'), search_path.size());
    fs::path const folder(search_path.substr(0, colon));
    if (folder.is_absolute() && is_executable_file(folder / program)) return (folder / program).string();
    search_path.remove_prefix(std::min(colon + 1, search_path.size()));
  }
  return std::nullopt;
}

}  // namespace nestgate::runtime
