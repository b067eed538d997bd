#pragma once

#include <string_view>

#include "nestgate/upstream/failure.hpp"
#include "nestgate/upstream/http_client.hpp"

// What an answer means to the calls of the client.
namespace nestgate::nested {

upstream::Failure unreadable(std::string_view step);
// What the server will not have is the client's to mend (bad_input); any other answer is between the gateway and the
// server. `excerpt`: the server's own reason.
upstream::Failure refused(std::string_view step, upstream::Answer const& answer, std::string_view excerpt = {});
bool lacks_route(upstream::Answer const& answer) noexcept;
// 429, or 503, with a moment to come back.
bool is_told_to_wait(upstream::Answer const& answer) noexcept;

}  // namespace nestgate::nested
