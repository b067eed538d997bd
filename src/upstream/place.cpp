#include "nestgate/upstream/place.hpp"

namespace nestgate::upstream {

std::string Place::host_name() const {
  if (authority.starts_with('[')) return authority.substr(1, authority.find(']') - 1);
  return authority.substr(0, authority.find(':'));
}

}  // namespace nestgate::upstream
