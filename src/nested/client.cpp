#include "nestgate/nested/client.hpp"

#include <algorithm>

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

Failure unreadable(std::string_view step) {
  return Failure{Fault{FaultKind::upstream, {}, "nested.answer"},
                 std::string(step) + ": the server's answer has another shape"};
}

// What the server will not have is the client's to mend; any other answer is between the gateway and the server.
Failure refused(std::string_view step, Answer const& answer, std::string_view excerpt = {}) {
  auto failure = upstream::refused(step, answer.status);
  if (answer.status == 400 || answer.status == 413 || answer.status == 422) failure.fault.kind = FaultKind::bad_input;
  if (!excerpt.empty()) failure.reason.append(": ").append(excerpt);
  return failure;
}

bool lacks_route(Answer const& answer) { return answer.status == 404 || answer.status == 405; }

}  // namespace

Task<Outcome<Answer>> Client::send(std::string_view step, Call call, Deadline by) {
  if (!session_key_.empty()) call.secret_headers.emplace_back("X-Session-API-Key", session_key_.clone());
  auto answer = co_await upstream::call(std::move(call), by);
  if (!answer) co_return upstream::failed(step, answer.error());
  co_return std::move(*answer);
}

Call Client::json_call(std::string_view method, std::string_view path, std::string_view body) const {
  Call call;
  call.method = method;
  call.url = base_.at(path);
  call.body = {body};
  call.content_type = "application/json";
  return call;
}

