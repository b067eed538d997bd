#pragma once

#include <array>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "intent.hpp"
#include "nestgate/http/websocket.hpp"
#include "tunnel.hpp"

namespace nestgate::proxy {

// What one side did not take yet, and where in its stream of frames the first of these bytes stands.
struct Backlog {
  std::string bytes;
  std::size_t sent = 0;
  http::FrameScanner at_sent;
  std::string_view rest() const { return std::string_view(bytes).substr(sent); }
};

// Callbacks on one shared object instead of two coroutines: an idle tunnel waits for readability and holds no buffer.
template <class Stream>
class Tunnel final : public Watch, public boost::intrusive_ref_counter<Tunnel<Stream>, boost::thread_unsafe_counter> {
  using Self = boost::intrusive_ptr<Tunnel>;
  static constexpr bool plain = PlainStream<Stream>;

 public:
  Tunnel(ProxyCore& proxy, Stream client, Lease nested, TunnelRoute route)
      : proxy_(proxy),
        client_(std::move(client)),
        nested_(std::move(nested)),
        route_(std::move(route)),
        count_(standing()),
        up_(http::Masked::yes, upkeep_bytes_max()),
        down_(http::Masked::no, upkeep_bytes_max()) {
    auto const now = proxy_.internals().coarse_now();
    last_from_client_ = last_data_ = now;
    proxy_.internals().watches.push_back(*this);
    proxy_.counters().tunnels_opened.add();
    proxy_.counters().tunnels_open.add();
    proxy_.counters().connections_open.add();
    keep_ = this;
  }
  Tunnel(Tunnel const&) = delete;
  Tunnel& operator=(Tunnel const&) = delete;
  ~Tunnel() {
    drop_backlog();
    proxy_.counters().tunnels_open.sub();
    proxy_.counters().connections_open.sub();
  }

  void begin(std::string_view from_client, std::string_view from_nested) {
    if (!from_nested.empty()) take_from_nested(from_nested);
    if (proxy_.draining()) on_drain();  // it was told to all before this one was there
    if (!from_client.empty() && state_ == State::open) take_from_client(from_client);
    if (state_ == State::open) {
      wait_for_nested();
      if (!to_nested_) wait_for_client();
    }
  }

  void on_sweep(Clock::time_point now) override {
    Self const guard(this);  // what is found may end the tunnel
    if (state_ != State::open) {
      if (now >= end_by_) finish();
      return;
    }
    switch (route_.opened.look()) {
      case Opened::Look::key_withdrawn: return end(TunnelEnd::revoked, 4001, "Authentication failed");
      case Opened::Look::closed_for_room: return end(TunnelEnd::withdrawn, 1013, closed_for_room_text);
      case Opened::Look::unchanged: break;
    }
    if (nested_.target().withdrawn()) return end(TunnelEnd::withdrawn, 1012, "the conversation's runtime ended");
    auto const& timeouts = proxy_.config().timeouts;
    if (timeouts.tunnel_idle.count() != 0 && now - last_data_ >= timeouts.tunnel_idle) {
      return end(TunnelEnd::idle, 1012, "idle");
    }
    // A side that takes nothing for as long as a ping may stay unanswered is as dead as one that does not answer.
    bool const stalled = to_client_ && now - last_to_client_ >= timeouts.body_progress;
    bool const silent = pinged_ && now - *pinged_ >= timeouts.tunnel_pong;
    if (stalled || silent) return end(stalled ? TunnelEnd::slow_client : TunnelEnd::dead_client, 1013, "no answer");
    if (to_nested_ && now - last_to_nested_ >= timeouts.body_progress) {
      return end(TunnelEnd::nested_server, 1012, "the conversation's runtime takes nothing");
    }
    // While the nested server takes nothing the client is not read: it could not be heard.
    bool const quiet = timeouts.tunnel_ping.count() != 0 && now - last_from_client_ >= timeouts.tunnel_ping && !to_nested_;
    if (quiet && !pinged_ && !to_client_ && down_.at_boundary() && !down_.closed()) {
      std::string ping;
      http::append_frame(ping, http::Opcode::ping, "");
      pinged_ = now;
      send_to_client(ping, Ours::yes);
    }
  }

