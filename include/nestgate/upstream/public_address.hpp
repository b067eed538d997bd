#pragma once

#include <boost/asio/ip/address.hpp>

namespace nestgate::upstream {

// Whether an address is one of the public internet: not loopback, private, link-local, shared, documentation, multicast
// or reserved (the IANA special-purpose registries, RFC 6890), nor an IPv6 form that carries such an IPv4 address
// (mapped, NAT64, 6to4).
bool is_public(boost::asio::ip::address const& address) noexcept;

}  // namespace nestgate::upstream
