#pragma once

#include <boost/asio/experimental/parallel_group.hpp>
#include <optional>
#include <string>
#include <utility>

#include "answers.hpp"
#include "internals.hpp"
#include "lease.hpp"
#include "nestgate/codec/wire_messages.hpp"
#include "nestgate/http/chunked.hpp"
#include "nestgate/http/fault_status.hpp"
#include "nestgate/http/rewrite.hpp"
#include "nestgate/http/websocket.hpp"
#include "nestgate/net/stream_io.hpp"
#include "tunnel.hpp"

namespace nestgate::proxy {

// Why an exchange with a nested server ended early; `none` with the answer passed on whole.
struct ExchangeFailure {
  unsigned status = 0;  // what the client is told if nothing was sent yet
  std::string_view code;
  std::string_view message;
  unsigned retry_after_s = 0;
};

template <class Stream>
class Session final : public Watch {
 public:
  Session(ProxyCore& proxy, Stream stream, std::string peer_address, std::string_view scheme)
      : proxy_(proxy),
        shared_(proxy.internals()),
        stream_(std::move(stream)),
        peer_address_(std::move(peer_address)),
        scheme_(scheme),
        in_(shared_.small_blocks),
        up_(shared_.small_blocks),
        relay_(shared_.relay_blocks) {
    trusted_peer_ = is_trusted_proxy(proxy.config(), peer_address_);
    shared_.watches.push_back(*this);
    proxy_.counters().connections_accepted.add();
    proxy_.counters().connections_open.add();
  }
  Session(Session const&) = delete;
  Session& operator=(Session const&) = delete;
  ~Session() { proxy_.counters().connections_open.sub(); }

  Task<> run() {
    if constexpr (!PlainStream<Stream>) {
      set_phase(Phase::handshake, timeouts().tls_handshake);
      auto [ec] = co_await stream_.async_handshake(asio::ssl::stream_base::server, no_throw);
      if (ec) co_return;
    }
    auto next = Next::keep_alive;
    while (next == Next::keep_alive && !stopping_) next = co_await serve_request();
    if (next == Next::handed_over || stopping_) co_return;
    if constexpr (!PlainStream<Stream>) {
      set_phase(Phase::linger, linger_time);
      auto [ec] = co_await stream_.async_shutdown(no_throw);
      static_cast<void>(ec);  // the peer may be gone already
    }
    if (next == Next::close_after_lingering) co_await linger();
  }

  void on_sweep(Clock::time_point now) override {
    bool const withdrawn = lease_ && lease_.target().withdrawn();
    if (withdrawn && phase_ != Phase::deciding) lease_.socket().close(ignored_);
    if (now < deadline_) return;
    deadline_ = Clock::time_point::max();
    timed_out_ = true;
    switch (phase_) {
      case Phase::connect:
      case Phase::first_byte: cancel_upstream(); break;
      case Phase::relay:
        cancel_upstream();
        socket_of(stream_).cancel(ignored_);
        break;
      default: socket_of(stream_).cancel(ignored_); break;
    }
  }

  void on_drain() override {
    // A request that is on its way to an idle connection is still answered, and told to close.
    if (phase_ == Phase::idle) deadline_ = std::min(deadline_, shared_.coarse_now() + drain_idle_time);
  }

  void on_stop() override {
    stopping_ = true;
    socket_of(stream_).close(ignored_);
    cancel_upstream();
  }

 private:
  enum class Phase : std::uint8_t { handshake, idle, head, deciding, own_body, own, first_frame, connect, first_byte, relay, linger };
  enum class Next : std::uint8_t { keep_alive, close, close_after_lingering, handed_over };
  enum class Outcome : std::uint8_t { done, resend, failed, cut, upgraded };

