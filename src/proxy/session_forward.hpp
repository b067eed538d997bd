#pragma once

// One exchange with a nested server: request up, answer down, both ways at once while a body is coming.
#include "session_impl.hpp"

namespace nestgate::proxy {

template <class Stream>
auto Session<Stream>::forward(Decision decision, std::size_t head_bytes) -> Task<Next> {
  auto const& head = shared_.request_head;
  if (head.websocket_upgrade && !admit_upgrade(decision, head)) co_return co_await refuse_upgrade(head_bytes);
  if (decision.target->in_use >= limits().upstream_connections_per_runtime_max) {
    proxy_.counters().rejected[static_cast<std::size_t>(Reject::overloaded)].add();
    ExchangeFailure const failure{503, "runtime_overloaded", "too many connections to this conversation's runtime", 1};
    co_return co_await answer_failure(failure, head_bytes);
  }
  bool const expects_continue = head.expect_continue;
  prepare_forward(decision, head);
  out_.clear();
  build_upstream_head(decision, head);
  upstream::TargetPtr const target = decision.target;

  // What of the body came with the head. It is checked before anything goes upstream.
  std::string_view ready = in_.view().substr(head_bytes);
  if (!take_request_body(ready)) co_return co_await refuse_head(x_.request_refusal);

  for (;;) {
    auto const connected = co_await connect(target);
    if (!connected) {
      if (stopping_) co_return Next::close;
      co_return co_await answer_failure(x_.failure, head_bytes + ready.size());
    }
    if (expects_continue && !x_.request_done && ready.empty()) {
      auto const ec = co_await write_client("HTTP/1.1 100 Continue\r\n\r\n", {});
      if (ec) co_return Next::close;
    }
    x_.sent = Clock::now();
    set_phase(Phase::upload, timeouts().body_progress);
    std::string_view first = out_, second = ready;
    error_code sent;
    if (!write_at_once(lease_.socket(), first, second, sent)) {
      sent = co_await write_all(lease_.socket(), first, second, [this](std::size_t) { progress(); });
    }
    in_.consume(std::exchange(head_bytes, 0) + ready.size());
    ready = {};
    // A server that closed early may have said why: its answer is read whether or not the request went whole.
    Outcome outcome;
    if (sent && timed_out_) {
      outcome = no_answer();
    } else if (x_.request_done || sent) {
      await_first_byte();
      outcome = co_await relay_answer();
    } else {
      outcome = co_await relay_both_ways();
    }
    if (outcome == Outcome::resend) {
      lease_.end();
      proxy_.counters().upstream_resent.add();
      x_.resendable = false;
      x_.resent = true;
      continue;
    }
    co_return co_await finish_exchange(outcome);
  }
}

template <class Stream>
auto Session<Stream>::prepare_forward(Decision const& decision, http::RequestHead const& head) -> void {
  if (x_.request_body == http::BodyKind::chunked) x_.request_chunks.emplace(chunk_limits());
  bool const safe =
      head.method == http::Method::get || head.method == http::Method::head || head.method == http::Method::options;
  x_.resendable = safe && x_.request_done;
  x_.upgrade = head.websocket_upgrade;
  x_.wants_stream = head.value(http::FieldId::accept).find("text/event-stream") != std::string_view::npos;
  x_.prefix = decision.prefix;
  auto const path = decision.target_text.substr(0, decision.target_text.find('?'));
  bool const opens_socket_io = decision.route == http::RouteKind::socket_io && !http::query_value(head.query, "sid").found;
  x_.learns = http::hands_out_conversation_id(head.method, path) ? Learns::conversation_id
              : opens_socket_io                                  ? Learns::socket_io_sid
                                                                 : Learns::nothing;
  x_.speaks = path.starts_with("/sockets/")     ? Speaks::agent_server
              : path.starts_with("/socket.io/") ? Speaks::socket_io
                                                : Speaks::anything;
  x_.long_poll = x_.speaks == Speaks::socket_io && is_long_poll(head, decision.target_text);
}

template <class Stream>
auto Session<Stream>::build_upstream_head(Decision const& decision, http::RequestHead const& head) -> void {
  http::RequestRewrite rewrite;
  rewrite.target = decision.target_text;
  rewritten_target_.clear();
  auto const& session_key = decision.entry->record().session_key;
  if (decision.inject_key) {
    rewrite.session_key = session_key.reveal();
    rewrite_query_key(decision, session_key.reveal());
    if (!rewritten_target_.empty()) rewrite.target = rewritten_target_;
  }
  rewrite.host = decision.target->place().authority;
  rewrite.peer_address = peer_address_;
  rewrite.scheme = scheme_;
  rewrite.forwarded_prefix = decision.prefix;
  rewrite.request_id = request_id_;
  traceparent_.clear();
  if (head.value(http::FieldId::traceparent).empty()) {
    shared_.ids.append_traceparent(traceparent_);
    rewrite.traceparent = traceparent_;
  }
  rewrite.trust = trusted_peer_ ? http::ForwardedTrust::append : http::ForwardedTrust::replace;
  rewrite.drop_authorization = decision.drop_authorization;
  rewrite.drop_api_key = decision.drop_api_key;
  rewrite.keep_upgrade = head.websocket_upgrade;
  http::append_request_head(out_, head, rewrite);
}

// A session key in the query that is not the runtime's own (another secret's, or none with an API key) must not reach
// the nested server, which reads the query first. Socket.IO servers know no other place (nested_server.md 3.4).
template <class Stream>
auto Session<Stream>::rewrite_query_key(Decision const& decision, std::string_view runtime_key) -> void {
  auto const question = decision.target_text.find('?');
  auto const path = decision.target_text.substr(0, question);
  auto const query = question == std::string_view::npos ? std::string_view{} : decision.target_text.substr(question + 1);
  auto const in_query = http::query_value(query, "session_api_key");
  bool const socket_io = path.starts_with("/socket.io/");
  std::array<char, shown_key_bytes_max> decoded;
  if (in_query.found ? http::decode_query_value(in_query.value, decoded) == runtime_key : !socket_io) return;
  if (socket_io) {
    http::append_target_with(rewritten_target_, path, query, "session_api_key", runtime_key);
  } else {
    http::append_target_without(rewritten_target_, path, query, "session_api_key");
  }
}

// Shortens `bytes` to what belongs to the request's body. False: the chunks are malformed.
template <class Stream>
auto Session<Stream>::take_request_body(std::string_view& bytes) -> bool {
  if (x_.request_done) {
    bytes = {};
    return true;
  }
  if (x_.request_body == http::BodyKind::length) {
    bytes = bytes.substr(0, std::min<std::uint64_t>(bytes.size(), x_.request_left));
    x_.request_left -= bytes.size();
    x_.request_done = x_.request_left == 0;
  } else {
    auto const step = x_.request_chunks->feed(bytes);
    x_.request_refusal = step.why;
    if (step.why != http::Refusal::none) return false;
    bytes = bytes.substr(0, step.consumed);
    x_.request_done = x_.request_chunks->done();
  }
  x_.bytes_in += bytes.size();
  return true;
}

// An idle connection, or a new one, which a request that is sent again always gets. False: x_.failure says why.
template <class Stream>
auto Session<Stream>::connect(upstream::TargetPtr target) -> Task<bool> {
  auto& counters = proxy_.counters();
  // Its address may belong to another runtime by now.
  if (target->withdrawn()) {
    x_.failure = why_not_there();
    co_return false;
  }
  while (!x_.resent) {
    auto idle = target->take_idle(shared_.coarse_now(), timeouts().upstream_idle);
    if (!idle) break;
    // A system call for each exchange, on purpose: what came unasked would be taken for the answer, and a watch on idle
    // connections costs as much while it sees only what the event loop has come round to.
    if (upstream::peer_has_ended(idle->socket)) continue;
    x_.fresh = false;
    lease_ = Lease(proxy_, target, std::move(idle));
    counters.upstream_reused.add();
    co_return true;
  }
  x_.fresh = true;
  lease_ = Lease(proxy_, target, std::make_unique<upstream::Connection>(proxy_.core().loop.get_executor()));
  counters.upstream_connects.add();
  set_phase(Phase::connect, timeouts().connect);
  auto [ec] = co_await lease_.socket().async_connect(target->place().at, no_throw);
  if (!ec && !target->withdrawn()) {
    lease_.socket().set_option(asio::ip::tcp::no_delay(true), ignored_);
    if (!target->place().tls) co_return true;
    bool const is_trusted = co_await begin_tls(target);
    if (is_trusted && !target->withdrawn()) co_return true;
  }
  counters.upstream_connect_failures.add();
  lease_.end();
  if (x_.opened.withdrawn) {
    x_.failure = key_withdrawn;
  } else if (target->withdrawn()) {
    x_.failure = why_not_there();
  } else if (timed_out_) {
    x_.failure = {504, "runtime_connect_timeout", "the conversation's runtime did not take the connection in time", 0};
  } else {
    // Nobody listens: it is starting again, or gone. A client that waits and retries is right in both cases.
    x_.failure = {503, "runtime_unreachable", "the conversation's runtime takes no connections", 1};
  }
  co_return false;
}

// Within the time of the connect. What ends the connection meanwhile ends the handshake.
template <class Stream>
auto Session<Stream>::begin_tls(upstream::TargetPtr target) -> Task<bool> {
  if (timed_out_ || stopping_) co_return false;
  auto tell = [&proxy = proxy_, target, entry = x_.opened.entry](std::string_view why) {
    if (std::exchange(target->refusal_was_told, true)) return;
    auto const& listener = proxy.surroundings().on_untrusted;
    if (listener) listener(entry->record().id, target->place().authority, why);
  };
  auto const begun =
      put_tls_on(lease_.connection(), target->place(), proxy_.core().tasks, shared_.small_blocks, std::move(tell));
  if (!begun) co_return false;
  char said;
  auto [ec, n] = co_await lease_.socket().async_read_some(asio::buffer(&said, 1), no_throw);
  if (ec) co_return false;
  target->refusal_was_told = false;
  co_return true;
}

template <class Stream>
auto Session<Stream>::finish_exchange(Outcome outcome) -> Task<Next> {
  switch (outcome) {
    case Outcome::done: {
      bool const client_stays = x_.client_keep_alive && x_.request_done && !stopping_;
      if (x_.reusable && x_.request_done && !lease_.target().withdrawn()) {
        lease_.give_back();
      } else {
        lease_.end();
      }
      end_request();
      co_return client_stays ? Next::keep_alive : (x_.request_done ? Next::close : Next::close_after_lingering);
    }
    case Outcome::upgraded: co_return Next::handed_over;
    case Outcome::failed:
      lease_.end();
      if (x_.client_gone || stopping_) break;
      if (x_.request_refusal != http::Refusal::none) co_return co_await refuse_head(x_.request_refusal);
      if (x_.long_poll && x_.failure.status == 410) co_return co_await answer_closed_poll();
      co_return co_await answer_failure(x_.failure, 0);
    case Outcome::cut:
    case Outcome::resend: break;
  }
  lease_.end();
  if (x_.status == 0) x_.status = x_.client_gone ? 499 : 502;
  end_request();
  if (outcome != Outcome::cut || x_.stream_ended) co_return Next::close;
  reset_client();
  co_return Next::cut;
}

// Its session learns why it ends; the next request of it gets the 410.
template <class Stream>
auto Session<Stream>::answer_closed_poll() -> Task<Next> {
  LocalAnswer answer{200};
  answer.content_type = "text/plain; charset=UTF-8";
  answer.body = socket_io_closed_packet;
  auto const after = after_local_answer();
  co_return co_await send_local(answer, after);
}

// The request went whole, or the nested server takes no more of it.
template <class Stream>
auto Session<Stream>::await_first_byte() -> void {
  set_phase(Phase::first_byte, x_.wants_stream ? std::chrono::milliseconds(0) : timeouts().first_byte);
}

// The request's body is still coming while the answer is awaited, which may come first.
template <class Stream>
auto Session<Stream>::relay_both_ways() -> Task<Outcome> {
  auto executor = proxy_.core().loop.get_executor();
  Outcome outcome = Outcome::failed;
  x_.pumping = true;
  auto answer = asio::co_spawn(executor, quiet(relay_answer_into(outcome)), asio::deferred);
  auto body = asio::co_spawn(executor, quiet(pump_request()), asio::deferred);
  auto both = asio::experimental::make_parallel_group(std::move(answer), std::move(body));
  auto all = asio::experimental::wait_for_all();
  auto [order, answer_bug, body_bug] = co_await std::move(both).async_wait(all, asio::deferred);
  if (answer_bug) std::rethrow_exception(answer_bug);
  if (body_bug) std::rethrow_exception(body_bug);
  co_return outcome;
}

template <class Stream>
auto Session<Stream>::relay_answer_into(Outcome& outcome) -> Task<> {
  outcome = co_await relay_answer();
  if (!x_.pumping) co_return;
  // An answer that did not wait for the whole body: nobody wants the rest.
  cancel_upstream();
  socket_of(stream_).cancel(ignored_);
}

template <class Stream>
auto Session<Stream>::pump_request() -> Task<> {
  bool const chunked = x_.request_body == http::BodyKind::chunked;
  ReadBuffer block(shared_.relay_blocks);
  auto& from = chunked ? in_ : block;
  while (!x_.request_done) {
    std::string_view piece = chunked ? in_.view() : std::string_view{};
    if (piece.empty()) {
      char* const space = from.space(0);
      auto const wanted = chunked ? from.space_bytes() : std::min<std::uint64_t>(from.space_bytes(), x_.request_left);
      x_.awaiting_client = true;
      auto [ec, n] = co_await stream_.async_read_some(asio::buffer(space, wanted), no_throw);
      if (ec) {
        if (!timed_out_ && ec != asio::error::operation_aborted) x_.client_gone = true;
        break;
      }
      x_.awaiting_client = false;
      from.filled(n);
      piece = from.view();
    }
    progress();
    if (!take_request_body(piece)) break;
    std::string_view rest = piece, none;
    error_code ec;
    if (!write_at_once(lease_.socket(), rest, none, ec)) {
      ec = co_await write_all(lease_.socket(), rest, none, [this](std::size_t) { progress(); });
    }
    from.consume(piece.size());
    if (ec) break;  // the nested server wants no more; its answer says why
  }
  x_.pumping = false;
  if (phase_ == Phase::upload && !timed_out_) await_first_byte();
  if (x_.client_gone || x_.request_refusal != http::Refusal::none || timed_out_) lease_.socket().close(ignored_);
}

template <class Stream>
auto Session<Stream>::fail(ExchangeFailure failure) -> Outcome {
  x_.failure = failure;
  return x_.answer_started ? Outcome::cut : Outcome::failed;
}

template <class Stream>
auto Session<Stream>::no_answer() -> Outcome {
  if (x_.opened.withdrawn) return fail(key_withdrawn);
  if (timed_out_ && x_.awaiting_client) return fail(body_timeout);
  if (timed_out_) return fail({504, "runtime_timeout", "the conversation's runtime did not answer in time"});
  if (x_.opened.closed_for_room()) return fail(why_not_there());
  bool const met_a_dead_one = up_.empty() && !x_.fresh && !x_.answer_started;
  bool const wanted = !x_.client_gone && !stopping_ && !lease_.target().withdrawn();
  if (met_a_dead_one && wanted && x_.resendable) return Outcome::resend;
  return fail({502, "runtime_closed", "the conversation's runtime closed the connection before it answered"});
}

template <class Stream>
auto Session<Stream>::relay_answer() -> Task<Outcome> {
  up_.clear();
  auto& head = shared_.response_head;
  http::HeadLimits const head_limits{limits().response_head_bytes_max, limits().response_fields_max};
  std::size_t scanned = 0;
  http::HeadParse parsed;
  for (;;) {
    if (!up_.empty()) {
      parsed = http::parse_response_head(up_.view(), head_limits, x_.method, head, scanned);
      if (parsed.state == http::HeadParse::State::refused) {
        co_return fail({502, "bad_runtime_answer", http::text_for(parsed.why)});
      }
      if (parsed.state == http::HeadParse::State::complete) {
        if (head.status >= 200 || head.status == 101) break;
        if (head.status != 100 && x_.version == http::Version::http_1_1) {
          out_.clear();
          http::ResponseRewrite interim;
          interim.request_id = request_id_;
          http::append_response_head(out_, head, interim);
          if (auto const ec = co_await write_client(out_, {}); ec) co_return gone();
          x_.resendable = false;
        }
        up_.consume(parsed.bytes);
        scanned = 0;
        continue;
      }
    }
    char* const space = up_.space(head_limits.bytes_max + 4096);
    auto [ec, n] = co_await lease_.socket().async_read_some(asio::buffer(space, up_.space_bytes()), no_throw);
    if (ec) co_return no_answer();
    up_.filled(n);
  }
  note_upstream_wait();
  x_.status = head.status;
  if (head.status == 101) {
    if (!x_.upgrade) co_return fail({502, "bad_runtime_answer", "an upgrade that nobody asked for"});
    co_return co_await upgrade(parsed.bytes);
  }
  co_return co_await relay_answer_body(parsed.bytes);
}

template <class Stream>
auto Session<Stream>::note_upstream_wait() -> void {
  auto const wait = Clock::now() - x_.sent;
  x_.upstream_us = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(wait).count());
  proxy_.counters().upstream_wait[static_cast<std::size_t>(x_.route)].observe_us(x_.upstream_us);
}

