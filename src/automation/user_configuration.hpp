#pragma once

#include "nestgate/nested/configuration.hpp"
#include "nestgate/store/store.hpp"

// What the server of a runtime that is made for a user's run is told of the user (`/api/v1/users/me`).
namespace nestgate::automation {

// The model among a user's settings, as an agent server's PATCH /api/settings takes it. Empty: they say nothing of one.
// Pure.
Secret agent_settings_of(Secret const& user_settings);
// Whether an agent server takes a secret of that name (agent_server.md 1.4). Pure.
bool is_agent_secret_name(std::string_view name) noexcept;

// The model and the secrets of `owner`; nothing of nobody. On the control core. Fault unavailable.
Task<upstream::Outcome<nested::Configuration>> configuration_of(store::Store& store, std::string owner);

}  // namespace nestgate::automation
