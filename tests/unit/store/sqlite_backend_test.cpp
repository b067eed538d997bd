// How SQLite's two threads share a file: what is committed together, and what waits for nothing.
#include <filesystem>
#include <future>

#include "backend_fixture.hpp"
#include "store/sqlite_backend.hpp"

namespace nestgate::store {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// A transaction that stands still until it is let go on.
class Pause {
 public:
  ~Pause() { go_on(); }
  // Says what it sees before and after.
  Task<> stand(Sql& sql) {
    before_ = co_await names(sql);
    entered_.set_value();
    gone_on_.get_future().wait();
    after_ = co_await names(sql);
  }
  void await() { entered_.get_future().wait(); }
  void go_on() {
    if (!std::exchange(is_over_, true)) gone_on_.set_value();
  }
  std::vector<std::string> const& before() const { return before_; }
  std::vector<std::string> const& after() const { return after_; }

 private:
  std::promise<void> entered_, gone_on_;
  bool is_over_ = false;
  std::vector<std::string> before_, after_;
};

class SqliteThreads : public testing::Test {
 protected:
  // The writer is busy until then, so that what is begun meanwhile waits.
  void occupy_writer() {
    calls_.begin((*open_).write([this](Sql& sql) { return pause_.stand(sql); }));
    pause_.await();
  }
  std::vector<std::string> let_go_on() {
    pause_.go_on();
    auto reasons = calls_.finish();
    EXPECT_EQ(reasons.front(), "") << "it is committed alone";
    reasons.erase(reasons.begin());
    return reasons;
  }
  // A frame that ends a transaction says how many pages the file has (https://sqlite.org/fileformat2.html#walformat).
  std::size_t commits() const {
    auto const log = test::read_file(database_.file() + "-wal");
    auto const number = [&log](std::size_t at) {
      std::size_t value = 0;
      for (std::size_t i = 0; i < 4; ++i) value = value << 8U | static_cast<unsigned char>(log.at(at + i));
      return value;
    };
    constexpr std::size_t head = 32, frame_head = 24;
    std::size_t count = 0;
    if (log.empty()) return count;
    auto const page = number(8);
    for (std::size_t at = head; at + frame_head + page <= log.size(); at += frame_head + page)
      if (number(at + 4) != 0) ++count;
    return count;
  }

