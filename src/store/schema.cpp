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

constexpr std::array steps{version_1, version_2, version_3, version_4};

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
// How a table's definition ends.
constexpr Word endings[] = {{") STRICT, WITHOUT ROWID;", ");"}, {") STRICT;", ");"}};

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
