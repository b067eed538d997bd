#pragma once

#include <chrono>
#include <string_view>

#include "nestgate/conversation/manager.hpp"

namespace nestgate::api {

// A conversation of alice's with the key "key-of-{id}", made on 2026-01-02 03:04:05.
inline conversation::View view_of(std::string_view id, conversation::RuntimeState state) {
  using std::chrono::system_clock;
  system_clock::time_point const made{std::chrono::seconds(1'767'323'045)};
  auto const at = asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 4711);
  conversation::View view{*ConversationId::parse(id),
                          conversation::Origin::managed,
                          state,
                          {},
                          "alice",
                          Epoch{1},
                          made,
                          made,
                          at,
                          Secret("nested-key-of-" + std::string(id)),
                          Secret("key-of-" + std::string(id)),
                          {},
                          {},
                          conversation::Purpose::sandbox,
                          conversation::Closed::no,
                          {},
                          {},
                          {},
                          {},
                          nested::Dialect::unknown,
                          {},
                          {}};
  return view;
}

}  // namespace nestgate::api
