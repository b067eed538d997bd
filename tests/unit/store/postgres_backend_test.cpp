#include "store/postgres_backend.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/postgres_transaction.hpp"
#include "support/control.hpp"
#include "support/postgres_server.hpp"

namespace nestgate::store {
namespace {

using namespace std::chrono_literals;

Task<> nothing(Sql&) { co_return; }

// One gateway's backend, on the loop that all of a test are on.
class Gate {
 public:
  Gate(test::Control& control, std::string const& url, PostgresLimits limits = {})
      : control_(control), backend_(open_postgres_backend(url, control.executor(), nothing, limits).value()) {}
  ~Gate() { control_.run(backend_->close()); }
  Gate(Gate const&) = delete;
  Gate& operator=(Gate const&) = delete;
  Backend& operator*() { return *backend_; }
  Backend* operator->() { return backend_.get(); }

 private:
  test::Control& control_;
  std::unique_ptr<Backend> backend_;
};

Task<> add(Sql& sql, std::int64_t number) { co_await sql.query("INSERT INTO t VALUES (?1)", number); }

Task<std::int64_t> count(Sql& sql) {
  auto rows = co_await sql.query("SELECT count(*) FROM t");
  rows.step();
  co_return rows.integer();
}

auto adding(std::int64_t number) {
  return [number](Sql& sql) { return add(sql, number); };
}

class PostgresBackendTest : public testing::Test {
 protected:
  PostgresBackendTest() {
    server_.psql(database_, "CREATE TABLE t (a BIGINT PRIMARY KEY, made_in BIGINT DEFAULT txid_current())");
  }
  std::string url() const { return server_.url(database_); }
  std::int64_t rows_now() { return std::stoll(server_.psql(database_, "SELECT count(*) FROM t")); }
  // Starts `calls` together and waits for all.
  template <class T>
  std::vector<Outcome<T>> all(std::vector<Task<Outcome<T>>> calls) {
    std::vector<std::optional<Outcome<T>>> results(calls.size());
    TaskGroup group(control_.executor());
    auto const keep = [](Task<Outcome<T>> call, std::optional<Outcome<T>>& out) -> Task<> {
      out.emplace(co_await std::move(call));
    };
    for (std::size_t i = 0; i < calls.size(); ++i) group.spawn("call", keep(std::move(calls[i]), results[i]));
    EXPECT_TRUE(control_.run(group.join()));
    std::vector<Outcome<T>> out;
    for (auto& result : results) out.push_back(std::move(*result));
    return out;
  }
  static PostgresLimits impatient() {
    PostgresLimits limits;
    limits.outage_max = 200ms;
    return limits;
  }

