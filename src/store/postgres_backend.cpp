#include "postgres_backend.hpp"

#include <algorithm>
#include <deque>

#include "nestgate/net/task_group.hpp"
#include "postgres_schema.hpp"
#include "postgres_transaction.hpp"
#include "run_blocking.hpp"
#include "schema.hpp"

namespace nestgate::store {
namespace {

using namespace std::chrono_literals;
using Access = PostgresTransaction::Access;

constexpr int attempts_max = 5;  // of a transaction that others keep getting in the way of
constexpr Clock::duration reconnect_pause_first = 50ms;
constexpr Clock::duration reconnect_pause_max = 1s;
constexpr std::chrono::milliseconds upgrade_step_max = 10min;  // it may write a large table anew

Failure unavailable(std::string reason) {
  return upstream::fail(FaultKind::unavailable, "store", "store: " + std::move(reason));
}

// What became of one job in a transaction that is still open.
struct Ran {
  enum class What : std::uint8_t {
    kept,
    undone,     // by its own wish
    failed,     // for the reason in `failure`
    disturbed,  // by another transaction; the whole one is lost
    lost,       // with the connection
  } what = What::kept;
  Failure failure{};
};

Task<Ran> run_job(PostgresTransaction& transaction, std::function<Task<bool>(Sql&)> const& job) {
  Ran ran;
  try {
    bool const keeps = co_await job(transaction);
    ran.what = keeps ? Ran::What::kept : Ran::What::undone;
    if (keeps && transaction.is_refused()) ran = Ran{Ran::What::failed, unavailable("a statement was refused")};
  } catch (ConnectionLost const& lost) {
    ran = Ran{Ran::What::lost, lost.failure};
  } catch (StatementRefused const& refused) {
    ran = Ran{refused.is_of_moment ? Ran::What::disturbed : Ran::What::failed, refused.failure};
  } catch (Unusable const& unusable) {
    ran = Ran{Ran::What::failed, unusable.failure};
  }
  co_return ran;
}

// The end of a transaction, as `run_job`.
Task<Ran> run_end(Task<> end) {
  Ran ran;
  try {
    co_await std::move(end);
  } catch (ConnectionLost const& lost) {
    ran = Ran{Ran::What::lost, lost.failure};
  } catch (StatementRefused const& refused) {
    ran = Ran{refused.is_of_moment ? Ran::What::disturbed : Ran::What::failed, refused.failure};
  }
  co_return ran;
}

// Of a transaction that is over. Where it is not known what stays, nobody's is: one may have gone by what another wrote.
Outcome<> outcome_of(Ran const& ran, Ran const& end, bool is_unknown) {
  if (is_unknown) return unavailable("the connection to the server was lost; whether this was written is not known");
  if (ran.what == Ran::What::failed) return ran.failure;
  if (ran.what == Ran::What::kept && end.what == Ran::What::failed) return end.failure;
  return Outcome<>{};
}

struct Opened {
  std::unique_ptr<PostgresConnection> connection;  // null: not opened
  Failure failure{};
  bool is_final = false;
};

Task<Opened> try_to_open(PostgresUrl url, PostgresTimes times) {
  Opened opened;
  try {
    opened.connection = co_await PostgresConnection::open(std::move(url), times);
  } catch (ConnectionLost const& lost) {
    opened.failure = lost.failure;
    opened.is_final = lost.is_final;
  } catch (Unusable const& unusable) {
    opened.failure = unusable.failure;
  }
  co_return opened;
}

class GrowingPause {
 public:
  // A fault only when cancelled.
  Task<Result<>> wait() {
    auto const now = next_;
    next_ = std::min(next_ * 2, reconnect_pause_max);
    return pause_for(now);
  }
  void reset() { next_ = reconnect_pause_first; }

 private:
  Clock::duration next_ = reconnect_pause_first;
};

class PostgresBackend final : public Backend {
 public:
  PostgresBackend(PostgresUrl url, Executor control, PostgresLimits limits)
      : url_(std::move(url)), control_(control), limits_(limits), calls_(control), follower_(control) {}

