#include "postgres_transaction.hpp"

#include <algorithm>
#include <iterator>
#include <set>

#include "postgres_together.hpp"
#include "values.hpp"

namespace nestgate::store {
namespace {

constexpr std::size_t statements_a_round_trip_max = 1'000;  // both sides keep what belongs to one

// Row locks and lines say what must not interleave: each statement sees all that was committed before it.
constexpr std::string_view begin_write = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
constexpr std::string_view begin_read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

std::set<std::string> texts_of(Rows rows) {
  std::set<std::string> texts;
  while (rows.step()) texts.insert(rows.text());
  return texts;
}

}  // namespace

PostgresTransaction::PostgresTransaction(PostgresConnection& connection, Access access)
    : connection_(connection), access_(access) {
  first(access == Access::read ? begin_read : begin_write);
  if (access != Access::read) lock(access == Access::write ? lock_together_statement : lock_statement, groups_lock);
}

void PostgresTransaction::first(std::string_view statement, std::vector<SqlValue> values) {
  first_.push_back(Command{statement, std::move(values)});
}

void PostgresTransaction::lock(std::string_view statement, std::uint32_t number) {
  std::vector<SqlValue> key;
  key.push_back(as_value(lock_space));
  key.push_back(as_value(number));
  first(statement, std::move(key));
}

// The answers to what was asked for, without those of what went first.
Task<std::vector<Rows>> PostgresTransaction::send(std::vector<Command> commands) {
  auto const hidden = static_cast<std::ptrdiff_t>(first_.size());
  std::vector<Command> all = std::move(first_);
  first_.clear();
  std::move(commands.begin(), commands.end(), std::back_inserter(all));
  is_begun_ = true;
  bool const was_refused = is_refused_;
  is_refused_ = true;  // unless all goes well
  auto rows = co_await connection_.run(all);
  is_refused_ = was_refused;
  rows.erase(rows.begin(), rows.begin() + hidden);
  co_return rows;
}

Task<Rows> PostgresTransaction::execute(std::string_view statement, std::vector<SqlValue> values) {
  std::vector<Command> one;
  one.push_back(Command{statement, std::move(values)});
  auto rows = co_await send(std::move(one));
  co_return std::move(rows.front());
}

Task<std::vector<Rows>> PostgresTransaction::execute_each(std::string_view statement,
                                                          std::vector<std::vector<SqlValue>> values) {
  std::vector<Rows> all;
  all.reserve(values.size());
  for (std::size_t at = 0; at < values.size();) {
    std::vector<Command> some;
    for (; at < values.size() && some.size() < statements_a_round_trip_max; ++at)
      some.push_back(Command{statement, std::move(values[at])});
    auto rows = co_await send(std::move(some));
    std::move(rows.begin(), rows.end(), std::back_inserter(all));
  }
  co_return all;
}

// Rows that go together are one statement, which the server begins and ends once, and whose indexes it opens once.
template <class Write>
Task<std::vector<bool>> PostgresTransaction::write_each(Write const& write, std::vector<std::vector<SqlValue>> rows) {
  if (rows.size() == 1) co_return which_changed(co_await execute_each(write.statement, std::move(rows)));
  std::vector<bool> written;
  written.reserve(rows.size());
  for (std::span<std::vector<SqlValue> const> left(rows); !left.empty();) {
    auto const some = left.first(std::min(left.size(), statements_a_round_trip_max));
    left = left.subspan(some.size());
    auto together = in_one_statement(write, some);
    std::vector<Command> one;
    one.push_back(Command{together.statement, {}, std::move(together.columns)});
    auto answers = co_await send(std::move(one));
    auto keys = texts_of(std::move(answers.front()));
    for (auto const& row : some) written.push_back(keys.erase(std::string(bytes_in(row.front()).value())) != 0);
  }
  co_return written;
}

Task<std::vector<bool>> PostgresTransaction::insert_each(Insertion const& insertion,
                                                         std::vector<std::vector<SqlValue>> rows) {
  return write_each(insertion, std::move(rows));
}

Task<std::vector<bool>> PostgresTransaction::update_each(RowUpdate const& update, std::vector<std::vector<SqlValue>> rows) {
  return write_each(update, std::move(rows));
}

// Of a group each part is told apart what became of it.
Task<> PostgresTransaction::execute_unseen(std::string_view statement, std::vector<SqlValue> values) {
  if (access_ == Access::write_group) {
    co_await execute(statement, std::move(values));
    co_return;
  }
  first(statement, std::move(values));
  has_unseen_ = true;
}

Task<> PostgresTransaction::stand_in(Line line) {
  auto const number = static_cast<std::uint32_t>(line);
  auto const bit = 1u << number;
  if ((held_.lines & bit) != 0) co_return;
  held_.lines |= bit;
  lock(lock_statement, number);
}

Task<> PostgresTransaction::notify() {
  held_.notifies = true;
  co_return;
}

void PostgresTransaction::begin_part() {
  held_before_part_ = held_;
  first("SAVEPOINT part");
}

void PostgresTransaction::keep_part() { first("RELEASE SAVEPOINT part"); }

// Lines that it stood in are left as well.
void PostgresTransaction::undo_part() {
  held_ = held_before_part_;
  is_refused_ = false;
  first("ROLLBACK TO SAVEPOINT part");
  first("RELEASE SAVEPOINT part");
}

Task<> PostgresTransaction::commit() {
  if (!is_begun_ && !has_unseen_ && !held_.notifies) co_return;
  if (held_.notifies) first(notify_statement);
  std::vector<Command> end;
  end.push_back(Command{"COMMIT", {}});
  is_commit_sent_ = true;
  co_await send(std::move(end));
}

Task<> PostgresTransaction::roll_back() {
  first_.clear();
  if (!is_begun_) co_return;
  std::vector<Command> end;
  end.push_back(Command{"ROLLBACK", {}});
  co_await send(std::move(end));
}

}  // namespace nestgate::store
