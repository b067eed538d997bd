#include "identity_rows.hpp"

#include "counters.hpp"
#include "sealed_column.hpp"

namespace nestgate::store {
namespace {

using Kind = Transaction::Kind;
using upstream::fail;

Place place_of_settings(std::string const& user) { return {"user_settings", "settings", user}; }
Place place_of_secret(std::string const& user, std::string const& name) { return {"user_secret", "value", user, name}; }

Time now() { return std::chrono::system_clock::now(); }

}  // namespace

void IdentityRows::put_user(UserRow const& user) {
  Transaction transaction(database_, Kind::write);
  database_.run(
      "INSERT INTO user (name, organisation, disabled, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE SET "
      "organisation = excluded.organisation, disabled = excluded.disabled",
      user.name, user.organisation, user.disabled, user.created_at);
  if (user.disabled)
    database_.run("UPDATE api_key SET revoked_at = ?2 WHERE owner = ?1 AND revoked_at IS NULL", user.name, now());
  note_change();
  transaction.commit();
}

std::vector<UserRow> IdentityRows::users() {
  std::vector<UserRow> rows;
  auto query = database_.query("SELECT name, organisation, disabled, created_at FROM user ORDER BY name");
  while (query.step()) {
    UserRow row;
    row.name = query.text();
    row.organisation = query.text();
    row.disabled = query.integer() != 0;
    row.created_at = query.time();
    rows.push_back(std::move(row));
  }
  return rows;
}

Secret IdentityRows::settings(std::string const& user) {
  auto query = database_.query("SELECT settings FROM user_settings WHERE user = ?1", user);
  if (!query.step()) return {};
  return open_column(sealer_, place_of_settings(user), query.blob().bytes.value_or(""));
}

void IdentityRows::put_settings(std::string const& user, Secret const& json) {
  if (json.empty()) {
    database_.run("DELETE FROM user_settings WHERE user = ?1", user);
    return;
  }
  database_.run("INSERT OR REPLACE INTO user_settings (user, settings) VALUES (?1, ?2)", user,
                Blob{sealer_.seal(place_of_settings(user), json.reveal())});
}

void IdentityRows::put_secret(std::string const& user, UserSecretRow const& secret) {
  database_.run("INSERT OR REPLACE INTO user_secret (user, name, description, value) VALUES (?1, ?2, ?3, ?4)", user,
                secret.name, secret.description,
                Blob{sealer_.seal(place_of_secret(user, secret.name), secret.value.reveal())});
}

void IdentityRows::remove_secret(std::string const& user, std::string const& name) {
  database_.run("DELETE FROM user_secret WHERE user = ?1 AND name = ?2", user, name);
}

std::vector<UserSecretRow> IdentityRows::secrets(std::string const& user) {
  std::vector<UserSecretRow> rows;
  auto query = database_.query("SELECT name, description, value FROM user_secret WHERE user = ?1 ORDER BY name", user);
  while (query.step()) {
    UserSecretRow row;
    row.name = query.text();
    row.description = query.text();
    row.value = open_column(sealer_, place_of_secret(user, row.name), query.blob().bytes.value_or(""));
    rows.push_back(std::move(row));
  }
  return rows;
}

Outcome<> IdentityRows::check_owner(std::string const& owner) {
  if (owner.empty()) return Outcome<>{};
  auto query = database_.query("SELECT disabled FROM user WHERE name = ?1", owner);
  if (!query.step()) return fail(FaultKind::not_found, "store.add_api_key", "there is no user " + owner);
  if (query.integer() != 0) return fail(FaultKind::conflict, "store.add_api_key", "the user " + owner + " is disabled");
  return Outcome<>{};
}

Outcome<> IdentityRows::add_api_key(ApiKeyRow const& key) {
  Transaction transaction(database_, Kind::write);
  if (auto owner = check_owner(key.owner); !owner) return owner.error();
  auto const is_there = [this](std::string_view sql, std::string const& value) {
    auto query = database_.query(sql, value);
    return query.step();
  };
  if (is_there("SELECT 1 FROM api_key WHERE name = ?1 AND revoked_at IS NULL", key.name))
    return fail(FaultKind::conflict, "store.add_api_key", "there is an API key " + key.name + " already");
  if (is_there("SELECT 1 FROM api_key WHERE id = ?1", key.id) || is_there("SELECT 1 FROM api_key WHERE hash = ?1", key.hash))
    return fail(FaultKind::conflict, "store.add_api_key", "this API key is there already");
  database_.run(
      "INSERT INTO api_key (id, name, owner, role, hash, created_at, revoked_at) VALUES (?1, ?2, nullif(?3, ''), ?4, ?5, "
      "?6, "
      "?7)",
      key.id, key.name, key.owner, identity::to_string(key.role), key.hash, key.created_at, key.revoked_at);
  note_change();
  transaction.commit();
  return Outcome<>{};
}

Outcome<> IdentityRows::revoke_api_key(std::string const& id_or_name) {
  Transaction transaction(database_, Kind::write);
  // An id goes before a name that looks like it; of the keys of one name at most one is not revoked.
  constexpr std::string_view find =
      "SELECT id FROM api_key WHERE id = ?1 OR name = ?1 ORDER BY id <> ?1, revoked_at IS NOT NULL LIMIT 1";
  std::string id;
  {
    auto query = database_.query(find, id_or_name);
    if (!query.step()) return fail(FaultKind::not_found, "store.revoke_api_key", "there is no API key " + id_or_name);
    id = query.text();
  }
  if (database_.run("UPDATE api_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL", id, now()) != 0)
    note_change();
  transaction.commit();
  return Outcome<>{};
}

std::vector<ApiKeyRow> IdentityRows::api_keys() {
  std::vector<ApiKeyRow> rows;
  auto query =
      database_.query("SELECT id, name, owner, role, hash, created_at, revoked_at FROM api_key ORDER BY name, created_at");
  while (query.step()) {
    ApiKeyRow row;
    row.id = query.text();
    row.name = query.text();
    row.owner = query.text();
    auto const role = identity::parse_role(query.text());
    if (!role) give_up("API key " + row.id + ": its role is none");
    row.role = *role;
    row.hash = query.text();
    row.created_at = query.time();
    row.revoked_at = query.optional_time();
    rows.push_back(std::move(row));
  }
  return rows;
}

std::uint64_t IdentityRows::version() { return counter(database_, "identity"); }

void IdentityRows::note_change() { count_up(database_, "identity"); }

}  // namespace nestgate::store
