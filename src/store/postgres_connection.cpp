#include "postgres_connection.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <boost/asio/experimental/parallel_group.hpp>
#include <optional>

#include "nestgate/net/task_group.hpp"

namespace nestgate::store {
namespace {

// What holds where the url does not say otherwise: a server that takes writes, and a dead peer that is found out.
constexpr std::array<std::pair<char const*, char const*>, 6> defaults{{{"target_session_attrs", "read-write"},
                                                                       {"keepalives_idle", "30"},
                                                                       {"keepalives_interval", "10"},
                                                                       {"keepalives_count", "3"},
                                                                       {"tcp_user_timeout", "30000"},
                                                                       {"application_name", "nestgate"}}};

// libpq writes what the server remarks to standard error otherwise.
void ignore_notice(void*, PGresult const*) {}

std::string field(PGresult const* result, int which) {
  auto const* const text = PQresultErrorField(result, which);
  return text == nullptr ? std::string() : std::string(text);
}

std::vector<Oid> types_of(PostgresConnection::Command const& command) {
  if (command.arrays.empty()) return store::types_of(command.values);
  std::vector<Oid> types;
  types.reserve(command.arrays.size());
  for (auto const& array : command.arrays) types.push_back(array.type);
  return types;
}

Unusable unusable(std::string reason) {
  return Unusable{upstream::fail(FaultKind::unavailable, "store", "store: " + std::move(reason))};
}

}  // namespace

void PostgresConnection::lose(std::string why) {
  is_usable_ = false;
  throw ConnectionLost{unusable(std::move(why)), false};
}

void PostgresConnection::lose_unless(bool is_well) {
  if (!is_well) lose("the connection to the server was lost");
}

Task<std::unique_ptr<PostgresConnection>> PostgresConnection::open(PostgresUrl url, PostgresTimes times) {
  std::unique_ptr<PostgresConnection> made(new PostgresConnection(co_await asio::this_coro::executor, times));
  co_await made->connect(std::move(url));
  auto const ms = [](std::chrono::milliseconds time) { return std::to_string(time.count()); };
  auto script = "SET lock_timeout = " + ms(times.lock_max) + "; SET statement_timeout = " + ms(times.answer_max) +
                "; SET idle_in_transaction_session_timeout = " + ms(times.pause_max);
  co_await made->run_script(std::move(script));
  co_return made;
}

Task<> PostgresConnection::connect(PostgresUrl url) {
  auto const by = Deadline::in(times_.connect_max);
  auto const places = co_await places_of(url, by);
  std::vector<char const*> keywords, values;
  auto const tell = [&](char const* keyword, char const* value) {
    keywords.push_back(keyword);
    values.push_back(value);
  };
  for (auto const& [keyword, value] : defaults) tell(keyword, value);
  tell("dbname", url->reveal().data());
  tell("client_encoding", "UTF8");
  for (auto const& [keyword, value] : places) tell(keyword, value.c_str());
  tell(nullptr, nullptr);
  constexpr int expand_dbname = 1;
  connection_.reset(PQconnectStartParams(keywords.data(), values.data(), expand_dbname));
  if (!connection_) lose("out of memory");
  PQsetErrorVerbosity(connection_.get(), PQERRORS_SQLSTATE);
  PQsetNoticeReceiver(connection_.get(), ignore_notice, nullptr);

  auto state = PQstatus(connection_.get()) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK) {
    if (state == PGRES_POLLING_FAILED) {
      auto fault = connect_fault_of(PQerrorMessage(connection_.get()));
      throw ConnectionLost{unusable(std::move(fault.sentence)), fault.is_final};
    }
    follow_socket();
    co_await wait(state == PGRES_POLLING_READING ? Ready::to_read : Ready::to_write, by);
    state = PQconnectPoll(connection_.get());
  }
  follow_socket();
  lose_unless(PQsetnonblocking(connection_.get(), 1) == 0);
  is_usable_ = true;
}

// libpq may go on to another socket at each step of connecting.
void PostgresConnection::follow_socket() {
  error_code ignored;
  socket_.close(ignored);
  int const copy = ::fcntl(PQsocket(connection_.get()), F_DUPFD_CLOEXEC, 0);
  lose_unless(copy >= 0);
  error_code ec;
  socket_.assign(copy, ec);
  if (!ec) return;
  ::close(copy);
  lose("no descriptor is left");
}

Task<> PostgresConnection::wait(Ready what, Deadline by) {
  using asio::posix::descriptor_base;
  // A cancel that came between two waits is told by nothing else, and a server that is only listened to may never speak.
  bool const is_cut = co_await is_cancelled();
  if (is_cut) lose("cancelled");
  Timer alarm(socket_.get_executor(), by.at());
  auto first = asio::experimental::wait_for_one();
  error_code ec;
  bool is_late = false;
  if (what == Ready::to_either) {
    auto all = asio::experimental::make_parallel_group(socket_.async_wait(descriptor_base::wait_read, asio::deferred),
                                                       socket_.async_wait(descriptor_base::wait_write, asio::deferred),
                                                       alarm.async_wait(asio::deferred));
    auto [order, read_ec, write_ec, alarm_ec] = co_await std::move(all).async_wait(first, asio::deferred);
    is_late = order[0] == 2 && !alarm_ec;
    ec = order[0] == 0 ? read_ec : order[0] == 1 ? write_ec : alarm_ec;
  } else {
    auto const direction = what == Ready::to_read ? descriptor_base::wait_read : descriptor_base::wait_write;
    auto both = asio::experimental::make_parallel_group(socket_.async_wait(direction, asio::deferred),
                                                        alarm.async_wait(asio::deferred));
    auto [order, socket_ec, alarm_ec] = co_await std::move(both).async_wait(first, asio::deferred);
    is_late = order[0] == 1 && !alarm_ec;
    ec = order[0] == 0 ? socket_ec : alarm_ec;
  }
  if (is_late) lose("the server does not answer");
  lose_unless(!ec);
}

