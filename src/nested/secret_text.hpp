#pragma once

#include <string>

#include "nestgate/base/invariant.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::nested {

// Of text in JSON, whatever in it has to be escaped.
constexpr std::size_t escaped_max(std::size_t bytes) { return bytes * 6; }

// `write` fills the text, which never grows beyond `room`, so that no copy is left behind.
template <class Write>
Secret written(std::size_t room, Write write) {
  std::string out;
  out.reserve(room);
  codec::JsonWriter w(out);
  write(w);
  NESTGATE_INVARIANT(out.size() <= room, "the room was counted from what is written");
  return Secret(std::move(out));
}

}  // namespace nestgate::nested
