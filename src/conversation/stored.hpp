#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/conversation/manager.hpp"
#include "nestgate/runtime/provider.hpp"
#include "nestgate/store/store.hpp"

// How a conversation is written to the store, and read back. Pure.
namespace nestgate::conversation {

store::Phase phase_of(RuntimeState state) noexcept;
RuntimeState state_of(store::Phase phase) noexcept;
std::string_view to_string(Closed closed) noexcept;
Closed parse_closed(std::string_view text) noexcept;

std::string endpoint_text(asio::ip::tcp::endpoint const& endpoint);
std::optional<asio::ip::tcp::endpoint> parse_endpoint(std::string_view text);

std::string ports_json(std::vector<DeclaredPort> const& ports);
std::vector<DeclaredPort> parse_ports(std::string_view json);

// Empty for a wish that asks for nothing.
Secret wish_json(runtime::Wish const& wish);
runtime::Wish parse_wish(Secret const& json);

// Empty where nothing is known.
Secret about_json(About const& about);
About parse_about(Secret const& json);

}  // namespace nestgate::conversation
