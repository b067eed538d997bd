#include "service.hpp"

#include <algorithm>

#include "nestgate/base/text.hpp"
#include "runtime/excerpt.hpp"
#include "runtime/to_the_end.hpp"

namespace nestgate::runtime::remote {
namespace {

using upstream::Answer;
using upstream::Call;
using upstream::fail;

constexpr std::size_t answer_bytes_max = 64 * 1024 * 1024;  // a list, some KiB a runtime
constexpr std::size_t message_bytes_max = 400;
constexpr std::size_t secret_bytes_min = 4;  // shorter values are words that any sentence may have

FaultKind kind_of(unsigned status) {
  switch (status) {
    case 400:
    case 422: return FaultKind::bad_input;
    case 404: return FaultKind::not_found;
    case 409: return FaultKind::conflict;
    case 429: return FaultKind::overloaded;
    case 502:
    case 503:
    case 504: return FaultKind::unavailable;
    default: return FaultKind::upstream;
  }
}

bool tells_one_of(std::string_view text, Service::Secrets const* secrets) {
  if (secrets == nullptr) return false;
  return std::any_of(secrets->begin(), secrets->end(), [text](auto const& secret) {
    return secret.second.size() >= secret_bytes_min && text.find(secret.second.reveal()) != text.npos;
  });
}

Failure refused(std::string_view step, Answer const& answer, Service::Secrets const* secrets) {
  std::string reason(step);
  reason += ": the runtime API answered " + std::to_string(answer.status);
  bool const refuses_key = answer.status == 401 || answer.status == 403;
  if (refuses_key) reason += ", it refuses the API key (runtime.remote.api_key_file)";
  auto const message = message_in(answer.body);
  if (!message.empty() && !tells_one_of(message, secrets)) reason += ": " + excerpt(message, message_bytes_max);
  return fail(kind_of(answer.status), "remote.refused", std::move(reason));
}

Failure cancelled(std::string_view step) { return upstream::failed(step, Fault{FaultKind::cancelled, {}, "remote.send"}); }

Failure unreadable(std::string_view step) {
  return fail(FaultKind::upstream, "remote.answer", std::string(step) + ": the runtime API's answer has another shape");
}

}  // namespace

Failure Service::unreachable(std::string_view step, Fault const& fault) const {
  auto failure = upstream::failed(step, fault);
  if (fault.kind == FaultKind::cancelled) return failure;
  auto const cause = failure.reason.substr(step.size() + 2);
  failure.reason = std::string(step) + ": the runtime API at " + base_.authority() + ": " + cause;
  if (fault.kind != FaultKind::timed_out) failure.fault.kind = FaultKind::unavailable;
  return failure;
}

Task<Result<Answer>> Service::exchange(Message const& message, Deadline by) {
  Call call;
  call.method = message.method;
  call.url = base_.at(message.path, message.query);
  call.secret_headers.emplace_back("X-API-Key", api_key_.clone());
  call.answer_bytes_max = answer_bytes_max;
  if (message.body.empty()) co_return co_await cut_.until_made(upstream::call(std::move(call), by));
  call.body = {message.body};
  call.content_type = "application/json";
  co_return co_await to_the_end(cut_.until_made(upstream::call(std::move(call), by)));
}

Task<Outcome<Answer>> Service::send(std::string_view step, Message message, Deadline by) {
  auto pause = rate_limit_.pause_min;
  for (std::uint32_t tries = 1;; ++tries) {
    if (co_await is_cancelled()) co_return cancelled(step);
    auto answer = co_await exchange(message, by.capped(call_time_max_));
    if (!answer) co_return unreachable(step, answer.error());
    if (answer->ok()) co_return std::move(*answer);
    bool const is_last = answer->status != 429 || tries >= rate_limit_.tries_max;
    if (is_last || by.passed(Clock::now() + pause)) co_return refused(step, *answer, message.secrets);
    auto waited = co_await pause_(pause);
    if (!waited) co_return upstream::failed(step, waited.error());
    pause = std::min(pause * 2, rate_limit_.pause_max);
  }
}

Task<Outcome<std::optional<Session>>> Service::find(std::string session_id, Deadline by) {
  Message message{"GET", "/sessions/" + session_id};
  auto answer = co_await send("inspect", std::move(message), by);
  if (!answer && answer.error().fault.kind == FaultKind::not_found) co_return std::optional<Session>();
  if (!answer) co_return answer.error();
  auto session = parse_session(answer->body);
  if (!session) co_return unreadable("inspect");
  co_return std::move(session);
}

Task<Outcome<std::vector<Session>>> Service::list(Deadline by) {
  Message message{"GET", "/list"};
  NESTGATE_CO_TRY(answer, co_await send("list", std::move(message), by));
  auto sessions = parse_sessions(answer.body);
  if (!sessions) co_return unreadable("list");
  co_return *std::move(sessions);
}

Task<Outcome<std::vector<Session>>> Service::find_all(std::vector<std::string> const& session_ids, Deadline by) {
  Message message{"GET", "/sessions/batch"};
  for (auto const& id : session_ids) {
    message.query.append(message.query.empty() ? "ids=" : "&ids=");
    append_percent_encoded(message.query, id);
  }
  NESTGATE_CO_TRY(answer, co_await send("list", std::move(message), by));
  auto sessions = parse_sessions(answer.body);
  if (!sessions) co_return unreadable("list");
  co_return *std::move(sessions);
}

Task<Outcome<Session>> Service::start(Secret const& body, Secrets const& secrets, Deadline by) {
  Message message{"POST", "/start", {}, body.reveal(), &secrets};
  NESTGATE_CO_TRY(answer, co_await send("start", std::move(message), by));
  auto session = parse_session(answer.body);
  if (!session) co_return unreadable("start");
  co_return *std::move(session);
}

Task<Outcome<Secret>> Service::resume(std::string runtime_id, Deadline by) {
  auto const body = runtime_body(runtime_id);
  Message message{"POST", "/resume", {}, body};
  NESTGATE_CO_TRY(answer, co_await send("resume", std::move(message), by));
  co_return parse_session_key(answer.body);
}

Task<Outcome<>> Service::pause(std::string runtime_id, Deadline by) {
  co_return co_await end("pause", "/pause", std::move(runtime_id), by);
}

Task<Outcome<>> Service::stop(std::string runtime_id, Deadline by) {
  co_return co_await end("stop", "/stop", std::move(runtime_id), by);
}

Task<Outcome<>> Service::end(std::string_view step, std::string path, std::string runtime_id, Deadline by) {
  auto const body = runtime_body(runtime_id);
  Message message{"POST", std::move(path), {}, body};
  auto answer = co_await send(step, std::move(message), by);
  if (!answer && answer.error().fault.kind != FaultKind::not_found) co_return answer.error();
  co_return Outcome<>{};
}

Task<Outcome<std::string>> Service::registry_prefix(Deadline by) {
  Message message{"GET", "/registry_prefix"};
  NESTGATE_CO_TRY(answer, co_await send("image", std::move(message), by));
  auto prefix = parse_registry_prefix(answer.body);
  if (!prefix) co_return unreadable("image");
  co_return *std::move(prefix);
}

Task<Outcome<bool>> Service::image_exists(std::string image, Deadline by) {
  Message message{"GET", "/image_exists", "image="};
  append_percent_encoded(message.query, image);
  NESTGATE_CO_TRY(answer, co_await send("image", std::move(message), by));
  auto const exists = parse_image_exists(answer.body);
  if (!exists) co_return unreadable("image");
  co_return *exists;
}

}  // namespace nestgate::runtime::remote
