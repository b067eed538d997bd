#include "store/postgres_together.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nestgate::store {
namespace {

using testing::SizeIs;

using RowValues = std::vector<std::vector<SqlValue>>;

SqlValue number(std::int64_t value) { return value; }
SqlValue text(std::string value) { return value; }
SqlValue const null;

TEST(RowsTogether, AreAddedByOneStatementThatReturnsTheirKeys) {
  Insertion const into("run", "id, count, note");
  RowValues const rows{{text("a"), number(1), text("x")}, {text("b"), number(2), null}};
  auto const together = in_one_statement(into, rows);
  EXPECT_EQ(
      together.statement,
      "INSERT INTO run (id, count, note) SELECT c1, c2, c3 FROM unnest(?1, ?2, ?3) AS given (c1, c2, c3) ON CONFLICT DO "
      "NOTHING RETURNING id");
  EXPECT_THAT(together.columns, SizeIs(3));
}

TEST(RowsTogether, HaveABareNullForAColumnThatHasNothingElse) {
  Insertion const into("run", "id, note, count");
  RowValues const rows{{text("a"), null, number(1)}, {text("b"), null, number(2)}};
  auto const together = in_one_statement(into, rows);
  EXPECT_EQ(together.statement,
            "INSERT INTO run (id, note, count) SELECT c1, NULL, c2 FROM unnest(?1, ?2) AS given (c1, c2) ON CONFLICT DO "
            "NOTHING RETURNING id");
  EXPECT_THAT(together.columns, SizeIs(2));
}

TEST(RowsTogether, AreUpdatedWhereTheirOwnConditionHolds) {
  RowUpdate const update("run SET count = ?2, note = coalesce(?3, note)", "id = ?1 AND count = ?4");
  RowValues const rows{{text("a"), number(2), null, number(1)}, {text("b"), number(3), null, number(2)}};
  auto const together = in_one_statement(update, rows);
  EXPECT_EQ(
      together.statement,
      "UPDATE run SET count = c2, note = coalesce(NULL, note) FROM unnest(?1, ?2, ?3) AS given (c1, c2, c3) WHERE id = "
      "c1 AND count = c3 RETURNING c1");
}

TEST(ColumnOfRows, IsAnArrayInTheServersForm) {
  RowValues const rows{{number(258)}, {null}};
  auto const array = array_of(rows, 0);
  ASSERT_TRUE(array);
  EXPECT_EQ(array->type, 1016u) << "bigint[]";
  std::string const head("\0\0\0\1\0\0\0\1\0\0\0\x14\0\0\0\2\0\0\0\1", 20);
  std::string const elements("\0\0\0\x8\0\0\0\0\0\0\1\2\xff\xff\xff\xff", 16);
  EXPECT_EQ(array->bytes, head + elements);
}

TEST(ColumnOfRows, IsOfTheTypeOfItsValues) {
  Blob const bytes{std::string("\0x", 2)};
  RowValues const rows{{null, null, null, bytes}, {SqlValue(0.5), text("t"), null, Blob{}}};
  EXPECT_EQ(array_of(rows, 0)->type, 1022u) << "double precision[]";
  EXPECT_EQ(array_of(rows, 1)->type, 1009u) << "text[]";
  EXPECT_FALSE(array_of(rows, 2));
  EXPECT_EQ(array_of(rows, 3)->type, 1001u) << "bytea[]";
}

}  // namespace
}  // namespace nestgate::store
