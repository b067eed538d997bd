#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <deque>
#include <thread>

#include "backend.hpp"
#include "sqlite.hpp"

namespace nestgate::store {

// One SQLite file, on two threads of its own: one writes, the other reads. Any number of them, in any number of processes,
// may share the file.
class SqliteBackend final : public Backend {
 public:
  // How many writes at most are committed together.
  static constexpr std::size_t group_max = 500;

  // Opens the file, creates or upgrades it, and prepares it; blocks. Throws Unusable.
  SqliteBackend(std::string path, Preparation const& prepare);
  ~SqliteBackend() override;

  Task<> close() override;

 protected:
  Task<Outcome<>> run(Mode mode, Job job) override;

 private:
  // Who waits for the answer of a thread.
  class Caller;
  template <class Handler>
  class CallerOf;
  struct Pending {
    Job job;
    std::unique_ptr<Caller> caller;
  };
  // A thread with its connection, which only the thread uses once it runs.
  struct Worker {
    Worker();
    ~Worker();
    void start();
    // On its thread: behind all that waits in its loop by now.
    void begin(Task<> task);
    asio::io_context loop{1};
    asio::executor_work_guard<Executor> busy{loop.get_executor()};
    Timer pause{loop};
    std::optional<Database> database;  // nothing: closed
    std::thread thread;
  };

  // Calls `begin` on the worker's thread with the caller, who is told from there.
  template <class Begin>
  static Task<Outcome<>> ask(Worker& worker, Begin begin);
  static void tell(Pending pending, Outcome<> outcome);

  // On the writer's thread.
  void enqueue(Pending pending);
  Task<> commit_waiting();
  void tidy_log();
  Task<Outcome<>> commit(std::vector<Pending> const& group, std::vector<Outcome<>>& outcomes);
  struct Ran {
    bool is_to_stay = false;
    Outcome<> outcome{};
  };
  static Task<Ran> write(Database& database, Job const& job);
  static Task<Ran> write_part(Database& database, Job const& job);
  // On the reader's.
  static Task<> look(Worker& worker, Pending pending);
  // On either.
  static Task<> shut(Worker& worker, Pending pending);

  std::deque<Pending> waiting_;  // the writer's
  Worker writer_;
  std::optional<Worker> reader_;  // nothing: there is no file that a second connection could read
};

}  // namespace nestgate::store
