#include "store/postgres_connection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "support/control.hpp"
#include "support/postgres_server.hpp"

namespace nestgate::store {
namespace {

using namespace std::chrono_literals;

class PostgresConnectionTest : public testing::Test {
 protected:
  using Command = PostgresConnection::Command;

  static PostgresUrl parsed(std::string const& url) { return parse_postgres_url(url).value(); }
  std::unique_ptr<PostgresConnection> open(std::string const& url, PostgresTimes times = {}) {
    return control_.run(PostgresConnection::open(parsed(url), times));
  }
  template <class... Values>
  static Command command(std::string_view statement, Values const&... values) {
    Command made{statement, {}};
    (made.values.push_back(Sql::as_value(values)), ...);
    return made;
  }
  std::vector<Rows> run(std::vector<Command> const& commands) { return control_.run(connection_->run(commands)); }
  template <class... Values>
  Rows ask(std::string_view statement, Values const&... values) {
    auto rows = run({command(statement, values...)}).at(0);
    EXPECT_TRUE(rows.step());
    return rows;
  }

  test::PostgresServer& server_ = test::PostgresServer::shared();
  std::string database_ = server_.make_database();
  test::Control control_;
  std::unique_ptr<PostgresConnection> connection_ = open(server_.url(database_));
};

TEST_F(PostgresConnectionTest, AnswersAQuery) { EXPECT_EQ(ask("SELECT 40 + 2").integer(), 42); }

TEST_F(PostgresConnectionTest, CarriesEveryTypeBothWays) {
  auto const low = std::numeric_limits<std::int64_t>::min();
  auto const high = std::numeric_limits<std::int64_t>::max();
  std::string const bytes("\0\x01\xff\\'", 5);
  std::string const text = "häuser, 'quoted' \\ \n";
  auto rows = ask("SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8", low, high, 0.1, text, Blob{bytes}, Blob{},
                  std::optional<std::int64_t>(), true);
  EXPECT_EQ(rows.integer(), low);
  EXPECT_EQ(rows.integer(), high);
  EXPECT_EQ(rows.real(), 0.1);
  EXPECT_EQ(rows.text(), text);
  EXPECT_EQ(rows.blob().bytes, bytes);
  EXPECT_EQ(rows.blob().bytes, std::nullopt);
  EXPECT_EQ(rows.optional_integer(), std::nullopt);
  EXPECT_TRUE(rows.flag());
}

TEST_F(PostgresConnectionTest, CarriesEmptyTextAndEmptyBytes) {
  auto rows = ask("SELECT ?1, ?2, true, CAST(7 AS SMALLINT), CAST(8 AS INTEGER)", "", Blob{""});
  EXPECT_EQ(rows.text(), "");
  EXPECT_EQ(rows.blob().bytes, "");
  EXPECT_TRUE(rows.flag());
  EXPECT_EQ(rows.integer(), 7);
  EXPECT_EQ(rows.integer(), 8);
}

TEST_F(PostgresConnectionTest, RefusesTextThatTheServerCannotHoldAndGoesOn) {
  EXPECT_THROW(ask("SELECT ?1", std::string("a\0b", 3)), StatementRefused);
  EXPECT_TRUE(connection_->is_usable());
  EXPECT_EQ(ask("SELECT ?1", "ab").text(), "ab");
}

TEST_F(PostgresConnectionTest, CountsWhatAStatementWrote) {
  control_.run(connection_->run_script("CREATE TABLE t (a BIGINT); CREATE TABLE u (a BIGINT)"));
  EXPECT_EQ(run({command("INSERT INTO t SELECT generate_series(1, 5)")}).at(0).changed(), 5);
  EXPECT_EQ(run({command("DELETE FROM t WHERE a > ?1", 3)}).at(0).changed(), 2);
}

TEST_F(PostgresConnectionTest, DoesManyStatementsInOneRoundTripAndNoneBehindARefusedOne) {
  control_.run(connection_->run_script("CREATE TABLE t (a BIGINT PRIMARY KEY)"));
  constexpr std::string_view insert = "INSERT INTO t VALUES (?1)";
  std::vector<Command> many;
  for (int i = 0; i < 3'000; ++i) many.push_back(command(insert, i));
  EXPECT_EQ(run(many).size(), 3'000u);
  EXPECT_THROW(run({command(insert, 5'000), command(insert, 1), command(insert, 5'001)}), StatementRefused);
  EXPECT_EQ(ask("SELECT count(*) FROM t").integer(), 3'000);
  EXPECT_THROW(run({command("SELECT nonsense"), command("SELECT 77")}), StatementRefused);
  EXPECT_EQ(ask("SELECT 77").integer(), 77);
}

TEST_F(PostgresConnectionTest, TakesLargeAnswersWhileItSendsMuch) {
  std::string const large(1'000'000, 'x');
  std::vector<Command> many;
  for (int i = 0; i < 30; ++i) many.push_back(command("SELECT ?1, repeat('y', 1000000)", large));
  auto answers = run(many);
  ASSERT_EQ(answers.size(), 30u);
  for (auto& rows : answers) {
    ASSERT_TRUE(rows.step());
    EXPECT_EQ(rows.text(), large);
    EXPECT_EQ(rows.text().size(), 1'000'000u);
  }
}

TEST_F(PostgresConnectionTest, RefusesAWrongPasswordWithoutRepeatingIt) {
  try {
    open(server_.url(database_, "not-the-password"));
    FAIL() << "it let us in";
  } catch (ConnectionLost const& lost) {
    EXPECT_TRUE(lost.is_final);
    EXPECT_EQ(lost.failure.reason, "store: the server refuses the user or the password");
  }
}

TEST_F(PostgresConnectionTest, RefusesADatabaseThatIsNotThere) {
  try {
    open(server_.url_of_server("nowhere"));
    FAIL() << "it let us in";
  } catch (ConnectionLost const& lost) {
    EXPECT_TRUE(lost.is_final);
    EXPECT_EQ(lost.failure.reason, "store: the server has no such database");
  }
}

TEST_F(PostgresConnectionTest, RepeatsNothingOfAUrlThatItCannotRead) {
  for (auto const* const url :
       {"postgresql://u:secret-word@[::1/db", "mysql://u:secret-word@h/db", "postgresql://u:secret%zz@h"}) {
    auto const parsed_url = parse_postgres_url(url);
    ASSERT_FALSE(parsed_url) << url;
    EXPECT_EQ(parsed_url.error().fault.kind, FaultKind::bad_input);
    EXPECT_THAT(parsed_url.error().reason, testing::Not(testing::HasSubstr("secret")));
  }
}

TEST_F(PostgresConnectionTest, GivesUpOnAServerThatDoesNotSpeak) {
  test::Server silent([](test::Connection& connection) { connection.read_to_end(); });
  PostgresTimes times;
  times.connect_max = 50ms;
  auto const url = "postgresql://u@localhost:" + std::to_string(silent.port()) + "/db?sslmode=disable";
  EXPECT_THROW(open(url, times), Unusable);  // its name takes a part of that time, or all of it
}

TEST_F(PostgresConnectionTest, IsLostWhenItsCallerIsCancelledInTheMiddleOfAnAnswer) {
  std::optional<bool> was_lost;
  {
    TaskGroup group(control_.executor());
    auto const sleep = [](PostgresConnection& connection, std::optional<bool>& lost) -> Task<> {
      Command const one{"SELECT pg_sleep(100)", {}};
      try {
        co_await connection.run(std::span(&one, 1));
      } catch (ConnectionLost const&) {
        lost = true;
      }
    };
    group.spawn("sleep", sleep(*connection_, was_lost));
    auto const other = open(server_.url(database_));
    auto const is_asleep = [&] {
      Command const look{"SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'", {}};
      auto rows = control_.run(other->run(std::span(&look, 1)));
      return rows.at(0).step() && rows.at(0).integer() == 1;
    };
    while (!is_asleep()) continue;
    group.stop();
    EXPECT_TRUE(control_.run(group.join()));
  }
  EXPECT_EQ(was_lost, true);
  EXPECT_FALSE(connection_->is_usable());
}

}  // namespace
}  // namespace nestgate::store
