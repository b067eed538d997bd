#pragma once

#include "seal.hpp"
#include "sql.hpp"

namespace nestgate::store {

// What stands at `place`, or Unusable with a sentence that names the place.
inline Secret open_column(Sealer const& sealer, Place const& place, std::string_view value) {
  auto opened = sealer.open(place, value);
  if (opened) return std::move(*opened);
  std::string where(place.table);
  where.append(" ").append(place.key);
  if (!place.subkey.empty()) where.append(", ").append(place.subkey);
  give_up(where.append(": ").append(place.column).append(" cannot be opened: ").append(to_string(opened.error())));
}

}  // namespace nestgate::store
