#pragma once

#include <string>
#include <string_view>

namespace nestgate::conversation {

// This process among all gateways on a store: "<boot>-<pid namespace>-<pid>-<start time>-<counter>". Another one in this
// process gets another name.
std::string make_gateway_name();
// Whether a gateway of that name ran on this machine and is no more, so that nobody need wait for its lease to pass.
bool is_known_dead(std::string_view name);

}  // namespace nestgate::conversation