Task<> PostgresConnection::flush(Deadline by) {
  for (;;) {
    int const left = PQflush(connection_.get());
    lose_unless(left >= 0);
    if (left == 0) co_return;
    co_await wait(Ready::to_either, by);
    // A server that waits for its answers to be taken takes nothing more.
    lose_unless(PQconsumeInput(connection_.get()) == 1);
  }
}

Task<PostgresConnection::Result> PostgresConnection::answer(Deadline by) {
  while (PQisBusy(connection_.get()) != 0) {
    co_await wait(Ready::to_read, by);
    lose_unless(PQconsumeInput(connection_.get()) == 1);
  }
  co_return Result(PQgetResult(connection_.get()));
}

std::string const& PostgresConnection::prepare(Command const& command, std::vector<Sent>& sent) {
  auto const types = types_of(command);
  std::string key(command.statement);
  key += '\0';
  key.append(reinterpret_cast<char const*>(types.data()), types.size() * sizeof types.front());
  auto const [at, is_new] = prepared_.try_emplace(std::move(key));
  if (!is_new) return at->second;
  at->second = "s" + std::to_string(++prepared_ever_);
  auto const text = with_dollars(command.statement);
  auto const count = static_cast<int>(types.size());
  lose_unless(PQsendPrepare(connection_.get(), at->second.c_str(), text.c_str(), count, types.data()) == 1);
  sent.push_back(Sent{&at->first});
  return at->second;
}

void PostgresConnection::send_values(std::string const& name, Command const& command) {
  auto const out = command.arrays.empty() ? ValuesOut(command.values) : ValuesOut(command.arrays);
  constexpr int binary = 1;
  lose_unless(PQsendQueryPrepared(connection_.get(), name.c_str(), out.count(), out.values(), out.lengths(), out.formats(),
                                  binary) == 1);
}

std::vector<PostgresConnection::Sent> PostgresConnection::send(std::span<Command const> commands) {
  lose_unless(PQenterPipelineMode(connection_.get()) == 1);
  std::vector<Sent> sent;
  for (auto const& command : commands) {
    send_values(prepare(command, sent), command);
    sent.push_back(Sent{});
  }
  lose_unless(PQpipelineSync(connection_.get()) == 1);
  return sent;
}

void PostgresConnection::keep_refusal(PGresult const* result, std::optional<StatementRefused>& refused) {
  auto const state = field(result, PG_DIAG_SQLSTATE);
  auto const refusal = refusal_of(state, field(result, PG_DIAG_SEVERITY_NONLOCALIZED));
  if (refusal == Refusal::of_connection) lose("the server ended the connection");
  if (refused) return;
  auto reason = "the server refused a statement: " + field(result, PG_DIAG_MESSAGE_PRIMARY) + " (" + state + ")";
  refused.emplace(StatementRefused{unusable(std::move(reason)), refusal == Refusal::of_moment});
}

Task<std::vector<Rows>> PostgresConnection::run(std::span<Command const> commands) {
  lose_unless(is_usable_);
  is_usable_ = false;  // until the last answer is in
  auto const by = Deadline::in(times_.answer_max);
  auto const sent = send(commands);
  co_await flush(by);
  std::vector<Rows> rows;
  rows.reserve(commands.size());
  std::optional<StatementRefused> refused;
  for (auto const& one : sent) {
    auto const result = co_await answer(by);
    auto const status = PQresultStatus(result.get());
    bool const is_done = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (status == PGRES_FATAL_ERROR) keep_refusal(result.get(), refused);
    lose_unless(is_done || status == PGRES_FATAL_ERROR || status == PGRES_PIPELINE_ABORTED);
    if (one.key != nullptr && !is_done) prepared_.erase(prepared_.find(*one.key));
    if (one.key == nullptr && is_done) rows.push_back(rows_of(*result));
    auto const end = co_await answer(by);
    lose_unless(!end);
  }
  auto const sync = co_await answer(by);
  lose_unless(PQresultStatus(sync.get()) == PGRES_PIPELINE_SYNC && PQexitPipelineMode(connection_.get()) == 1);
  is_usable_ = true;
  if (refused) throw *refused;
  co_return rows;
}

Task<> PostgresConnection::run_script(std::string script) {
  lose_unless(is_usable_);
  is_usable_ = false;
  auto const by = Deadline::in(times_.answer_max);
  lose_unless(PQsendQuery(connection_.get(), script.c_str()) == 1);
  co_await flush(by);
  std::optional<StatementRefused> refused;
  for (;;) {
    auto const result = co_await answer(by);
    if (!result) break;
    if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR) keep_refusal(result.get(), refused);
  }
  is_usable_ = true;
  if (refused) throw *refused;
}

Task<std::vector<int>> PostgresConnection::notified() {
  std::vector<int> by;
  for (;;) {
    while (auto* const notice = PQnotifies(connection_.get())) {
      by.push_back(notice->be_pid);
      PQfreemem(notice);
    }
    if (!by.empty()) co_return by;
    co_await wait(Ready::to_read, Deadline::at(Clock::time_point::max()));
    lose_unless(PQconsumeInput(connection_.get()) == 1);
  }
}

}  // namespace nestgate::store
