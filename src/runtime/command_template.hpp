#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nestgate::runtime {

struct Placeholders {
  std::string port;
  std::string id;
  std::string workspace;
};

// Each argument with `{port}`, `{id}` and `{workspace}` replaced, once: what is put in is not looked at again.
std::vector<std::string> expand(std::vector<std::string> const& command, Placeholders const& values);
// The first `{name}` that is none of these, for a message; nothing when all are known. `{}` and `{a b}` are plain text.
std::optional<std::string> unknown_placeholder(std::vector<std::string> const& command);

// An executable file: `program` itself when it has a slash, else `own_directory`/program, else the first in
// `search_path` (colon-separated). Nothing when there is none.
std::optional<std::string> find_program(std::string_view program, std::string_view own_directory,
                                        std::string_view search_path);

}  // namespace nestgate::runtime
