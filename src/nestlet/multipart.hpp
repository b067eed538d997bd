#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nestgate::nestlet {

// The boundary of a `multipart/form-data; boundary=...` content type (RFC 2046 section 5.1.1: 1 to 70 characters).
std::optional<std::string> multipart_boundary(std::string_view content_type);

// Finds one field of a multipart/form-data body (RFC 7578) while the body streams by, in pieces of any size. Holds no more
// than one piece and one part's head.
class MultipartReader {
 public:
  static constexpr std::size_t part_head_bytes_max = 16 * 1024;

  MultipartReader(std::string_view boundary, std::string field);

  enum class Step : std::uint8_t {
    need_more,  // feed the next piece
    data,       // data() is the next piece of the field, until feed() or next()
    field_end,  // the field is complete; the rest is of no interest
    no_field,   // the body ended without the field
    malformed,
  };
  void feed(std::string_view piece);
  Step next();
  std::string_view data() const noexcept { return data_; }
  std::string const& filename() const noexcept { return filename_; }

 private:
  enum class State : std::uint8_t { body, after_delimiter, head, done };

  Step read_body();
  Step read_after_delimiter();
  Step read_head();
  std::string_view unread() const noexcept { return std::string_view(buffer_).substr(consumed_); }

  std::string delimiter_;  // CRLF "--" boundary
  std::string field_;
  State state_ = State::body;  // what comes before the first delimiter is the body of no part
  bool wanted_ = false;        // this part is the field
  std::string buffer_;
  std::size_t consumed_ = 0;
  std::string_view data_;
  std::string filename_;
};

}  // namespace nestgate::nestlet