  void on_drain() override {
    Self const guard(this);
    if (state_ == State::open) return end(TunnelEnd::drain, 1012, "the gateway restarts");
    closing_patience_ = closing_time;
    end_by_ = std::min(end_by_, proxy_.internals().coarse_now() + closing_time);
  }
  void on_stop() override {
    Self const guard(this);
    finish();
  }
  void on_api_keys(identity::ApiKeys const* before, identity::ApiKeys const* now) override {
    route_.opened.on_api_keys(before, now);
  }

 private:
  enum class State : std::uint8_t { open, closing, lingering, finished };
  enum class Ours : bool { no, yes };
  static constexpr std::chrono::milliseconds closing_time{2'000};
  static constexpr std::size_t tls_record_bytes = 16 * 1024;
  static constexpr std::string_view closed_for_room_text = "closed to make room for another conversation";

  conversation::Standing& standing() const { return route_.opened.entry->standing(); }
  std::uint8_t upkeep_bytes_max() const {
    return route_.speaks == Speaks::socket_io ? socket_io_upkeep_bytes_max : std::uint8_t{0};
  }

  // --- nested server to client: read without regard to the client, up to a limit

  void wait_for_nested() {
    nested_.socket().async_wait(asio::socket_base::wait_read,
                                [self = Self(this)](error_code ec) { self->on_nested_readable(ec); });
  }

  void on_nested_readable(error_code ec) {
    if (state_ != State::open) return;
    if (ec) return nested_ended();
    auto& scratch = proxy_.internals().scratch;
    // Encrypting is slower than reading: as much at once as is written at once, or a burst would pass for a slow client.
    auto const room = plain ? scratch.size() : std::min(scratch.size(), tls_record_bytes);
    auto const got = read_now(nested_.socket().native_handle(), scratch.data(), room);
    if (got.ec && !got.would_block()) return nested_ended();
    if (got.bytes > 0) take_from_nested({scratch.data(), got.bytes});
    if (state_ == State::open) wait_for_nested();
  }

  void take_from_nested(std::string_view bytes) {
    proxy_.counters().client_bytes_out.add(bytes.size());
    auto const frames = down_.data_frames(), long_frames = down_.long_frames();
    std::size_t whole = 0;
    if (!held_close_.empty()) return hold_close(bytes);
    if (route_.speaks != Speaks::agent_server || client_closed_) {
      if (!down_probe(bytes)) return;
      whole = bytes.size();
    } else {
      auto probe = down_;
      while (whole < bytes.size()) {
        auto const rest = bytes.substr(whole);
        if (probe.at_boundary() && (rest[0] & 0x0F) == static_cast<char>(http::Opcode::close)) break;
        auto const piece = rest.substr(0, probe.to_boundary(rest));
        if (!probe.feed(piece)) return protocol_error();
        whole += piece.size();
      }
    }
    if (whole > 0) send_to_client(bytes.substr(0, whole), Ours::no);
    if (down_.data_frames() != frames) last_data_ = proxy_.internals().coarse_now();
    if (down_.long_frames() != long_frames) standing().note_traffic(last_data_);
    if (state_ == State::open && whole < bytes.size()) hold_close(bytes.substr(whole));
  }

  // Whether the bytes are a websocket's.
  bool down_probe(std::string_view bytes) {
    auto probe = down_;
    if (probe.feed(bytes)) return true;
    protocol_error();
    return false;
  }

  // A close frame of the nested server is small and its last: it is passed on whole, with a code that suits the client.
  void hold_close(std::string_view bytes) {
    held_close_.append(bytes);
    if (held_close_.size() < 2) return;
    auto const length = static_cast<unsigned char>(held_close_[1]);
    constexpr unsigned control_payload_max = 125;
    if (length > control_payload_max) return protocol_error();  // masked or too long (RFC 6455 section 5.1, 5.5)
    if (held_close_.size() < 2u + length) return;
    std::uint16_t code = 1005;
    std::string_view reason;
    if (length >= 2) {
      code = static_cast<std::uint16_t>(static_cast<unsigned char>(held_close_[2]) << 8 |
                                        static_cast<unsigned char>(held_close_[3]));
      reason = std::string_view(held_close_).substr(4, length - 2u);
    }
    bool const hot = code == 1000 || code == 1001 || code == 1005;
    end(TunnelEnd::nested_server, hot ? std::uint16_t{1012} : code, reason);
  }

  void nested_ended() {
    if (down_.closed()) return end(TunnelEnd::nested_server, 0, {});  // it said goodbye itself
    end(TunnelEnd::nested_server, 1012, "the conversation's runtime closed the connection");
  }

  void protocol_error() { end(TunnelEnd::protocol_error, 1012, "the conversation's runtime sent no websocket frames"); }

  void send_to_client(std::string_view bytes, Ours ours) {
    auto const before = down_;
    if (!down_.feed(bytes) && ours == Ours::no) return protocol_error();
    if (to_client_) {
      to_client_->bytes.append(bytes);
      count_backlog(bytes.size());
    } else if constexpr (plain) {
      auto const done = write_now(client_.native_handle(), bytes);
      if (done.ec && !done.would_block()) return client_ended();
      if (done.bytes == bytes.size()) return;
      keep_for_client(bytes, done.bytes, before);
      wait_to_write_client();
    } else {
      keep_for_client(bytes, 0, before);
      write_client_tls();
    }
    if (to_client_ && to_client_->rest().size() > proxy_.config().limits.tunnel_backlog_bytes_max && state_ == State::open) {
      end(TunnelEnd::slow_client, 1013, "the client reads too slowly");
    }
  }

  void keep_for_client(std::string_view bytes, std::size_t sent, http::FrameScanner before) {
    before.feed(bytes.substr(0, sent));
    to_client_ = std::make_unique<Backlog>(Backlog{std::string(bytes.substr(sent)), 0, before});
    count_backlog(to_client_->bytes.size());
    last_to_client_ = proxy_.internals().coarse_now();
  }

  void wait_to_write_client() {
    if constexpr (plain) {
      client_.async_wait(asio::socket_base::wait_write,
                         [self = Self(this)](error_code ec) { self->on_client_writable(ec); });
    }
  }

  void on_client_writable(error_code ec) {
    if (state_ == State::finished || !to_client_) return;
    if (ec) return client_ended();
    auto const done = write_now(socket_of(client_).native_handle(), to_client_->rest());
    if (done.ec && !done.would_block()) return client_ended();
    sent_to_client(done.bytes);
    if (to_client_) wait_to_write_client();
  }

  void write_client_tls() {
    if constexpr (!plain) {
      auto const rest = to_client_->rest();
      in_flight_.assign(rest.substr(0, tls_record_bytes));  // the backlog's string may move while the write goes on
      client_.async_write_some(asio::buffer(in_flight_), [self = Self(this)](error_code ec, std::size_t n) {
        self->in_flight_ = {};
        if (self->state_ == State::finished || !self->to_client_) return;
        if (ec) return self->client_ended();
        self->sent_to_client(n);
        if (self->to_client_) self->write_client_tls();
      });
    }
  }

  void sent_to_client(std::size_t n) {
    auto& backlog = *to_client_;
    backlog.at_sent.feed(backlog.rest().substr(0, n));
    backlog.sent += n;
    count_backlog(-static_cast<std::int64_t>(n));
    if (n > 0) last_to_client_ = proxy_.internals().coarse_now();
    if (state_ == State::closing) wait_for_slow_client();
    constexpr std::size_t compact_bytes = 1024 * 1024;
    if (backlog.sent == backlog.bytes.size()) {
      to_client_.reset();
      if (state_ == State::closing) start_lingering();
    } else if (backlog.sent >= compact_bytes) {
      backlog.bytes.erase(0, backlog.sent);
      backlog.sent = 0;
    }
  }

  // --- client to nested server: read only as fast as the nested server takes it

  void wait_for_client() {
    if constexpr (plain) {
      client_.async_wait(asio::socket_base::wait_read, [self = Self(this)](error_code ec) { self->on_client_readable(ec); });
    } else {
      if (!tls_read_) tls_read_ = std::make_unique<std::array<char, 4096>>();
      client_.async_read_some(asio::buffer(*tls_read_), [self = Self(this)](error_code ec, std::size_t n) {
        if (self->state_ == State::lingering) return self->on_lingering_read({self->tls_read_->data(), n}, ec);
        if (self->state_ != State::open) return;
        if (ec) return self->client_ended();
        self->take_from_client({self->tls_read_->data(), n});
        if (self->state_ == State::open && !self->to_nested_) self->wait_for_client();
      });
    }
  }

  void on_client_readable(error_code ec) {
    if (state_ == State::finished) return;
    auto& scratch = proxy_.internals().scratch;
    auto const got = ec ? DirectIo{0, ec} : read_now(socket_of(client_).native_handle(), scratch.data(), scratch.size());
    bool const over = got.ec && !got.would_block();
    if (state_ == State::lingering) return on_lingering_read({scratch.data(), got.bytes}, over ? got.ec : error_code{});
    if (state_ != State::open) return;
    if (over) return client_ended();
    if (got.bytes > 0) take_from_client({scratch.data(), got.bytes});
    if (state_ == State::open && !to_nested_) wait_for_client();
  }

  void take_from_client(std::string_view bytes) {
    last_from_client_ = proxy_.internals().coarse_now();
    pinged_.reset();
    auto const frames = up_.data_frames(), long_frames = up_.long_frames();
    if (!up_.feed(bytes)) return end(TunnelEnd::protocol_error, 1002, "no websocket frames");
    if (up_.data_frames() != frames) last_data_ = last_from_client_;
    if (up_.long_frames() != long_frames) standing().note_act(last_from_client_);
    client_closed_ = client_closed_ || up_.closed();
    proxy_.counters().client_bytes_in.add(bytes.size());
    auto const done = write_now(nested_.socket().native_handle(), bytes);
    if (done.ec && !done.would_block()) return nested_takes_no_more();
    if (done.bytes == bytes.size()) return;
    to_nested_ = std::make_unique<Backlog>(Backlog{std::string(bytes.substr(done.bytes)), 0, up_});
    last_to_nested_ = last_from_client_;
    wait_to_write_nested();
  }

  void wait_to_write_nested() {
    nested_.socket().async_wait(asio::socket_base::wait_write, [self = Self(this)](error_code ec) {
      if (self->state_ != State::open || !self->to_nested_) return;
      if (ec) return self->nested_ended();
      auto const done = write_now(self->nested_.socket().native_handle(), self->to_nested_->rest());
      if (done.ec && !done.would_block()) return self->nested_takes_no_more();
      self->to_nested_->sent += done.bytes;
      if (done.bytes > 0) self->last_to_nested_ = self->proxy_.internals().coarse_now();
      if (!self->to_nested_->rest().empty()) return self->wait_to_write_nested();
      self->to_nested_.reset();
      self->wait_for_client();
    });
  }

  // What it said before it went, its close frame above all, is still there to be read.
  void nested_takes_no_more() {
    auto& scratch = proxy_.internals().scratch;
    while (state_ == State::open) {
      auto const got = read_now(nested_.socket().native_handle(), scratch.data(), scratch.size());
      if (got.ec) return nested_ended();
      take_from_nested({scratch.data(), got.bytes});
    }
  }

  void client_ended() {
    note_end(TunnelEnd::client);
    finish();
  }

  // --- the end

  // The nested side goes at once. The client gets a close frame where one can stand, after what it has to get first.
  // `code` 0: it had the nested server's close frame already.
  void end(TunnelEnd why, std::uint16_t code, std::string_view reason) {
    if (state_ != State::open) return;
    state_ = State::closing;
    note_end(why);
    // A drain waits for everybody's end.
    closing_patience_ =
        why == TunnelEnd::drain ? closing_time : std::max(closing_time, proxy_.config().timeouts.body_progress);
    nested_.socket().close(ignored_);
    to_nested_.reset();
    std::string_view last_event;
    // Its server may end it before the record that says why is looked at.
    bool const by_its_runtime = why == TunnelEnd::withdrawn || why == TunnelEnd::nested_server;
    if (by_its_runtime && code != 0 && route_.opened.closed_for_room()) {
      code = 1013;
      reason = closed_for_room_text;
      if (route_.speaks == Speaks::socket_io) last_event = socket_io_closed_packet;
    }
    if (code != 0 && !down_.closed()) say_goodbye(last_event, code, reason);
    if (state_ != State::closing) return;
    if (!to_client_) return start_lingering();
    end_by_ = proxy_.internals().coarse_now() + closing_time;
    wait_for_slow_client();
  }

  // The rest of a frame has to reach the client before its close can: only one that takes nothing for long is cut.
  void wait_for_slow_client() { end_by_ = std::max(end_by_, last_to_client_ + closing_patience_); }

  // An event cannot stand within a fragmented message; a close can.
  void say_goodbye(std::string_view last_event, std::uint16_t code, std::string_view reason) {
    auto const frames_after = [&](http::FrameScanner const& sent) {
      std::string out;
      if (!last_event.empty() && !sent.in_message()) http::append_frame(out, http::Opcode::text, last_event);
      http::append_frame(out, http::Opcode::close, http::close_payload(code, reason));
      return out;
    };
    if (to_client_) {
      // Whole frames that the client did not begin to get are dropped: it is told to come back and read again.
      auto const rest = to_client_->rest();
      auto kept = in_flight_.size();
      auto after = to_client_->at_sent;
      after.feed(rest.substr(0, kept));
      if (!after.at_boundary()) {
        auto const to_end = after.to_boundary(rest.substr(kept));
        after.feed(rest.substr(kept, to_end));
        kept += to_end;
      }
      count_backlog(-static_cast<std::int64_t>(rest.size() - kept));
      to_client_->bytes.resize(to_client_->sent + kept);
      if (!after.at_boundary()) return finish();  // the frame's end never came: nothing of ours can follow
      auto const frames = frames_after(after);
      to_client_->bytes.append(frames);
      count_backlog(frames.size());
      return;
    }
    if (!down_.at_boundary()) return finish();
    auto const frames = frames_after(down_);
    send_to_client(frames, Ours::yes);
  }

  // Our side is said; the rest is read until the client ends its own, or a reset would take our last words from it.
  void start_lingering() {
    state_ = State::lingering;
    end_by_ = proxy_.internals().coarse_now() + closing_time;
    socket_of(client_).shutdown(asio::socket_base::shutdown_send, ignored_);
    // A wait that stands already answers here too; a second read at once would be undefined for TLS only.
    if constexpr (plain) wait_for_client();
  }

  // With the client's own close frame the closing handshake is done.
  void on_lingering_read(std::string_view bytes, error_code ec) {
    bool const understood = up_.feed(bytes);
    if (ec || (understood && up_.closed() && up_.at_boundary())) return finish();
    wait_for_client();
  }

  void finish() {
    if (state_ == State::finished) return;
    note_end(TunnelEnd::client);
    state_ = State::finished;
    socket_of(client_).close(ignored_);
    nested_.end();
    drop_backlog();
    to_nested_.reset();
    this->unlink();
    keep_.reset();  // what still waits holds it until its cancelled handler has run
  }

  void note_end(TunnelEnd why) {
    if (std::exchange(end_noted_, true)) return;
    proxy_.counters().tunnels_ended[static_cast<std::size_t>(why)].add();
  }

  void count_backlog(std::int64_t change) { proxy_.counters().tunnel_backlog_bytes.add(change); }
  void count_backlog(std::size_t more) { count_backlog(static_cast<std::int64_t>(more)); }
  void drop_backlog() {
    if (!to_client_) return;
    count_backlog(-static_cast<std::int64_t>(to_client_->rest().size()));
    to_client_.reset();
  }

  ProxyCore& proxy_;
  Stream client_;
  Lease nested_;
  TunnelRoute route_;
  Self keep_;
  StreamCount count_;
  http::FrameScanner up_;
  http::FrameScanner down_;  // by what was given to the client or its backlog
  std::unique_ptr<Backlog> to_client_, to_nested_;
  std::string held_close_;
  std::unique_ptr<std::array<char, 4096>> tls_read_;
  std::string in_flight_;  // TLS: the front of the client's backlog, while it is being written
  Clock::time_point last_from_client_, last_data_, last_to_client_{}, last_to_nested_{}, end_by_{};
  std::chrono::milliseconds closing_patience_{};
  std::optional<Clock::time_point> pinged_;
  State state_ = State::open;
  bool client_closed_ = false;
  bool end_noted_ = false;
  error_code ignored_;
};

template <class Stream>
void start_tunnel(ProxyCore& proxy, Stream client, Lease nested, TunnelRoute route, std::string_view from_client,
                  std::string_view from_nested) {
  boost::intrusive_ptr<Tunnel<Stream>> const tunnel(
      new Tunnel<Stream>(proxy, std::move(client), std::move(nested), std::move(route)));
  tunnel->begin(from_client, from_nested);
}

}  // namespace nestgate::proxy
