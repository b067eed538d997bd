#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/identity/api_key.hpp"

namespace nestgate::api {

// Which images those who start something may name: those of the settings, any where there are none. An admin may name any.
// What names no image gets the provider's.
class ImageRule {
 public:
  static constexpr std::string_view refusal = "image: is none of those that may be named here";

  explicit ImageRule(std::vector<std::string> images) : images_(std::move(images)) {}

  bool allows(identity::Principal const& by, std::string_view image) const {
    return image.empty() || images_.empty() || by.role == identity::Role::admin ||
           std::find(images_.begin(), images_.end(), image) != images_.end();
  }

 private:
  std::vector<std::string> images_;
};

}  // namespace nestgate::api