  SqliteFile database_;
  OpenBackend open_{database_.url()};
  Calls calls_{open_.control()};
  Pause pause_;
};

TEST_F(SqliteThreads, CommitTogetherWhatWaited) {
  auto const before = commits();
  occupy_writer();
  for (int i = 0; i < 100; ++i) calls_.begin(open_.put(std::to_string(i)));
  EXPECT_EQ(commits(), before);
  EXPECT_THAT(let_go_on(), AllOf(SizeIs(100), Each("")));
  EXPECT_EQ(commits(), before + 1);
  EXPECT_THAT(open_.found(), SizeIs(100));
}

TEST_F(SqliteThreads, CommitSoManyTogetherAndNoMore) {
  auto const before = commits();
  occupy_writer();
  for (std::size_t i = 0; i <= SqliteBackend::group_max; ++i) calls_.begin(open_.put(std::to_string(i)));
  EXPECT_THAT(let_go_on(), Each(""));
  EXPECT_EQ(commits(), before + 2);
}

TEST_F(SqliteThreads, BringALongLogIntoTheFileOnceNobodyWrites) {
  constexpr std::size_t many_bytes = 6'000'000;
  calls_.begin(open_.put(std::string(many_bytes, 'x')));
  EXPECT_THAT(calls_.finish(), ElementsAre(""));
  open_.control().run_until([this] { return std::filesystem::file_size(database_.file()) > many_bytes; });
}

TEST_F(SqliteThreads, BringALogAtItsMostIntoTheFileBeforeTheyGoOn) {
  constexpr std::size_t most_bytes = 20'000'000;
  calls_.begin(open_.put(std::string(most_bytes, 'x')));
  EXPECT_THAT(calls_.finish(), ElementsAre(""));
  occupy_writer();
  EXPECT_GT(std::filesystem::file_size(database_.file()), most_bytes);
  EXPECT_THAT(let_go_on(), IsEmpty());
}

TEST_F(SqliteThreads, CommitThroughToTheDisk) {
  Database database(database_.file());
  database.make_ours();
  auto row = database.run("PRAGMA synchronous");
  ASSERT_TRUE(row.step());
  EXPECT_EQ(row.integer(), 2) << "FULL";
}

TEST_F(SqliteThreads, FailAllThatWaitedWhereTheirCommitFails) {
  auto const break_commit = [](Sql& sql) -> Task<> {
    co_await sql.query("PRAGMA defer_foreign_keys = ON");
    co_await sql.query(
        "INSERT INTO api_key (id, name, owner, role, hash, created_at) VALUES ('', '', 'no user', '', '', 0)");
  };
  auto const refuse = [](Sql&) -> Task<Outcome<>> {
    co_return upstream::fail(FaultKind::conflict, "test", "refused by what another wrote");
  };
  occupy_writer();
  calls_.begin(open_.put("a"));
  calls_.begin((*open_).write(break_commit));
  calls_.begin((*open_).write(refuse));
  calls_.begin(open_.put("b"));
  EXPECT_THAT(let_go_on(), AllOf(SizeIs(4), Each(HasSubstr("FOREIGN KEY"))));
  EXPECT_THAT(open_.found(), IsEmpty());
  calls_.begin(open_.put("c"));
  EXPECT_THAT(calls_.finish(), ElementsAre(""));
  EXPECT_THAT(open_.found(), ElementsAre("c"));
}

TEST_F(SqliteThreads, FailAllThatWaitedWhereTheirTransactionIsLost) {
  auto const lose = [](Sql& sql) -> Task<> {
    co_await sql.query("INSERT OR ROLLBACK INTO counter (name, value) VALUES ('epoch', 1)");
  };
  occupy_writer();
  calls_.begin(open_.put("a"));
  calls_.begin((*open_).write(lose));
  calls_.begin(open_.put("b"));
  EXPECT_THAT(let_go_on(), AllOf(SizeIs(3), Each(HasSubstr("UNIQUE"))));
  EXPECT_THAT(open_.found(), IsEmpty());
}

TEST_F(SqliteThreads, FailAllThatWaitedWhereNoMoreFitsInAndGoOnOnceThereIsRoom) {
  auto const write_too_much = [](Sql& sql) -> Task<> {
    co_await sql.query("PRAGMA max_page_count = 1");
    Blob const much{std::string(1'000'000, 'x')};
    co_await sql.query("INSERT INTO probe (id, sealed) VALUES (1, ?1)", much);
  };
  auto const make_room = [](Sql& sql) -> Task<> { co_await sql.query("PRAGMA max_page_count = 100000"); };
  occupy_writer();
  calls_.begin(open_.put("a"));
  calls_.begin((*open_).write(write_too_much));
  calls_.begin(open_.put("b"));
  EXPECT_THAT(let_go_on(), AllOf(SizeIs(3), Each(HasSubstr("full"))));
  EXPECT_THAT(open_.found(), IsEmpty());
  calls_.begin((*open_).write(make_room));
  calls_.begin(open_.put("c"));
  EXPECT_THAT(calls_.finish(), Each(""));
  EXPECT_THAT(open_.found(), ElementsAre("c"));
}

TEST_F(SqliteThreads, WriteWhileALongReadIsUnderWayWhichSeesOneState) {
  calls_.begin(open_.put("a"));
  EXPECT_THAT(calls_.finish(), ElementsAre(""));
  Calls reading(open_.control());
  reading.begin((*open_).read([this](Sql& sql) { return pause_.stand(sql); }));
  pause_.await();
  calls_.begin(open_.put("b"));
  EXPECT_THAT(calls_.finish(), ElementsAre("")) << "the read still stands there";
  EXPECT_EQ(database_.rows("SELECT name FROM counter WHERE name = 'test b'").size(), 1u);
  pause_.go_on();
  EXPECT_THAT(reading.finish(), ElementsAre(""));
  EXPECT_THAT(pause_.before(), ElementsAre("a"));
  EXPECT_EQ(pause_.after(), pause_.before());
}

TEST_F(SqliteThreads, ReadWhileALongWriteIsUnderWay) {
  occupy_writer();
  EXPECT_THAT(open_.found(), IsEmpty());
  EXPECT_THAT(let_go_on(), IsEmpty());
}

TEST_F(SqliteThreads, ReadOnly) {
  calls_.begin((*open_).read([](Sql& sql) { return put_name(sql, "a"); }));
  EXPECT_THAT(calls_.finish(), ElementsAre(HasSubstr("readonly")));
}

TEST(SqliteFileOfAnEarlierVersion, StaysAsItIsWhereWhatPreparesItFails) {
  SqliteFile database;
  database.execute(test::read_file(NESTGATE_TEST_DATA "/data/store_version_1.sql"));
  asio::io_context loop(1);
  auto const refuse = [](Sql&) -> Task<> {
    give_up("not with these secrets");
    co_return;
  };
  auto const opened = open_backend(database.url(), refuse, loop.get_executor());
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().reason, HasSubstr("nestgate.db: not with these secrets"));
  EXPECT_THAT(database.rows("SELECT CAST(user_version AS TEXT) FROM pragma_user_version"), ElementsAre("1"));
}

TEST_F(SqliteThreads, FinishWhatTheyWereAskedBeforeTheyEnd) {
  occupy_writer();
  for (auto const name : {"a", "b"}) calls_.begin(open_.put(name));
  auto closing = (*open_).close();
  Calls end(open_.control());
  auto const close = [](Task<> task) -> Task<Outcome<>> {
    co_await std::move(task);
    co_return Outcome<>{};
  };
  end.begin(close(std::move(closing)));
  EXPECT_THAT(let_go_on(), ElementsAre("", ""));
  EXPECT_THAT(end.finish(), ElementsAre(""));
  EXPECT_EQ(database_.rows("SELECT name FROM counter WHERE name LIKE 'test %'").size(), 2u);
}

}  // namespace
}  // namespace nestgate::store
