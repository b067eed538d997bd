#pragma once

// Reading a request's head, and the answers that the gateway gives itself.
#include "session_impl.hpp"

namespace nestgate::proxy {

template <class Stream>
auto Session<Stream>::serve_request() -> Task<Next> {
  std::size_t scanned = 0;
  http::HeadLimits const head_limits{limits().request_head_bytes_max, limits().request_fields_max};
  auto& head = shared_.request_head;
  http::HeadParse parsed;
  set_phase(Phase::idle, timeouts().keep_alive);
  if (proxy_.draining()) on_drain();
  if (!in_.empty()) x_.began = Clock::now();
  for (;;) {
    if (!in_.empty()) {
      parsed = http::parse_request_head(in_.view(), head_limits, head, scanned);
      if (parsed.state != http::HeadParse::State::incomplete) break;
      if (phase_ == Phase::idle) set_phase(Phase::head, timeouts().head);
    }
    char* const space = in_.space(head_limits.bytes_max + 4096);
    auto [ec, n] = co_await stream_.async_read_some(asio::buffer(space, in_.space_bytes()), no_throw);
    if (ec) {
      if (timed_out_ && phase_ == Phase::head && !stopping_) {
        proxy_.counters().rejected[static_cast<std::size_t>(Reject::head_timeout)].add();
        begin_exchange();
        ExchangeFailure const failure{408, "head_timeout", "the request's head did not arrive in time"};
        co_return co_await refuse_head(failure);
      }
      co_return Next::close;
    }
    if (in_.empty()) x_.began = Clock::now();
    in_.filled(n);
  }
  set_phase(Phase::deciding, std::chrono::milliseconds(0));
  begin_exchange();
  if (parsed.state == http::HeadParse::State::refused) {
    proxy_.counters().rejected[static_cast<std::size_t>(Reject::bad_request)].add();
    co_return co_await refuse_head(parsed.why);
  }
  note_request(head);
  Decision decision = decide_on(head);
  if (decision.kind == Decision::Kind::wake) {
    auto const wait = co_await wake(decision, parsed.bytes);
    if (wait == Wait::left) co_return leave();
  }
  switch (decision.kind) {
    case Decision::Kind::forward:
      if (decision.act) decision.entry->standing().note_act(shared_.coarse_now());
      co_return co_await forward(std::move(decision), parsed.bytes);
    case Decision::Kind::own: co_return co_await serve_own(std::move(decision), parsed.bytes);
    case Decision::Kind::first_frame: co_return co_await serve_first_frame(std::move(decision), parsed.bytes);
    case Decision::Kind::probe: co_return co_await answer_probe(head, parsed.bytes);
    case Decision::Kind::refuse_websocket:
      co_return co_await refuse_websocket(decision.close_code, decision.message, decision.reject);
    case Decision::Kind::wake:
    case Decision::Kind::refuse: break;
  }
  proxy_.counters().rejected[static_cast<std::size_t>(decision.reject)].add();
  ExchangeFailure const failure{decision.status, decision.code,   decision.message, decision.status == 503 ? 1U : 0U,
                                decision.fields, decision.runtime};
  co_return co_await answer_failure(failure, parsed.bytes);
}

template <class Stream>
auto Session<Stream>::decide_on(http::RequestHead const& head) -> Decision {
  auto decision = decide(head, proxy_.config(), proxy_.directory(), shared_, proxy_.surroundings().own_routes);
  x_.route = decision.route;
  x_.opened = Opened(decision);
  x_.act = decision.act;
  return decision;
}

template <class Stream>
auto Session<Stream>::begin_exchange() -> void {
  x_.request_body = http::BodyKind::none;
  x_.request_done = true;
  x_.pumping = x_.awaiting_client = x_.resent = x_.answer_started = x_.reusable = x_.client_gone = x_.event_stream =
      x_.stream_ended = false;
  x_.request_refusal = http::Refusal::none;
  x_.status = 0;
  x_.bytes_in = x_.bytes_out = x_.upstream_us = 0;
  x_.opened = {};
  x_.act = x_.long_poll = false;
  x_.prefix.clear();
  x_.failure = {};
  x_.route = http::RouteKind::none;
  x_.version = http::Version::http_1_1;
  x_.client_keep_alive = false;
  x_.method = http::Method::other;
  request_id_.clear();
  target_.clear();
  method_text_.clear();
}

template <class Stream>
auto Session<Stream>::note_request(http::RequestHead const& head) -> void {
  auto const given = head.value(http::FieldId::x_request_id);
  constexpr std::size_t request_id_length_max = 128;
  if (!given.empty() && given.size() <= request_id_length_max && http::is_token(given)) {
    request_id_ = given;
  } else {
    shared_.ids.append_request_id(request_id_);
  }
  x_.method = head.method;
  x_.version = head.version;
  x_.client_keep_alive = head.keep_alive && !proxy_.draining();
  x_.request_body = head.body;
  x_.request_left = head.content_length;
  x_.request_done = head.body == http::BodyKind::none || (head.body == http::BodyKind::length && head.content_length == 0);
  if (proxy_.config().access_log == AccessLog::on) {
    method_text_ = head.method_text;
    http::append_redacted_target(target_, head.target, ShownCredentials(head).texts());
  }
}

template <class Stream>
auto Session<Stream>::after_local_answer() const -> AfterAnswer {
  return x_.client_keep_alive && x_.request_done && !proxy_.draining() ? AfterAnswer::keep_alive : AfterAnswer::close;
}

template <class Stream>
auto Session<Stream>::send_local(LocalAnswer answer, AfterAnswer after) -> Task<Next> {
  out_.clear();
  auto const send_body = x_.method == http::Method::head ? SendBody::no : SendBody::yes;
  append_local_answer(out_, answer, x_.version, after, send_body, request_id_);
  x_.status = answer.status;
  x_.bytes_out += send_body == SendBody::yes ? answer.body.size() : 0;
  set_phase(Phase::relay, timeouts().body_progress);
  auto const ec = co_await write_client(out_, {});
  end_request();
  if (ec) co_return Next::close;
  co_return after == AfterAnswer::keep_alive ? Next::keep_alive : Next::close_after_lingering;
}

// `head_bytes` of the request that is answered are still in the buffer.
template <class Stream>
auto Session<Stream>::answer_failure(ExchangeFailure failure, std::size_t head_bytes) -> Task<Next> {
  in_.consume(head_bytes);
  std::string const body = error_body(failure.status, failure.code, failure.message, request_id_, failure.runtime);
  LocalAnswer answer{failure.status};
  answer.body = body;
  answer.retry_after_s = failure.retry_after_s;
  answer.fields = failure.fields;
  auto const after = after_local_answer();
  co_return co_await send_local(answer, after);
}

template <class Stream>
auto Session<Stream>::refuse_head(http::Refusal why) -> Task<Next> {
  ExchangeFailure const failure{http::status_for(why), http::code_for(why), http::text_for(why), 0, http::fields_for(why)};
  return refuse_head(failure);
}

// What follows a head that was refused cannot be told apart from a body: the connection ends.
template <class Stream>
auto Session<Stream>::refuse_head(ExchangeFailure failure) -> Task<Next> {
  if (request_id_.empty()) shared_.ids.append_request_id(request_id_);
  x_.client_keep_alive = false;
  x_.request_done = false;
  co_return co_await answer_failure(failure, in_.size());
}

template <class Stream>
auto Session<Stream>::answer_probe(http::RequestHead const& head, std::size_t head_bytes) -> Task<Next> {
  // As an agent server words it (agent_server.md 1).
  bool const asks_readiness = head.target.substr(0, head.target.find('?')).ends_with("/ready");
  in_.consume(head_bytes);
  LocalAnswer answer{200};
  answer.body = asks_readiness ? R"({"status":"ready"})" : R"({"status":"ok"})";
  auto const after = after_local_answer();
  co_return co_await send_local(answer, after);
}

// The runtime went, or became another, after the rules had decided.
template <class Stream>
auto Session<Stream>::why_not_there() const -> ExchangeFailure {
  auto const* const record = x_.opened.entry->standing().record();
  if (!record) return runtime_removed;
  auto const why = why_not_running(*record);
  ExchangeFailure failure{why.status, why.code, why.message, why.status == 503 ? 1U : 0U};
  failure.runtime = {to_string(record->state), record->progress};
  return failure;
}

template <class Stream>
auto Session<Stream>::end_request() -> void {
  auto const now = Clock::now();
  auto const us = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - x_.began).count());
  auto& counters = proxy_.counters();
  auto const route = static_cast<std::size_t>(x_.route);
  auto const status_class = std::min<std::size_t>(std::max(x_.status / 100, 1u) - 1, status_classes - 1);
  counters.requests[route][status_class].add();
  if (x_.status != 101) counters.duration[route].observe_us(us);
  counters.client_bytes_in.add(x_.bytes_in);
  counters.client_bytes_out.add(x_.bytes_out);
  if (proxy_.config().access_log == AccessLog::off) return;
  AccessRecord record{};
  record.request_id = request_id_;
  record.peer = peer_address_;
  record.method = method_text_;
  record.target = target_;
  record.route = http::to_string(x_.route);
  if (x_.opened.entry) record.conversation = x_.opened.entry->record().id.text();
  record.status = x_.status;
  record.bytes_in = x_.bytes_in;
  record.bytes_out = x_.bytes_out;
  record.duration_us = us;
  record.upstream_us = x_.upstream_us;
  append_access_line(shared_.access_log.text(), record);
  shared_.access_log.end_line();
}

template <class Stream>
auto Session<Stream>::write_client(std::string_view first, std::string_view second) -> Task<error_code> {
  return write_all(stream_, first, second, [this](std::size_t) { progress(); });
}

// A client that is still sending would lose our last answer to a reset: read on, bounded in every way.
template <class Stream>
auto Session<Stream>::linger() -> Task<> {
  set_phase(Phase::linger, linger_idle_time);
  socket_of(stream_).shutdown(asio::socket_base::shutdown_send, ignored_);
  auto const end = shared_.coarse_now() + linger_time_max;
  std::uint64_t left = linger_bytes_max;
  relay_.clear();
  while (left > 0 && shared_.coarse_now() < end) {
    char* const space = relay_.space(0);
    auto [ec, n] = co_await socket_of(stream_).async_read_some(asio::buffer(space, relay_.space_bytes()), no_throw);
    if (ec) co_return;
    left -= std::min<std::uint64_t>(left, n);
    progress();
  }
}

}  // namespace nestgate::proxy
