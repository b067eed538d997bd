#pragma once

#include <atomic>
#include <filesystem>

#include "nestgate/base/result.hpp"

namespace nestgate::runtime {

// Removes a folder with all that is in it, or what is there in its place; nothing there is success. Follows no symbolic
// link, gives folders that deny it the rights it needs, and holds two descriptors however deep the folders are. Blocks;
// ends early, as cancelled, once `stop` is set. Faults: internal with the system's reason, after removing what it could.
Result<> remove_tree(std::filesystem::path const& root, std::atomic<bool> const& stop);

}  // namespace nestgate::runtime