template <class Stream>
auto Session<Stream>::gone() -> Outcome {
  x_.client_gone = true;
  return Outcome::cut;
}

template <class Stream>
auto Session<Stream>::relay_answer_body(std::size_t head_bytes) -> Task<Outcome> {
  auto const& head = shared_.response_head;
  AnswerBody body{head.body, head.content_length, http::ChunkScanner(chunk_limits())};
  body.take_apart = head.body == http::BodyKind::chunked && x_.version == http::Version::http_1_0;
  body.done = head.body == http::BodyKind::none || (head.body == http::BodyKind::length && head.content_length == 0);
  if (body.take_apart || head.body == http::BodyKind::until_close || !x_.request_done || proxy_.draining()) {
    x_.client_keep_alive = false;
  }
  x_.reusable = head.keep_alive && head.body != http::BodyKind::until_close;
  bool const event_stream = head.value(http::FieldId::content_type).starts_with("text/event-stream");
  x_.event_stream = event_stream;
  std::optional<StreamCount> stream_count;
  if (event_stream) stream_count.emplace(x_.opened.entry->standing());

  http::ResponseRewrite rewrite;
  rewrite.request_id = request_id_;
  rewrite.close = !x_.client_keep_alive;
  rewrite.keep_alive_1_0 = x_.client_keep_alive && x_.version == http::Version::http_1_0;
  rewrite.drop_transfer_encoding = body.take_apart;
  rewrite.location_prefix = x_.prefix;
  bool const hold_back = x_.learns != Learns::nothing && (head.status == 200 || head.status == 201) && !body.done;
  out_.clear();
  http::append_response_head(out_, head, rewrite);
  up_.consume(head_bytes);
  if (event_stream) append_retry(body);

  set_phase(Phase::relay, event_stream ? timeouts().stream_idle : timeouts().body_progress);
  if (hold_back) {
    if (auto const ended = co_await learn_from_answer(body); ended) co_return *ended;
  }
  bool first = true;
  ReadBuffer* from = &up_;
  for (;;) {
    plain_.clear();
    auto const taken = body.take(from->view(), plain_);
    if (body.why != http::Refusal::none) co_return fail({502, "bad_runtime_answer", http::text_for(body.why)});
    auto const piece = from->view().substr(0, taken);
    std::string_view head_piece = first ? std::string_view(out_) : std::string_view{};
    std::string_view rest = body.take_apart ? std::string_view(plain_) : piece;
    x_.bytes_out += rest.size();
    x_.answer_started = true;
    if (head_piece.empty()) std::swap(head_piece, rest);
    if (!head_piece.empty()) {
      error_code ec;
      if (!write_at_once(stream_, head_piece, rest, ec)) ec = co_await write_client(head_piece, rest);
      if (ec) co_return gone();
      if (event_stream) x_.opened.entry->standing().note_traffic(shared_.coarse_now());
    }
    first = false;
    from->consume(taken);
    if (body.done) break;
    if (!from->empty()) continue;
    if (event_stream && (x_.stream_ended || proxy_.draining())) {
      x_.stream_ended = true;
      co_return Outcome::cut;
    }
    progress();
    // A body that goes on after the first read is likely large: larger reads from here.
    if (from == &up_ && body.kind != http::BodyKind::chunked) from = &relay_;
    char* const space = from->space(0);
    auto [ec, n] = co_await lease_.socket().async_read_some(asio::buffer(space, from->space_bytes()), no_throw);
    if (ec == asio::error::eof && body.kind == http::BodyKind::until_close && !lease_.connection().is_cut_short()) break;
    if (ec) {
      relay_.release();
      co_return fail({502, "runtime_closed", "the conversation's runtime closed the connection in its answer"});
    }
    from->filled(n);
  }
  if (!up_.empty() || !relay_.empty()) x_.reusable = false;  // bytes that nobody asked for
  relay_.release();
  co_return Outcome::done;
}

