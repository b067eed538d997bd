#pragma once

#include <string_view>

#include "event/node.hpp"
#include "nestgate/event/expression.hpp"

namespace nestgate::event {

// The tree of an expression, no deeper than Expression::depth_max.
Parsed<detail::Node> parse_expression(std::string_view text);

}  // namespace nestgate::event
