-- A store as version 1 wrote it. It never changes. Sealed with 0123456789abcdef0123456789abcdef.
BEGIN;
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

CREATE TABLE user (
  name TEXT PRIMARY KEY,
  organisation TEXT NOT NULL,
  disabled INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE user_settings (
  user TEXT PRIMARY KEY,
  settings BLOB NOT NULL
) STRICT;

CREATE TABLE user_secret (
  user TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (user, name)
) STRICT;

CREATE TABLE api_key (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  owner TEXT REFERENCES user (name),
  role TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX api_key_name ON api_key (name) WHERE revoked_at IS NULL;
CREATE INDEX api_key_owner ON api_key (owner);

UPDATE counter SET value = 5 WHERE name = 'epoch';
UPDATE counter SET value = 9 WHERE name = 'version';
INSERT INTO conversation VALUES ('c1', 'c1', 'alice', 'acme', 'conversation', 'paused', '', '', 5, 1, 'docker', 'openhands-runtime-c1', '', '[]', '', 'agent_server', x'010e61eab25d61b1c6010101010101010101010101c088e9b3172d2e3ec20d9effff269a087382cf', NULL, x'010e61eab25d61b1c60202020202020202020202023ea1ff453216e9e029aff7f90c1cd757db7c7e229c5a01d479ed39c92208a772243adc8f48ac341fcf79ca008fefd137f7c0700ee5', 1700000000123456789, 1700000001000000000, 1700000002000000000, '', '', 9);
INSERT INTO forgotten VALUES ('c0', 8);
INSERT INTO static_runtime VALUES ('s1', 'http://127.0.0.1:9001', '[]', x'010e61eab25d61b1c603030303030303030303030339ad6f19269cd4a7a61f88eb1ac63fe23f5f01');
INSERT INTO user VALUES ('alice', 'acme', 0, 1700000000000000000);
INSERT INTO user_settings VALUES ('alice', x'010e61eab25d61b1c60404040404040404040404042218e7615da0861839af7fa96876375fbe53');
INSERT INTO user_secret VALUES ('alice', 'TOKEN', 'a token', x'010e61eab25d61b1c6050505050505050505050505680fb63cd12440b308ceafad4f6d21e2517c0eab38');
INSERT INTO api_key VALUES ('0badcafe', 'ci', 'alice', 'automation', 'sha256:0000000000000000000000000000000000000000000000000000000000000000', 1700000000000000000, NULL);
PRAGMA application_id = 1313297236;
PRAGMA user_version = 1;
COMMIT;