// A jittered reconnection time, so that the clients of a gateway that restarts do not come back as one.
template <class Stream>
auto Session<Stream>::append_retry(AnswerBody const& body) -> void {
  if (body.done || body.take_apart || body.kind == http::BodyKind::length) return;
  auto const ms = 1'000 + static_cast<unsigned>(std::hash<std::string_view>{}(request_id_) % 4'000);
  std::string const event = "retry: " + std::to_string(ms) + "\n\n";
  if (body.kind == http::BodyKind::chunked) {
    http::append_chunk(out_, event);
  } else {
    out_.append(event);
  }
}

// The answer may hand out an id by which the client comes back, on any core: it is held back until every core knows
// the id, or it proves too large.
// Leaves out_ with the head and what was held back, and `body` behind it; a value ends the exchange.
template <class Stream>
auto Session<Stream>::learn_from_answer(AnswerBody& body) -> Task<std::optional<Outcome>> {
  std::string held, payload;
  ReadBuffer& from = up_;
  bool const chunked = body.kind == http::BodyKind::chunked;
  bool const pass_payload = body.take_apart;
  while (!body.done && held.size() <= limits().alias_answer_bytes_max) {
    if (from.empty()) {
      char* const space = from.space(0);
      auto [ec, n] = co_await lease_.socket().async_read_some(asio::buffer(space, from.space_bytes()), no_throw);
      if (ec == asio::error::eof && body.kind == http::BodyKind::until_close && !lease_.connection().is_cut_short()) {
        body.done = true;
        break;
      }
      if (ec) co_return fail({502, "runtime_closed", "the conversation's runtime closed the connection in its answer"});
      from.filled(n);
      progress();
    }
    body.take_apart = chunked;
    auto const taken = body.take(from.view(), payload);
    body.take_apart = pass_payload;
    if (body.why != http::Refusal::none) co_return fail({502, "bad_runtime_answer", http::text_for(body.why)});
    held.append(from.view().substr(0, taken));
    from.consume(taken);
  }
  if (body.done) {
    std::string_view const answer = chunked ? payload : held;
    co_await learn(answer);
  }
  std::string_view const passed = pass_payload ? payload : held;
  x_.bytes_out += passed.size();
  out_.append(passed);
  co_return std::nullopt;
}

template <class Stream>
auto Session<Stream>::learn(std::string_view answer) -> Task<> {
  ConversationId runtime = x_.opened.entry->record().id;
  if (x_.learns == Learns::socket_io_sid) {
    auto sid = codec::engine_io_sid(answer);
    if (sid) co_await proxy_.surroundings().sids.publish_sid(std::move(*sid), std::move(runtime));
    co_return;
  }
  auto const text = codec::conversation_id_in_answer(answer);
  auto const alias = text ? ConversationId::parse(*text) : std::nullopt;
  if (!alias) co_return;
  proxy_.counters().aliases_learnt.add();
  co_await proxy_.surroundings().directories.add_alias(*alias, std::move(runtime));
}

}  // namespace nestgate::proxy
