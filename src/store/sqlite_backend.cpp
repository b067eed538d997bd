#include "sqlite_backend.hpp"

#include <algorithm>
#include <iterator>

#include "schema.hpp"
#include "sqlite_schema.hpp"

namespace nestgate::store {
namespace {

using Kind = Transaction::Kind;
using namespace std::chrono_literals;

// A log so long goes into the file once nobody wrote for the pause, or when it has the most. What begins anew soon is
// quicker: a file that grows costs more at each commit.
constexpr int log_pages_long = 1'000, log_pages_max = 4'000;
constexpr Clock::duration checkpoint_pause = 10ms;

Database& opened(std::optional<Database>& database) {
  if (!database) give_up("it is closed");
  database->check_file();
  return *database;
}

}  // namespace

class SqliteBackend::Caller {
 public:
  virtual ~Caller() = default;
  virtual Executor home() const = 0;
  virtual void resume(Outcome<> outcome) = 0;
};

// Keeps the caller's loop running until it was told.
template <class Handler>
class SqliteBackend::CallerOf final : public Caller {
 public:
  CallerOf(Handler handler, Executor const& home) : handler_(std::move(handler)), busy_(home) {}
  Executor home() const override { return busy_.get_executor(); }
  void resume(Outcome<> outcome) override { std::move(handler_)(std::move(outcome)); }

