#pragma once

#include <memory>
#include <string>
#include <utility>

#include "nestgate/net/net.hpp"
#include "nestgate/net/tls.hpp"

namespace nestgate::upstream {

// Where a server of a runtime is reached: one address, which whoever made the place has looked up.
struct Place {
  Place() = default;
  Place(asio::ip::tcp::endpoint address) : at(std::move(address)) {}  // in plain text, by its address
  Place(asio::ip::tcp::endpoint address, std::string its_authority, std::shared_ptr<ClientTls const> trusted)
      : at(std::move(address)), authority(std::move(its_authority)), tls(std::move(trusted)) {}

  asio::ip::tcp::endpoint at;  // port 0: nowhere
  // "name" or "name:port", as Host says it there; over TLS never empty, its name is asked for and has to be the
  // certificate's. Empty: the server does not care by which name it is called.
  std::string authority;
  std::shared_ptr<ClientTls const> tls;  // whom to trust; nullptr: in plain text

  std::uint16_t port() const noexcept { return at.port(); }
  // `authority` without its port, and without brackets.
  std::string host_name() const;

  friend bool operator==(Place const&, Place const&) = default;
};

}  // namespace nestgate::upstream
