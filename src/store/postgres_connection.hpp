#pragma once

#include <libpq-fe.h>

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "postgres_address.hpp"
#include "postgres_text.hpp"
#include "postgres_values.hpp"
#include "sql.hpp"

namespace nestgate::store {

struct PostgresTimes {
  std::chrono::milliseconds connect_max{5'000};
  std::chrono::milliseconds lock_max{10'000};    // how long a statement waits for other transactions
  std::chrono::milliseconds answer_max{30'000};  // a server that is silent for so long is taken for gone
  // Between two statements of a transaction: the server ends what a gateway began that is frozen now, within `lock_max`.
  std::chrono::milliseconds pause_max{5'000};
};

// The server did not do a statement; the connection is as good as before.
struct StatementRefused : Unusable {
  bool is_of_moment = false;
};
// Nothing more can be said over this connection.
struct ConnectionLost : Unusable {
  bool is_final = false;  // the server refuses us: another connection would do no better
};

// A connection to a PostgreSQL server. Used by one coroutine at a time, on the loop that it was opened on; a cancel of that
// coroutine costs the connection. Everything throws Unusable: StatementRefused or ConnectionLost, but for a name that is
// not found in time.
class PostgresConnection {
 public:
  static Task<std::unique_ptr<PostgresConnection>> open(PostgresUrl url, PostgresTimes times);
  PostgresConnection(PostgresConnection const&) = delete;
  PostgresConnection& operator=(PostgresConnection const&) = delete;

  // Parameters are ?1, ?2, …; their types are those of the values, of monostate what the server finds. Either values or
  // arrays.
  struct Command {
    std::string_view statement;
    std::vector<SqlValue> values;
    std::vector<ArrayOut> arrays = {};
  };
  // All of them in one round trip, in their order. Of one that is refused those behind it are not done.
  Task<std::vector<Rows>> run(std::span<Command const> commands);
  // Any number of statements, without parameters; what they return is dropped.
  Task<> run_script(std::string script);
  // Waits for notifications of what it listens to, however long: of which of the server's processes each is.
  Task<std::vector<int>> notified();
  // The server's process at its other end.
  int server_pid() const noexcept { return PQbackendPID(connection_.get()); }

  // No: it was lost, or left in the middle of an answer.
  bool is_usable() const noexcept { return is_usable_; }

 private:
  struct Finish {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
  };
  struct Clear {
    void operator()(PGresult* result) const noexcept { PQclear(result); }
  };
  using Result = std::unique_ptr<PGresult, Clear>;
  enum class Ready : std::uint8_t { to_read, to_write, to_either };
  // What an answer is awaited of. `key`: of the statement that it prepares; null: it runs one.
  struct Sent {
    std::string const* key = nullptr;
  };

  PostgresConnection(Executor executor, PostgresTimes times) : times_(times), socket_(executor) {}
  Task<> connect(PostgresUrl url);
  void follow_socket();
  Task<> wait(Ready what, Deadline by);
  Task<> flush(Deadline by);
  Task<Result> answer(Deadline by);
  std::vector<Sent> send(std::span<Command const> commands);
  std::string const& prepare(Command const& command, std::vector<Sent>& sent);
  void send_values(std::string const& name, Command const& command);
  void keep_refusal(PGresult const* result, std::optional<StatementRefused>& refused);
  [[noreturn]] void lose(std::string why);
  void lose_unless(bool is_well);

  PostgresTimes times_;
  std::unique_ptr<PGconn, Finish> connection_;
  // A second descriptor of libpq's socket, which libpq closes by itself. Closed first.
  asio::posix::basic_stream_descriptor<Executor> socket_;
  std::unordered_map<std::string, std::string> prepared_;  // by text and types of parameters: the name at the server
  std::size_t prepared_ever_ = 0;
  bool is_usable_ = false;
};

}  // namespace nestgate::store
