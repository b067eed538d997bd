#include "nestgate/nested/client.hpp"

#include <algorithm>

#include "answers.hpp"
#include "messages.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/upstream/random.hpp"

namespace nestgate::nested {
namespace {

using namespace std::chrono_literals;
using upstream::Answer;
using upstream::Call;

constexpr Clock::duration alive_try_max = 5s;
constexpr Clock::duration alive_pause_min = 10ms;
constexpr Clock::duration alive_pause_max = 500ms;

// Whether saying it twice is the same as saying it once.
bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "PUT" || method == "PATCH" || method == "DELETE";
}

}  // namespace

Task<Outcome<Answer>> Client::send(std::string_view step, Call call, Deadline by) {
  if (!session_key_.empty()) call.secret_headers.emplace_back("X-Session-API-Key", session_key_.clone());
  auto answer = co_await upstream::call(std::move(call), by);
  if (!answer) co_return upstream::failed(step, answer.error());
  co_return std::move(*answer);
}

Call Client::call_of(Message const& message) const {
  auto call = upstream::call_to(at_, message.path, message.query);
  call.method = message.method;
  call.body = message.body;
  if (message.method != "GET") call.content_type = "application/json";
  return call;
}

Task<Outcome<Answer>> Client::tell(std::string_view step, Message message, Deadline by) {
  for (auto pause = pace_.retry_min;; pause = std::min(pause * 2, pace_.retry_max)) {
    auto answer = co_await send(step, call_of(message), by);
    bool const is_cut = !answer && answer.error().fault.kind == FaultKind::upstream && is_idempotent(message.method);
    if (!is_cut && !(answer && is_told_to_wait(*answer))) co_return answer;
    auto wait = pause;
    if (answer) wait = std::max<Clock::duration>(wait, *answer->retry_after);
    if (Clock::now() + wait >= by.at()) co_return answer;
    auto waited = co_await pause_for(wait);
    if (!waited) co_return upstream::failed(step, waited.error());
  }
}

Task<Outcome<>> Client::wait_alive(Deadline by) {
  Clock::duration pause = alive_pause_min;
  std::optional<std::string> last;
  while (!by.passed()) {
    auto call = upstream::call_to(at_, "/alive");
    auto answer = co_await send("ready", std::move(call), by.capped(alive_try_max));
    bool const is_early = answer && answer->ok() && says_not_ready(answer->body);
    if (answer && answer->ok() && !is_early) co_return Outcome<>{};
    if (!answer && answer.error().fault.kind == FaultKind::cancelled) co_return answer.error();
    bool const is_cut = !answer && by.passed();  // by our own time: what was seen before says more
    if (is_early) {
      last = "/alive says that it is not ready";
    } else if (!last || !is_cut) {
      last = answer ? "/alive answers " + std::to_string(answer->status) : answer.error().reason;
    }
    auto waited = co_await pause_for(std::min(pause, by.at() - Clock::now()));
    if (!waited) co_return upstream::failed("ready", waited.error());
    pause = std::min(pause * 2, alive_pause_max);
  }
  Fault const fault{FaultKind::timed_out, {}, "nested.wait_alive"};
  co_return Failure{fault, "ready: the server was not alive in time (last: " + last.value_or("not asked") + ")"};
}

// It overwrites, so a server that closed the kept connection just then is sent it once more.
Task<Outcome<>> Client::upload(std::string path, std::string_view bytes, Deadline by) {
  auto uploaded = co_await upload_once(path, bytes, kept_, by);
  bool const was_cut =
      kept_ && !uploaded && uploaded.error().fault.kind == FaultKind::upstream && uploaded.error().status == 0;
  if (!was_cut) co_return uploaded;
  co_return co_await upload_once(path, bytes, nullptr, by);
}

Task<Outcome<>> Client::upload_once(std::string const& path, std::string_view bytes,
                                    std::shared_ptr<upstream::KeptConnections> kept, Deadline by) {
  std::string const boundary = "nestgate-" + upstream::random_hex(16);
  std::string const start = file_part_start(boundary);
  std::string const end = file_part_end(boundary);
  std::string query = "path=";
  append_percent_encoded(query, path);
  auto call = upstream::call_to(at_, "/api/file/upload", query);
  call.method = "POST";
  call.body = {start, bytes, end};
  call.content_type = "multipart/form-data; boundary=" + boundary;
  call.kept = std::move(kept);
  NESTGATE_CO_TRY(answer, co_await send("upload", std::move(call), by));
  if (!answer.ok()) co_return upstream::refused("upload", answer.status);
  co_return Outcome<>{};
}

Task<Outcome<CommandOutput>> Client::execute(std::string command, std::chrono::seconds time_max, Deadline by) {
  std::string const body = command_body(command, time_max);
  Message const message{"POST", "/api/bash/execute_bash_command", {}, {body}};
  NESTGATE_CO_TRY(answer, co_await send("command", call_of(message), by));
  if (!answer.ok()) co_return upstream::refused("command", answer.status);
  auto output = parse_output(answer.body);
  if (!output || !output->exit_code) co_return unreadable("command");
  co_return std::move(*output);
}

