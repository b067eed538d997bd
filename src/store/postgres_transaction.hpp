#pragma once

#include "postgres_connection.hpp"

namespace nestgate::store {

// What a committed transaction tells who listens.
inline constexpr std::string_view notify_statement = "NOTIFY nestgate";
inline constexpr std::string_view listen_statement = "LISTEN nestgate";
// Advisory locks of ours are this and the number of what they let through one at a time.
inline constexpr std::int32_t lock_space = 0x4e475354;  // "NGST"
inline constexpr std::string_view lock_statement = "SELECT pg_advisory_xact_lock(CAST(?1 AS INTEGER), CAST(?2 AS INTEGER))";
inline constexpr std::string_view lock_together_statement =
    "SELECT pg_advisory_xact_lock_shared(CAST(?1 AS INTEGER), CAST(?2 AS INTEGER))";
inline constexpr std::uint32_t groups_lock = 1'000;  // the number; those of the lines are small

// A transaction on a connection, which outlives it. What begins it, parts it and waits in lines goes to the server along
// with the next statement: of a claim's round trips none is for them. Throws as PostgresConnection.
class PostgresTransaction final : public Sql {
 public:
  // write_group: several calls. Each takes its locks in the same order as all others do, one behind the other they do not:
  // a group is alone in the database, and what is no group goes on beside its like.
  enum class Access : std::uint8_t { read, write, write_group };
  PostgresTransaction(PostgresConnection& connection, Access access);

  Task<Rows> execute(std::string_view statement, std::vector<SqlValue> values) override;
  Task<std::vector<Rows>> execute_each(std::string_view statement, std::vector<std::vector<SqlValue>> values) override;
  Task<std::vector<bool>> insert_each(Insertion const& insertion, std::vector<std::vector<SqlValue>> rows) override;
  Task<std::vector<bool>> update_each(RowUpdate const& update, std::vector<std::vector<SqlValue>> rows) override;
  Task<> execute_unseen(std::string_view statement, std::vector<SqlValue> values) override;
  Task<> stand_in(Line line) override;
  Task<> notify() override;

  // A part can be undone by itself; one ends before the next begins.
  void begin_part();
  void keep_part();
  void undo_part();
  // Whether the server refused a statement of this part: then only undoing it helps.
  bool is_refused() const noexcept { return is_refused_; }

  // Nothing goes to the server where no statement did.
  Task<> commit();
  // From here on a lost connection does not tell whether it was committed.
  bool is_commit_sent() const noexcept { return is_commit_sent_; }
  Task<> roll_back();

 private:
  using Command = PostgresConnection::Command;
  struct Held {
    std::uint32_t lines = 0;  // a bit each
    bool notifies = false;
  };
  Task<std::vector<Rows>> send(std::vector<Command> commands);
  template <class Write>
  Task<std::vector<bool>> write_each(Write const& write, std::vector<std::vector<SqlValue>> rows);
  void first(std::string_view statement, std::vector<SqlValue> values = {});
  void lock(std::string_view statement, std::uint32_t number);

  PostgresConnection& connection_;
  Access access_;
  std::vector<Command> first_;  // goes before the next statement
  Held held_, held_before_part_;
  bool is_begun_ = false;
  bool has_unseen_ = false;
  bool is_refused_ = false;
  bool is_commit_sent_ = false;
};

}  // namespace nestgate::store
