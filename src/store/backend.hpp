#pragma once

#include <functional>
#include <memory>
#include <type_traits>

#include "sql.hpp"

namespace nestgate::store {

// What opening a database does besides, at the end of the transaction that upgrades it and before any call: what it throws
// is why the database is not opened. Backends are opened by a function that blocks and takes one.
using Preparation = std::function<Task<>(Sql&)>;
// What a look at a database of that version does, which writes nothing (check_store).
using Inspection = std::function<Task<>(Sql&, std::size_t version)>;

// A database that transactions are run on. Calls are awaited on the control core. A cancel of the caller does not undo
// what was asked.
//
// Writes are grouped: those that wait while a group is committed make the next one, in the order of the calls, and none
// returns before its group is durable. `work` may be called more than once (a group in which one transaction failed is
// done again one by one; a server may refuse a transaction because of another), so it changes nothing outside.
class Backend {
 public:
  virtual ~Backend() = default;

  // `work` is a callable `Task<T>(Sql&)`, or `Task<Outcome<T>>(Sql&)`: then a failure undoes what it wrote. T is movable,
  // or void. Faults: unavailable, and those of `work`.
  template <class Work>
  auto write(Work work) {
    return transact(Mode::write, std::move(work));
  }
  // One state of the database throughout; sees every write that returned before it was called.
  template <class Work>
  auto read(Work work) {
    return transact(Mode::read, std::move(work));
  }
  // Calls `listener` on the control core whenever some transaction of another gateway that said `notify` was committed, and
  // when such a call may have been missed. Where nothing can wake it, it is never called: who follows the store also looks
  // by itself. Before any other call, at most once.
  virtual void on_notify(std::function<void()> /*listener*/) {}
  // After it every call is a fault. Calls under way come first.
  virtual Task<> close() = 0;

 protected:
  enum class Mode : std::uint8_t { read, write };
  // Says whether what it wrote is to stay. Throws nothing but Unusable.
  using Job = std::function<Task<bool>(Sql&)>;
  virtual Task<Outcome<>> run(Mode mode, Job job) = 0;

 private:
  template <class T>
  struct Unwrapped {
    using Type = T;
    static constexpr bool is_outcome = false;
  };
  template <class T>
  struct Unwrapped<Outcome<T>> {
    using Type = T;
    static constexpr bool is_outcome = true;
  };

  template <class Work>
  auto transact(Mode mode, Work work)
      -> Task<Outcome<typename Unwrapped<typename std::invoke_result_t<Work&, Sql&>::value_type>::Type>> {
    using Returned = typename std::invoke_result_t<Work&, Sql&>::value_type;
    using T = typename Unwrapped<Returned>::Type;
    // Kept by the job as well: the caller may be gone before it is done.
    struct State {
      explicit State(Work w) : work(std::move(w)) {}
      Task<bool> perform(Sql& sql) {
        result.reset();
        if constexpr (std::is_void_v<Returned>) {
          co_await work(sql);
          result.emplace();
        } else {
          result.emplace(co_await work(sql));
        }
        co_return result->has_value();
      }
      Work work;
      std::optional<Outcome<T>> result;
    };
    auto const state = std::make_shared<State>(std::move(work));
    Job job = [state](Sql& sql) { return state->perform(sql); };
    auto done = co_await run(mode, std::move(job));
    if (!done) co_return std::move(done).error();
    co_return std::move(*state->result);
  }
};

}  // namespace nestgate::store
