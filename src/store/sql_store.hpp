#pragma once

#include "backend.hpp"
#include "conversation_rows.hpp"
#include "identity_rows.hpp"
#include "sql_automation_store.hpp"
#include "static_rows.hpp"

namespace nestgate::store {

// The store over a database, whichever that is.
class SqlStore final : public Store {
 public:
  // What `keys` are is said in open_store. The backend is ready: upgraded, and its probe renewed.
  SqlStore(std::unique_ptr<Backend> backend, std::vector<Secret> const& keys)
      : sealer_(keys), automations_(*backend, sealer_), backend_(std::move(backend)) {}

  Task<Outcome<>> renew(std::string gateway, std::chrono::milliseconds for_time) override;
  Task<Outcome<>> leave(std::string gateway) override;
  Task<Outcome<std::vector<std::string>>> gateways() override;
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

  AutomationStore& automations() override { return automations_; }
  void on_notify(std::function<void()> listener) override { backend_->on_notify(std::move(listener)); }

  Task<> close() override;

 private:
  Sealer sealer_;
  ConversationRows conversations_{sealer_};
  StaticRows statics_{sealer_};
  IdentityRows identities_{sealer_};
  SqlAutomationStore automations_;
  std::unique_ptr<Backend> backend_;  // goes first: its jobs use the rest
};

}  // namespace nestgate::store
