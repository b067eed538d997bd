#include "webhook_rows.hpp"

namespace nestgate::store {
namespace {

using upstream::fail;

constexpr std::string_view made_with = "id, org_id, source, created_at";
// What `replace` writes, in the order of members_of.
constexpr std::string_view members =
    "name, secret, previous_secret, previous_until, enabled, event_key_expr, signature_header, signature_scheme, "
    "event_id_header, updated_at";
std::string const columns = std::string(made_with).append(", ").append(members);

std::string const insert_row =
    "INSERT INTO webhook (" + columns + ") VALUES (" + placeholders(columns) + ") ON CONFLICT (org_id, source) DO NOTHING";
std::string const update_row =
    "UPDATE webhook SET " + assignments(members) + " WHERE id = " + placeholder_behind(members, 1) +
    " AND org_id = " + placeholder_behind(members, 2) + " AND updated_at = " + placeholder_behind(members, 3);
std::string const select_rows = "SELECT " + columns + " FROM webhook ";
std::string const select_one = select_rows + "WHERE id = ?1 AND org_id = ?2";
std::string const select_source = select_rows + "WHERE org_id = ?1 AND source = ?2";
std::string const select_page = select_rows + "WHERE org_id = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2 OFFSET ?3";

Place place_of_secret(std::string const& id) { return {"webhook", "secret", id}; }
Place place_of_previous(std::string const& id) { return {"webhook", "previous_secret", id}; }

}  // namespace

Task<Outcome<>> WebhookRows::add(Sql& sql, WebhookRow const& webhook) const {
  auto const now = co_await store_now(sql);
  auto parameters =
      values(webhook.id, webhook.org_id, webhook.source, webhook.created_at == Time{} ? now : webhook.created_at);
  append(parameters, members_of(webhook));
  parameters.push_back(Sql::as_value(webhook.updated_at == Time{} ? now : webhook.updated_at));
  auto const written = co_await sql.execute(insert_row, std::move(parameters));
  if (written.changed() == 0)
    co_return fail(FaultKind::conflict, "store.add_webhook",
                   "the organisation has an event source " + webhook.source + " already");
  co_return Outcome<>{};
}

Task<std::optional<WebhookRow>> WebhookRows::find(Sql& sql, std::string const& org_id, std::string const& id) const {
  auto rows = co_await sql.query(select_one, id, org_id);
  if (!rows.step()) co_return std::nullopt;
  co_return row_of(rows);
}

Task<std::optional<WebhookRow>> WebhookRows::find_source(Sql& sql, std::string const& org_id,
                                                         std::string const& source) const {
  auto rows = co_await sql.query(select_source, org_id, source);
  if (!rows.step()) co_return std::nullopt;
  co_return row_of(rows);
}

Task<RowPage<WebhookRow>> WebhookRows::list(Sql& sql, std::string const& org_id, PageOf page) const {
  RowPage<WebhookRow> out;
  out.total = co_await count_of(sql, "SELECT count(*) FROM webhook WHERE org_id = ?1", values(org_id));
  auto rows = co_await sql.query(select_page, org_id, page.limit, page.offset);
  while (rows.step()) out.rows.push_back(row_of(rows));
  co_return out;
}

Task<Outcome<>> WebhookRows::replace(Sql& sql, WebhookRow const& webhook) const {
  auto parameters = members_of(webhook);
  parameters.push_back(Sql::as_value(co_await store_now(sql)));
  append(parameters, values(webhook.id, webhook.org_id, webhook.updated_at));
  auto const written = co_await sql.execute(update_row, std::move(parameters));
  if (written.changed() != 0) co_return Outcome<>{};
  auto const known = co_await find(sql, webhook.org_id, webhook.id);
  if (!known) co_return fail(FaultKind::not_found, "store.replace_webhook", "there is no event source " + webhook.id);
  co_return fail(FaultKind::conflict, "store.replace_webhook", "the event source was changed meanwhile");
}

Task<> WebhookRows::remove(Sql& sql, std::string const& org_id, std::string const& id) const {
  co_await sql.query("DELETE FROM webhook WHERE id = ?1 AND org_id = ?2", id, org_id);
}

// But for updated_at.
Values WebhookRows::members_of(WebhookRow const& webhook) const {
  return values(webhook.name, sealed_unless_empty(sealer_, place_of_secret(webhook.id), webhook.secret),
                sealed_unless_empty(sealer_, place_of_previous(webhook.id), webhook.previous_secret), webhook.previous_until,
                webhook.enabled, webhook.event_key_expr, webhook.signature_header, webhook.signature_scheme,
                webhook.event_id_header);
}

WebhookRow WebhookRows::row_of(Rows& rows) const {
  WebhookRow row;
  row.id = rows.text();
  row.org_id = rows.text();
  row.source = rows.text();
  row.created_at = rows.time();
  row.name = rows.text();
  row.secret = opened_or_empty(sealer_, place_of_secret(row.id), rows.blob());
  row.previous_secret = opened_or_empty(sealer_, place_of_previous(row.id), rows.blob());
  row.previous_until = rows.optional_time();
  row.enabled = rows.flag();
  row.event_key_expr = rows.text();
  row.signature_header = rows.text();
  row.signature_scheme = rows.text();
  row.event_id_header = rows.text();
  row.updated_at = rows.time();
  return row;
}

}  // namespace nestgate::store
