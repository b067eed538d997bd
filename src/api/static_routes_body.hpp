#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "invalid.hpp"
#include "nestgate/conversation/manager.hpp"

namespace nestgate::api {

inline constexpr std::size_t static_changes_max = 50'000;  // entries of one batch, both lists together

// PUT /api/routes/{id}: `url`, and optionally `session_api_key` and `ports` ({"vscode": 8001}). Only the shape is checked;
// the URL is the manager's to judge.
Checked<conversation::StaticRuntime> parse_static_route(ConversationId id, std::string_view body);

// What a batch asks for, and which of its entries cannot be read: these do not keep the others from being done.
struct StaticChanges {
  std::vector<conversation::StaticRuntime> put;
  std::vector<std::size_t> put_places;  // of each of `put`, its place in the body's list
  std::vector<ConversationId> removed;
  std::vector<std::size_t> removed_places;  // of each of `removed`
  struct Refused {
    std::string_view list;  // "put" or "remove"
    std::size_t place = 0;
    std::string id;  // as sent, when it can be shown
    std::string_view code;
    std::string message;
  };
  std::vector<Refused> refused;
};

// POST /api/routes: {"put": [{"id", "url", "session_api_key"?, "ports"?}, …], "remove": ["id", …]}.
Checked<StaticChanges> parse_static_changes(std::string_view body);

}  // namespace nestgate::api
