#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nestgate/conversation/credentials.hpp"
#include "nestgate/store/store.hpp"
#include "support/control.hpp"

namespace nestgate::test {

// What a conversation manager stands on: a store, in memory unless a test names a file, and credentials that nobody checks.
class Backing {
 public:
  explicit Backing(Control& control,
                   std::string const& url = "sqlite::memory:", conversation::CredentialSettings credential_settings = {})
      : control_(control),
        store(open(control, url)),
        credentials(conversation::make_credentials(std::move(credential_settings))) {}
  Backing(Backing const&) = delete;
  ~Backing() { control_.run(store->close()); }

 private:
  static std::unique_ptr<store::Store> open(Control& control, std::string const& url) {
    std::vector<Secret> secrets;
    secrets.emplace_back("0123456789abcdef0123456789abcdef");
    return store::open_store(url, std::move(secrets), control.executor()).value();
  }
  Control& control_;

 public:
  std::unique_ptr<store::Store> store;
  std::unique_ptr<conversation::Credentials> credentials;
};

}  // namespace nestgate::test
