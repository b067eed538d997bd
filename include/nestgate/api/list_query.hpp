#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "nestgate/conversation/manager.hpp"

// How lists are asked for, the same at every address. Pure.
namespace nestgate::api {

// `fallback` when it is not there; nothing when it is no number within the bounds.
std::optional<std::size_t> number_in(std::string_view query, std::string_view name, std::size_t fallback, std::size_t min,
                                     std::size_t max);
// true, 1, yes or on, or their opposites, in any case; `fallback` when it is not there; nothing when it is another word.
std::optional<bool> flag_in(std::string_view query, std::string_view name, bool fallback);
// Decoded; "" when it is not there.
std::string text_in(std::string_view query, std::string_view name);

// A page id names where a page ends, not what stands there: it is good when that conversation is gone. It needs no encoding
// in a query.
std::string page_id_of(conversation::View const& last);
std::optional<conversation::Position> parse_page_id(std::string_view text);

}  // namespace nestgate::api
