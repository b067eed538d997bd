#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/api/settings.hpp"
#include "nestgate/conversation/manager.hpp"

// The Cloud API's answers as JSON (nested_server.md 4.2, 4.3). Pure. `origin` and `domain` as in urls.hpp.
namespace nestgate::api {

// "STARTING", "RUNNING", "PAUSED", "ERROR". What is stopped has its files and can be resumed, so it is paused.
std::string_view sandbox_status(conversation::RuntimeState state) noexcept;
// The name in `exposed_urls` of a declared port: "work-1" is "WORK_1".
std::string exposed_name(std::string_view port_name);

std::string sandbox_json(conversation::View const& view, std::string_view origin, std::string_view domain);
// One entry for each, null for nothing.
std::string sandboxes_json(std::vector<std::optional<conversation::View>> const& views, std::string_view origin,
                           std::string_view domain);
std::string sandbox_page_json(conversation::Page const& page, std::string_view origin, std::string_view domain);

using SpecTime = std::chrono::system_clock::time_point;
std::string specs_page_json(std::vector<SandboxSpec> const& specs, SpecTime created_at);
// One entry for each, null for nothing.
std::string specs_json(std::vector<SandboxSpec const*> const& specs, SpecTime created_at);

struct SecretName {
  std::string name;
  std::string description;
};
std::string secret_name_json(SecretName const& name);
std::string secret_names_json(std::vector<SecretName> const& names);

}  // namespace nestgate::api
