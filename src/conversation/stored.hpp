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

// "1.2.3.4:80"; where the server goes by a name "https://name:port 1.2.3.4:80" (http as well); "" for nowhere.
std::string place_text(upstream::Place const& place);
// `trusted`: of places over TLS, as upstream::place_of takes it.
std::optional<upstream::Place> parse_place(std::string_view text, std::shared_ptr<ClientTls const> const& trusted);

std::string ports_json(std::vector<DeclaredPort> const& ports);
std::vector<DeclaredPort> parse_ports(std::string_view json, std::shared_ptr<ClientTls const> const& trusted);

// Empty for a wish that asks for nothing.
Secret wish_json(runtime::Wish const& wish);
runtime::Wish parse_wish(Secret const& json);

// Empty where nothing is known.
Secret about_json(About const& about);
About parse_about(Secret const& json);

}  // namespace nestgate::conversation
