#include "nestlet/upload.hpp"

#include <cerrno>

#include "nestlet/multipart.hpp"

namespace nestgate::nestlet {

Task<Checked<ReceivedFile>> receive_file(Request& request, std::string path) {
  constexpr std::size_t piece_bytes = 64 * 1024;
  auto const boundary = multipart_boundary(request.header(http::field::content_type));
  if (!boundary) co_return missing("body", "file");
  auto created = PendingFile::create(path);
  if (!created) {
    int const error = created.error();
    if (error == EISDIR) co_return refuse(400, "Path is a directory");
    if (error == ENOTDIR || error == EEXIST) co_return refuse(400, "Path is below a file");
    if (error == ELOOP) co_return refuse(400, "Path is a loop of links");
    co_return file_trouble("Failed to upload file", error);
  }
  auto& file = *created;
  MultipartReader reader(*boundary, "file");
  std::string piece(piece_bytes, '\0');
  bool complete = false;
  for (;;) {
    auto const n = co_await request.read_some(asio::buffer(piece));
    if (!n) co_return refuse(400, "The request body broke off");
    if (*n == 0) break;
    if (complete) continue;  // the rest is read so that the connection can be used again
    reader.feed(std::string_view(piece).substr(0, *n));
    for (auto step = reader.next(); step != MultipartReader::Step::need_more; step = reader.next()) {
      if (step == MultipartReader::Step::malformed) co_return refuse(400, "The multipart body is malformed");
      if (step == MultipartReader::Step::no_field) co_return missing("body", "file");
      if (step == MultipartReader::Step::field_end) {
        complete = true;
        break;
      }
      if (int const error = file.write(reader.data()); error != 0) co_return file_trouble("Failed to upload file", error);
    }
  }
  if (!complete) co_return refuse(400, "The multipart body ended within the file");
  co_return ReceivedFile{std::move(file), reader.filename()};
}

}  // namespace nestgate::nestlet
