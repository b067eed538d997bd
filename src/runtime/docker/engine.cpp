#include "engine.hpp"

#include <algorithm>

#include "nestgate/base/text.hpp"
#include "nestgate/net/task_group.hpp"

namespace nestgate::runtime::docker {
namespace {

using namespace std::chrono_literals;
using upstream::Answer;
using upstream::Call;
using upstream::fail;

constexpr ApiVersion ours_newest{1, 47};
constexpr ApiVersion ours_oldest{1, 40};
constexpr std::size_t list_bytes_max = 256 * 1024 * 1024;  // some 2 KiB a container
constexpr std::size_t line_bytes_max = 1024 * 1024;        // of events and of a pull's progress
constexpr std::size_t command_output_bytes_max = 64 * 1024;
constexpr Clock::duration exec_end_pause = 10ms;

Failure refused(std::string_view step, Answer const& answer) {
  auto failure = upstream::refused(step, answer.status);
  auto const message = message_in(answer.body);
  if (!message.empty()) failure.reason = std::string(step) + ": the Docker engine says: " + message;
  if (answer.status == 400) failure.fault.kind = FaultKind::bad_input;
  if (answer.status == 404) failure.fault.kind = FaultKind::not_found;
  if (answer.status == 409) failure.fault.kind = FaultKind::conflict;
  return failure;
}

Failure unreadable(std::string_view step) {
  return fail(FaultKind::upstream, "docker.answer", std::string(step) + ": the Docker engine's answer has another shape");
}

std::string query_of(std::vector<std::pair<std::string_view, std::string>> const& parameters) {
  std::string out;
  for (auto const& [name, value] : parameters) {
    out.append(out.empty() ? "" : "&").append(name).append("=");
    append_percent_encoded(out, value);
  }
  return out;
}

std::string container_path(std::string const& container, std::string_view below) {
  return "/containers/" + container + std::string(below);
}

std::string text_of(ImageReference const& image) {
  return image.name + (image.tag.starts_with("sha256:") ? "@" : ":") + image.tag;
}

// "1700000000.000000001"
std::string nanoseconds_text(std::chrono::nanoseconds time) {
  auto const seconds = std::chrono::floor<std::chrono::seconds>(time);
  auto const rest = std::to_string((time - seconds).count());
  return std::to_string(seconds.count()) + "." + std::string(9 - rest.size(), '0') + rest;
}

}  // namespace

std::optional<EngineAddress> parse_engine_address(std::string_view host, bool over_tls) {
  constexpr std::string_view unix_scheme = "unix://", tcp_scheme = "tcp://";
  EngineAddress out;
  if (host.starts_with(unix_scheme)) {
    out.unix_socket = host.substr(unix_scheme.size());
    if (!out.unix_socket.starts_with('/')) return std::nullopt;
    out.url = upstream::parse_url("http://docker").value();
    return out;
  }
  if (!host.starts_with(tcp_scheme)) return std::nullopt;
  auto const url = upstream::parse_url((over_tls ? "https://" : "http://") + std::string(host.substr(tcp_scheme.size())));
  if (!url || !url->path.empty() || !url->query.empty()) return std::nullopt;
  out.url = *url;
  return out;
}

std::string Engine::name() const { return address_.unix_socket.empty() ? address_.url.authority() : address_.unix_socket; }

Failure Engine::unreachable(std::string_view step, Fault const& fault) const {
  auto failure = upstream::failed(step, fault);
  if (fault.kind == FaultKind::cancelled) return failure;
  auto const cause = failure.reason.substr(step.size() + 2);
  failure.reason = std::string(step) + ": the Docker engine at " + name() + ": " + cause;
  if (fault.kind != FaultKind::timed_out) failure.fault.kind = FaultKind::unavailable;
  return failure;
}

Task<Outcome<>> Engine::agree_on_version(Deadline by) {
  if (version_) co_return Outcome<>{};
  Call call;
  call.url = address_.url.at("/version");
  call.unix_socket = address_.unix_socket;
  call.tls = tls_;
  auto answer = co_await exchange(std::move(call), by.capped(call_time_max_));
  if (!answer) co_return unreachable("docker", answer.error());
  if (!answer->ok()) co_return refused("docker", *answer);
  auto const theirs = parse_versions(answer->body);
  if (!theirs) co_return unreadable("docker");
  if (theirs->newest < ours_oldest || theirs->oldest > ours_newest) {
    co_return fail(FaultKind::unavailable, "docker.version",
                   "docker: the engine at " + name() + " speaks API " + to_string(theirs->oldest) + " to " +
                       to_string(theirs->newest) + ", this gateway " + to_string(ours_oldest) + " to " +
                       to_string(ours_newest));
  }
  version_ = std::min(theirs->newest, ours_newest);
  co_return Outcome<>{};
}

Call Engine::call_of(std::string_view method, std::string const& path, std::string_view query) const {
  Call call;
  call.method = method;
  call.url = address_.url.at("/v" + to_string(version_.value()) + path, query);
  call.unix_socket = address_.unix_socket;
  call.tls = tls_;
  return call;
}

Task<Outcome<Answer>> Engine::send(std::string_view step, Call call, Deadline by) {
  auto answer = co_await exchange(std::move(call), by);
  if (!answer) co_return unreachable(step, answer.error());
  if (!answer->ok() && answer->status != 304) co_return refused(step, *answer);  // 304: it is so already
  co_return std::move(*answer);
}

Task<Outcome<Answer>> Engine::ask(std::string_view step, std::string_view method, std::string path, std::string query,
                                  std::string_view body, Deadline by) {
  NESTGATE_CO_TRY_VOID(co_await agree_on_version(by));
  Call call = call_of(method, path, query);
  if (!body.empty()) {
    call.body = {body};
    call.content_type = "application/json";
  }
  call.answer_bytes_max = list_bytes_max;
  co_return co_await send(step, std::move(call), by.capped(call_time_max_));
}

Task<Outcome<>> Engine::tell(std::string_view step, std::string_view method, std::string path, std::string query,
                             Deadline by) {
  auto answer = co_await ask(step, method, std::move(path), std::move(query), {}, by);
  if (!answer) co_return answer.error();
  co_return Outcome<>{};
}

Task<Outcome<std::string>> Engine::create(std::string name, Secret const& body, Deadline by) {
  auto query = query_of({{"name", name}});
  NESTGATE_CO_TRY(answer, co_await ask("create", "POST", "/containers/create", std::move(query), body.reveal(), by));
  auto id = parse_id(answer.body);
  if (!id) co_return unreadable("create");
  co_return std::move(*id);
}

Task<Outcome<>> Engine::start(std::string container, Deadline by) {
  co_return co_await tell("start", "POST", container_path(container, "/start"), {}, by);
}

Task<Outcome<>> Engine::stop(std::string container, std::chrono::seconds grace) {
  NESTGATE_CO_TRY_VOID(co_await agree_on_version(soon()));
  Call call = call_of("POST", container_path(container, "/stop"), query_of({{"t", std::to_string(grace.count())}}));
  auto answer = co_await send("stop", std::move(call), Deadline::in(grace + call_time_max_));
  if (!answer) co_return answer.error();
  co_return Outcome<>{};
}

Task<Outcome<>> Engine::kill(std::string container) {
  co_return co_await tell("kill", "POST", container_path(container, "/kill"), {}, soon());
}

Task<Outcome<>> Engine::pause(std::string container, Deadline by) {
  co_return co_await tell("pause", "POST", container_path(container, "/pause"), {}, by);
}

Task<Outcome<>> Engine::unpause(std::string container, Deadline by) {
  co_return co_await tell("resume", "POST", container_path(container, "/unpause"), {}, by);
}

Task<Outcome<>> Engine::remove(std::string container) {
  co_return co_await tell("remove", "DELETE", container_path(container, {}), "v=1&force=1", soon());
}

Task<Outcome<>> Engine::rename(std::string container, std::string new_name) {
  auto query = query_of({{"name", new_name}});
  co_return co_await tell("assign", "POST", container_path(container, "/rename"), std::move(query), soon());
}

// The engine also takes the start of an id for a container: what it finds must be what was asked for.
Task<Outcome<std::optional<Container>>> Engine::find(std::string id_or_name, Deadline by) {
  auto answer = co_await ask("inspect", "GET", container_path(id_or_name, "/json"), {}, {}, by);
  if (!answer && answer.error().fault.kind == FaultKind::not_found) co_return std::optional<Container>();
  if (!answer) co_return answer.error();
  auto container = parse_container(answer->body);
  if (!container) co_return unreadable("inspect");
  if (container->name != id_or_name && container->id != id_or_name) co_return std::optional<Container>();
  co_return std::move(container);
}

Task<Outcome<std::vector<Container>>> Engine::list(std::string label) {
  auto query = query_of({{"all", "1"}, {"filters", filters({{"label", {std::move(label)}}})}});
  NESTGATE_CO_TRY(answer, co_await ask("list", "GET", "/containers/json", std::move(query), {}, soon()));
  auto containers = parse_containers(answer.body);
  if (!containers) co_return unreadable("list");
  co_return std::move(*containers);
}

Task<Outcome<std::string>> Engine::log(std::string container, bool has_terminal, std::size_t bytes_max) {
  NESTGATE_CO_TRY_VOID(co_await agree_on_version(soon()));
  // Every line has a byte at least, so that many lines suffice.
  auto const query = query_of({{"stdout", "1"}, {"stderr", "1"}, {"tail", std::to_string(bytes_max)}});
  Call call = call_of("GET", container_path(container, "/logs"), query);
  Tail tail(bytes_max);
  LogFrames frames;
  auto const keep = [&tail](std::string_view bytes) { tail.append(bytes); };
  call.on_piece = [&frames, &keep, &tail, has_terminal](std::string_view piece) {
    if (!has_terminal) return frames.feed(piece, keep);
    tail.append(piece);
    return true;
  };
  NESTGATE_CO_TRY_VOID(co_await send("log", std::move(call), soon()));
  co_return tail.take();
}

Task<Outcome<CommandResult>> Engine::execute(std::string container, std::vector<std::string> command, Deadline by) {
  std::string const body = exec_body(command);
  NESTGATE_CO_TRY(made, co_await ask("execute", "POST", container_path(container, "/exec"), {}, body, by));
  auto const id = parse_id(made.body);
  if (!id) co_return unreadable("execute");

  NESTGATE_CO_TRY_VOID(co_await agree_on_version(by));  // it may have been forgotten meanwhile
  std::string const start_body = exec_start_body();
  Call call = call_of("POST", "/exec/" + *id + "/start", {});
  call.body = {start_body};
  call.content_type = "application/json";
  Tail tail(command_output_bytes_max);
  LogFrames frames;
  auto const keep = [&tail](std::string_view bytes) { tail.append(bytes); };
  call.on_piece = [&frames, &keep](std::string_view piece) { return frames.feed(piece, keep); };
  NESTGATE_CO_TRY_VOID(co_await send("execute", std::move(call), by));

  // The output ends a moment before the engine knows how the command did.
  for (;;) {
    NESTGATE_CO_TRY(answer, co_await ask("execute", "GET", "/exec/" + *id + "/json", {}, {}, by));
    auto const state = parse_exec(answer.body);
    if (!state) co_return unreadable("execute");
    if (!state->is_running) co_return CommandResult{state->exit_code, tail.take()};
    auto waited = co_await pause_for(exec_end_pause);
    if (!waited) co_return upstream::failed("execute", waited.error());
    if (by.passed()) co_return upstream::failed("execute", Fault{FaultKind::timed_out, {}, "docker.execute"});
  }
}

Task<Outcome<Usage>> Engine::usage(std::string container, Deadline by) {
  auto query = query_of({{"stream", "false"}, {"one-shot", "true"}});
  NESTGATE_CO_TRY(answer, co_await ask("usage", "GET", container_path(container, "/stats"), std::move(query), {}, by));
  co_return parse_usage(answer.body);
}

Task<Outcome<bool>> Engine::has_image(ImageReference image, Deadline by) {
  auto answer = co_await ask("image", "GET", "/images/" + text_of(image) + "/json", {}, {}, by);
  if (!answer && answer.error().fault.kind == FaultKind::not_found) co_return false;
  if (!answer) co_return answer.error();
  co_return true;
}

Task<Outcome<bool>> Engine::can_pull(ImageReference image, Secret registry_auth, Deadline by) {
  NESTGATE_CO_TRY_VOID(co_await agree_on_version(by));
  Call call = call_of("GET", "/distribution/" + text_of(image) + "/json", {});
  if (!registry_auth.empty()) call.secret_headers.emplace_back("X-Registry-Auth", std::move(registry_auth));
  auto answer = co_await exchange(std::move(call), by.capped(call_time_max_));
  if (!answer) co_return unreachable("image", answer.error());
  // Registries tell strangers of what they hide what they tell of what they do not have; the engine says 500 of one that
  // wants a password, where it was given none.
  bool const wants_password = answer->body.find("no basic auth credentials") != std::string::npos;
  bool const is_hidden = answer->status == 401 || answer->status == 403 || answer->status == 404 || wants_password;
  if (!answer->ok() && !is_hidden) co_return refused("image", *answer);
  co_return !is_hidden;
}

Task<Outcome<>> Engine::pull(ImageReference image, Secret registry_auth, OnNews on_news, Deadline by) {
  NESTGATE_CO_TRY_VOID(co_await agree_on_version(by));
  Call call = call_of("POST", "/images/create", query_of({{"fromImage", image.name}, {"tag", image.tag}}));
  if (!registry_auth.empty()) call.secret_headers.emplace_back("X-Registry-Auth", std::move(registry_auth));
  PullProgress progress;
  Lines lines(line_bytes_max);
  auto const take = [&progress, &on_news](std::string_view line) {
    if (auto const news = progress.feed(line)) on_news(*news);
  };
  call.on_piece = [&lines, &take](std::string_view piece) { return lines.feed(piece, take); };
  auto answer = co_await send("pull", std::move(call), by);
  if (!answer) co_return answer.error();
  if (!progress.error().empty())
    co_return fail(FaultKind::upstream, "docker.pull", "pull: the Docker engine says: " + progress.error());
  co_return Outcome<>{};
}

Task<Outcome<Labels>> Engine::create_volume(std::string body, Deadline by) {
  NESTGATE_CO_TRY(answer, co_await ask("volume", "POST", "/volumes/create", {}, body, by));
  co_return parse_volume_labels(answer.body);
}

Task<Outcome<std::optional<Labels>>> Engine::volume_labels(std::string volume) {
  auto answer = co_await ask("volume", "GET", "/volumes/" + volume, {}, {}, soon());
  if (!answer && answer.error().fault.kind == FaultKind::not_found) co_return std::optional<Labels>();
  if (!answer) co_return answer.error();
  co_return std::optional(parse_volume_labels(answer->body));
}

Task<Outcome<>> Engine::remove_volume(std::string volume) {
  co_return co_await tell("remove", "DELETE", "/volumes/" + volume, {}, soon());
}

Task<Failure> Engine::follow(std::vector<std::string> actions, std::chrono::nanoseconds since, std::function<void()> on_open,
                             OnEvent on_event) {
  auto agreed = co_await agree_on_version(soon());
  if (!agreed) co_return agreed.error();
  auto const wanted = filters({{"type", {"container"}}, {"event", std::move(actions)}});
  Call call = call_of("GET", "/events", query_of({{"since", nanoseconds_text(since)}, {"filters", wanted}}));
  Lines lines(line_bytes_max);
  auto const take = [&on_event](std::string_view line) {
    if (auto const event = parse_event(line)) on_event(*event);
  };
  call.on_piece = [&lines, &take, &on_open](std::string_view piece) {
    if (piece.empty()) on_open();
    return lines.feed(piece, take);
  };
  auto answer = co_await send("events", std::move(call), Deadline::at(Clock::time_point::max()));
  if (!answer) co_return answer.error();
  co_return fail(FaultKind::unavailable, "docker.events", "events: the Docker engine ended the stream");
}

}  // namespace nestgate::runtime::docker
