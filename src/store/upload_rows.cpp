#include "upload_rows.hpp"

namespace nestgate::store {
namespace {

constexpr std::string_view columns =
    "id, user_id, org_id, is_listed, name, description, status, error_message, size_bytes, created_at, updated_at, "
    "deleted_at";
std::string const insert_row = "INSERT INTO upload (" + std::string(columns) + ") VALUES (" + placeholders(columns) + ")";
std::string const select_rows = "SELECT " + std::string(columns) + " FROM upload ";
std::string const select_one = select_rows + "WHERE id = ?1";
std::string const of_page =
    "WHERE user_id = ?1 AND org_id = ?2 AND is_listed = 1 AND deleted_at IS NULL AND (CAST(?3 AS TEXT) = '' OR status = "
    "?3) ";
std::string const select_page = select_rows + of_page + "ORDER BY created_at DESC, id DESC LIMIT ?4 OFFSET ?5";
std::string const count_page = "SELECT count(*) FROM upload " + of_page;
constexpr std::string_view mark_deleted =
    "UPDATE upload SET deleted_at = nestgate_now(), updated_at = nestgate_now() WHERE id = ?1 AND deleted_at IS NULL";
constexpr std::string_view purge_rows =
    "DELETE FROM upload WHERE id IN (SELECT id FROM upload WHERE deleted_at < ?1 ORDER BY deleted_at LIMIT ?2)";

UploadRow row_of(Rows& rows) {
  UploadRow row;
  row.id = rows.text();
  row.tenant.user_id = rows.text();
  row.tenant.org_id = rows.text();
  row.is_listed = rows.flag();
  row.name = rows.text();
  row.description = rows.optional_text();
  row.status = rows.text();
  row.error_message = rows.text();
  row.size_bytes = rows.optional_integer();
  row.created_at = rows.time();
  row.updated_at = rows.time();
  row.deleted_at = rows.optional_time();
  return row;
}

}  // namespace

// One that failed, or is still coming, has no bytes.
Task<> UploadRows::add(Sql& sql, UploadRow const& upload, std::string const& bytes) const {
  auto created_at = upload.created_at;
  if (created_at == Time{}) created_at = co_await store_now(sql);
  auto const updated_at = upload.updated_at == Time{} ? created_at : upload.updated_at;
  co_await sql.query(insert_row, upload.id, upload.tenant.user_id, upload.tenant.org_id, upload.is_listed, upload.name,
                     upload.description, upload.status, upload.error_message, upload.size_bytes, created_at, updated_at,
                     upload.deleted_at);
  if (upload.status != "COMPLETED") co_return;
  Blob const content{bytes};
  co_await sql.query("INSERT INTO upload_content (upload_id, content) VALUES (?1, ?2)", upload.id, content);
}

Task<std::optional<UploadRow>> UploadRows::find(Sql& sql, std::string const& id) const {
  auto rows = co_await sql.query(select_one, id);
  if (!rows.step()) co_return std::nullopt;
  co_return row_of(rows);
}

Task<std::optional<std::string>> UploadRows::bytes(Sql& sql, std::string const& id) const {
  auto rows = co_await sql.query("SELECT content FROM upload_content WHERE upload_id = ?1", id);
  if (!rows.step()) co_return std::nullopt;
  co_return rows.blob().bytes;
}

Task<RowPage<UploadRow>> UploadRows::list(Sql& sql, Tenant const& tenant, std::string const& status, PageOf page) const {
  RowPage<UploadRow> out;
  out.total = co_await count_of(sql, count_page, values(tenant.user_id, tenant.org_id, status));
  auto rows = co_await sql.query(select_page, tenant.user_id, tenant.org_id, status, page.limit, page.offset);
  while (rows.step()) out.rows.push_back(row_of(rows));
  co_return out;
}

Task<> UploadRows::remove(Sql& sql, std::string const& id) const {
  co_await sql.query(mark_deleted, id);
  co_await sql.query("DELETE FROM upload_content WHERE upload_id = ?1", id);
}

Task<std::uint64_t> UploadRows::purge(Sql& sql, Time before, std::size_t limit) const {
  auto const removed = co_await sql.query(purge_rows, before, limit);
  co_return static_cast<std::uint64_t>(removed.changed());
}

}  // namespace nestgate::store
