#pragma once

#include <string>

#include "nestgate/app/cli.hpp"
#include "nestgate/identity/api_key.hpp"

// `nestgate user …` and `nestgate apikey add|list|revoke`: they work on the store of the settings, whether a gateway has
// it open or not. Each returns the program's exit code.
namespace nestgate::app {

enum class Listing : std::uint8_t { lines, json };

struct UserCommand {
  enum class What : std::uint8_t { add, list, revoke } what = What::list;
  std::string name;
  std::string organisation;
  Listing listing = Listing::lines;
};
int run_user(UserCommand const& command, Settings settings, Terminal terminal);

struct ApiKeyCommand {
  enum class What : std::uint8_t { add, list, revoke } what = What::list;
  std::string name;  // to revoke: or an id
  identity::Role role = identity::Role::user;
  std::string owner;
  Listing listing = Listing::lines;
};
int run_apikey_admin(ApiKeyCommand const& command, Settings settings, Terminal terminal);

}  // namespace nestgate::app
