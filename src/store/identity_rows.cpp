#include "identity_rows.hpp"

#include "counters.hpp"
#include "sealed_column.hpp"

namespace nestgate::store {
namespace {

using upstream::fail;

constexpr std::string_view versions = "identity";  // the counter of changes

Place place_of_settings(std::string const& user) { return {"user_settings", "settings", user}; }
Place place_of_secret(std::string const& user, std::string const& name) { return {"user_secret", "value", user, name}; }

Task<Outcome<>> check_owner(Sql& sql, std::string const& owner) {
  if (owner.empty()) co_return Outcome<>{};
  auto user = co_await sql.query("SELECT disabled FROM \"user\" WHERE name = ?1", owner);
  if (!user.step()) co_return fail(FaultKind::not_found, "store.add_api_key", "there is no user " + owner);
  if (user.flag()) co_return fail(FaultKind::conflict, "store.add_api_key", "the user " + owner + " is disabled");
  co_return Outcome<>{};
}

std::optional<std::string> unless_empty(std::string const& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace

Task<> IdentityRows::put_user(Sql& sql, UserRow const& user) const {
  co_await sql.stand_in(Line::identities);
  co_await sql.query(
      "INSERT INTO \"user\" (name, organisation, disabled, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE "
      "SET organisation = excluded.organisation, disabled = excluded.disabled",
      user.name, user.organisation, user.disabled, user.created_at);
  if (user.disabled)
    co_await sql.query("UPDATE api_key SET revoked_at = nestgate_now() WHERE owner = ?1 AND revoked_at IS NULL", user.name);
  co_await note_change(sql, versions);
}

Task<std::vector<UserRow>> IdentityRows::users(Sql& sql) const {
  std::vector<UserRow> all;
  auto rows = co_await sql.query("SELECT name, organisation, disabled, created_at FROM \"user\" ORDER BY name");
  while (rows.step()) {
    UserRow row;
    row.name = rows.text();
    row.organisation = rows.text();
    row.disabled = rows.flag();
    row.created_at = rows.time();
    all.push_back(std::move(row));
  }
  co_return all;
}

Task<Secret> IdentityRows::settings(Sql& sql, std::string const& user) const {
  auto row = co_await sql.query("SELECT settings FROM user_settings WHERE \"user\" = ?1", user);
  if (!row.step()) co_return Secret();
  co_return open_column(sealer_, place_of_settings(user), row.blob().bytes.value_or(""));
}

Task<> IdentityRows::put_settings(Sql& sql, std::string const& user, Secret const& json) const {
  if (json.empty()) {
    co_await sql.query("DELETE FROM user_settings WHERE \"user\" = ?1", user);
    co_return;
  }
  Blob const sealed{sealer_.seal(place_of_settings(user), json.reveal())};
  co_await sql.query(
      "INSERT INTO user_settings (\"user\", settings) VALUES (?1, ?2) ON CONFLICT (\"user\") DO UPDATE SET settings = "
      "excluded.settings",
      user, sealed);
}

Task<> IdentityRows::put_secret(Sql& sql, std::string const& user, UserSecretRow const& secret) const {
  Blob const sealed{sealer_.seal(place_of_secret(user, secret.name), secret.value.reveal())};
  co_await sql.query(
      "INSERT INTO user_secret (\"user\", name, description, value) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (\"user\", name) DO "
      "UPDATE SET description = excluded.description, value = excluded.value",
      user, secret.name, secret.description, sealed);
}

Task<> IdentityRows::remove_secret(Sql& sql, std::string const& user, std::string const& name) const {
  co_await sql.query("DELETE FROM user_secret WHERE \"user\" = ?1 AND name = ?2", user, name);
}

Task<std::vector<UserSecretRow>> IdentityRows::secrets(Sql& sql, std::string const& user) const {
  std::vector<UserSecretRow> all;
  auto rows = co_await sql.query("SELECT name, description, value FROM user_secret WHERE \"user\" = ?1 ORDER BY name", user);
  while (rows.step()) {
    UserSecretRow row;
    row.name = rows.text();
    row.description = rows.text();
    row.value = open_column(sealer_, place_of_secret(user, row.name), rows.blob().bytes.value_or(""));
    all.push_back(std::move(row));
  }
  co_return all;
}

Task<Outcome<>> IdentityRows::add_api_key(Sql& sql, ApiKeyRow const& key) const {
  co_await sql.stand_in(Line::identities);
  NESTGATE_CO_TRY_VOID(co_await check_owner(sql, key.owner));
  auto named = co_await sql.query("SELECT 1 FROM api_key WHERE name = ?1 AND revoked_at IS NULL", key.name);
  if (named.step()) co_return fail(FaultKind::conflict, "store.add_api_key", "there is an API key " + key.name + " already");
  auto same = co_await sql.query("SELECT 1 FROM api_key WHERE id = ?1 OR hash = ?2", key.id, key.hash);
  if (same.step()) co_return fail(FaultKind::conflict, "store.add_api_key", "this API key is there already");
  auto const owner = unless_empty(key.owner);
  co_await sql.query(
      "INSERT INTO api_key (id, name, owner, role, hash, created_at, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
      key.id, key.name, owner, identity::to_string(key.role), key.hash, key.created_at, key.revoked_at);
  co_await note_change(sql, versions);
  co_return Outcome<>{};
}

Task<Outcome<>> IdentityRows::revoke_api_key(Sql& sql, std::string const& id_or_name) const {
  co_await sql.stand_in(Line::identities);
  // An id goes before a name that looks like it; of the keys of one name at most one is not revoked.
  constexpr std::string_view find =
      "SELECT id FROM api_key WHERE id = ?1 OR name = ?1 ORDER BY id <> ?1, revoked_at IS NOT NULL LIMIT 1";
  auto found = co_await sql.query(find, id_or_name);
  if (!found.step()) co_return fail(FaultKind::not_found, "store.revoke_api_key", "there is no API key " + id_or_name);
  auto const id = found.text();
  auto revoked =
      co_await sql.query("UPDATE api_key SET revoked_at = nestgate_now() WHERE id = ?1 AND revoked_at IS NULL", id);
  if (revoked.changed() != 0) co_await note_change(sql, versions);
  co_return Outcome<>{};
}

Task<std::vector<ApiKeyRow>> IdentityRows::api_keys(Sql& sql) const {
  std::vector<ApiKeyRow> all;
  auto rows = co_await sql.query(
      "SELECT id, name, owner, role, hash, created_at, revoked_at FROM api_key ORDER BY name, created_at");
  while (rows.step()) {
    ApiKeyRow row;
    row.id = rows.text();
    row.name = rows.text();
    row.owner = rows.optional_text().value_or("");
    auto const role = identity::parse_role(rows.text());
    if (!role) give_up("API key " + row.id + ": its role is none");
    row.role = *role;
    row.hash = rows.text();
    row.created_at = rows.time();
    row.revoked_at = rows.optional_time();
    all.push_back(std::move(row));
  }
  co_return all;
}

Task<std::uint64_t> IdentityRows::version(Sql& sql) const { return counter(sql, versions); }

}  // namespace nestgate::store
