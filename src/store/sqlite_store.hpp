#pragma once

#include <boost/asio/thread_pool.hpp>
#include <optional>

#include "conversation_rows.hpp"
#include "identity_rows.hpp"
#include "nestgate/net/run_on.hpp"
#include "static_rows.hpp"

namespace nestgate::store {

// A store in one SQLite file. Any number of them, in any number of processes, may share the file.
class SqliteStore final : public Store {
 public:
  // Opens the file, creates or upgrades it. Throws Unusable.
  SqliteStore(std::string path, std::vector<Secret> const& keys);

  Task<Outcome<>> renew(std::string gateway, std::chrono::milliseconds for_time) override;
  Task<Outcome<>> leave(std::string gateway) override;
  Task<Outcome<Claim>> claim(ConversationRow wanted, std::string gateway, Quota quota) override;
  Task<Outcome<std::optional<ConversationRow>>> take(ConversationId id, std::string gateway) override;
  Task<Outcome<>> save(ConversationRow row) override;
  Task<Outcome<>> forget(ConversationId id, std::string gateway, Epoch epoch) override;
  Task<Outcome<std::optional<ConversationRow>>> find(ConversationId id) override;
  Task<Outcome<std::vector<ConversationRow>>> conversations() override;
  Task<Outcome<Changes>> changes_since(std::uint64_t version) override;
  Task<Outcome<>> ask_holder(ConversationId id, std::string wish) override;

  Task<Outcome<std::uint64_t>> put_statics(std::vector<StaticRow> put, std::vector<std::string> removed) override;
  Task<Outcome<StaticChanges>> statics_since(std::uint64_t version) override;

  Task<Outcome<>> put_user(UserRow user) override;
  Task<Outcome<std::vector<UserRow>>> users() override;
  Task<Outcome<Secret>> user_settings(std::string user) override;
  Task<Outcome<>> put_user_settings(std::string user, Secret json) override;
  Task<Outcome<>> put_user_secret(std::string user, UserSecretRow secret) override;
  Task<Outcome<>> remove_user_secret(std::string user, std::string name) override;
  Task<Outcome<std::vector<UserSecretRow>>> user_secrets(std::string user) override;

  Task<Outcome<>> add_api_key(ApiKeyRow key) override;
  Task<Outcome<>> revoke_api_key(std::string id_or_name) override;
  Task<Outcome<std::vector<ApiKeyRow>>> api_keys() override;
  Task<Outcome<std::uint64_t>> identity_version() override;

  Task<> close() override;

 private:
  // What the file's thread works with.
  struct Open {
    Open(std::string path, std::vector<Secret> const& keys);
    Database database;
    Sealer sealer;
    ConversationRows conversations;
    StaticRows statics;
    IdentityRows identities;
  };
  template <class Job>
  auto on_thread(Job job);

  std::optional<Open> open_;  // used on the thread only, once it has begun; nothing: closed
  asio::thread_pool thread_{1};
};

}  // namespace nestgate::store
