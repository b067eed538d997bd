#include "store/schema.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/sql.hpp"

namespace nestgate::store {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Schema, IsTranslatedForPostgresql) {
  EXPECT_EQ(for_postgres(R"(CREATE TABLE t (
  id INTEGER PRIMARY KEY,
  "user" TEXT NOT NULL,
  share REAL,
  sealed BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE other (a TEXT) STRICT;
CREATE TABLE third (a TEXT PRIMARY KEY) STRICT, WITHOUT ROWID /*rows change often*/;
ALTER TABLE t ADD COLUMN BLOBS_OF_TEXTS INTEGER;)"),
            R"(CREATE TABLE t (
  id BIGINT PRIMARY KEY,
  "user" TEXT COLLATE "C" NOT NULL,
  share DOUBLE PRECISION,
  sealed BYTEA
);
CREATE TABLE other (a TEXT COLLATE "C");
CREATE TABLE third (a TEXT COLLATE "C" PRIMARY KEY) WITH (fillfactor = 50);
ALTER TABLE t ADD COLUMN BLOBS_OF_TEXTS BIGINT;)");
}

TEST(Schema, HasNoStepThatOnlySqliteUnderstands) {
  for (auto const* const step : schema_steps())
    for (auto const word : {"INTEGER", "BLOB", "STRICT", "ROWID", "AUTOINCREMENT", "PRAGMA"})
      EXPECT_THAT(for_postgres(step), Not(HasSubstr(word)));
}

TEST(Schema, OfALaterVersionIsRefused) {
  check_version(4, 4);
  EXPECT_THROW(check_version(5, 4), Unusable);
}

}  // namespace
}  // namespace nestgate::store
