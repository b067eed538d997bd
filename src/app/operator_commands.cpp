#include "app/operator_commands.hpp"

#include <simdjson.h>
#include <toml++/toml.h>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <ostream>
#include <vector>

#include "nestgate/net/core.hpp"
#include "nestgate/upstream/http_client.hpp"

namespace nestgate::app {
namespace {

namespace dom = simdjson::dom;
using upstream::Url;

constexpr std::string_view default_admin = "127.0.0.1:9090";
constexpr std::string_view admin_variable = "NESTGATE_LISTEN_ADMIN";
constexpr std::chrono::seconds ask_time_max{30};
constexpr std::chrono::minutes stop_time_max{5};  // a stop takes as long as the settings let it
constexpr std::chrono::seconds top_pause{2};
constexpr std::size_t answer_bytes_max = 256 * 1024 * 1024;
constexpr std::chrono::hours follow_time_max{24 * 365};  // a run has its own deadline
constexpr std::string_view page_size = "1000";
constexpr std::string_view clear_screen = "\x1b[H\x1b[2J";

// What went wrong, as one line for the operator, and the exit code.
struct Problem {
  std::string text;
  int exit_code = exit_failed;
};
template <class T>
using OrProblem = std::variant<T, Problem>;

int complain(Terminal terminal, Problem const& problem) {
  terminal.err << "nestgate: " << problem.text << '\n';
  return problem.exit_code;
}

int written(Terminal terminal) {
  if (terminal.out.flush()) return exit_done;
  return complain(terminal, {"standard output cannot be written to"});
}

// Only this one key is read, so that no secret need be at hand.
OrProblem<std::string> admin_in(std::filesystem::path const& config_file) {
  try {
    auto const table = toml::parse_file(config_file.string());
    return table["listen"]["admin"].value_or(std::string(default_admin));
  } catch (toml::parse_error const& error) {
    return Problem{config_file.string() + ": " + std::string(error.description()), exit_wrong_usage};
  }
}

// An address that stands for all of the machine's is asked at its loopback.
OrProblem<Url> admin_url(std::string const& text) {
  auto url = upstream::parse_url("http://" + text);
  bool const is_address = url && url->path.empty() && text.find('/') == text.npos;
  if (!is_address) return Problem{"admin address \"" + text + "\" is not allowed; allowed: HOST:PORT", exit_wrong_usage};
  auto const colon = text.rfind(':');
  if (colon == text.npos || text.find(']', colon) != text.npos || url->port == 0)
    return Problem{"admin address \"" + text + "\" has no port; name the real one with --admin HOST:PORT", exit_wrong_usage};
  if (url->host == "0.0.0.0") url->host = "127.0.0.1";
  if (url->host == "::") url->host = "::1";
  return *url;
}

// --admin goes before the environment, and that before the settings file, as with `serve`.
OrProblem<Url> find_admin(std::string const& given, std::filesystem::path const& config_file,
                          Environment const& environment) {
  if (!given.empty()) return admin_url(given);
  auto const variable = environment.variables.find(admin_variable);
  if (variable != environment.variables.end()) return admin_url(variable->second);
  if (config_file.empty()) return admin_url(std::string(default_admin));
  auto found = admin_in(config_file);
  if (auto* const problem = std::get_if<Problem>(&found)) return std::move(*problem);
  return admin_url(std::get<std::string>(found));
}

Task<> keep_answer(upstream::Call call, Deadline by, std::optional<Result<upstream::Answer>>& out) {
  out.emplace(co_await upstream::call(std::move(call), by));
}

Task<> pause_before_next() {
  auto const paused = co_await pause_for(top_pause);
  NESTGATE_INVARIANT(paused, "nobody cancels the pause");
}

// The message of an error in the gateway's shape.
std::string message_in(std::string const& body) {
  dom::parser parser;
  std::string_view message;
  if (parser.parse(body).at_pointer("/error/message").get(message)) return "an answer that cannot be read";
  return std::string(message);
}

// Talks to one gateway, a call at a time.
class Gateway {
 public:
  explicit Gateway(Url at) : at_(std::move(at)) {}

