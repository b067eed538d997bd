#include "schema.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "sql.hpp"

namespace nestgate::store {
namespace {

constexpr char const* version_1 = R"sql(
CREATE TABLE counter (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('epoch', 0), ('version', 0), ('forgotten', 0), ('identity', 0);

CREATE TABLE gateway (
  name TEXT PRIMARY KEY,
  alive_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE conversation (
  id TEXT PRIMARY KEY,
  id_text TEXT NOT NULL,
  owner TEXT NOT NULL,
  organisation TEXT NOT NULL,
  purpose TEXT NOT NULL,
  phase TEXT NOT NULL,
  reason TEXT NOT NULL,
  closed TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  key_generation INTEGER NOT NULL,
  provider TEXT NOT NULL,
  handle TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  ports_json TEXT NOT NULL,
  spec_id TEXT NOT NULL,
  dialect TEXT NOT NULL,
  session_key BLOB,
  wish BLOB,
  configuration BLOB,
  created_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  last_act_at INTEGER NOT NULL,
  asked TEXT NOT NULL,
  holder TEXT NOT NULL,
  version INTEGER NOT NULL
) STRICT;
CREATE INDEX conversation_version ON conversation (version);
CREATE INDEX conversation_up ON conversation (phase, purpose, id);
CREATE INDEX conversation_up_of_owner ON conversation (owner, phase, purpose, id);
CREATE INDEX conversation_up_of_organisation ON conversation (organisation, phase, purpose, id);
CREATE INDEX conversation_holder ON conversation (holder);

CREATE TABLE forgotten (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX forgotten_version ON forgotten (version);

CREATE TABLE static_runtime (
  id TEXT PRIMARY KEY,
  url TEXT NOT NULL,
  ports_json TEXT NOT NULL,
  session_key BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE "user" (
  name TEXT PRIMARY KEY,
  organisation TEXT NOT NULL,
  disabled INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE user_settings (
  "user" TEXT PRIMARY KEY,
  settings BLOB NOT NULL
) STRICT;

CREATE TABLE user_secret (
  "user" TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY ("user", name)
) STRICT;

CREATE TABLE api_key (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  owner TEXT REFERENCES "user" (name),
  role TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX api_key_name ON api_key (name) WHERE revoked_at IS NULL;
CREATE INDEX api_key_owner ON api_key (owner);
)sql";

constexpr char const* version_2 = R"sql(
ALTER TABLE conversation ADD COLUMN units INTEGER NOT NULL DEFAULT 1;
)sql";

constexpr char const* version_3 = R"sql(
ALTER TABLE conversation ADD COLUMN about BLOB;
)sql";

constexpr char const* version_4 = R"sql(
ALTER TABLE static_runtime ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
CREATE INDEX static_runtime_version ON static_runtime (version);
CREATE TABLE removed_static_runtime (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX removed_static_runtime_version ON removed_static_runtime (version);
INSERT INTO counter VALUES ('static_runtime', 0), ('removed_static_runtime', 0);
CREATE TABLE probe (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  sealed BLOB NOT NULL
) STRICT;
)sql";

constexpr char const* version_5 = R"sql(
INSERT INTO counter VALUES ('automation', 0), ('automation_run', 0), ('pending_run', 0);

CREATE TABLE automation (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL,
  org_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  last_triggered_at INTEGER,
  owner TEXT NOT NULL,
  organisation TEXT NOT NULL,
  name TEXT NOT NULL,
  model TEXT,
  prompt TEXT,
  setup_script_path TEXT,
  preset_metadata_json TEXT NOT NULL,
  template_id TEXT,
  trigger_json TEXT NOT NULL,
  trigger_kind TEXT NOT NULL,
  event_source TEXT,
  tarball_path TEXT NOT NULL,
  entrypoint TEXT NOT NULL,
  timeout_s INTEGER,
  keep_alive INTEGER,
  enabled INTEGER NOT NULL,
  disabled_reason TEXT NOT NULL,
  disabled_detail TEXT NOT NULL,
  disabled_at INTEGER,
  additions_json TEXT NOT NULL,
  policy_json TEXT NOT NULL,
  callback BLOB,
  next_at INTEGER,
  failures_in_row INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  version INTEGER NOT NULL
) STRICT;
CREATE INDEX automation_version ON automation (version);
CREATE INDEX automation_of_tenant ON automation (user_id, org_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX automation_template ON automation (user_id, org_id, template_id, created_at, id)
  WHERE template_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX automation_source ON automation (event_source, org_id)
  WHERE event_source IS NOT NULL AND enabled = 1 AND deleted_at IS NULL;
CREATE INDEX automation_deleted ON automation (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE automation_run (
  id TEXT PRIMARY KEY,
  automation_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  org_id TEXT NOT NULL,
  owner TEXT NOT NULL,
  organisation TEXT NOT NULL,
  trigger_source TEXT NOT NULL,
  dedupe_key TEXT,
  scheduled_for INTEGER,
  target TEXT NOT NULL,
  priority INTEGER NOT NULL,
  concurrent_max INTEGER NOT NULL,
  attempts_max INTEGER NOT NULL,
  retry_pause_s INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  status TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  attempts_json TEXT NOT NULL,
  not_before INTEGER,
  fence INTEGER NOT NULL,
  holder TEXT NOT NULL,
  sandbox_id TEXT,
  runtime_epoch INTEGER NOT NULL,
  runtime_is_own INTEGER NOT NULL,
  bash_command_id TEXT NOT NULL,
  error_detail TEXT NOT NULL,
  error_is_guess INTEGER NOT NULL,
  status_detail_json TEXT NOT NULL,
  conversation_id TEXT,
  cost REAL,
  exit_code INTEGER,
  output_tail TEXT NOT NULL,
  error_tail TEXT NOT NULL,
  clean_up TEXT NOT NULL,
  started_at INTEGER,
  timeout_at INTEGER,
  completed_at INTEGER,
  additions_json TEXT NOT NULL,
  version INTEGER NOT NULL
) STRICT;
CREATE INDEX run_pending ON automation_run (version, created_at) WHERE status = 'PENDING';
CREATE INDEX run_pending_of_automation ON automation_run (automation_id) WHERE status = 'PENDING';
CREATE INDEX run_running ON automation_run (automation_id, user_id, target) WHERE status = 'RUNNING';
CREATE INDEX run_held ON automation_run (holder) WHERE status = 'RUNNING' OR clean_up <> 'nothing';
CREATE INDEX run_ended ON automation_run (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX run_of_tenant ON automation_run (user_id, org_id, created_at, id);
CREATE INDEX run_of_automation ON automation_run (automation_id, created_at, id);
CREATE INDEX run_created ON automation_run (created_at, id);
CREATE INDEX run_in_sandbox ON automation_run (sandbox_id) WHERE sandbox_id IS NOT NULL;
CREATE INDEX run_conversation ON automation_run (conversation_id) WHERE conversation_id IS NOT NULL;
CREATE UNIQUE INDEX run_dedupe ON automation_run (dedupe_key, automation_id, user_id, org_id)
  WHERE dedupe_key IS NOT NULL;

CREATE TABLE automation_run_input (
  run_id TEXT PRIMARY KEY,
  upload_id TEXT,
  wish BLOB,
  event_payload_json TEXT NOT NULL
) STRICT;

CREATE TABLE skipped_firing (
  version INTEGER PRIMARY KEY,
  automation_id TEXT NOT NULL,
  first_moment INTEGER NOT NULL,
  last_moment INTEGER NOT NULL,
  moments INTEGER NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  decided_at INTEGER NOT NULL
) STRICT;
CREATE INDEX skipped_firing_of_automation ON skipped_firing (automation_id, decided_at, version);
CREATE INDEX skipped_firing_age ON skipped_firing (decided_at);

CREATE TABLE event_delivery (
  org_id TEXT NOT NULL,
  source TEXT NOT NULL,
  delivery_id TEXT NOT NULL,
  run_ids TEXT NOT NULL,
  matched INTEGER NOT NULL,
  taken_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, source, delivery_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_delivery_age ON event_delivery (taken_at);

CREATE TABLE upload (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL,
  org_id TEXT NOT NULL,
  is_listed INTEGER NOT NULL,
  name TEXT NOT NULL,
  description TEXT,
  status TEXT NOT NULL,
  error_message TEXT NOT NULL,
  size_bytes INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER
) STRICT;
CREATE INDEX upload_of_tenant ON upload (user_id, org_id, created_at, id) WHERE is_listed = 1 AND deleted_at IS NULL;
CREATE INDEX upload_deleted ON upload (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE upload_content (
  upload_id TEXT PRIMARY KEY,
  content BLOB NOT NULL
) STRICT;

CREATE TABLE webhook (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL,
  source TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  name TEXT NOT NULL,
  secret BLOB,
  previous_secret BLOB,
  previous_until INTEGER,
  enabled INTEGER NOT NULL,
  event_key_expr TEXT NOT NULL,
  signature_header TEXT NOT NULL,
  signature_scheme TEXT NOT NULL,
  event_id_header TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (org_id, source)
) STRICT;
CREATE INDEX webhook_of_organisation ON webhook (org_id, created_at, id);

CREATE TABLE endpoint (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL,
  org_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  automation_id TEXT NOT NULL,
  url TEXT NOT NULL,
  secrets BLOB,
  enabled INTEGER NOT NULL,
  disabled_reason TEXT NOT NULL,
  failing_since INTEGER,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX endpoint_of_tenant ON endpoint (user_id, org_id, created_at, id);

CREATE TABLE delivery (
  id TEXT PRIMARY KEY,
  run_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  org_id TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  callback BLOB,
  payload TEXT NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  next_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  fence INTEGER NOT NULL
) STRICT;
CREATE INDEX delivery_waiting ON delivery (next_at) WHERE state = 'waiting';
CREATE INDEX delivery_of_run ON delivery (run_id, created_at, id);

CREATE TABLE delivery_attempt (
  delivery_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  began_at INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  status_code INTEGER NOT NULL,
  error TEXT NOT NULL,
  PRIMARY KEY (delivery_id, number)
) STRICT;

CREATE TABLE automation_kv (
  automation_id TEXT PRIMARY KEY,
  document BLOB NOT NULL,
  version INTEGER NOT NULL
) STRICT;

CREATE TABLE service_metadata (
  key TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT;
)sql";

// Who claimed a delivery: of a gateway that is dead, others need not wait for its lease. Whose word an automation's target
// is: of those that are there nobody knows, and they have the rights of their owners alone.
constexpr char const* version_6 = R"sql(
ALTER TABLE automation ADD COLUMN target_by_admin INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN holder TEXT NOT NULL DEFAULT '';
CREATE INDEX delivery_held ON delivery (holder) WHERE state = 'waiting' AND holder > '';
)sql";

// What each firing changes, in rows of its own: the rest of an automation is some hundred bytes and has indexes.
constexpr char const* version_7 = R"sql(
CREATE TABLE automation_schedule (
  automation_id TEXT PRIMARY KEY,
  next_at INTEGER,
  last_triggered_at INTEGER
) STRICT, WITHOUT ROWID /*rows change often*/;
INSERT INTO automation_schedule (automation_id, next_at, last_triggered_at)
  SELECT id, CASE WHEN enabled = 1 AND deleted_at IS NULL THEN next_at END, last_triggered_at FROM automation;
ALTER TABLE automation DROP COLUMN next_at;
ALTER TABLE automation DROP COLUMN last_triggered_at;
)sql";

constexpr std::array steps{version_1, version_2, version_3, version_4, version_5, version_6, version_7};

constexpr SchemaTable tables[] = {
    {"counter", "name"},
    {"gateway", "name"},
    {"conversation", "id"},
    {"forgotten", "id"},
    {"static_runtime", "id"},
    {"removed_static_runtime", "id"},
    {"user", "name"},
    {"user_settings", "\"user\""},
    {"user_secret", "\"user\", name"},
    {"api_key", "id"},
    {"probe", "id"},
    {"automation", "id"},
    {"automation_schedule", "automation_id"},
    {"automation_run", "id"},
    {"automation_run_input", "run_id"},
    {"skipped_firing", "version"},
    {"event_delivery", "org_id, source, delivery_id"},
    {"upload", "id"},
    {"upload_content", "upload_id"},
    {"webhook", "id"},
    {"endpoint", "id"},
    {"delivery", "id"},
    {"delivery_attempt", "delivery_id, number"},
    {"automation_kv", "automation_id"},
    {"service_metadata", "key"},
};

struct Word {
  std::string_view ours, theirs;
};
// In words of capitals, which no name of ours is.
constexpr Word words[] = {
    {"INTEGER", "BIGINT"},
    {"BLOB", "BYTEA"},
    {"REAL", "DOUBLE PRECISION"},
    {"TEXT", "TEXT COLLATE \"C\""},
};
// How a table's definition ends. A row that changes has room beside it for what it becomes: its indexes stay.
constexpr Word endings[] = {{") STRICT, WITHOUT ROWID /*rows change often*/;", ") WITH (fillfactor = 50);"},
                            {") STRICT, WITHOUT ROWID;", ");"},
                            {") STRICT;", ");"}};

bool is_of_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string_view translated(std::string_view word) {
  for (auto const& known : words)
    if (word == known.ours) return known.theirs;
  return word;
}

void replace_all(std::string& text, Word const& what) {
  for (auto at = text.find(what.ours); at != text.npos; at = text.find(what.ours, at))
    text.replace(at, what.ours.size(), what.theirs);
}

}  // namespace

std::span<char const* const> schema_steps() { return steps; }

std::span<SchemaTable const> schema_tables() { return tables; }

std::string for_postgres(std::string_view step) {
  std::string out;
  while (!step.empty()) {
    auto const begin = std::ranges::find_if(step, is_of_word);
    auto const end = std::find_if_not(begin, step.end(), is_of_word);
    out.append(step.begin(), begin).append(translated(std::string_view(begin, end)));
    step = std::string_view(end, step.end());
  }
  for (auto const& ending : endings) replace_all(out, ending);
  return out;
}

void check_version(std::size_t version, std::size_t newest) {
  if (version <= newest) return;
  give_up("is of version " + std::to_string(version) + ", written by a later nestgate; this one knows up to " +
          std::to_string(newest));
}

}  // namespace nestgate::store
