#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nestlet/answer.hpp"
#include "nestlet/net.hpp"

namespace nestgate::nestlet {

// A name inside an archive that stays below the directory it is unpacked into: relative, no "..", no backslash, no NUL.
// Pure; what refuses "zip slip".
bool is_safe_entry_name(std::string_view name);

// Both work file by file and let other coroutines run in between; cancelling ends them at the next piece.

// Packs the file or directory `path` into the zip file `archive`; links are left out.
Task<Checked<>> pack(Executor executor, std::string path, std::string archive);
// Unpacks `archive` below the directory `into`. Every name is checked before the first byte is written; 400 for a bad name
// or archive, 413 when more than `bytes_max` would come out.
Task<Checked<>> unpack(Executor executor, std::string archive, std::string into, std::uint64_t bytes_max);

}  // namespace nestgate::nestlet