  OrProblem<std::string> get(std::string_view path, std::string_view query = {}) {
    upstream::Call call;
    call.url = at_.at(path, query);
    return ask(std::move(call), ask_time_max);
  }
  // Piece by piece, until the answer ends or `take` returns false; nothing: it came.
  std::optional<Problem> follow(std::string_view path, upstream::OnPiece take) {
    upstream::Call call;
    call.url = at_.at(path);
    call.on_piece = std::move(take);
    auto asked = ask(std::move(call), follow_time_max);
    if (auto* const problem = std::get_if<Problem>(&asked)) return std::move(*problem);
    return std::nullopt;
  }
  OrProblem<std::string> post(std::string_view path) {
    upstream::Call call;
    call.method = "POST";
    call.url = at_.at(path);
    call.headers.emplace_back("X-Nestgate-Operator", "1");
    return ask(std::move(call), stop_time_max);
  }
  void pause() {
    core_.loop.restart();
    core_.tasks.spawn("pause", pause_before_next());
    core_.loop.run();
  }

 private:
  OrProblem<std::string> ask(upstream::Call call, std::chrono::seconds time_max) {
    call.answer_bytes_max = answer_bytes_max;
    std::optional<Result<upstream::Answer>> answered;
    core_.loop.restart();
    core_.tasks.spawn("ask", keep_answer(std::move(call), Deadline::in(time_max), answered));
    core_.loop.run();
    NESTGATE_INVARIANT(answered, "a call ends");
    if (!*answered) return unreachable(answered->error());
    if (!(*answered)->ok()) return Problem{message_in((*answered)->body)};
    return std::move((*answered)->body);
  }

  Problem unreachable(Fault const& fault) const {
    if (fault.cause == asio::error::connection_refused)
      return {"nobody listens at the admin address " + at_.authority() + ": is the gateway running? (--config, --admin)"};
    return {upstream::failed("admin address " + at_.authority(), fault).reason};
  }

  Url at_;
  Core core_{CoreIndex{0}};
};

// What a program in a runtime wrote is not to steer the operator's terminal.
std::string printable(std::string_view text) {
  std::string out(text);
  std::replace_if(out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, '?');
  return out;
}

// Columns as wide as what stands in them, the last one open.
class Table {
 public:
  using Row = std::vector<std::string>;

  void add(Row row) { rows_.push_back(std::move(row)); }

