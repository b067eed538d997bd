// Transactions of a database, and what the statements rely on in each.
#include <array>
#include <map>

#include "backend_fixture.hpp"

namespace nestgate::store {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

class Transactions : public testing::TestWithParam<Kind<TestDatabase>> {
 protected:
  // The first row of a statement that takes no part in anything.
  Rows row(std::string_view statement) {
    auto rows = open_.control().run((*open_).read([statement](Sql& sql) { return sql.query(statement); })).value();
    EXPECT_TRUE(rows.step());
    return rows;
  }

  std::unique_ptr<TestDatabase> database_ = GetParam().make();
  OpenBackend open_{database_->url()};
  Calls calls_{open_.control()};
};

INSTANTIATE_TEST_SUITE_P(On, Transactions, testing::ValuesIn(every_database()), by_name);

Task<Outcome<>> put_and_refuse(Sql& sql) {
  co_await put_name(sql, "refused");
  co_return upstream::fail(FaultKind::conflict, "test", "refused");
}

Task<> put_and_break(Sql& sql) {
  co_await put_name(sql, "broken");
  co_await sql.query("SELECT name FROM nowhere");
}

Task<> put_and_give_up(Sql& sql) {
  co_await put_name(sql, "given up");
  give_up("by itself");
}

TEST_P(Transactions, ThatFailTakeNoOtherWithThem) {
  calls_.begin(open_.put("a"));
  calls_.begin((*open_).write(put_and_refuse));
  calls_.begin(open_.put("b"));
  calls_.begin((*open_).write(put_and_break));
  calls_.begin((*open_).write(put_and_give_up));
  calls_.begin(open_.put("c"));
  EXPECT_THAT(calls_.finish(), ElementsAre("", "refused", "", HasSubstr("nowhere"), "store: by itself", ""));
  EXPECT_THAT(open_.found(), ElementsAre("a", "b", "c"));
}

TEST_P(Transactions, ThatFailAloneLeaveNothing) {
  for (auto const work : {put_and_break, put_and_give_up}) {
    calls_.begin((*open_).write(work));
    EXPECT_THAT(calls_.finish(), ElementsAre(Not("")));
  }
  calls_.begin((*open_).write(put_and_refuse));
  EXPECT_THAT(calls_.finish(), ElementsAre("refused"));
  EXPECT_THAT(open_.found(), IsEmpty());
  calls_.begin(open_.put("a"));
  EXPECT_THAT(calls_.finish(), ElementsAre(""));
  EXPECT_THAT(open_.found(), ElementsAre("a"));
}

TEST_P(Transactions, AreDoneInTheOrderOfTheCalls) {
  for (auto const name : {"x", "y", "z"}) calls_.begin(open_.put(name));
  calls_.begin(open_.put("y"));  // whichever comes second fails
  auto const reasons = calls_.finish();
  EXPECT_THAT(std::vector(reasons.begin(), reasons.end() - 1), Each(""));
  EXPECT_NE(reasons.back(), "");
}

TEST_P(Transactions, AreSeenByEveryReadThatIsAskedAfterTheyReturned) {
  for (int i = 100; i < 200; ++i) {
    calls_.begin(open_.put(std::to_string(i)));
    EXPECT_THAT(calls_.finish(), Each(""));
    EXPECT_EQ(open_.found().back(), std::to_string(i));
  }
}

TEST_P(Transactions, ReturnWhatTheirWorkDid) {
  auto const count = [](Sql& sql) -> Task<Outcome<std::uint64_t>> {
    auto row = co_await sql.query("UPDATE counter SET value = value + 5 WHERE name = 'epoch' RETURNING value");
    if (!row.step()) give_up("no counter");
    co_return row.count();
  };
  EXPECT_EQ(open_.control().run((*open_).write(count)).value(), 5u);
  EXPECT_EQ(open_.control().run((*open_).write(count)).value(), 10u);
}

TEST_P(Transactions, ThatWereAskedForAreDoneBeforeTheEnd) {
  for (auto const name : {"a", "b"}) calls_.begin(open_.put(name));
  open_.control().run((*open_).close());
  EXPECT_THAT(calls_.finish(), Each(""));
  calls_.begin(open_.put("c"));
  EXPECT_THAT(calls_.finish(), ElementsAre(HasSubstr("closed")));
  EXPECT_FALSE(open_.control().run((*open_).read(names)));
}

TEST_P(Transactions, TellOfEachOfTheirStatementsHowManyRowsItChanged) {
  auto const work = [](Sql& sql) -> Task<std::vector<std::int64_t>> {
    co_await put_name(sql, "a");
    std::vector<std::vector<SqlValue>> values;
    for (std::string const name : {"test b", "test a", "test a"}) values.push_back({Sql::as_value(name)});
    auto const done = co_await sql.execute_each("DELETE FROM counter WHERE name = ?1", std::move(values));
    std::vector<std::int64_t> changed;
    for (auto const& rows : done) changed.push_back(rows.changed());
    auto const looked = co_await sql.query("SELECT name FROM counter");
    changed.push_back(looked.changed());
    co_return changed;
  };
  EXPECT_THAT(open_.control().run((*open_).write(work)).value(), ElementsAre(0, 1, 0, 0));
}

Insertion const into_counters("counter", "name, value");
RowUpdate const add_to_counter("counter SET value = value + coalesce(?2, 0)", "name = ?1 AND value = ?3");

std::vector<std::vector<SqlValue>> rows_of(std::initializer_list<std::vector<SqlValue>> rows) { return rows; }
SqlValue text_of(std::string name) { return SqlValue(std::move(name)); }
SqlValue number_of(std::int64_t number) { return SqlValue(number); }

Task<std::map<std::string, std::int64_t>> counters_of_test(Sql& sql) {
  std::map<std::string, std::int64_t> found;
  auto rows = co_await sql.query("SELECT name, value FROM counter WHERE name LIKE 'test%'");
  while (rows.step()) {
    auto name = rows.text();
    found[std::move(name)] = rows.integer();
  }
  co_return found;
}

TEST_P(Transactions, TellOfEachRowWhetherItWasAdded) {
  auto const work = [](Sql& sql) -> Task<std::vector<bool>> {
    auto known = rows_of({{text_of("test b"), number_of(7)}});
    co_await sql.insert_each(into_counters, std::move(known));
    auto rows = rows_of({{text_of("test a"), number_of(1)},
                         {text_of("test b"), number_of(2)},
                         {std::string_view("test \\ \"{c}, ü"), number_of(std::numeric_limits<std::int64_t>::min())},
                         {text_of("test a"), number_of(4)},
                         {text_of("test"), number_of(-5)}});
    co_return co_await sql.insert_each(into_counters, std::move(rows));
  };
  EXPECT_THAT(open_.control().run((*open_).write(work)).value(), ElementsAre(true, false, true, false, true));
  EXPECT_THAT(open_.control().run((*open_).read(counters_of_test)).value(),
              ElementsAre(Pair("test", -5), Pair("test \\ \"{c}, ü", std::numeric_limits<std::int64_t>::min()),
                          Pair("test a", 1), Pair("test b", 7)));
}

TEST_P(Transactions, AddAndUpdateThousandsOfRowsAtOnce) {
  constexpr int many = 2'500;
  auto const work = [](Sql& sql) -> Task<std::size_t> {
    std::vector<std::vector<SqlValue>> rows, updates;
    for (int i = 0; i < many; ++i) {
      auto name = "test " + std::to_string(i);
      updates.push_back({text_of(name), number_of(1), number_of(i % 2)});
      rows.push_back({text_of(std::move(name)), number_of(0)});
    }
    co_await sql.insert_each(into_counters, std::move(rows));
    auto const updated = co_await sql.update_each(add_to_counter, std::move(updates));
    co_return static_cast<std::size_t>(std::ranges::count(updated, true));
  };
  EXPECT_EQ(open_.control().run((*open_).write(work)).value(), many / 2);
  EXPECT_EQ(row("SELECT CAST(sum(value) AS BIGINT) FROM counter WHERE name LIKE 'test%'").integer(), many / 2);
}

TEST_P(Transactions, TellOfEachRowWhetherItWasThereToBeUpdated) {
  auto const work = [](Sql& sql) -> Task<std::vector<std::vector<bool>>> {
    auto rows = rows_of({{text_of("test a"), number_of(1)}, {text_of("test b"), number_of(2)}});
    co_await sql.insert_each(into_counters, std::move(rows));
    SqlValue const null;
    std::array updates{rows_of({{text_of("test b"), number_of(10), number_of(1)},
                                {text_of("test none"), number_of(10), number_of(1)},
                                {text_of("test a"), number_of(10), number_of(1)}}),
                       rows_of({{text_of("test a"), null, number_of(11)}, {text_of("test b"), null, number_of(2)}}),
                       rows_of({{text_of("test b"), number_of(5), number_of(2)}})};
    std::vector<std::vector<bool>> done;
    for (auto& update : updates) {
      auto updated = co_await sql.update_each(add_to_counter, std::move(update));
      done.push_back(std::move(updated));
    }
    co_return done;
  };
  EXPECT_THAT(open_.control().run((*open_).write(work)).value(),
              ElementsAre(ElementsAre(false, false, true), ElementsAre(true, true), ElementsAre(true)));
  EXPECT_THAT(open_.control().run((*open_).read(counters_of_test)).value(),
              ElementsAre(Pair("test a", 11), Pair("test b", 7)));
}

Task<> put_unseen(Sql& sql) {
  std::vector<SqlValue> name(1, text_of("test unseen"));
  co_await sql.execute_unseen("INSERT INTO counter (name, value) VALUES (?1, 1)", std::move(name));
}

TEST_P(Transactions, KeepWhatNobodyLooksAtAndFailWhereItIsRefused) {
  calls_.begin((*open_).write(put_unseen));
  EXPECT_THAT(calls_.finish(), ElementsAre(""));
  EXPECT_THAT(open_.found(), ElementsAre("unseen"));
  auto const put_and_put_unseen = [](Sql& sql) -> Task<> {
    co_await put_name(sql, "beside it");
    co_await put_unseen(sql);
  };
  calls_.begin((*open_).write(put_and_put_unseen));
  EXPECT_THAT(calls_.finish(), ElementsAre(Not("")));
  for (auto const name : {"a", "b"}) calls_.begin(open_.put(name));
  calls_.begin((*open_).write(put_and_put_unseen));
  calls_.begin(open_.put("c"));
  EXPECT_THAT(calls_.finish(), ElementsAre("", "", Not(""), ""));
  EXPECT_THAT(open_.found(), ElementsAre("a", "b", "c", "unseen"));
}

TEST_P(Transactions, KeepValuesAsTheyAre) {
  std::string const odd("\0\xff'\\x", 5), text = "größer \\ 'so'";
  auto const work = [&](Sql& sql) -> Task<Rows> {
    Blob const bytes{odd};
    co_await sql.query("DELETE FROM probe");
    co_await sql.query("INSERT INTO probe (id, sealed) VALUES (1, ?1)", bytes);
    std::optional<std::int64_t> const nothing;
    co_return co_await sql.query(
        "SELECT sealed, CAST(?1 AS BIGINT), CAST(?2 AS DOUBLE PRECISION), CAST(?3 AS TEXT), CAST(?4 AS BIGINT), CAST(?5 AS "
        "TEXT) FROM probe WHERE sealed = ?6",
        std::numeric_limits<std::int64_t>::min(), 0.1, text, nothing, std::string_view(), bytes);
  };
  auto row = open_.control().run((*open_).write(work)).value();
  ASSERT_TRUE(row.step());
  EXPECT_EQ(row.blob().bytes, odd);
  EXPECT_EQ(row.integer(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(row.real(), 0.1);
  EXPECT_EQ(row.text(), text);
  EXPECT_EQ(row.optional_integer(), std::nullopt);
  EXPECT_EQ(row.text(), "");
  EXPECT_FALSE(row.step());
}

TEST_P(Transactions, HaveAClockInNanoseconds) {
  auto const before = std::chrono::system_clock::now() - std::chrono::minutes(1);
  auto const now = row("SELECT nestgate_now()").time();
  EXPECT_GT(now, before);
  EXPECT_LT(now, before + std::chrono::minutes(2));
}

TEST(RowsOfAnAnswer, AreReadOneAfterTheOther) {
  Rows rows({std::string("a"), std::int64_t{1}, std::string("b"), std::monostate{}}, 2, 0);
  ASSERT_TRUE(rows.step());
  EXPECT_EQ(rows.text(), "a");
  ASSERT_TRUE(rows.step()) << "the rest of a row may be left";
  EXPECT_EQ(rows.text(), "b");
  EXPECT_EQ(rows.optional_time(), std::nullopt);
  EXPECT_FALSE(rows.step());
  EXPECT_EQ(Rows().size(), 0u);
}

TEST(RowsOfAnAnswer, AreOfTheTypeThatBelongsThereOrUnusable) {
  Rows rows({std::string("1"), std::monostate{}, std::int64_t{1}, std::int64_t{2}, 0.5}, 5, 0);
  ASSERT_TRUE(rows.step());
  EXPECT_THROW(rows.integer(), Unusable);
  EXPECT_THROW(rows.text(), Unusable);
  EXPECT_THROW(rows.blob(), Unusable);
  EXPECT_EQ(rows.real(), 2.0) << "a whole number is a number";
  EXPECT_THROW(rows.time(), Unusable);
}

}  // namespace
}  // namespace nestgate::store
