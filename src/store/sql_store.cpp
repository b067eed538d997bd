#include "sql_store.hpp"

namespace nestgate::store {

Task<Outcome<>> SqlStore::renew(std::string gateway, std::chrono::milliseconds for_time) {
  return backend_->write(
      [this, gateway = std::move(gateway), for_time](Sql& sql) { return conversations_.renew(sql, gateway, for_time); });
}

Task<Outcome<>> SqlStore::leave(std::string gateway) {
  return backend_->write([this, gateway = std::move(gateway)](Sql& sql) { return conversations_.leave(sql, gateway); });
}

Task<Outcome<std::vector<std::string>>> SqlStore::gateways() {
  return backend_->read([this](Sql& sql) { return conversations_.gateways(sql); });
}

Task<Outcome<Claim>> SqlStore::claim(ConversationRow wanted, std::string gateway, Quota quota) {
  return backend_->write([this, wanted = std::move(wanted), gateway = std::move(gateway), quota](Sql& sql) {
    return conversations_.claim(sql, wanted, gateway, quota);
  });
}

Task<Outcome<std::optional<ConversationRow>>> SqlStore::take(ConversationId id, std::string gateway) {
  return backend_->write(
      [this, id = std::move(id), gateway = std::move(gateway)](Sql& sql) { return conversations_.take(sql, id, gateway); });
}

Task<Outcome<>> SqlStore::save(ConversationRow row) {
  return backend_->write([this, row = std::move(row)](Sql& sql) { return conversations_.save(sql, row); });
}

Task<Outcome<>> SqlStore::forget(ConversationId id, std::string gateway, Epoch epoch) {
  return backend_->write([this, id = std::move(id), gateway = std::move(gateway), epoch](Sql& sql) {
    return conversations_.forget(sql, id, gateway, epoch);
  });
}

Task<Outcome<std::optional<ConversationRow>>> SqlStore::find(ConversationId id) {
  return backend_->read([this, id = std::move(id)](Sql& sql) { return conversations_.find(sql, id); });
}

Task<Outcome<std::vector<ConversationRow>>> SqlStore::conversations() {
  return backend_->read([this](Sql& sql) { return conversations_.all(sql); });
}

Task<Outcome<Store::Changes>> SqlStore::changes_since(std::uint64_t version) {
  return backend_->read([this, version](Sql& sql) { return conversations_.changes_since(sql, version); });
}

Task<Outcome<>> SqlStore::ask_holder(ConversationId id, std::string wish) {
  return backend_->write(
      [this, id = std::move(id), wish = std::move(wish)](Sql& sql) { return conversations_.ask_holder(sql, id, wish); });
}

Task<Outcome<std::uint64_t>> SqlStore::put_statics(std::vector<StaticRow> put, std::vector<std::string> removed) {
  return backend_->write(
      [this, put = std::move(put), removed = std::move(removed)](Sql& sql) { return statics_.change(sql, put, removed); });
}

Task<Outcome<Store::StaticChanges>> SqlStore::statics_since(std::uint64_t version) {
  return backend_->read([this, version](Sql& sql) { return statics_.since(sql, version); });
}

Task<Outcome<>> SqlStore::put_user(UserRow user) {
  return backend_->write([this, user = std::move(user)](Sql& sql) { return identities_.put_user(sql, user); });
}

Task<Outcome<std::vector<UserRow>>> SqlStore::users() {
  return backend_->read([this](Sql& sql) { return identities_.users(sql); });
}

Task<Outcome<Secret>> SqlStore::user_settings(std::string user) {
  return backend_->read([this, user = std::move(user)](Sql& sql) { return identities_.settings(sql, user); });
}

Task<Outcome<>> SqlStore::put_user_settings(std::string user, Secret json) {
  return backend_->write([this, user = std::move(user), json = std::move(json)](Sql& sql) {
    return identities_.put_settings(sql, user, json);
  });
}

Task<Outcome<>> SqlStore::put_user_secret(std::string user, UserSecretRow secret) {
  return backend_->write([this, user = std::move(user), secret = std::move(secret)](Sql& sql) {
    return identities_.put_secret(sql, user, secret);
  });
}

Task<Outcome<>> SqlStore::remove_user_secret(std::string user, std::string name) {
  return backend_->write([this, user = std::move(user), name = std::move(name)](Sql& sql) {
    return identities_.remove_secret(sql, user, name);
  });
}

Task<Outcome<std::vector<UserSecretRow>>> SqlStore::user_secrets(std::string user) {
  return backend_->read([this, user = std::move(user)](Sql& sql) { return identities_.secrets(sql, user); });
}

Task<Outcome<>> SqlStore::add_api_key(ApiKeyRow key) {
  return backend_->write([this, key = std::move(key)](Sql& sql) { return identities_.add_api_key(sql, key); });
}

Task<Outcome<>> SqlStore::revoke_api_key(std::string id_or_name) {
  return backend_->write([this, name = std::move(id_or_name)](Sql& sql) { return identities_.revoke_api_key(sql, name); });
}

Task<Outcome<std::vector<ApiKeyRow>>> SqlStore::api_keys() {
  return backend_->read([this](Sql& sql) { return identities_.api_keys(sql); });
}

Task<Outcome<std::uint64_t>> SqlStore::identity_version() {
  return backend_->read([this](Sql& sql) { return identities_.version(sql); });
}

Task<> SqlStore::close() { return backend_->close(); }

}  // namespace nestgate::store