  void print(std::ostream& out) const {
    std::vector<std::size_t> widths;
    for (auto const& row : rows_) {
      widths.resize(std::max(widths.size(), row.size()));
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    for (auto const& row : rows_) {
      std::string line;
      for (std::size_t i = 0; i < row.size(); ++i) {
        line += row[i];
        if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out << line << '\n';
    }
  }

 private:
  std::vector<Row> rows_;
};

// A member as a cell: "-" for null and what is not there.
std::string cell(dom::element row, std::string_view name) {
  dom::element value;
  std::string_view text;
  if (row[name].get(value) || value.is_null()) return "-";
  if (!value.get_string().get(text)) return text.empty() ? "-" : printable(text);
  return simdjson::minify(value);
}

std::string seconds_cell(dom::element row, std::string_view name) {
  std::int64_t seconds = 0;
  if (row[name].get(seconds)) return "-";
  if (seconds < 120) return std::to_string(seconds) + "s";
  if (seconds < 120 * 60) return std::to_string(seconds / 60) + "m";
  return std::to_string(seconds / 3600) + "h";
}

std::string duration_cell(dom::element row, std::string_view name) {
  std::int64_t ms = 0;
  if (row[name].get(ms)) return "-";
  if (ms < 1000) return std::to_string(ms) + "ms";
  if (ms < 120'000) return std::to_string(ms / 1000) + "." + std::to_string(ms % 1000 / 100) + "s";
  if (ms < 120 * 60'000) return std::to_string(ms / 60'000) + "m";
  return std::to_string(ms / 3'600'000) + "h";
}

// The first line of what is there.
std::string line_cell(dom::element row, std::string_view name) {
  std::string_view text;
  if (row[name].get(text) || text.empty()) return "-";
  return printable(text.substr(0, text.find('\n')));
}

std::string bytes_cell(dom::element row, std::string_view name) {
  std::uint64_t bytes = 0;
  if (row[name].get(bytes)) return "-";
  return std::to_string((bytes + (1U << 19)) >> 20) + " MiB";
}

std::string percent_cell(dom::element row, std::string_view name) {
  double percent = 0;
  if (row[name].get(percent)) return "-";
  auto const tenths = static_cast<std::int64_t>(std::lround(percent * 10));
  return std::to_string(tenths / 10) + "." + std::to_string(std::abs(tenths % 10));
}

Problem not_understood() { return {"the gateway's answer cannot be read: is it another version?"}; }

// The answer's object, which lives as long as the parser's document; or what is wrong with it.
std::optional<Problem> read_answer(OrProblem<std::string> const& asked, dom::parser& parser, dom::element& root) {
  if (auto const* const problem = std::get_if<Problem>(&asked)) return *problem;
  bool const is_read = !parser.parse(std::get<std::string>(asked)).get(root) && root.is_object();
  if (!is_read) return not_understood();
  return std::nullopt;
}

// The same of {"results": [...], ...}.
std::optional<Problem> read_list(OrProblem<std::string> const& asked, dom::parser& parser, dom::element& root,
                                 dom::array& results) {
  if (auto problem = read_answer(asked, parser, root)) return problem;
  if (root["results"].get(results)) return not_understood();
  return std::nullopt;
}

// What people are shown of a list.
struct Columns {
  Table::Row titles;
  Table::Row (*row_of)(dom::element);
};

Table table_of(Columns const& columns, dom::array elements) {
  Table table;
  table.add(columns.titles);
  for (auto const element : elements) table.add(columns.row_of(element));
  return table;
}

int print_list(OrProblem<std::string> const& asked, Columns const& columns, bool as_json, Terminal terminal) {
  dom::parser parser;
  dom::element root;
  dom::array results;
  if (auto const problem = read_list(asked, parser, root, results)) return complain(terminal, *problem);
  if (as_json) terminal.out << simdjson::minify(results) << '\n';
  if (!as_json) table_of(columns, results).print(terminal.out);
  return written(terminal);
}

Table::Row row_of_conversation(dom::element row) {
  auto const reason = cell(row, "reason");
  return {cell(row, "id"),
          cell(row, "state"),
          cell(row, "owner"),
          cell(row, "purpose"),
          cell(row, "created_at"),
          cell(row, "last_act_at"),
          reason == "-" ? cell(row, "progress") : reason};
}

// Page after page, so that however many there are no answer is larger than one page.
int print_conversations(Gateway& gateway, std::string const& state, bool as_json, Terminal terminal) {
  Table table;
  table.add({"ID", "STATE", "OWNER", "PURPOSE", "CREATED", "LAST ACT", "WHY"});
  std::string list;
  std::string page_id;
  do {
    std::string query = "limit=" + std::string(page_size);
    if (!state.empty()) query += "&status=" + state;
    if (!page_id.empty()) query += "&page_id=" + page_id;
    dom::parser parser;
    dom::element root;
    dom::array results;
    auto const problem = read_list(gateway.get("/api/conversations", query), parser, root, results);
    if (problem) return complain(terminal, *problem);
    for (auto const row : results) {
      if (as_json) list += (list.empty() ? "" : ",\n") + std::string(simdjson::minify(row));
      if (!as_json) table.add(row_of_conversation(row));
    }
    std::string_view next;
    page_id = root["next_page_id"].get(next) ? std::string() : std::string(next);
  } while (!page_id.empty());
  if (as_json) terminal.out << '[' << list << "]\n";
  if (!as_json) table.print(terminal.out);
  return written(terminal);
}

int print_log(Gateway& gateway, ConversationId const& id, std::size_t bytes, Terminal terminal) {
  auto const asked = gateway.get("/api/conversations/" + id.text() + "/log", "bytes=" + std::to_string(bytes));
  if (auto const* const problem = std::get_if<Problem>(&asked)) return complain(terminal, *problem);
  terminal.out << std::get<std::string>(asked);
  return written(terminal);
}

int stop_conversation(Gateway& gateway, ConversationId const& id, bool as_json, Terminal terminal) {
  dom::parser parser;
  dom::element root;
  auto const problem = read_answer(gateway.post("/api/conversations/" + id.text() + "/stop"), parser, root);
  if (problem) return complain(terminal, *problem);
  if (as_json) terminal.out << simdjson::minify(root) << '\n';
  if (!as_json) terminal.out << cell(root, "id") << ' ' << cell(root, "state") << '\n';
  return written(terminal);
}

Table::Row row_of_top(dom::element row) {
  return {cell(row, "id"),
          cell(row, "state"),
          cell(row, "owner"),
          cell(row, "streams"),
          seconds_cell(row, "seconds_since_act"),
          seconds_cell(row, "seconds_since_traffic"),
          bytes_cell(row, "memory_bytes"),
          percent_cell(row, "cpu_percent")};
}

int print_top(Gateway& gateway, bool as_json, Terminal terminal) {
  Columns const columns{{"ID", "STATE", "OWNER", "STREAMS", "SINCE ACT", "SINCE TRAFFIC", "MEMORY", "CPU %"}, row_of_top};
  return print_list(gateway.get("/api/top"), columns, as_json, terminal);
}

// Until the gateway or the output is gone, or somebody interrupts it.
int follow_top(Gateway& gateway, bool as_json, Terminal terminal) {
  for (;;) {
    if (!as_json) terminal.out << clear_screen;
    if (auto const code = print_top(gateway, as_json, terminal); code != exit_done) return code;
    gateway.pause();
  }
}

Table::Row row_of_run(dom::element row) {
  return {cell(row, "id"),         cell(row, "automation_id"), cell(row, "status"),           cell(row, "trigger"),
          cell(row, "created_at"), cell(row, "started_at"),    duration_cell(row, "took_ms"), line_cell(row, "error")};
}

int print_runs(Gateway& gateway, std::string const& query, bool as_json, Terminal terminal) {
  Columns const columns{{"ID", "AUTOMATION", "STATUS", "TRIGGER", "CREATED", "STARTED", "TOOK", "ERROR"}, row_of_run};
  return print_list(gateway.get("/api/runs", query), columns, as_json, terminal);
}

Table::Row row_of_attempt(dom::element row) {
  return {cell(row, "attempt"), cell(row, "started_at"), cell(row, "ended_at"), line_cell(row, "error")};
}

Table::Row row_of_delivery(dom::element row) {
  auto const endpoint = cell(row, "endpoint_id");
  return {cell(row, "id"),
          endpoint == "-" ? cell(row, "to") : endpoint,
          cell(row, "state"),
          cell(row, "attempts"),
          cell(row, "next_attempt_at"),
          line_cell(row, "last_error")};
}

// Where there are any.
void print_list_in(dom::element run, std::string_view name, Columns const& columns, std::ostream& out) {
  dom::array elements;
  if (run[name].get(elements) || elements.size() == 0) return;
  out << '\n';
  table_of(columns, elements).print(out);
}

// A member a line, without those that are not set; then its deliveries.
void print_run_for_people(dom::element run, std::ostream& out) {
  Table fields;
  for (auto const [name, value] : dom::object(run)) {
    bool const has_its_own_form = name == "took_ms" || name == "error" || name.ends_with("_tail") || value.is_array();
    if (!value.is_null() && !has_its_own_form) fields.add({std::string(name), cell(run, name)});
  }
  fields.add({"took", duration_cell(run, "took_ms")});
  fields.add({"error", line_cell(run, "error")});
  fields.print(out);
  print_list_in(run, "attempts_before", {{"ATTEMPT", "STARTED", "ENDED", "ERROR"}, row_of_attempt}, out);
  print_list_in(run, "deliveries", {{"DELIVERY", "TO", "STATE", "ATTEMPTS", "NEXT", "LAST ERROR"}, row_of_delivery}, out);
}

int print_run(Gateway& gateway, ConversationId const& id, bool as_json, Terminal terminal) {
  dom::parser parser;
  dom::element root;
  auto const problem = read_answer(gateway.get("/api/runs/" + id.text()), parser, root);
  if (problem) return complain(terminal, *problem);
  if (as_json) terminal.out << simdjson::minify(root) << '\n';
  if (!as_json) print_run_for_people(root, terminal.out);
  return written(terminal);
}

// What a run's command says, from the events that the gateway sends of it.
class Following {
 public:
  explicit Following(Terminal terminal) : terminal_(terminal) {}

  // False: nobody reads any more.
  bool take(std::string_view piece) {
    unread_ += piece;
    std::size_t at = 0;
    for (auto end = unread_.find("\n\n"); end != unread_.npos; end = unread_.find("\n\n", at)) {
      take_event(std::string_view(unread_).substr(at, end - at));
      at = end + 2;
    }
    unread_.erase(0, at);
    return terminal_.out.flush() && terminal_.err.flush();
  }
  // The run's status once it ended, and its error's first line.
  std::optional<std::pair<std::string, std::string>> const& end() const noexcept { return end_; }

 private:
  void take_event(std::string_view event) {
    constexpr std::string_view name_is = "event: ", data_is = "\ndata: ";
    auto const data_at = event.find(data_is);
    if (!event.starts_with(name_is) || data_at == event.npos) return;
    auto const name = event.substr(name_is.size(), data_at - name_is.size());
    dom::element data;
    if (parser_.parse(std::string(event.substr(data_at + data_is.size()))).get(data)) return;
    std::string_view text;
    if (name == "end") end_.emplace(cell(data, "status"), line_cell(data, "error_detail"));
    if (data.get(text)) return;
    if (name == "stdout") terminal_.out << text;
    if (name == "stderr") terminal_.err << text;
  }

  Terminal terminal_;
  dom::parser parser_;
  std::string unread_;
  std::optional<std::pair<std::string, std::string>> end_;
};

int follow_run(Gateway& gateway, ConversationId const& id, Terminal terminal) {
  Following following(terminal);
  auto const take = [&following](std::string_view piece) { return following.take(piece); };
  auto const problem = gateway.follow("/api/runs/" + id.text() + "/output", take);
  if (auto const code = written(terminal); code != exit_done) return code;
  if (problem) return complain(terminal, *problem);
  if (!following.end()) return complain(terminal, {"the gateway ended before the run did"});
  auto const& [status, error] = *following.end();
  if (status == "COMPLETED") return exit_done;
  return complain(terminal, {"run " + id.text() + " " + status + (error == "-" ? "" : ": " + error)});
}

}  // namespace

CLI::App* OperatorCommands::add(CLI::App& app, std::string const& name, std::string const& does) {
  auto* const command = app.add_subcommand(name, does);
  command->add_option("--config", config_file_, "Settings, TOML: its listen.admin is asked")->type_name("FILE");
  command
      ->add_option("--admin", admin_,
                   "The admin address; else NESTGATE_LISTEN_ADMIN, else of the settings, else " + std::string(default_admin))
      ->type_name("HOST:PORT");
  command->set_version_flag("--version", "nestgate " NESTGATE_VERSION);
  return command;
}

OperatorCommands::OperatorCommands(CLI::App& app)
    : ps_(add(app, "ps", "List the conversations of a gateway that runs")),
      logs_(add(app, "logs", "Print the newest of what a conversation's server has said")),
      stop_(add(app, "stop", "Stop a conversation; its files stay")),
      top_(add(app, "top", "Show who uses what, again every 2 seconds")),
      runs_(add(app, "runs", "List the runs of automations, newest first")),
      run_(add(app, "run", "Show a run, or what it says as it comes")) {
  for (auto* const command : {ps_, stop_, top_, runs_, run_}) command->add_flag("--json", as_json_, "JSON for scripts");
  for (auto* const command : {logs_, stop_}) command->add_option("ID", id_, "Conversation id")->required()->type_name("");
  ps_->add_option("--status", state_, "Only those in this state")
      ->check(CLI::IsMember({"starting", "running", "paused", "stopping", "stopped", "error"}))
      ->type_name("STATE");
  logs_->add_option("--bytes", log_bytes_, "How much of it, at most 1048576")->check(CLI::Range(1, 1024 * 1024));
  top_->add_flag("--once", once_, "Once, and exit");
  runs_->add_option("--status", state_, "Only those in this status")
      ->transform(CLI::IsMember({"PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "SKIPPED"}, CLI::ignore_case))
      ->type_name("STATUS");
  runs_->add_option("--automation", automation_, "Only those of this automation")->type_name("ID");
  runs_->add_option("--limit", runs_max_, "How many of them, at most 1000")->check(CLI::Range(1, 1000));
  run_->add_option("ID", id_, "Run id")->required()->type_name("");
  run_->add_flag("--follow", follows_, "Its output until it ends; exit code 0 if it is COMPLETED then")
      ->excludes(run_->get_option("--json"));
}

std::optional<int> OperatorCommands::run(Environment const& environment, Terminal terminal) const {
  bool const is_of_runs = *runs_ || *run_;
  bool const is_one = *ps_ || *logs_ || *stop_ || *top_ || is_of_runs;
  if (!is_one) return std::nullopt;
  if (is_of_runs) return run_runs(environment, terminal);
  auto const id = ConversationId::parse(id_);
  if ((*logs_ || *stop_) && !id)
    return complain(terminal, {"\"" + printable(id_) + "\" is not a conversation id; allowed: 1 to 128 of A-Za-z0-9._-",
                               exit_wrong_usage});
  auto at = find_admin(admin_, config_file_, environment);
  if (auto const* const problem = std::get_if<Problem>(&at)) return complain(terminal, *problem);
  Gateway gateway(std::get<Url>(std::move(at)));
  if (*ps_) return print_conversations(gateway, state_, as_json_, terminal);
  if (*logs_) return print_log(gateway, *id, log_bytes_, terminal);
  if (*stop_) return stop_conversation(gateway, *id, as_json_, terminal);
  return once_ ? print_top(gateway, as_json_, terminal) : follow_top(gateway, as_json_, terminal);
}

int OperatorCommands::run_runs(Environment const& environment, Terminal terminal) const {
  auto const& given = *run_ ? id_ : automation_;
  auto const id = ConversationId::parse(given);
  bool const is_uuid = id && id->is_uuid();
  if (!is_uuid && !(*runs_ && given.empty()))
    return complain(terminal, {"\"" + printable(given) + "\" is not an id; allowed: a UUID", exit_wrong_usage});
  auto at = find_admin(admin_, config_file_, environment);
  if (auto const* const problem = std::get_if<Problem>(&at)) return complain(terminal, *problem);
  Gateway gateway(std::get<Url>(std::move(at)));
  if (*run_) return follows_ ? follow_run(gateway, *id, terminal) : print_run(gateway, *id, as_json_, terminal);
  std::string query = "limit=" + std::to_string(runs_max_);
  if (!state_.empty()) query += "&status=" + state_;
  if (id) query += "&automation_id=" + id->text();
  return print_runs(gateway, query, as_json_, terminal);
}

}  // namespace nestgate::app