Task<Outcome<std::string>> Client::start(std::string command, std::chrono::seconds time_max, Deadline by) {
  std::string const body = command_body(command, time_max);
  Message const message{"POST", "/api/bash/start_bash_command", {}, {body}};
  auto call = call_of(message);
  call.kept = kept_;
  NESTGATE_CO_TRY(answer, co_await send("start", std::move(call), by));
  if (!answer.ok()) co_return upstream::refused("start", answer.status);
  auto id = parse_id(answer.body);
  if (!id) co_return unreadable("start");
  co_return std::move(*id);
}

Task<Outcome<OutputPage>> Client::output_behind(std::string_view command_id, std::int64_t order, std::string_view page_id,
                                                Deadline by) {
  std::string query = "kind__eq=BashOutput&sort_order=TIMESTAMP&limit=1&order__gt=" + std::to_string(order);
  query += "&command_id__eq=";
  append_percent_encoded(query, command_id);
  if (!page_id.empty()) {
    query += "&page_id=";
    append_percent_encoded(query, page_id);
  }
  auto call = upstream::call_to(at_, "/api/bash/bash_events/search", query);
  NESTGATE_CO_TRY(answer, co_await send("search", std::move(call), by));
  if (!answer.ok()) co_return upstream::refused("search", answer.status);
  auto page = parse_outputs(answer.body);
  if (!page) co_return unreadable("search");
  co_return std::move(*page);
}

Task<Outcome<std::vector<StartedCommand>>> Client::find_commands(std::string part, Deadline by) {
  constexpr unsigned pages_max = 10;
  std::vector<StartedCommand> found;
  std::string page;
  for (unsigned pages = 0; pages < pages_max; ++pages) {
    std::string query = "kind__eq=BashCommand&sort_order=TIMESTAMP_DESC&limit=100";
    if (!page.empty()) {
      query += "&page_id=";
      append_percent_encoded(query, page);
    }
    auto call = upstream::call_to(at_, "/api/bash/bash_events/search", query);
    NESTGATE_CO_TRY(answer, co_await send("search", std::move(call), by));
    if (!answer.ok()) co_return upstream::refused("search", answer.status);
    auto commands = parse_commands(answer.body);
    if (!commands) co_return unreadable("search");
    for (auto& command : commands->items) {
      if (command.text.find(part) != std::string::npos) found.push_back(std::move(command));
    }
    page = std::move(commands->next_page_id);
    if (page.empty()) break;
  }
  co_return std::move(found);
}

Task<Outcome<std::optional<CommandOutput>>> Client::newest_output(std::string_view command_id, Deadline by) {
  std::string query = "kind__eq=BashOutput&sort_order=TIMESTAMP_DESC&limit=1&command_id__eq=";
  append_percent_encoded(query, command_id);
  auto call = upstream::call_to(at_, "/api/bash/bash_events/search", query);
  NESTGATE_CO_TRY(answer, co_await send("search", std::move(call), by));
  if (!answer.ok()) co_return upstream::refused("search", answer.status);
  auto output = parse_newest_output(answer.body);
  if (!output) co_return unreadable("search");
  co_return std::move(*output);
}

// The newest is alone in the first page, for it may have megabytes; where it is small, so are mostly those before it.
Task<Outcome<OutputTail>> Client::output_tail(std::string_view command_id, std::size_t bytes, Deadline by) {
  constexpr unsigned pages_max = 16;
  constexpr std::size_t answers_bytes_max = 4 * 1024 * 1024, answer_bytes_small = 64 * 1024;
  OutputTail tail;
  std::size_t limit = 1, answers_bytes = 0;
  std::string page_id;
  for (unsigned pages = 0; pages < pages_max && answers_bytes < answers_bytes_max; ++pages) {
    std::string query = "kind__eq=BashOutput&sort_order=TIMESTAMP_DESC&limit=" + std::to_string(limit) + "&command_id__eq=";
    append_percent_encoded(query, command_id);
    if (!page_id.empty()) {
      query += "&page_id=";
      append_percent_encoded(query, page_id);
    }
    auto call = upstream::call_to(at_, "/api/bash/bash_events/search", query);
    if (limit > 1) call.answer_bytes_max = answers_bytes_max;
    auto answer = co_await send("search", std::move(call), by);
    auto const kind = answer ? std::nullopt : std::optional(answer.error().fault.kind);
    if (kind == FaultKind::cancelled || kind == FaultKind::timed_out) co_return answer.error();
    bool const is_too_large = kind == FaultKind::too_large && limit > 1;
    if (is_too_large) limit = 1;
    if (is_too_large) continue;
    auto page = answer && answer->ok() ? parse_outputs(answer->body) : std::nullopt;
    if (!page) break;
    put_before(tail, *page, bytes);
    bool const is_full = tail.standard_output.size() == bytes && tail.standard_error.size() == bytes;
    if (is_full || page->next_page_id.empty() || page->next_page_id == page_id) break;
    page_id = std::move(page->next_page_id);
    answers_bytes += answer->body.size();
    limit = answer->body.size() <= answer_bytes_small ? std::min<std::size_t>(limit * 10, 100) : 1;
  }
  co_return std::move(tail);
}

}  // namespace nestgate::nested