  test::PostgresServer& server_ = test::PostgresServer::shared();
  std::string database_ = server_.make_database();
  test::Control control_;
};

TEST_F(PostgresBackendTest, WritesAndReads) {
  Gate gate(control_, url());
  EXPECT_TRUE(control_.run(gate->write(adding(1))));
  EXPECT_EQ(control_.run(gate->read(count)).value(), 1);
}

TEST_F(PostgresBackendTest, KeepsNothingOfAJobThatReturnsAFailure) {
  Gate gate(control_, url());
  auto const refuse = [](Sql& sql) -> Task<Outcome<int>> {
    co_await add(sql, 1);
    co_return upstream::fail(FaultKind::conflict, "test", "no");
  };
  auto const refused = control_.run(gate->write(refuse));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(rows_now(), 0);
}

TEST_F(PostgresBackendTest, CommitsTogetherWhatWaitsTogether) {
  Gate gate(control_, url());
  std::vector<Task<Outcome<>>> calls;
  for (int i = 0; i < 200; ++i) calls.push_back(gate->write(adding(i)));
  for (auto const& outcome : all(std::move(calls))) EXPECT_TRUE(outcome);
  EXPECT_EQ(rows_now(), 200);
  EXPECT_LE(std::stoi(server_.psql(database_, "SELECT count(DISTINCT made_in) FROM t")), 5);
}

TEST_F(PostgresBackendTest, UndoesOfAGroupOnlyTheJobThatFails) {
  Gate gate(control_, url());
  auto const fail = [](Sql& sql) -> Task<Outcome<>> {
    co_await add(sql, 1'000);
    co_return upstream::fail(FaultKind::conflict, "test", "no");
  };
  std::vector<Task<Outcome<>>> calls;
  calls.push_back(gate->write(adding(0)));
  calls.push_back(gate->write(adding(1)));
  calls.push_back(gate->write(fail));
  calls.push_back(gate->write(adding(1)));  // its key is taken
  calls.push_back(gate->write(adding(2)));
  auto const outcomes = all(std::move(calls));
  EXPECT_TRUE(outcomes[0]);
  EXPECT_TRUE(outcomes[1]);
  EXPECT_EQ(outcomes[2].error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(outcomes[3].error().fault.kind, FaultKind::unavailable);
  EXPECT_THAT(outcomes[3].error().reason, testing::HasSubstr("duplicate key"));
  EXPECT_TRUE(outcomes[4]);
  EXPECT_EQ(server_.psql(database_, "SELECT a FROM t ORDER BY a"), "0\n1\n2");
}

TEST_F(PostgresBackendTest, DoesAJobAgainThatADeadlockUndid) {
  server_.psql(database_, "INSERT INTO t VALUES (1), (2)");
  Gate one(control_, url());
  Gate other(control_, url());
  int in_first_row = 0, runs = 0;
  Timer both(control_.executor(), Clock::time_point::max());
  // Both have locked a row before either asks for the other's.
  auto const crossing = [&](std::int64_t mine, std::int64_t theirs) {
    return [&, mine, theirs](Sql& sql) -> Task<> {
      ++runs;
      co_await sql.query("UPDATE t SET a = a WHERE a = ?1", mine);
      if (++in_first_row == 2) both.cancel();
      while (in_first_row < 2) (void)co_await both.async_wait(no_throw);
      co_await sql.query("UPDATE t SET a = a WHERE a = ?1", theirs);
    };
  };
  std::vector<Task<Outcome<>>> calls;
  calls.push_back(one->write(crossing(1, 2)));
  calls.push_back(other->write(crossing(2, 1)));
  for (auto const& outcome : all(std::move(calls))) EXPECT_TRUE(outcome);
  EXPECT_GT(runs, 2);
}

// Each call takes its locks in the order of all; a group takes them in the order of its calls.
TEST_F(PostgresBackendTest, GroupsOfTwoGatewaysDoNotWaitForEachOtherInACircle) {
  server_.psql(database_, "INSERT INTO t VALUES (1), (2)");
  Gate one(control_, url());
  Gate other(control_, url());
  int runs = 0;
  auto const touching = [&runs](std::int64_t row) {
    return [&runs, row](Sql& sql) -> Task<> {
      ++runs;
      co_await sql.query("UPDATE t SET a = a WHERE a = ?1", row);
    };
  };
  auto const looking = [](Sql& sql) -> Task<> { co_await sql.query("SELECT 1"); };
  constexpr int rounds = 20;
  for (int round = 0; round < rounds; ++round) {
    std::vector<Task<Outcome<>>> calls;
    calls.push_back(one->write(looking));  // what comes meanwhile is the next group
    calls.push_back(other->write(looking));
    calls.push_back(one->write(touching(1)));
    calls.push_back(other->write(touching(2)));
    calls.push_back(one->write(touching(2)));
    calls.push_back(other->write(touching(1)));
    for (auto const& outcome : all(std::move(calls))) EXPECT_TRUE(outcome);
  }
  EXPECT_EQ(runs, rounds * 4) << "what a deadlock undid was done again";
}

TEST_F(PostgresBackendTest, StandsInALineWithOtherGateways) {
  Gate one(control_, url());
  Gate other(control_, url());
  int inside = 0, most = 0;
  auto const alone = [&](Sql& sql) -> Task<> {
    co_await sql.stand_in(Line::claims);
    co_await sql.query("SELECT 1");
    most = std::max(most, ++inside);
    for (int i = 0; i < 5; ++i) co_await sql.query("SELECT 1");
    --inside;
    co_await sql.query("SELECT 1");
  };
  for (int round = 0; round < 10; ++round) {
    std::vector<Task<Outcome<>>> calls;
    calls.push_back(one->write(alone));
    calls.push_back(other->write(alone));
    for (auto const& outcome : all(std::move(calls))) EXPECT_TRUE(outcome);
  }
  EXPECT_EQ(most, 1);
}

TEST_F(PostgresBackendTest, ReadsOneStateThroughoutWhileOthersWrite) {
  Gate gate(control_, url());
  std::vector<std::int64_t> seen;
  auto const look = [&](Sql& sql) -> Task<> {
    seen.push_back(co_await count(sql));
    EXPECT_TRUE(co_await gate->write(adding(7)));
    seen.push_back(co_await count(sql));
  };
  EXPECT_TRUE(control_.run(gate->read(look)));
  EXPECT_THAT(seen, testing::ElementsAre(0, 0));
  EXPECT_EQ(control_.run(gate->read(count)).value(), 1);
}

TEST_F(PostgresBackendTest, LetsNobodyWriteInARead) {
  Gate gate(control_, url());
  EXPECT_FALSE(control_.run(gate->read(adding(1))));
  EXPECT_EQ(rows_now(), 0);
}

TEST_F(PostgresBackendTest, WakesWhoListensOnceForACommittedTransaction) {
  Gate writer(control_, url());
  Gate listener(control_, url());
  int woken = 0;
  listener->on_notify([&woken] { ++woken; });
  control_.run_until([&woken] { return woken == 1; });  // it listens
  auto const tell_twice = [](Sql& sql) -> Task<> {
    co_await sql.notify();
    co_await add(sql, 1);
    co_await sql.notify();
  };
  auto const tell_and_fail = [](Sql& sql) -> Task<Outcome<>> {
    co_await sql.notify();
    co_await add(sql, 2);
    co_return upstream::fail(FaultKind::conflict, "test", "no");
  };
  EXPECT_FALSE(control_.run(writer->write(tell_and_fail)));
  EXPECT_TRUE(control_.run(writer->write(tell_twice)));
  control_.run_until([&woken] { return woken >= 2; });
  EXPECT_EQ(woken, 2);
}

TEST_F(PostgresBackendTest, IsNotWokenByWhatItWroteItself) {
  Gate gate(control_, url());
  Gate other(control_, url());
  int woken = 0;
  gate->on_notify([&woken] { ++woken; });
  control_.run_until([&woken] { return woken == 1; });  // it listens
  auto const tell = [](Sql& sql) -> Task<> { co_await sql.notify(); };
  EXPECT_TRUE(control_.run(gate->write(tell)));
  EXPECT_TRUE(control_.run(other->write(tell)));  // heard behind it
  control_.run_until([&woken] { return woken >= 2; });
  EXPECT_EQ(woken, 2);
}

TEST_F(PostgresBackendTest, ClosesAlsoWhileItIsWoken) {
  Gate writer(control_, url());
  auto const tell = [](Sql& sql) -> Task<> { co_await sql.notify(); };
  for (int handlers = 0; handlers < 8; ++handlers) {
    Gate listener(control_, url());
    bool is_woken = false;
    listener->on_notify([&is_woken] { is_woken = true; });
    control_.run_until([&is_woken] { return is_woken; });
    EXPECT_TRUE(control_.run(writer->write(tell)));
    control_.loop().restart();
    for (int i = 0; i < handlers; ++i) control_.loop().poll_one();
    control_.run(listener->close());
  }
}

TEST_F(PostgresBackendTest, GoesOnWithAJobWhenItsServerWasStartedAnew) {
  test::PostgresServer server;
  auto const database = server.make_database();
  server.psql(database, "CREATE TABLE t (a BIGINT PRIMARY KEY)");
  Gate gate(control_, server.url(database));
  EXPECT_TRUE(control_.run(gate->write(adding(0))));
  EXPECT_EQ(control_.run(gate->read(count)).value(), 1);
  bool was_away = false;
  auto const interrupted = [&](Sql& sql) -> Task<> {
    co_await add(sql, 1);
    if (!std::exchange(was_away, true)) {
      server.stop();
      server.start();
    }
    co_await add(sql, 2);
  };
  EXPECT_TRUE(control_.run(gate->write(interrupted)));
  EXPECT_EQ(control_.run(gate->read(count)).value(), 3);
}

TEST_F(PostgresBackendTest, WakesWhoListensWhenItsServerWasStartedAnew) {
  test::PostgresServer server;
  Gate gate(control_, server.url(server.make_database()));
  int woken = 0;
  gate->on_notify([&woken] { ++woken; });
  control_.run_until([&woken] { return woken == 1; });
  server.stop();
  server.start();
  control_.run_until([&woken] { return woken == 2; });
}

TEST_F(PostgresBackendTest, SaysSoWhenItDoesNotKnowWhetherItWrote) {
  Gate gate(control_, url());
  // Ends the connection within the commit.
  server_.psql(database_,
               "CREATE FUNCTION end_it() RETURNS TRIGGER LANGUAGE plpgsql AS "
               "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'");
  server_.psql(database_,
               "CREATE CONSTRAINT TRIGGER end_it AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE "
               "FUNCTION end_it()");
  auto const written = control_.run(gate->write(adding(1)));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().fault.kind, FaultKind::unavailable);
  EXPECT_THAT(written.error().reason, testing::HasSubstr("not known"));
}

TEST_F(PostgresBackendTest, GivesUpOnAServerThatStaysAway) {
  test::PostgresServer server;
  Gate gate(control_, server.url(server.make_database()), impatient());
  server.stop();
  auto const read = control_.run(gate->read(count));
  auto const written = control_.run(gate->write(adding(1)));
  ASSERT_FALSE(read);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().reason, testing::StartsWith("store: the server cannot be reached: "));
  server.start();
  EXPECT_FALSE(control_.run(gate->read(count)));  // there is no such table, and it is the server that says so
}

TEST_F(PostgresBackendTest, RefusesEveryCallOnceItIsClosed) {
  Gate gate(control_, url());
  std::vector<Task<Outcome<>>> under_way;
  under_way.push_back(gate->write(adding(1)));
  auto const close = [](Backend& backend) -> Task<Outcome<>> {
    co_await backend.close();
    co_return Outcome<>{};
  };
  under_way.push_back(close(*gate));
  for (auto const& outcome : all(std::move(under_way))) EXPECT_TRUE(outcome);
  EXPECT_FALSE(control_.run(gate->write(adding(2))));
  EXPECT_FALSE(control_.run(gate->read(count)));
  EXPECT_EQ(rows_now(), 1);
}

TEST_F(PostgresBackendTest, RefusesAWrongPasswordAtOnceAndWithoutRepeatingIt) {
  auto const opened = open_postgres_backend(server_.url(database_, "not-the-password"), control_.executor(), nothing);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().reason, "store: the server refuses the user or the password");
}

TEST_F(PostgresBackendTest, RefusesASchemaOfALaterVersionAndOneThatIsHalfMade) {
  {
    Gate const gate(control_, url());
  }
  auto const reason = [this] {
    auto const opened = open_postgres_backend(url(), control_.executor(), nothing);
    return opened ? std::string("opened") : opened.error().reason;
  };
  EXPECT_EQ(reason(), "opened");
  server_.psql(database_, "UPDATE nestgate_schema SET version = 999");
  EXPECT_THAT(reason(), testing::HasSubstr("is of version 999"));
  server_.psql(database_, "DELETE FROM nestgate_schema");
  EXPECT_EQ(reason(), "store: its schema is half made");
  auto const other = server_.make_database();
  server_.psql(other, "CREATE TABLE conversation (a INTEGER)");
  EXPECT_EQ(open_postgres_backend(server_.url(other), control_.executor(), nothing).error().reason,
            "store: is another program's database");
}

TEST_F(PostgresBackendTest, HasTheServersClock) {
  Gate gate(control_, url());
  auto const look = [](Sql& sql) -> Task<Time> {
    auto rows = co_await sql.query("SELECT nestgate_now()");
    rows.step();
    co_return rows.time();
  };
  auto const now = control_.run(gate->read(look)).value();
  EXPECT_LT(std::chrono::abs(now - std::chrono::system_clock::now()), 10s);
}

}  // namespace
}  // namespace nestgate::store
