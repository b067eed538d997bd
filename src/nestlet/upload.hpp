#pragma once

#include <string>

#include "nestlet/files.hpp"
#include "nestlet/request.hpp"

namespace nestgate::nestlet {

struct ReceivedFile {
  PendingFile pending;      // whole; commit it
  std::string client_name;  // what the client called it
};

// Streams the multipart field `file` of a request to a file beside `path`, in constant memory.
// 422 without the field, 400 when the body breaks off or is malformed, 500 and 507 for the disk.
Task<Checked<ReceivedFile>> receive_file(Request& request, std::string path);

}  // namespace nestgate::nestlet