Task<Outcome<>> Client::wait_alive(Deadline by) {
  Clock::duration pause = alive_pause_min;
  std::optional<std::string> last;
  while (!by.passed()) {
    Call call;
    call.url = base_.at("/alive");
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

Task<Outcome<Dialect>> Client::configure(Configuration const& configuration, Clock::duration step_max) {
  Dialect dialect = Dialect::unknown;
  if (!configuration.settings_json.empty()) {
    NESTGATE_CO_TRY(found, co_await put_settings(configuration, dialect, step_max));
    dialect = found;
  }
  if (!configuration.git_tokens.empty()) {
    NESTGATE_CO_TRY(found, co_await put_git_tokens(configuration, dialect, step_max));
    dialect = found;
  }
  for (auto const& secret : configuration.secrets) {
    NESTGATE_CO_TRY(found, co_await put_secret("secrets", secret.name, secret.value, secret.description, dialect, step_max));
    dialect = found;
  }
  co_return dialect;
}

Task<Outcome<Dialect>> Client::put_settings(Configuration const& configuration, Dialect dialect, Clock::duration step_max) {
  auto const& settings = configuration.settings_json;
  auto const refusal = [&settings](Answer const& answer) {
    return refused("settings", answer, excerpt_of_refusal(answer.body, settings));
  };
  if (dialect != Dialect::agent_server) {
    Call call = json_call("POST", "/api/settings", settings.reveal());
    NESTGATE_CO_TRY(answer, co_await send("settings", std::move(call), Deadline::in(step_max)));
    if (answer.ok()) co_return Dialect::older;
    if (!lacks_route(answer)) co_return refusal(answer);
  }
  Call call = json_call("PATCH", "/api/settings", settings.reveal());
  NESTGATE_CO_TRY(answer, co_await send("settings", std::move(call), Deadline::in(step_max)));
  if (!answer.ok()) co_return refusal(answer);
  co_return Dialect::agent_server;
}

Task<Outcome<Dialect>> Client::put_git_tokens(Configuration const& configuration, Dialect dialect,
                                              Clock::duration step_max) {
  if (dialect != Dialect::agent_server) {
    Secret const body = git_providers_body(configuration.git_tokens);
    Call call = json_call("POST", "/api/add-git-providers", body.reveal());
    NESTGATE_CO_TRY(answer, co_await send("git_provider_tokens", std::move(call), Deadline::in(step_max)));
    if (answer.ok()) co_return Dialect::older;
    if (dialect == Dialect::older || !lacks_route(answer)) {
      auto failure = refused("git_provider_tokens", answer);
      if (answer.status == 401) failure.fault.kind = FaultKind::bad_input;  // the provider does not know the token
      co_return failure;
    }
  }
  for (auto const& token : configuration.git_tokens) {
    std::string const name = token.provider + "_token";
    auto put = put_secret("git_provider_tokens", name, token.token, std::string_view(), Dialect::agent_server, step_max);
    NESTGATE_CO_TRY(found, co_await std::move(put));
    dialect = found;
  }
  co_return dialect;
}

Task<Outcome<Dialect>> Client::put_secret(std::string_view step, std::string_view name, Secret const& value,
                                          std::string_view description, Dialect dialect, Clock::duration step_max) {
  Secret const body = secret_body(name, value, description);
  if (dialect != Dialect::agent_server) {
    Call call = json_call("POST", "/api/secrets", body.reveal());
    NESTGATE_CO_TRY(answer, co_await send(step, std::move(call), Deadline::in(step_max)));
    if (answer.ok() || (answer.status == 400 && says_already_exists(answer.body))) co_return Dialect::older;
    if (dialect == Dialect::older || !lacks_route(answer)) co_return refused(step, answer);
  }
  Call call = json_call("PUT", "/api/settings/secrets", body.reveal());
  NESTGATE_CO_TRY(answer, co_await send(step, std::move(call), Deadline::in(step_max)));
  if (!answer.ok()) co_return refused(step, answer);
  co_return Dialect::agent_server;
}

Task<Outcome<>> Client::stop_conversation(std::string_view id, Deadline by) {
  Call call = json_call("POST", "/api/conversations/" + std::string(id) + "/stop", {});
  NESTGATE_CO_TRY(answer, co_await send("stop", std::move(call), by));
  if (!answer.ok()) co_return upstream::refused("stop", answer.status);
  co_return Outcome<>{};
}

Task<Outcome<>> Client::upload(std::string path, std::string_view bytes, Deadline by) {
  std::string const boundary = "nestgate-" + upstream::random_hex(16);
  std::string const start = file_part_start(boundary);
  std::string const end = file_part_end(boundary);
  Call call;
  call.method = "POST";
  std::string query = "path=";
  append_percent_encoded(query, path);
  call.url = base_.at("/api/file/upload", query);
  call.body = {start, bytes, end};
  call.content_type = "multipart/form-data; boundary=" + boundary;
  NESTGATE_CO_TRY(answer, co_await send("upload", std::move(call), by));
  if (!answer.ok()) co_return upstream::refused("upload", answer.status);
  co_return Outcome<>{};
}

Task<Outcome<CommandOutput>> Client::execute(std::string command, std::chrono::seconds time_max, Deadline by) {
  std::string const body = command_body(command, time_max);
  Call call = json_call("POST", "/api/bash/execute_bash_command", body);
  NESTGATE_CO_TRY(answer, co_await send("command", std::move(call), by));
  if (!answer.ok()) co_return upstream::refused("command", answer.status);
  auto output = parse_output(answer.body);
  if (!output || !output->exit_code) co_return unreadable("command");
  co_return std::move(*output);
}

Task<Outcome<std::string>> Client::start(std::string command, std::chrono::seconds time_max, Deadline by) {
  std::string const body = command_body(command, time_max);
  Call call = json_call("POST", "/api/bash/start_bash_command", body);
  NESTGATE_CO_TRY(answer, co_await send("start", std::move(call), by));
  if (!answer.ok()) co_return upstream::refused("start", answer.status);
  auto id = parse_id(answer.body);
  if (!id) co_return unreadable("start");
  co_return std::move(*id);
}

Task<Outcome<std::optional<CommandOutput>>> Client::newest_output(std::string_view command_id, Deadline by) {
  Call call;
  std::string query = "kind__eq=BashOutput&sort_order=TIMESTAMP_DESC&limit=1&command_id__eq=";
  append_percent_encoded(query, command_id);
  call.url = base_.at("/api/bash/bash_events/search", query);
  NESTGATE_CO_TRY(answer, co_await send("search", std::move(call), by));
  if (!answer.ok()) co_return upstream::refused("search", answer.status);
  auto output = parse_newest_output(answer.body);
  if (!output) co_return unreadable("search");
  co_return std::move(*output);
}

}  // namespace nestgate::nested