  static constexpr std::chrono::milliseconds linger_time{1'000};
  static constexpr std::size_t linger_bytes_max = 1024 * 1024;
  static constexpr std::chrono::milliseconds drain_idle_time{500};

  // The exchange that is going on. One at a time; reused, so that it costs nothing to set up.
  struct Exchange {
    http::RouteKind route = http::RouteKind::none;
    http::Method method = http::Method::other;
    http::Version version = http::Version::http_1_1;
    bool client_keep_alive = true;
    bool upgrade = false;
    bool resendable = false;
    bool fresh = false;
    bool wants_stream = false;
    bool learn_alias = false;
    bool learn_sid = false;
    bool event_socket = false;
    http::BodyKind request_body = http::BodyKind::none;
    std::uint64_t request_left = 0;
    bool request_done = true;
    bool pumping = false;
    bool answer_started = false;
    bool reusable = false;
    http::Refusal request_refusal = http::Refusal::none;
    bool client_gone = false;
    unsigned status = 0;
    std::uint64_t bytes_in = 0, bytes_out = 0;
    std::uint64_t upstream_us = 0;
    Clock::time_point began{}, sent{};
    conversation::EntryPtr entry;
    std::string prefix;
    std::optional<http::ChunkScanner> request_chunks;
    ExchangeFailure failure;
  };

  Limits const& limits() const { return proxy_.config().limits; }
  Timeouts const& timeouts() const { return proxy_.config().timeouts; }
  http::ChunkLimits chunk_limits() const { return {limits().chunk_extension_bytes_max, limits().trailer_bytes_max}; }

  void set_phase(Phase phase, std::chrono::milliseconds time) {
    phase_ = phase;
    phase_time_ = time;
    timed_out_ = false;
    progress();
  }
  // The phase goes on: its time starts anew. Zero is off.
  void progress() { deadline_ = phase_time_.count() == 0 ? Clock::time_point::max() : shared_.coarse_now() + phase_time_; }

  void cancel_upstream() {
    if (lease_) lease_.socket().cancel(ignored_);
  }

  // --- the client's head

  Task<Next> serve_request() {
    std::size_t scanned = 0;
    http::HeadLimits const head_limits{limits().request_head_bytes_max, limits().request_fields_max};
    auto& head = shared_.request_head;
    http::HeadParse parsed;
    set_phase(Phase::idle, timeouts().keep_alive);
    if (proxy_.draining()) on_drain();
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
          co_return co_await refuse_head(408, "head_timeout", "the request's head did not arrive in time");
        }
        co_return Next::close;
      }
      in_.filled(n);
    }
    set_phase(Phase::deciding, std::chrono::milliseconds(0));
    begin_exchange();
    if (parsed.state == http::HeadParse::State::refused) {
      proxy_.counters().rejected[static_cast<std::size_t>(Reject::bad_request)].add();
      co_return co_await refuse_head(http::status_for(parsed.why), http::code_for(parsed.why), http::text_for(parsed.why));
    }
    note_request(head);
    Decision decision = decide(head, proxy_.config(), proxy_.directory(), shared_, proxy_.surroundings().own_routes);
    x_.route = decision.route;
    x_.entry = decision.entry;
    switch (decision.kind) {
      case Decision::Kind::forward: co_return co_await forward(std::move(decision), parsed.bytes);
      case Decision::Kind::own: co_return co_await serve_own(std::move(decision), parsed.bytes);
      case Decision::Kind::first_frame: co_return co_await serve_first_frame(std::move(decision), parsed.bytes);
      case Decision::Kind::probe: co_return co_await answer_probe(parsed.bytes);
      case Decision::Kind::refuse_websocket: co_return co_await refuse_websocket(decision.close_code, decision.message, decision.reject);
      case Decision::Kind::refuse: break;
    }
    proxy_.counters().rejected[static_cast<std::size_t>(decision.reject)].add();
    ExchangeFailure const failure{decision.status, decision.code, decision.message, decision.status == 503 ? 1u : 0u};
    co_return co_await answer_failure(failure, parsed.bytes);
  }

  void begin_exchange() {
    x_.request_body = http::BodyKind::none;
    x_.request_done = true;
    x_.pumping = x_.answer_started = x_.reusable = x_.client_gone = false;
    x_.request_refusal = http::Refusal::none;
    x_.status = 0;
    x_.bytes_in = x_.bytes_out = x_.upstream_us = 0;
    x_.began = Clock::now();
    x_.entry = nullptr;
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

  void note_request(http::RequestHead const& head) {
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
      http::append_redacted_target(target_, head.target);
    }
  }

  // --- answers of our own

  AfterAnswer after_local_answer() const {
    return x_.client_keep_alive && x_.request_done && !proxy_.draining() ? AfterAnswer::keep_alive : AfterAnswer::close;
  }

  Task<Next> send_local(LocalAnswer answer, AfterAnswer after) {
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
  Task<Next> answer_failure(ExchangeFailure failure, std::size_t head_bytes) {
    in_.consume(head_bytes);
    std::string const body = error_body(failure.status, failure.code, failure.message, request_id_);
    LocalAnswer answer{failure.status};
    answer.body = body;
    answer.retry_after_s = failure.retry_after_s;
    auto const after = after_local_answer();
    co_return co_await send_local(answer, after);
  }

  // What follows a head that was refused cannot be told apart from a body: the connection ends.
  Task<Next> refuse_head(unsigned status, std::string_view code, std::string_view message) {
    if (request_id_.empty()) shared_.ids.append_request_id(request_id_);
    x_.client_keep_alive = false;
    x_.request_done = false;
    ExchangeFailure const failure{status, code, message};
    co_return co_await answer_failure(failure, in_.size());
  }

  Task<Next> answer_probe(std::size_t head_bytes) {
    in_.consume(head_bytes);
    LocalAnswer answer{200};
    answer.body = R"({"status":"ok"})";
    auto const after = after_local_answer();
    co_return co_await send_local(answer, after);
  }

  void end_request() {
    auto const now = Clock::now();
    auto const us = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - x_.began).count());
    auto& counters = proxy_.counters();
    auto const route = static_cast<std::size_t>(x_.route);
    auto const status_class = std::min<std::size_t>(std::max(x_.status / 100, 1u) - 1, status_classes - 1);
    counters.requests[route][status_class].add();
    counters.duration[route].observe_us(us);
    counters.client_bytes_in.add(x_.bytes_in);
    counters.client_bytes_out.add(x_.bytes_out);
    if (proxy_.config().access_log == AccessLog::off) return;
    shared_.log_line.clear();
    AccessRecord record{};
    record.request_id = request_id_;
    record.peer = peer_address_;
    record.method = method_text_;
    record.target = target_;
    record.route = http::to_string(x_.route);
    if (x_.entry) record.conversation = x_.entry->record().id.text();
    record.status = x_.status;
    record.bytes_in = x_.bytes_in;
    record.bytes_out = x_.bytes_out;
    record.duration_us = us;
    record.upstream_us = x_.upstream_us;
    append_access_line(shared_.log_line, record);
    shared_.access_log.append(shared_.log_line);
  }

  Task<error_code> write_client(std::string_view first, std::string_view second) {
    return write_all(stream_, first, second, [this](std::size_t) { progress(); });
  }

  // A client that is still sending would lose our last answer to a reset: read on a little, bounded both ways.
  Task<> linger() {
    set_phase(Phase::linger, linger_time);
    socket_of(stream_).shutdown(asio::socket_base::shutdown_send, ignored_);
    std::size_t left = linger_bytes_max;
    in_.clear();
    while (left > 0) {
      char* const space = in_.space(0);
      auto [ec, n] = co_await socket_of(stream_).async_read_some(asio::buffer(space, in_.space_bytes()), no_throw);
      if (ec) co_return;
      left -= std::min(left, n);
    }
  }

  // --- forwarding

  Task<Next> forward(Decision decision, std::size_t head_bytes) {
    auto const& head = shared_.request_head;
    if (head.websocket_upgrade) {
      auto const who = decision.presented_key.empty() ? std::string_view(peer_address_) : decision.presented_key;
      if (!shared_.admit_upgrade(who)) {
        proxy_.counters().rejected[static_cast<std::size_t>(Reject::upgrade_rate)].add();
        ExchangeFailure const failure{503, "too_many_upgrades", "too many websocket upgrades with this key; wait a moment", 1};
        co_return co_await answer_failure(failure, head_bytes);
      }
    }
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
    if (!take_request_body(ready)) {
      auto const why = x_.request_refusal;
      co_return co_await refuse_head(http::status_for(why), http::code_for(why), http::text_for(why));
    }

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
      set_phase(Phase::first_byte, x_.wants_stream ? std::chrono::milliseconds(0) : timeouts().first_byte);
      std::string_view first = out_, second = ready;
      error_code sent;
      if (!write_at_once(lease_.socket(), first, second, sent)) {
        sent = co_await write_all(lease_.socket(), first, second, [this](std::size_t) { progress(); });
      }
      in_.consume(std::exchange(head_bytes, 0) + ready.size());
      ready = {};
      // A server that closed early may have said why: its answer is read whether or not the request went whole.
      Outcome outcome;
      if (x_.request_done || sent) {
        outcome = co_await relay_answer();
      } else {
        outcome = co_await relay_both_ways();
      }
      if (outcome == Outcome::resend) {
        lease_.end();
        proxy_.counters().upstream_resent.add();
        x_.resendable = false;
        continue;
      }
      co_return co_await finish_exchange(outcome);
    }
  }

  void prepare_forward(Decision const& decision, http::RequestHead const& head) {
    bool const safe = head.method == http::Method::get || head.method == http::Method::head || head.method == http::Method::options;
    x_.resendable = safe && x_.request_done;
    x_.upgrade = head.websocket_upgrade;
    x_.wants_stream = head.value(http::FieldId::accept).find("text/event-stream") != std::string_view::npos;
    x_.prefix = decision.prefix;
    auto const path = decision.target_text.substr(0, decision.target_text.find('?'));
    x_.learn_alias = http::hands_out_conversation_id(head.method, path);
    x_.event_socket = path.starts_with("/sockets/");
    x_.learn_sid = decision.route == http::RouteKind::socket_io && !http::query_value(head.query, "sid").found;
  }

  void build_upstream_head(Decision const& decision, http::RequestHead const& head) {
    http::RequestRewrite rewrite;
    rewrite.target = decision.target_text;
    rewritten_target_.clear();
    auto const& session_key = decision.entry->record().session_key;
    if (decision.inject_key) {
      rewrite.session_key = session_key.reveal();
      rewrite_query_key(decision, session_key.reveal());
      if (!rewritten_target_.empty()) rewrite.target = rewritten_target_;
    }
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
    rewrite.keep_upgrade = head.websocket_upgrade;
    http::append_request_head(out_, head, rewrite);
  }

  // A session key in the query that is not the runtime's own (another secret's, or none with an API key) must not reach
  // the nested server, which reads the query first. Socket.IO servers know no other place (nested_server.md 3.4).
  void rewrite_query_key(Decision const& decision, std::string_view runtime_key) {
    auto const question = decision.target_text.find('?');
    auto const path = decision.target_text.substr(0, question);
    auto const query = question == std::string_view::npos ? std::string_view{} : decision.target_text.substr(question + 1);
    auto const in_query = http::query_value(query, "session_api_key");
    bool const socket_io = path.starts_with("/socket.io/");
    if (in_query.found ? in_query.value == runtime_key : !socket_io) return;
    if (socket_io) {
      http::append_target_with(rewritten_target_, path, query, "session_api_key", runtime_key);
    } else {
      http::append_target_without(rewritten_target_, path, query, "session_api_key");
    }
  }

  // Shortens `bytes` to what belongs to the request's body. False: the chunks are malformed.
  bool take_request_body(std::string_view& bytes) {
    if (x_.request_done) {
      bytes = {};
      return true;
    }
    if (x_.request_body == http::BodyKind::length) {
      bytes = bytes.substr(0, std::min<std::uint64_t>(bytes.size(), x_.request_left));
      x_.request_left -= bytes.size();
      x_.request_done = x_.request_left == 0;
    } else {
      x_.request_chunks.emplace(chunk_limits());
      auto const step = x_.request_chunks->feed(bytes);
      x_.request_refusal = step.why;
      if (step.why != http::Refusal::none) return false;
      bytes = bytes.substr(0, step.consumed);
      x_.request_done = x_.request_chunks->done();
    }
    x_.bytes_in += bytes.size();
    return true;
  }

  // An idle connection, or a new one. False: x_.failure says why.
  Task<bool> connect(upstream::TargetPtr target) {
    auto& counters = proxy_.counters();
    while (auto idle = target->take_idle(shared_.coarse_now(), timeouts().upstream_idle)) {
      if (!x_.resendable && upstream::peer_has_ended(idle->socket)) continue;
      x_.fresh = false;
      lease_ = Lease(proxy_, target, std::move(idle));
      counters.upstream_reused.add();
      co_return true;
    }
    x_.fresh = true;
    lease_ = Lease(proxy_, target, std::make_unique<upstream::Connection>(proxy_.core().loop.get_executor()));
    counters.upstream_connects.add();
    set_phase(Phase::connect, timeouts().connect);
    auto [ec] = co_await lease_.socket().async_connect(target->endpoint(), no_throw);
    if (!ec) {
      lease_.socket().set_option(asio::ip::tcp::no_delay(true), ignored_);
      co_return true;
    }
    counters.upstream_connect_failures.add();
    lease_.end();
    if (timed_out_) {
      x_.failure = {504, "runtime_connect_timeout", "the conversation's runtime did not take the connection in time", 0};
    } else {
      // Nobody listens: it is starting again, or gone. A client that waits and retries is right in both cases.
      x_.failure = {503, "runtime_unreachable", "the conversation's runtime takes no connections", 1};
    }
    co_return false;
  }

  Task<Next> finish_exchange(Outcome outcome) {
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
        if (x_.request_refusal != http::Refusal::none) {
          auto const why = x_.request_refusal;
          co_return co_await refuse_head(http::status_for(why), http::code_for(why), http::text_for(why));
        }
        co_return co_await answer_failure(x_.failure, 0);
      case Outcome::cut:
      case Outcome::resend: break;
    }
    lease_.end();
    if (x_.status == 0) x_.status = x_.client_gone ? 499 : 502;
    end_request();
    // The client must not take a cut answer for a whole one: where only the end of the connection tells, it is a reset.
    if (outcome == Outcome::cut) socket_of(stream_).set_option(asio::socket_base::linger(true, 0), ignored_);
    co_return Next::close;
  }

  // The request's body is still coming while the answer is awaited, which may come first.
  Task<Outcome> relay_both_ways() {
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

  Task<> relay_answer_into(Outcome& outcome) {
    outcome = co_await relay_answer();
    if (!x_.pumping) co_return;
    // An answer that did not wait for the whole body: nobody wants the rest.
    cancel_upstream();
    socket_of(stream_).cancel(ignored_);
  }

  Task<> pump_request() {
    bool const chunked = x_.request_body == http::BodyKind::chunked;
    ReadBuffer block(shared_.relay_blocks);
    auto& from = chunked ? in_ : block;
    while (!x_.request_done) {
      std::string_view piece = chunked ? in_.view() : std::string_view{};
      if (piece.empty()) {
        char* const space = from.space(0);
        auto const wanted = chunked ? from.space_bytes() : std::min<std::uint64_t>(from.space_bytes(), x_.request_left);
        auto [ec, n] = co_await stream_.async_read_some(asio::buffer(space, wanted), no_throw);
        if (ec) {
          if (!timed_out_ && ec != asio::error::operation_aborted) x_.client_gone = true;
          break;
        }
        from.filled(n);
        piece = from.view();
      }
      progress();
      if (!take_more(piece)) break;
      std::string_view rest = piece, none;
      error_code ec;
      if (!write_at_once(lease_.socket(), rest, none, ec)) {
        ec = co_await write_all(lease_.socket(), rest, none, [this](std::size_t) { progress(); });
      }
      from.consume(piece.size());
      if (ec) break;  // the nested server wants no more; its answer says why
    }
    x_.pumping = false;
    if (x_.client_gone || x_.request_refusal != http::Refusal::none || timed_out_) lease_.socket().close(ignored_);
  }

  bool take_more(std::string_view& piece) {
    if (x_.request_body == http::BodyKind::length) {
      x_.request_left -= piece.size();
      x_.request_done = x_.request_left == 0;
    } else {
      auto const step = x_.request_chunks->feed(piece);
      x_.request_refusal = step.why;
      if (step.why != http::Refusal::none) return false;
      piece = piece.substr(0, step.consumed);
      x_.request_done = x_.request_chunks->done();
    }
    x_.bytes_in += piece.size();
    return true;
  }

  Outcome fail(unsigned status, std::string_view code, std::string_view message) {
    x_.failure = {status, code, message, 0};
    return x_.answer_started ? Outcome::cut : Outcome::failed;
  }

  Outcome no_answer() {
    if (timed_out_) return fail(504, "runtime_timeout", "the conversation's runtime did not answer in time");
    if (up_.empty() && !x_.fresh && x_.resendable && !x_.answer_started) return Outcome::resend;
    return fail(502, "runtime_closed", "the conversation's runtime closed the connection before it answered");
  }

  Task<Outcome> relay_answer() {
    up_.clear();
    auto& head = shared_.response_head;
    http::HeadLimits const head_limits{limits().response_head_bytes_max, limits().response_fields_max};
    std::size_t scanned = 0;
    http::HeadParse parsed;
    for (;;) {
      if (!up_.empty()) {
        parsed = http::parse_response_head(up_.view(), head_limits, x_.method, head, scanned);
        if (parsed.state == http::HeadParse::State::refused) {
          co_return fail(502, "bad_runtime_answer", http::text_for(parsed.why));
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
      if (!x_.upgrade) co_return fail(502, "bad_runtime_answer", "an upgrade that nobody asked for");
      co_return co_await upgrade(parsed.bytes);
    }
    co_return co_await relay_answer_body(parsed.bytes);
  }

  void note_upstream_wait() {
    auto const wait = Clock::now() - x_.sent;
    x_.upstream_us = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(wait).count());
    proxy_.counters().upstream_wait[static_cast<std::size_t>(x_.route)].observe_us(x_.upstream_us);
  }

  Outcome gone() {
    x_.client_gone = true;
    return Outcome::cut;
  }

  // Where an answer's body stands.
  struct AnswerBody {
    http::BodyKind kind;
    std::uint64_t left = 0;
    http::ChunkScanner chunks;
    bool take_apart = false;  // chunks for an HTTP/1.0 client
    bool done = false;
    http::Refusal why = http::Refusal::none;

    // How much of `bytes` belongs to the body; `plain` gets the payload when chunks are taken apart.
    std::size_t take(std::string_view bytes, std::string& plain) {
      switch (kind) {
        case http::BodyKind::none: done = true; return 0;
        case http::BodyKind::length: {
          auto const n = std::min<std::uint64_t>(bytes.size(), left);
          left -= n;
          done = left == 0;
          return n;
        }
        case http::BodyKind::chunked: {
          auto const step = take_apart ? chunks.feed(bytes, [&](std::string_view payload) { plain.append(payload); }) : chunks.feed(bytes);
          why = step.why;
          done = chunks.done();
          return step.consumed;
        }
        case http::BodyKind::until_close: return bytes.size();
      }
      return 0;
    }
  };

  Task<Outcome> relay_answer_body(std::size_t head_bytes) {
    auto const& head = shared_.response_head;
    AnswerBody body{head.body, head.content_length, http::ChunkScanner(chunk_limits())};
    body.take_apart = head.body == http::BodyKind::chunked && x_.version == http::Version::http_1_0;
    body.done = head.body == http::BodyKind::none || (head.body == http::BodyKind::length && head.content_length == 0);
    if (body.take_apart || head.body == http::BodyKind::until_close || !x_.request_done || proxy_.draining()) {
      x_.client_keep_alive = false;
    }
    x_.reusable = head.keep_alive && head.body != http::BodyKind::until_close;
    bool const event_stream = head.value(http::FieldId::content_type).starts_with("text/event-stream");

    http::ResponseRewrite rewrite;
    rewrite.request_id = request_id_;
    rewrite.close = !x_.client_keep_alive;
    rewrite.keep_alive_1_0 = x_.client_keep_alive && x_.version == http::Version::http_1_0;
    rewrite.drop_transfer_encoding = body.take_apart;
    rewrite.location_prefix = x_.prefix;
    bool const learn = x_.learn_alias && (head.status == 200 || head.status == 201) && !body.done && !body.take_apart &&
                       head.body != http::BodyKind::until_close;
    out_.clear();
    http::append_response_head(out_, head, rewrite);
    up_.consume(head_bytes);
    if (event_stream) append_retry(body);

    set_phase(Phase::relay, event_stream ? timeouts().stream_idle : timeouts().body_progress);
    if (learn) {
      if (auto const ended = co_await learn_from_answer(body); ended) co_return *ended;
    }
    bool first = true;
    ReadBuffer* from = &up_;
    for (;;) {
      plain_.clear();
      auto const taken = body.take(from->view(), plain_);
      if (body.why != http::Refusal::none) co_return fail(502, "bad_runtime_answer", http::text_for(body.why));
      auto const piece = from->view().substr(0, taken);
      if (x_.learn_sid) learn_sid(piece);
      std::string_view head_piece = first ? std::string_view(out_) : std::string_view{};
      std::string_view rest = body.take_apart ? std::string_view(plain_) : piece;
      x_.bytes_out += rest.size();
      x_.answer_started = true;
      if (head_piece.empty()) std::swap(head_piece, rest);
      if (!head_piece.empty()) {
        error_code ec;
        if (!write_at_once(stream_, head_piece, rest, ec)) ec = co_await write_client(head_piece, rest);
        if (ec) co_return gone();
      }
      first = false;
      from->consume(taken);
      if (body.done) break;
      if (!from->empty()) continue;
      progress();
      // A body that goes on after the first read is likely large: larger reads from here.
      if (from == &up_ && body.kind != http::BodyKind::chunked) from = &relay_;
      char* const space = from->space(0);
      auto [ec, n] = co_await lease_.socket().async_read_some(asio::buffer(space, from->space_bytes()), no_throw);
      if (ec == asio::error::eof && body.kind == http::BodyKind::until_close) break;
      if (ec) {
        relay_.release();
        co_return fail(502, "runtime_closed", "the conversation's runtime closed the connection in its answer");
      }
      from->filled(n);
    }
    if (!up_.empty() || !relay_.empty()) x_.reusable = false;  // bytes that nobody asked for
    relay_.release();
    co_return Outcome::done;
  }

  // A jittered reconnection time, so that the clients of a gateway that restarts do not come back as one.
  void append_retry(AnswerBody const& body) {
    if (body.done || body.take_apart || body.kind == http::BodyKind::length) return;
    auto const ms = 1'000 + static_cast<unsigned>(std::hash<std::string_view>{}(request_id_) % 4'000);
    std::string const event = "retry: " + std::to_string(ms) + "\n\n";
    if (body.kind == http::BodyKind::chunked) {
      constexpr std::string_view digits = "0123456789abcdef";
      out_.push_back(digits[event.size() >> 4]);
      out_.push_back(digits[event.size() & 15]);
      out_.append("\r\n").append(event).append("\r\n");
    } else {
      out_.append(event);
    }
  }

  void learn_sid(std::string_view piece) {
    x_.learn_sid = false;
    if (auto sid = codec::engine_io_sid(piece)) proxy_.surroundings().sids.publish_sid(std::move(*sid), x_.entry->record().id);
  }

  // The answer may hand out a conversation id: it is held back until every core knows the id, or it proves too large.
  // Leaves out_ with the head and what was held back, and `body` behind it; a value ends the exchange.
  Task<std::optional<Outcome>> learn_from_answer(AnswerBody& body) {
    std::string held, payload;
    ReadBuffer& from = up_;
    bool const chunked = body.kind == http::BodyKind::chunked;
    while (!body.done && held.size() <= limits().alias_answer_bytes_max) {
      if (from.empty()) {
        char* const space = from.space(0);
        auto [ec, n] = co_await lease_.socket().async_read_some(asio::buffer(space, from.space_bytes()), no_throw);
        if (ec) co_return fail(502, "runtime_closed", "the conversation's runtime closed the connection in its answer");
        from.filled(n);
        progress();
      }
      body.take_apart = chunked;
      auto const taken = body.take(from.view(), payload);
      body.take_apart = false;
      if (body.why != http::Refusal::none) co_return fail(502, "bad_runtime_answer", http::text_for(body.why));
      held.append(from.view().substr(0, taken));
      from.consume(taken);
    }
    if (body.done) {
      auto text = codec::conversation_id_in_answer(chunked ? payload : held);
      if (auto const alias = text ? ConversationId::parse(*text) : std::nullopt; alias && x_.entry) {
        proxy_.counters().aliases_learnt.add();
        ConversationId runtime = x_.entry->record().id;
        co_await proxy_.surroundings().directories.add_alias(*alias, std::move(runtime));
      }
    }
    x_.bytes_out += held.size();
    out_.append(held);
    co_return std::nullopt;
  }

  // --- websockets

  Task<Outcome> upgrade(std::size_t head_bytes) {
    out_.clear();
    http::ResponseRewrite rewrite;
    rewrite.request_id = request_id_;
    http::append_response_head(out_, shared_.response_head, rewrite);
    up_.consume(head_bytes);
    x_.answer_started = true;
    if (auto const ec = co_await write_client(out_, {}); ec) co_return gone();
    open_tunnel(in_.view(), up_.view());
    co_return Outcome::upgraded;
  }

  // From here on the tunnel owns both connections; `from_client` are bytes that came behind the upgrade.
  void open_tunnel(std::string_view from_client, std::string_view from_nested) {
    end_request();
    TunnelRoute route{x_.entry, x_.event_socket ? RelayGoingAway::as_service_restart : RelayGoingAway::as_it_is};
    start_tunnel(proxy_, std::move(stream_), std::move(lease_), std::move(route), from_client, from_nested);
  }

  void append_switching_protocols(std::string_view client_key) {
    out_.clear();
    out_.append("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    out_.append(http::websocket_accept(client_key)).append("\r\nX-Request-Id: ").append(request_id_).append("\r\n\r\n");
  }

  Task<> close_websocket(std::uint16_t code, std::string_view reason) {
    out_.clear();
    http::append_frame(out_, http::Opcode::close, http::close_payload(code, reason));
    auto const ec = co_await write_client(out_, {});
    if (!ec) co_await linger();
  }

  // Final for an SDK client only when it is a close frame: an HTTP refusal would be tried again (agent_server.md 0.5).
  Task<Next> refuse_websocket(std::uint16_t code, std::string_view reason, Reject reject) {
    proxy_.counters().rejected[static_cast<std::size_t>(reject)].add();
    append_switching_protocols(shared_.request_head.value(http::FieldId::sec_websocket_key));
    set_phase(Phase::relay, timeouts().body_progress);
    auto const ec = co_await write_client(out_, {});
    x_.status = 101;
    if (!ec) co_await close_websocket(code, reason);
    end_request();
    co_return Next::close;
  }

  Task<Next> serve_first_frame(Decision decision, std::size_t head_bytes) {
    if (!shared_.admit_upgrade(peer_address_)) {
      proxy_.counters().rejected[static_cast<std::size_t>(Reject::upgrade_rate)].add();
      ExchangeFailure const failure{503, "too_many_upgrades", "too many websocket upgrades from this address; wait a moment", 1};
      co_return co_await answer_failure(failure, head_bytes);
    }
    // The head is needed again once the key is known, and other requests use the parsed one meanwhile.
    std::string const head_text(in_.view().substr(0, head_bytes));
    std::string const wanted_id(decision.wanted_id);
    append_switching_protocols(shared_.request_head.value(http::FieldId::sec_websocket_key));
    in_.consume(head_bytes);
    set_phase(Phase::first_frame, timeouts().first_frame);
    if (auto const ec = co_await write_client(out_, {}); ec) co_return Next::close;
    x_.status = 101;

    // One limit in all: pings must not buy time.
    phase_time_ = timeouts().first_frame;
    http::FirstMessage message(limits().first_frame_bytes_max);
    auto state = http::FirstMessage::State::incomplete;
    for (;;) {
      std::size_t consumed = 0;
      state = message.feed(in_.view(), consumed);
      in_.consume(consumed);
      if (!message.pongs().empty()) {
        std::string const pongs = message.pongs();
        message.clear_pongs();
        auto const moment = deadline_;
        auto const ec = co_await write_client(pongs, {});
        deadline_ = moment;
        if (ec) co_return Next::close;
      }
      if (state != http::FirstMessage::State::incomplete) break;
      char* const space = in_.space(0);
      auto [ec, n] = co_await stream_.async_read_some(asio::buffer(space, in_.space_bytes()), no_throw);
      if (ec) {
        if (!timed_out_ || stopping_) co_return Next::close;
        break;
      }
      in_.filled(n);
    }
    auto const key = state == http::FirstMessage::State::text ? codec::session_key_in_auth_frame(message.text()) : std::nullopt;
    if (!key) co_return co_await end_first_frame(4001, "Authentication failed", Reject::unauthorized);

    Decision open = decide_first_frame(key->reveal(), wanted_id, proxy_.directory());
    x_.entry = open.entry;
    if (open.kind == Decision::Kind::refuse_websocket) co_return co_await end_first_frame(open.close_code, open.message, open.reject);
    if (open.kind == Decision::Kind::refuse) co_return co_await end_first_frame(1013, open.message, open.reject);
    if (!shared_.admit_upgrade(key->reveal())) co_return co_await end_first_frame(1013, "too many connections", Reject::upgrade_rate);
    if (open.target->in_use >= limits().upstream_connections_per_runtime_max) {
      co_return co_await end_first_frame(1013, "too many connections", Reject::overloaded);
    }
    co_return co_await join_first_frame(std::move(open), head_text, *key, message.text());
  }

  Task<Next> end_first_frame(std::uint16_t code, std::string_view reason, Reject reject) {
    proxy_.counters().rejected[static_cast<std::size_t>(reject)].add();
    co_await close_websocket(code, reason);
    end_request();
    co_return Next::close;
  }

  // Opens the nested server's websocket for a client that was accepted already and repeats its first frame there.
  Task<Next> join_first_frame(Decision open, std::string_view head_text, Secret const& key, std::string_view message) {
    auto& head = shared_.request_head;
    std::size_t scanned = 0;
    auto const again = http::parse_request_head(head_text, {limits().request_head_bytes_max, limits().request_fields_max}, head, scanned);
    NESTGATE_INVARIANT(again.state == http::HeadParse::State::complete, "it was complete when the socket was accepted");
    auto const prefix_length = first_frame_prefix_length(head);
    open.target_text = head.target.substr(prefix_length);
    open.prefix = head.target.substr(0, prefix_length);
    if (open.target_text.empty()) open.target_text = "/";
    prepare_forward(open, head);
    x_.upgrade = true;
    out_.clear();
    http::RequestRewrite rewrite;
    rewrite.target = open.target_text;
    rewrite.peer_address = peer_address_;
    rewrite.scheme = scheme_;
    rewrite.forwarded_prefix = open.prefix;
    rewrite.request_id = request_id_;
    rewrite.trust = trusted_peer_ ? http::ForwardedTrust::append : http::ForwardedTrust::replace;
    rewrite.keep_upgrade = true;
    rewrite.drop_websocket_extensions = true;
    http::append_request_head(out_, head, rewrite);

    auto const connected = co_await connect(open.target);
    if (!connected) co_return co_await end_first_frame(1013, x_.failure.message, Reject::runtime_not_running);
    x_.sent = Clock::now();
    set_phase(Phase::first_byte, timeouts().connect);
    auto sent = co_await write_all(lease_.socket(), out_, {}, [](std::size_t) {});
    auto const status = sent ? 0u : co_await read_handshake_answer();
    if (status != 101) {
      lease_.end();
      bool const final = status == 401 || status == 403 || status == 404;
      std::uint16_t const code = !final ? 1013 : (status == 404 ? 4004 : 4001);
      co_return co_await end_first_frame(code, "the conversation's runtime refused the connection", Reject::runtime_not_running);
    }
    note_upstream_wait();
    // The runtime's own key where the client's is another that opens the same door.
    auto const& runtime_key = open.entry->record().session_key;
    std::string const frame = runtime_key == key ? std::string(message) : codec::auth_frame(runtime_key.reveal());
    out_.clear();
    http::append_masked_frame(out_, http::Opcode::text, frame, {0x5a, 0x3c, 0x96, 0xe1});
    sent = co_await write_all(lease_.socket(), out_, {}, [](std::size_t) {});
    if (sent) co_return co_await end_first_frame(1012, "the conversation's runtime closed the connection", Reject::runtime_not_running);
    open_tunnel(in_.view(), up_.view());
    co_return Next::handed_over;
  }

  // What `prefix` routing strips, for a socket that was accepted before its runtime was known.
  std::size_t first_frame_prefix_length(http::RequestHead const& head) const {
    auto const& rules = proxy_.config().rules;
    if (!rules.prefix && !rules.port) return 0;
    auto const route = http::match_prefix(rules, head.target);
    return route ? route->prefix.size() : 0;
  }

  // 0: none came.
  Task<unsigned> read_handshake_answer() {
    up_.clear();
    std::size_t scanned = 0;
    auto& head = shared_.response_head;
    http::HeadLimits const head_limits{limits().response_head_bytes_max, limits().response_fields_max};
    for (;;) {
      char* const space = up_.space(head_limits.bytes_max + 4096);
      auto [ec, n] = co_await lease_.socket().async_read_some(asio::buffer(space, up_.space_bytes()), no_throw);
      if (ec) co_return 0;
      up_.filled(n);
      auto const parsed = http::parse_response_head(up_.view(), head_limits, http::Method::get, head, scanned);
      if (parsed.state == http::HeadParse::State::refused) co_return 0;
      if (parsed.state == http::HeadParse::State::incomplete) continue;
      up_.consume(parsed.bytes);
      co_return head.status;
    }
  }

  // --- the gateway's own routes

  Task<Next> serve_own(Decision decision, std::size_t head_bytes) {
    auto const& head = shared_.request_head;
    ApiRequest request;
    request.route = decision.own;
    request.method = head.method;
    request.path = head.path;
    request.query = head.query;
    request.content_type = head.value(http::FieldId::content_type);
    if (decision.principal) request.principal = *decision.principal;
    request.bearer = Secret(std::string(identity::bearer_token(head.value(http::FieldId::authorization))));
    request.origin = std::string(scheme_) + "://" + std::string(head.authority);
    request.request_id = request_id_;
    bool const expects_continue = head.expect_continue;
    // Without an API key nobody gets to fill our memory.
    std::uint64_t const body_max = decision.principal ? limits().api_body_bytes_max : limits().alias_answer_bytes_max;
    if (head.body == http::BodyKind::length && head.content_length > body_max) {
      co_return co_await refuse_own_body(head_bytes);
    }
    std::string_view ready = in_.view().substr(head_bytes);
    x_.request_chunks.reset();
    if (head.body == http::BodyKind::chunked) x_.request_chunks.emplace(chunk_limits());
    in_.consume(head_bytes);
    set_phase(Phase::own_body, timeouts().body_progress);
    if (expects_continue && !x_.request_done && ready.empty()) {
      if (auto const ec = co_await write_client("HTTP/1.1 100 Continue\r\n\r\n", {}); ec) co_return Next::close;
    }
    while (!x_.request_done) {
      if (in_.empty()) {
        char* const space = in_.space(0);
        auto [ec, n] = co_await stream_.async_read_some(asio::buffer(space, in_.space_bytes()), no_throw);
        if (ec) co_return Next::close;
        in_.filled(n);
        progress();
      }
      auto const taken = take_own_body(request.body);
      if (x_.request_refusal != http::Refusal::none) {
        auto const why = x_.request_refusal;
        co_return co_await refuse_head(http::status_for(why), http::code_for(why), http::text_for(why));
      }
      in_.consume(taken);
      if (request.body.size() > body_max) co_return co_await refuse_own_body(0);
    }
    set_phase(Phase::own, std::chrono::milliseconds(0));
    auto handled = proxy_.surroundings().own_routes.handle(std::move(request));
    ApiResponse const response = co_await call_on(proxy_.surroundings().control, std::move(handled));
    if (stopping_) co_return Next::close;
    LocalAnswer answer{response.status};
    answer.content_type = response.content_type;
    answer.body = response.body;
    answer.headers = &response.headers;
    auto const after = after_local_answer();
    co_return co_await send_local(answer, after);
  }

  std::size_t take_own_body(std::string& body) {
    auto bytes = in_.view();
    if (x_.request_chunks) {
      auto const step = x_.request_chunks->feed(bytes, [&](std::string_view payload) { body.append(payload); });
      x_.request_refusal = step.why;
      x_.request_done = x_.request_chunks->done();
      x_.bytes_in += step.consumed;
      return step.consumed;
    }
    bytes = bytes.substr(0, std::min<std::uint64_t>(bytes.size(), x_.request_left));
    body.append(bytes);
    x_.request_left -= bytes.size();
    x_.request_done = x_.request_left == 0;
    x_.bytes_in += bytes.size();
    return bytes.size();
  }

  Task<Next> refuse_own_body(std::size_t head_bytes) {
    proxy_.counters().rejected[static_cast<std::size_t>(Reject::body_too_large)].add();
    ExchangeFailure const failure{413, "body_too_large", "the body is over the limit limits.api_body_bytes_max", 0};
    co_return co_await answer_failure(failure, head_bytes);
  }

  ProxyCore& proxy_;
  ProxyCore::Internals& shared_;
  Stream stream_;
  std::string peer_address_;
  std::string_view scheme_;
  bool trusted_peer_ = false;
  ReadBuffer in_;     // from the client
  ReadBuffer up_;     // from the nested server: heads and small bodies
  ReadBuffer relay_;  // from the nested server: what goes on after the first read
  std::string out_;
  std::string plain_;
  std::string rewritten_target_;
  std::string traceparent_;
  std::string request_id_;
  std::string target_;  // as it may be logged
  std::string method_text_;
  Exchange x_;
  Lease lease_;
  Phase phase_ = Phase::idle;
  std::chrono::milliseconds phase_time_{0};
  Clock::time_point deadline_ = Clock::time_point::max();
  bool timed_out_ = false;
  bool stopping_ = false;
  error_code ignored_;  // closing what is closed already is no fault
};

}  // namespace nestgate::proxy
