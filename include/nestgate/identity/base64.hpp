#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nestgate::identity {

// RFC 4648 section 4, padded. Decoding is strict: no white space, no missing padding, no bits left over.
std::string encode_base64(std::string_view bytes);
std::optional<std::string> decode_base64(std::string_view text);

// RFC 4648 section 5, without padding; as strict.
std::string encode_base64url(std::string_view bytes);
std::optional<std::string> decode_base64url(std::string_view text);

}  // namespace nestgate::identity
