#pragma once

#include <boost/asio/experimental/parallel_group.hpp>
#include <optional>
#include <string>
#include <utility>

#include "answers.hpp"
#include "bridge.hpp"
#include "client_address.hpp"
#include "intent.hpp"
#include "internals.hpp"
#include "lease.hpp"
#include "nestgate/codec/wire_messages.hpp"
#include "nestgate/http/chunked.hpp"
#include "nestgate/http/fault_status.hpp"
#include "nestgate/http/rewrite.hpp"
#include "nestgate/http/websocket.hpp"
#include "nestgate/net/stream_io.hpp"
#include "opened.hpp"
#include "own_body_room.hpp"
#include "remote_stream.hpp"
#include "tunnel.hpp"

namespace nestgate::proxy {

// Why an exchange with a nested server ended early; `none` with the answer passed on whole.
struct ExchangeFailure {
  unsigned status = 0;  // what the client is told if nothing was sent yet
  std::string_view code;
  std::string_view message;
  unsigned retry_after_s = 0;
  std::string_view fields = {};  // further ones, whole lines
  RuntimeInAnswer runtime = {};
};

inline constexpr ExchangeFailure body_timeout{408, "body_timeout", "the request's body did not arrive in time"};
inline constexpr ExchangeFailure runtime_removed{503, "runtime_stopping", "the conversation's runtime is stopping", 1};
inline constexpr ExchangeFailure no_room_for_body{503, "overloaded",
                                                  "bodies of requests take limits.own_bodies_bytes_max together", 1};
inline constexpr ExchangeFailure key_withdrawn{401, "unauthorized", "the key was withdrawn"};

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
    if (next == Next::handed_over || next == Next::cut || stopping_) co_return;
    if constexpr (!PlainStream<Stream>) {
      set_phase(Phase::linger, linger_idle_time);
      auto [ec] = co_await stream_.async_shutdown(no_throw);
      static_cast<void>(ec);  // the peer may be gone already
    }
    if (next == Next::close_after_lingering) co_await linger();
  }

  void on_sweep(Clock::time_point now) override {
    if (phase_ != Phase::idle) look_at_opener();
    bool const withdrawn = lease_ && lease_.target().withdrawn();
    if (withdrawn && phase_ != Phase::deciding) lease_.socket().close(ignored_);
    if (is_waiting()) look_for_client();
    note_transfer(now);
    if (now < deadline_) return;
    deadline_ = Clock::time_point::max();
    timed_out_ = true;
    switch (phase_) {
      case Phase::connect:
      case Phase::first_byte: cancel_upstream(); break;
      case Phase::upload:
      case Phase::relay:
        cancel_upstream();
        socket_of(stream_).cancel(ignored_);
        break;
      case Phase::own_stream: own_stream_->stop(); break;
      default: socket_of(stream_).cancel(ignored_); break;
    }
  }

  void on_drain() override {
    // A request that is on its way to an idle connection is still answered, and told to close.
    if (phase_ == Phase::idle || phase_ == Phase::first_frame)
      deadline_ = std::min(deadline_, shared_.coarse_now() + drain_idle_time);
    // An event stream has no end to wait for; its client comes back by the `retry:` that it was given.
    if (phase_ == Phase::relay && x_.event_stream) end_event_stream();
    if (own_stream_) own_stream_->stop();
  }

  void on_stop() override {
    stopping_ = true;
    if (phase_ == Phase::relay) {
      reset_client();
    } else {
      socket_of(stream_).close(ignored_);
    }
    end_waiting();
  }

  void on_api_keys(identity::ApiKeys const* before, identity::ApiKeys const* now) override {
    x_.opened.on_api_keys(before, now);
  }

 private:
  enum class Phase : std::uint8_t {
    handshake,
    idle,
    head,
    deciding,
    own_body,
    own,
    own_stream,
    waking,
    first_frame,
    connect,
    upload,
    first_byte,
    relay,
    linger
  };
  enum class Next : std::uint8_t { keep_alive, close, close_after_lingering, cut, handed_over };
  enum class Outcome : std::uint8_t { done, resend, failed, cut, upgraded };

  // What a refused client may go on to send before it reads why: some write their whole body first.
  static constexpr std::chrono::milliseconds linger_idle_time{2'000};
  static constexpr std::chrono::milliseconds linger_time_max{30'000};
  static constexpr std::uint64_t linger_bytes_max = 256ULL * 1024 * 1024;
  static constexpr std::chrono::milliseconds drain_idle_time{500};
  // An answer that is read for so long is a transfer, no poll.
  static constexpr std::chrono::milliseconds transfer_time_min{1'000};

  // What the answer may hand out that leads the client's next requests to the same runtime.
  enum class Learns : std::uint8_t { nothing, conversation_id, socket_io_sid };

  // The exchange that is going on. One at a time; reused, so that it costs nothing to set up.
  struct Exchange {
    http::RouteKind route = http::RouteKind::none;
    http::Method method = http::Method::other;
    http::Version version = http::Version::http_1_1;
    bool client_keep_alive = true;
    bool upgrade = false;
    bool act = false;        // of a user
    bool long_poll = false;  // of Socket.IO
    bool resendable = false;
    bool fresh = false;
    bool wants_stream = false;
    Learns learns = Learns::nothing;
    Speaks speaks = Speaks::anything;
    bool event_stream = false;  // the answer is text/event-stream
    bool stream_ended = false;  // by us: the client left, or the gateway drains
    http::BodyKind request_body = http::BodyKind::none;
    std::uint64_t request_left = 0;
    bool request_done = true;
    bool pumping = false;
    bool awaiting_client = false;  // the next bytes of the body
    bool resent = false;
    bool answer_started = false;
    bool reusable = false;
    http::Refusal request_refusal = http::Refusal::none;
    bool client_gone = false;
    unsigned status = 0;
    std::uint64_t bytes_in = 0, bytes_out = 0;
    std::uint64_t upstream_us = 0;
    Clock::time_point began{}, sent{};
    Opened opened;
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

  // The client must not take a cut answer for a whole one: where only the end of the connection tells, it is a reset, and
  // no close_notify. Closed here, since a socket's destructor takes the option back.
  void reset_client() {
    socket_of(stream_).set_option(asio::socket_base::linger(true, 0), ignored_);
    socket_of(stream_).close(ignored_);
  }

  // Nobody reads from the client: nothing else tells that it has left.
  bool is_waiting() const {
    if (phase_ == Phase::own_stream || phase_ == Phase::waking) return true;
    return lease_ && (phase_ == Phase::first_byte || phase_ == Phase::relay);
  }

  // One that ended its own side still waits for its answer, but nobody does that on an event stream.
  void look_for_client() {
    auto const client = look_at_peer(socket_of(stream_).native_handle());
    bool const streams = phase_ == Phase::own_stream || (phase_ == Phase::first_byte ? x_.wants_stream : x_.event_stream);
    if (client == Peer::there || (client == Peer::ended_its_side && !streams)) return;
    x_.client_gone = true;
    x_.stream_ended = x_.event_stream;
    end_waiting();
  }

  // What let the request in may hold no more; what its runtime was closed for, a long poll learns at once.
  void look_at_opener() {
    auto const look = x_.opened.look();
    if (look == Opened::Look::unchanged || (look == Opened::Look::closed_for_room && !x_.long_poll)) return;
    x_.stream_ended = x_.event_stream;
    end_waiting();
    if (phase_ == Phase::own_body || x_.awaiting_client) socket_of(stream_).cancel(ignored_);
    if (lease_) lease_.socket().close(ignored_);
  }

  // Seen here instead of at each of its pieces.
  void note_transfer(Clock::time_point now) {
    if (!lease_ || !x_.opened.entry) return;
    auto const answered = x_.sent + std::chrono::microseconds(x_.upstream_us);
    bool const long_answer = phase_ == Phase::relay && !x_.event_stream && now - answered >= transfer_time_min;
    bool const act_goes_on = x_.act && !(phase_ == Phase::relay && x_.event_stream);
    if (act_goes_on || long_answer) x_.opened.entry->standing().note_act(now);
  }

  void end_event_stream() {
    x_.stream_ended = true;
    cancel_upstream();
  }

  void cancel_upstream() {
    if (lease_) lease_.socket().cancel(ignored_);
  }

  // Whatever is awaited but the client.
  void end_waiting() {
    cancel_upstream();
    if (own_stream_) own_stream_->stop();
    if (waking_) waking_->woken.cancel();
  }

  // In session_request.hpp: the client's head
  Task<Next> serve_request();
  Decision decide_on(http::RequestHead const& head);
  void begin_exchange();
  void note_request(http::RequestHead const& head);

  // In session_wake.hpp: a user's act for a conversation that sleeps
  enum class Wait : std::uint8_t { over, no_room, left };
  Task<Wait> wait_for_wake(ConversationId id);
  Task<Wait> wake(Decision& decision, std::size_t head_bytes);
  void parse_again(std::string_view head_text);
  Next leave();

  // In session_request.hpp: answers of our own
  AfterAnswer after_local_answer() const;
  Task<Next> send_local(LocalAnswer answer, AfterAnswer after);
  Task<Next> answer_failure(ExchangeFailure failure, std::size_t head_bytes);
  Task<Next> refuse_head(http::Refusal why);
  Task<Next> refuse_head(ExchangeFailure failure);
  Task<Next> answer_probe(http::RequestHead const& head, std::size_t head_bytes);
  ExchangeFailure why_not_there() const;
  void end_request();
  Task<error_code> write_client(std::string_view first, std::string_view second);
  Task<> linger();

  // In session_websocket.hpp: how many upgrades
  bool admit_upgrade(Decision const& decision, http::RequestHead const& head);
  std::string_view client_address(http::RequestHead const& head) const;
  Task<Next> refuse_upgrade(std::size_t head_bytes);

  // In session_forward.hpp: forwarding
  Task<Next> forward(Decision decision, std::size_t head_bytes);
  void prepare_forward(Decision const& decision, http::RequestHead const& head);
  void build_upstream_head(Decision const& decision, http::RequestHead const& head);
  void rewrite_query_key(Decision const& decision, std::string_view runtime_key);
  bool take_request_body(std::string_view& bytes);
  Task<bool> connect(upstream::TargetPtr target);
  Task<bool> begin_tls(upstream::TargetPtr target);
  Task<Next> finish_exchange(Outcome outcome);
  Task<Next> answer_closed_poll();
  Task<Outcome> relay_both_ways();
  void await_first_byte();
  Task<> relay_answer_into(Outcome& outcome);
  Task<> pump_request();
  Outcome fail(ExchangeFailure failure);
  Outcome no_answer();
  Task<Outcome> relay_answer();
  void note_upstream_wait();
  Outcome gone();
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
          auto const step =
              take_apart ? chunks.feed(bytes, [&](std::string_view payload) { plain.append(payload); }) : chunks.feed(bytes);
          why = step.why;
          done = chunks.done();
          return step.consumed;
        }
        case http::BodyKind::until_close: return bytes.size();
      }
      return 0;
    }
  };
  Task<Outcome> relay_answer_body(std::size_t head_bytes);
  void append_retry(AnswerBody const& body);
  Task<std::optional<Outcome>> learn_from_answer(AnswerBody& body);
  Task<> learn(std::string_view answer);

  // In session_websocket.hpp: websockets
  Task<Outcome> upgrade(std::size_t head_bytes);
  void open_tunnel(std::string_view from_client, std::string_view from_nested);
  void append_switching_protocols(std::string_view client_key);
  Task<> close_websocket(std::uint16_t code, std::string_view reason);
  Task<Next> refuse_websocket(std::uint16_t code, std::string_view reason, Reject reject);
  Task<Next> serve_first_frame(Decision decision, std::size_t head_bytes);
  Task<Next> end_first_frame(std::uint16_t code, std::string_view reason, Reject reject);
  Task<Next> join_first_frame(Decision open, std::string_view head_text, Secret const& key, std::string_view message);
  std::size_t first_frame_prefix_length(http::RequestHead const& head) const;
  Task<unsigned> read_handshake_answer();

  // In session_own.hpp: the gateway's own routes
  Task<Next> serve_own(Decision decision, std::size_t head_bytes);
  void fill_api_request(ApiRequest& request, Decision const& decision, http::RequestHead const& head) const;
  Task<Next> answer_own(ApiRequest request, HeldOwnBody& held);
  Task<Next> relay_stream(ApiResponse const& response, RemoteStream& pieces);
  void append_piece(Framing framing, std::string_view piece);
  std::size_t take_own_body(WipedString& body);
  struct OwnBodyLimit {
    std::uint64_t bytes_max;
    std::string_view name;
    std::string_view refusal = {};
  };
  OwnBodyLimit own_body_limit(ApiRequest const& request) const;
  Task<Next> refuse_own_body(OwnBodyLimit limit, std::size_t head_bytes);
  Task<Next> refuse_without_room(std::size_t head_bytes);

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
  RemoteStream* own_stream_ = nullptr;  // while its pieces are passed on
  std::shared_ptr<Waking> waking_;      // while it is waited for
  Phase phase_ = Phase::idle;
  std::chrono::milliseconds phase_time_{0};
  Clock::time_point deadline_ = Clock::time_point::max();
  bool timed_out_ = false;
  bool stopping_ = false;
  error_code ignored_;  // closing what is closed already is no fault
};

}  // namespace nestgate::proxy