  void on_notify(std::function<void()> listener) override { follower_.spawn("store.follow", follow(std::move(listener))); }
  Task<> close() override;

 protected:
  Task<Outcome<>> run(Mode mode, Job job) override;

 private:
  // A call that is awaited. What runs it may outlive the caller.
  struct Call {
    Call(Executor executor, Job j, Deadline deadline)
        : job(std::move(j)), by(deadline), settled(executor, Clock::time_point::max()) {}
    void settle(Outcome<> outcome) {
      result.emplace(std::move(outcome));
      settled.cancel();
    }
    Job job;
    Deadline by;  // for a server that is away
    Timer settled;
    std::optional<Outcome<>> result;
  };
  using CallPtr = std::shared_ptr<Call>;
  using Group = std::vector<CallPtr>;
  // What became of a group that was run in one transaction.
  enum class Attempt : std::uint8_t { settled, lost, to_be_parted };

  void start_writer();
  void start_reader();
  Task<> write_all();
  Task<> write(Group group);
  Task<Attempt> attempt(Group const& group);
  Task<Attempt> finish(PostgresTransaction& transaction, Group const& group, std::vector<Ran> const& rans);
  static void settle_late(Group& group);
  Task<> read_all();
  Task<> read(CallPtr call, std::unique_ptr<PostgresConnection>& connection);
  Task<bool> connect(std::unique_ptr<PostgresConnection>& connection, Group& waiting);
  Task<> follow(std::function<void()> listener);
  Task<bool> listen_until_lost(PostgresConnection& connection, std::function<void()> const& listener);