 private:
  Handler handler_;
  asio::executor_work_guard<Executor> busy_;
};

SqliteBackend::Worker::Worker() = default;

SqliteBackend::Worker::~Worker() {
  loop.stop();
  if (thread.joinable()) thread.join();
}

void SqliteBackend::Worker::start() {
  thread = std::thread([this] { loop.run(); });
}

void SqliteBackend::Worker::begin(Task<> task) {
  asio::post(loop, [this, task = std::move(task)]() mutable {
    // A job throws nothing but Unusable, which is an outcome: anything else is our bug.
    asio::co_spawn(loop, std::move(task), [](std::exception_ptr bug) {
      if (bug) std::rethrow_exception(bug);
    });
  });
}

SqliteBackend::SqliteBackend(std::string path, Preparation const& prepare) {
  auto& database = writer_.database.emplace(std::move(path));
  {
    Transaction transaction(database, Kind::write);
    upgrade(database, schema_steps());
    SqliteSql sql(database);
    run_here(prepare(sql));
    transaction.commit();
  }
  database.make_ours();
  if (database.has_file()) {
    reader_.emplace().database.emplace(database.reader());
    reader_->start();
  }
  writer_.start();
}

SqliteBackend::~SqliteBackend() = default;

template <class Begin>
Task<Outcome<>> SqliteBackend::ask(Worker& worker, Begin begin) {
  auto const initiate = [&worker](auto handler, Executor home, Begin work) {
    using Handler = decltype(handler);
    std::unique_ptr<Caller> caller = std::make_unique<CallerOf<Handler>>(std::move(handler), home);
    auto on_thread = [work = std::move(work), caller = std::move(caller)]() mutable { work(std::move(caller)); };
    asio::post(worker.loop, std::move(on_thread));
  };
  Executor const home = co_await asio::this_coro::executor;
  auto operation =
      asio::async_initiate<asio::deferred_t const, void(Outcome<>)>(initiate, asio::deferred, home, std::move(begin));
  co_return co_await std::move(operation);
}

// Nothing of the call is left on this thread once its caller runs on.
void SqliteBackend::tell(Pending pending, Outcome<> outcome) {
  pending.job = nullptr;
  auto const home = pending.caller->home();
  auto resume = [caller = std::move(pending.caller), outcome = std::move(outcome)]() mutable {
    caller->resume(std::move(outcome));
  };
  asio::post(home, std::move(resume));
}

Task<Outcome<>> SqliteBackend::run(Mode mode, Job job) {
  if (mode == Mode::write || !reader_) {
    auto write = [this, job = std::move(job)](std::unique_ptr<Caller> caller) mutable {
      enqueue({std::move(job), std::move(caller)});
    };
    return ask(writer_, std::move(write));
  }
  auto read = [this, job = std::move(job)](std::unique_ptr<Caller> caller) mutable {
    reader_->begin(look(*reader_, {std::move(job), std::move(caller)}));
  };
  return ask(*reader_, std::move(read));
}

// What comes while a group is committed waits in the loop, and all of it is taken in before the next group is begun.
void SqliteBackend::enqueue(Pending pending) {
  waiting_.push_back(std::move(pending));
  if (waiting_.size() == 1) writer_.begin(commit_waiting());
}

Task<> SqliteBackend::commit_waiting() {
  while (!waiting_.empty()) {
    auto const count = std::min(waiting_.size(), group_max);
    auto const end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
    std::vector<Pending> group(std::move_iterator(waiting_.begin()), std::move_iterator(end));
    std::vector<Outcome<>> outcomes;
    auto const committed = co_await commit(group, outcomes);
    waiting_.erase(waiting_.begin(), end);
    for (std::size_t i = 0; i < count; ++i) tell(std::move(group[i]), committed ? outcomes[i] : committed);
    tidy_log();
  }
}

// Nobody waits for what goes into the file in a pause.
void SqliteBackend::tidy_log() {
  auto const pages = writer_.database ? writer_.database->log_pages() : 0;
  if (pages >= log_pages_max) writer_.database->checkpoint();
  if (pages < log_pages_long || pages >= log_pages_max) return;
  writer_.pause.expires_after(checkpoint_pause);
  writer_.pause.async_wait([this](error_code ec) {
    if (!ec && waiting_.empty() && writer_.database) writer_.database->checkpoint();
  });
}

// Where the transaction fails, all that were in it do: one may have gone by what another had written.
Task<Outcome<>> SqliteBackend::commit(std::vector<Pending> const& group, std::vector<Outcome<>>& outcomes) {
  bool const is_alone = group.size() == 1;
  try {
    auto& database = opened(writer_.database);
    Transaction transaction(database, Kind::write);
    bool is_to_stay = !is_alone;
    for (auto const& one : group) {
      auto written = is_alone ? write(database, one.job) : write_part(database, one.job);
      auto ran = co_await std::move(written);
      is_to_stay = is_to_stay || ran.is_to_stay;
      outcomes.push_back(std::move(ran.outcome));
    }
    if (is_to_stay) transaction.commit();
  } catch (Unusable const& unusable) {
    co_return unusable.failure;
  }
  co_return Outcome<>{};
}

Task<SqliteBackend::Ran> SqliteBackend::write(Database& database, Job const& job) {
  SqliteSql sql(database);
  Ran ran;
  try {
    ran.is_to_stay = co_await job(sql);
  } catch (Unusable const& unusable) {
    ran.outcome = unusable.failure;
  }
  co_return ran;
}

// One write of a group. What it wrote is undone alone, unless SQLite gave up the whole transaction, which throws. That costs
// a copy of each page that it changes.
Task<SqliteBackend::Ran> SqliteBackend::write_part(Database& database, Job const& job) {
  database.run("SAVEPOINT one");
  auto ran = co_await write(database, job);
  if (!database.in_transaction()) {
    if (!ran.outcome) throw Unusable{ran.outcome.error()};
    give_up("its transaction was ended");
  }
  if (!ran.is_to_stay) database.run("ROLLBACK TO one");
  database.run("RELEASE one");
  co_return ran;
}

Task<> SqliteBackend::look(Worker& worker, Pending pending) {
  Outcome<> outcome;
  try {
    auto& database = opened(worker.database);
    Transaction const one_state(database, Kind::read);
    SqliteSql sql(database);
    co_await pending.job(sql);
  } catch (Unusable const& unusable) {
    outcome = unusable.failure;
  }
  tell(std::move(pending), std::move(outcome));
}

Task<> SqliteBackend::shut(Worker& worker, Pending pending) {
  worker.database.reset();
  tell(std::move(pending), Outcome<>{});
  co_return;
}

// The writer goes last: it takes the log away.
Task<> SqliteBackend::close() {
  std::vector<Worker*> workers{&writer_};
  if (reader_) workers.insert(workers.begin(), &*reader_);
  for (auto* const worker : workers) {
    auto release = [worker](std::unique_ptr<Caller> caller) { worker->begin(shut(*worker, {nullptr, std::move(caller)})); };
    co_await ask(*worker, std::move(release));
  }
}

}  // namespace nestgate::store
