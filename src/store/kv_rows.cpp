#include "kv_rows.hpp"

namespace nestgate::store {
namespace {

using upstream::fail;

constexpr int rounds_max = 64;  // of who is always behind another gateway

constexpr std::string_view put_setting =
    "INSERT INTO service_metadata (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
constexpr std::string_view insert_document =
    "INSERT INTO automation_kv (automation_id, document, version) VALUES (?1, ?2, nestgate_now()) ON CONFLICT "
    "(automation_id) DO NOTHING";
constexpr std::string_view update_document =
    "UPDATE automation_kv SET document = ?2, version = version + 1 WHERE automation_id = ?1 AND version = ?3";

Place place_of_document(std::string const& automation_id) { return {"automation_kv", "document", automation_id}; }
Place place_of_setting(std::string const& key) { return {"service_metadata", "value", key}; }

Outcome<KvDecision> decide(KvJudge const& judge, KvDocument const& document) {
  try {
    return judge(document);
  } catch (std::exception const& thrown) {
    return fail(FaultKind::internal, "store.change_kv", std::string("a change of a document failed: ") + thrown.what());
  }
}

}  // namespace

Task<KvRows::Kept> KvRows::read(Sql& sql, std::string const& automation_id) const {
  Kept kept;
  auto row = co_await sql.query("SELECT document, version FROM automation_kv WHERE automation_id = ?1", automation_id);
  if (!row.step()) co_return kept;
  auto const json = open_column(sealer_, place_of_document(automation_id), row.blob().bytes.value_or(""));
  kept.document.json = std::string(json.reveal());
  kept.document.is_there = true;
  kept.version = row.count();
  co_return kept;
}

Task<KvDocument> KvRows::document(Sql& sql, std::string const& automation_id) const {
  auto kept = co_await read(sql, automation_id);
  co_return std::move(kept.document);
}

Task<Outcome<>> KvRows::change(Sql& sql, std::string const& automation_id, KvJudge const& judge) const {
  for (int round = 0; round < rounds_max; ++round) {
    auto const kept = co_await read(sql, automation_id);
    NESTGATE_CO_TRY(decision, decide(judge, kept.document));
    if (decision.what == KvDecision::What::keep) co_return Outcome<>{};
    bool const is_written = co_await write(sql, automation_id, kept, decision);
    if (is_written) co_return Outcome<>{};
  }
  co_return fail(FaultKind::unavailable, "store.change_kv", "store: the document changes too often");
}

// False: somebody else wrote since it was read.
Task<bool> KvRows::write(Sql& sql, std::string const& automation_id, Kept const& kept, KvDecision const& decision) const {
  if (decision.what == KvDecision::What::remove) {
    if (!kept.document.is_there) co_return true;
    auto const removed = co_await sql.query("DELETE FROM automation_kv WHERE automation_id = ?1 AND version = ?2",
                                            automation_id, kept.version);
    co_return removed.changed() != 0;
  }
  Blob const sealed{sealer_.seal(place_of_document(automation_id), decision.json)};
  Rows written;
  if (kept.document.is_there) {
    written = co_await sql.query(update_document, automation_id, sealed, kept.version);
  } else {
    written = co_await sql.query(insert_document, automation_id, sealed);
  }
  co_return written.changed() != 0;
}

Task<Secret> KvRows::metadata(Sql& sql, std::string const& key) const {
  auto row = co_await sql.query("SELECT value FROM service_metadata WHERE key = ?1", key);
  if (!row.step()) co_return Secret();
  co_return open_column(sealer_, place_of_setting(key), row.blob().bytes.value_or(""));
}

Task<> KvRows::put_metadata(Sql& sql, std::string const& key, Secret const& value) const {
  if (value.empty()) {
    co_await sql.query("DELETE FROM service_metadata WHERE key = ?1", key);
    co_return;
  }
  Blob const sealed{sealer_.seal(place_of_setting(key), value.reveal())};
  co_await sql.query(put_setting, key, sealed);
}

}  // namespace nestgate::store