  PostgresUrl url_;
  Executor control_;
  PostgresLimits limits_;
  std::deque<CallPtr> writes_, reads_;
  std::unique_ptr<PostgresConnection> writer_;
  std::vector<std::unique_ptr<PostgresConnection>> idle_readers_;
  std::uint32_t readers_ = 0;  // that are at work
  bool is_writing_ = false;
  bool is_closed_ = false;
  TaskGroup calls_, follower_;
};

Task<Outcome<>> PostgresBackend::run(Mode mode, Job job) {
  if (is_closed_) co_return unavailable("is closed");
  auto& queue = mode == Mode::write ? writes_ : reads_;
  if (queue.size() >= limits_.waiting_max) co_return unavailable("too many calls wait for the server");
  auto const call = std::make_shared<Call>(control_, std::move(job), Deadline::in(limits_.outage_max));
  queue.push_back(call);
  mode == Mode::write ? start_writer() : start_reader();
  while (!call->result) (void)co_await call->settled.async_wait(no_throw);
  co_return std::move(*call->result);
}

void PostgresBackend::start_writer() {
  if (is_writing_) return;
  is_writing_ = true;
  calls_.spawn("store.write", write_all());
}

void PostgresBackend::start_reader() {
  if (readers_ == limits_.readers_max) return;
  ++readers_;
  calls_.spawn("store.read", read_all());
}

Task<> PostgresBackend::write_all() {
  while (!writes_.empty()) {
    auto const size = std::min<std::size_t>(writes_.size(), limits_.group_max);
    auto const end = writes_.begin() + static_cast<std::ptrdiff_t>(size);
    Group group(std::make_move_iterator(writes_.begin()), std::make_move_iterator(end));
    writes_.erase(writes_.begin(), end);
    co_await write(std::move(group));
  }
  is_writing_ = false;
}

// Until `connection` is one; false when nobody waits any more. Who waited too long, or for what will not be, is told.
Task<bool> PostgresBackend::connect(std::unique_ptr<PostgresConnection>& connection, Group& waiting) {
  GrowingPause pause;
  while (!connection || !connection->is_usable()) {
    connection.reset();
    auto opened = co_await try_to_open(url_, limits_.times);
    connection = std::move(opened.connection);
    if (connection) break;
    auto const is_told = [&opened](CallPtr const& call) {
      if (!opened.is_final && !call->by.passed()) return false;
      call->settle(opened.failure);
      return true;
    };
    std::erase_if(waiting, is_told);
    if (waiting.empty()) co_return false;
    (void)co_await pause.wait();
  }
  co_return true;
}

Task<> PostgresBackend::write(Group group) {
  GrowingPause pause;
  for (int attempts = 1; co_await connect(writer_, group); ++attempts) {
    auto const became = co_await attempt(group);
    if (became == Attempt::settled) co_return;
    if (became == Attempt::to_be_parted && group.size() > 1) {
      for (auto const& call : group) co_await write(Group(1, call));
      co_return;
    }
    if (became == Attempt::to_be_parted && attempts == attempts_max)
      group.front()->settle(unavailable("other transactions were in the way again and again"));
    settle_late(group);
    if (group.empty()) co_return;
    if (attempts > 1) (void)co_await pause.wait();
  }
}

// Of a group whose connection was lost, who has waited for long enough.
void PostgresBackend::settle_late(Group& group) {
  auto const is_settled = [](CallPtr const& call) {
    if (!call->result && call->by.passed())
      call->settle(unavailable("the connection to the server is lost again and again"));
    return call->result.has_value();
  };
  std::erase_if(group, is_settled);
}

Task<PostgresBackend::Attempt> PostgresBackend::attempt(Group const& group) {
  bool const has_parts = group.size() > 1;
  PostgresTransaction transaction(*writer_, has_parts ? Access::write_group : Access::write);
  std::vector<Ran> rans;
  for (auto const& call : group) {
    if (has_parts) transaction.begin_part();
    auto ran = co_await run_job(transaction, call->job);
    if (ran.what == Ran::What::lost) co_return Attempt::lost;
    if (ran.what == Ran::What::disturbed) {
      rans.push_back(std::move(ran));
      break;
    }
    if (has_parts) ran.what == Ran::What::kept ? transaction.keep_part() : transaction.undo_part();
    rans.push_back(std::move(ran));
  }
  co_return co_await finish(transaction, group, rans);
}

Task<PostgresBackend::Attempt> PostgresBackend::finish(PostgresTransaction& transaction, Group const& group,
                                                       std::vector<Ran> const& rans) {
  bool const is_disturbed = rans.back().what == Ran::What::disturbed;
  bool const is_undone = is_disturbed || (group.size() == 1 && rans.back().what != Ran::What::kept);
  Ran end;
  if (is_undone) {
    end = co_await run_end(transaction.roll_back());
  } else {
    end = co_await run_end(transaction.commit());
    // What was refused may have gone before the commit, along with it: then the transaction is still open.
    bool const is_refused = end.what == Ran::What::failed || end.what == Ran::What::disturbed;
    if (is_refused) (void)co_await run_end(transaction.roll_back());
  }
  bool const is_unknown = end.what == Ran::What::lost && transaction.is_commit_sent();
  if (is_disturbed || end.what == Ran::What::disturbed) co_return Attempt::to_be_parted;
  if (end.what == Ran::What::failed && group.size() > 1) co_return Attempt::to_be_parted;
  if (end.what == Ran::What::lost && !is_undone && !is_unknown) co_return Attempt::lost;
  for (std::size_t i = 0; i < group.size(); ++i) group[i]->settle(outcome_of(rans[i], end, is_unknown));
  co_return Attempt::settled;
}

Task<> PostgresBackend::read_all() {
  std::unique_ptr<PostgresConnection> connection;
  if (!idle_readers_.empty()) {
    connection = std::move(idle_readers_.back());
    idle_readers_.pop_back();
  }
  while (!reads_.empty()) {
    auto call = std::move(reads_.front());
    reads_.pop_front();
    co_await read(std::move(call), connection);
  }
  if (connection && connection->is_usable()) idle_readers_.push_back(std::move(connection));
  --readers_;
}

Task<> PostgresBackend::read(CallPtr call, std::unique_ptr<PostgresConnection>& connection) {
  GrowingPause pause;
  Group group(1, call);
  for (int attempts = 1; co_await connect(connection, group); ++attempts) {
    PostgresTransaction transaction(*connection, Access::read);
    auto const ran = co_await run_job(transaction, call->job);
    bool const is_over = ran.what != Ran::What::lost && ran.what != Ran::What::disturbed;
    if (ran.what == Ran::What::failed) {
      call->settle(ran.failure);
    } else if (is_over) {
      call->settle(Outcome<>{});
    }
    if (ran.what != Ran::What::lost) (void)co_await run_end(transaction.roll_back());
    settle_late(group);
    if (group.empty()) co_return;
    if (attempts > 1) (void)co_await pause.wait();
  }
}

Task<> PostgresBackend::follow(std::function<void()> listener) {
  GrowingPause pause;
  for (;;) {
    auto const opened = co_await try_to_open(url_, limits_.times);
    if (opened.connection && co_await listen_until_lost(*opened.connection, listener)) pause.reset();
    if (!co_await pause.wait()) co_return;
  }
}

// Whether it came so far as to listen.
Task<bool> PostgresBackend::listen_until_lost(PostgresConnection& connection, std::function<void()> const& listener) {
  bool listens = false;
  try {
    co_await connection.run_script(std::string(listen_statement));
    listens = true;
    listener();  // what was told before is not heard
    for (;;) {
      auto const by = co_await connection.notified();
      auto const is_others = [this](int pid) { return !writer_ || pid != writer_->server_pid(); };
      if (std::ranges::any_of(by, is_others)) listener();
    }
  } catch (Unusable const&) {
    co_return listens;
  }
}

Task<> PostgresBackend::close() {
  is_closed_ = true;
  follower_.stop();
  while (follower_.size() != 0) (void)co_await follower_.join();
  while (calls_.size() != 0) (void)co_await calls_.join();
  writer_.reset();
  idle_readers_.clear();
}

std::vector<std::string> postgres_steps() {
  std::vector<std::string> steps;
  for (auto const* const step : schema_steps()) steps.push_back(for_postgres(step));
  return steps;
}

}  // namespace

Task<> write_postgres(PostgresUrl url, Preparation preparation, PostgresLimits limits) {
  auto const by = Deadline::in(limits.outage_max);
  limits.times.answer_max = upgrade_step_max;
  limits.times.lock_max = upgrade_step_max;  // for another gateway's upgrade
  GrowingPause pause;
  auto opened = co_await try_to_open(url, limits.times);
  while (!opened.connection && !opened.is_final && !by.passed()) {
    (void)co_await pause.wait();
    opened = co_await try_to_open(url, limits.times);
  }
  if (!opened.connection) throw Unusable{opened.failure};
  co_await upgrade_postgres(*opened.connection, postgres_steps(), std::move(preparation));
}

Task<> read_postgres(PostgresUrl url, Inspection inspection, PostgresLimits limits) {
  auto const opened = co_await try_to_open(url, limits.times);
  if (!opened.connection) throw Unusable{opened.failure};
  co_await inspect_postgres_schema(*opened.connection, schema_steps().size(), std::move(inspection));
}

Outcome<std::unique_ptr<Backend>> open_postgres_backend(std::string_view url, Executor control, Preparation preparation,
                                                        PostgresLimits limits) {
  NESTGATE_TRY(parsed, parse_postgres_url(url));
  NESTGATE_TRY_VOID(run_blocking(write_postgres(parsed, std::move(preparation), limits)));
  return std::unique_ptr<Backend>(new PostgresBackend(parsed, control, limits));
}

Outcome<> inspect_postgres(std::string_view url, Inspection inspection, PostgresLimits limits) {
  NESTGATE_TRY(parsed, parse_postgres_url(url));
  return run_blocking(read_postgres(parsed, std::move(inspection), limits));
}

}  // namespace nestgate::store
