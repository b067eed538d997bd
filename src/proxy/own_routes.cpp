#include "nestgate/proxy/own_routes.hpp"

namespace nestgate::proxy {

std::string_view ApiRequest::field(std::string_view name) const noexcept {
  for (auto const& [known, value] : fields) {
    if (known == name) return value;
  }
  return {};
}

}  // namespace nestgate::proxy
