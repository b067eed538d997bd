#pragma once

// Upgrades: handing over to a tunnel, refusing in a way that clients understand, and sockets that name their key in
// their first frame (agent_server.md 2.2).
#include "nestgate/upstream/random.hpp"
#include "session_impl.hpp"

namespace nestgate::proxy {

// Counted by the key that the request shows. One that shows none yet is counted by its address: on its own, and to the
// conversation that it names; its key is counted once it is known.
template <class Stream>
auto Session<Stream>::admit_upgrade(Decision const& decision, http::RequestHead const& head) -> bool {
  if (!decision.presented_key.empty()) return shared_.admit_upgrade(UpgradesOf::session_key, decision.presented_key);
  if (decision.principal) {
    auto const& id = decision.entry->record().id.canonical();
    return shared_.admit_upgrade(UpgradesOf::api_key, decision.principal->name, id);
  }
  auto const address = client_address(head);
  if (address.empty()) return true;
  if (!shared_.admit_upgrade(UpgradesOf::address, address)) return false;
  return decision.wanted_id.empty() ||
         shared_.admit_upgrade(UpgradesOf::address_to_conversation, address, decision.wanted_id);
}

// By what we may believe. Empty: everybody comes through one Unix socket, and nobody said for whom.
template <class Stream>
auto Session<Stream>::client_address(http::RequestHead const& head) const -> std::string_view {
  auto const forwarded = trusted_peer_ ? forwarded_client(proxy_.config(), head) : std::string_view{};
  if (!forwarded.empty() || std::is_same_v<Stream, UnixSocket>) return forwarded;
  return peer_address_;
}

template <class Stream>
auto Session<Stream>::refuse_upgrade(std::size_t head_bytes) -> Task<Next> {
  proxy_.counters().rejected[static_cast<std::size_t>(Reject::upgrade_rate)].add();
  ExchangeFailure const failure{503, "too_many_upgrades", "too many websocket upgrades; wait a moment", 1};
  co_return co_await answer_failure(failure, head_bytes);
}

template <class Stream>
auto Session<Stream>::upgrade(std::size_t head_bytes) -> Task<Outcome> {
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
template <class Stream>
auto Session<Stream>::open_tunnel(std::string_view from_client, std::string_view from_nested) -> void {
  end_request();
  TunnelRoute route{std::move(x_.opened), x_.speaks};
  start_tunnel(proxy_, std::move(stream_), std::move(lease_), std::move(route), from_client, from_nested);
}

template <class Stream>
auto Session<Stream>::append_switching_protocols(std::string_view client_key) -> void {
  out_.clear();
  out_.append("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
  out_.append(http::websocket_accept(client_key)).append("\r\nX-Request-Id: ").append(request_id_).append("\r\n\r\n");
}

template <class Stream>
auto Session<Stream>::close_websocket(std::uint16_t code, std::string_view reason) -> Task<> {
  out_.clear();
  http::append_frame(out_, http::Opcode::close, http::close_payload(code, reason));
  auto const ec = co_await write_client(out_, {});
  static_cast<void>(ec);  // it may be gone already
}

// Final for an SDK client only when it is a close frame: an HTTP refusal would be tried again (agent_server.md 0.5).
template <class Stream>
auto Session<Stream>::refuse_websocket(std::uint16_t code, std::string_view reason, Reject reject) -> Task<Next> {
  proxy_.counters().rejected[static_cast<std::size_t>(reject)].add();
  append_switching_protocols(shared_.request_head.value(http::FieldId::sec_websocket_key));
  set_phase(Phase::relay, timeouts().body_progress);
  auto const ec = co_await write_client(out_, {});
  x_.status = 101;
  if (!ec) co_await close_websocket(code, reason);
  end_request();
  co_return Next::close_after_lingering;
}

template <class Stream>
auto Session<Stream>::serve_first_frame(Decision decision, std::size_t head_bytes) -> Task<Next> {
  if (!admit_upgrade(decision, shared_.request_head)) co_return co_await refuse_upgrade(head_bytes);
  // The head is needed again once the key is known, and other requests use the parsed one meanwhile.
  std::string const head_text(in_.view().substr(0, head_bytes));
  std::string const wanted_id(decision.wanted_id);
  // What it asks for is in the URL; whether it may, in the frame.
  bool const act = is_act(proxy_.config().wake, shared_.request_head,
                          shared_.request_head.target.substr(first_frame_prefix_length(shared_.request_head)));
  append_switching_protocols(shared_.request_head.value(http::FieldId::sec_websocket_key));
  in_.consume(head_bytes);
  set_phase(Phase::first_frame, timeouts().first_frame);
  if (auto const ec = co_await write_client(out_, {}); ec) co_return Next::close;
  x_.status = 101;

  // One limit in all: pings must not buy time.
  phase_time_ = timeouts().first_frame;
  if (proxy_.draining()) on_drain();
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
  if (state == http::FirstMessage::State::incomplete && proxy_.draining())
    co_return co_await end_first_frame(1012, "the gateway restarts", Reject::overloaded);
  auto const key =
      state == http::FirstMessage::State::text ? codec::session_key_in_auth_frame(message.text()) : std::nullopt;
  if (!key) co_return co_await end_first_frame(4001, "Authentication failed", Reject::unauthorized);

  Decision open = decide_first_frame(key->reveal(), wanted_id, proxy_.directory());
  if (act && open.entry) take_for_act(open);
  x_.opened = Opened(open);
  x_.act = open.act;
  if (open.kind == Decision::Kind::wake && !proxy_.draining()) {
    auto const wait = co_await wait_for_wake(open.entry->record().id);
    if (wait == Wait::left) co_return leave();
    open = decide_first_frame(key->reveal(), wanted_id, proxy_.directory());
    x_.opened = Opened(open);
  }
  if (x_.act && open.kind == Decision::Kind::forward) open.entry->standing().note_act(shared_.coarse_now());
  if (open.kind == Decision::Kind::refuse_websocket)
    co_return co_await end_first_frame(open.close_code, open.message, open.reject);
  if (open.kind != Decision::Kind::forward) co_return co_await end_first_frame(1013, open.message, open.reject);
  if (!shared_.admit_upgrade(UpgradesOf::session_key, key->reveal()))
    co_return co_await end_first_frame(1013, "too many connections", Reject::upgrade_rate);
  if (open.target->in_use >= limits().upstream_connections_per_runtime_max) {
    co_return co_await end_first_frame(1013, "too many connections", Reject::overloaded);
  }
  co_return co_await join_first_frame(std::move(open), head_text, *key, message.text());
}

template <class Stream>
auto Session<Stream>::end_first_frame(std::uint16_t code, std::string_view reason, Reject reject) -> Task<Next> {
  proxy_.counters().rejected[static_cast<std::size_t>(reject)].add();
  co_await close_websocket(code, reason);
  end_request();
  co_return Next::close_after_lingering;
}

// Opens the nested server's websocket for a client that was accepted already and repeats its first frame there.
template <class Stream>
auto Session<Stream>::join_first_frame(Decision open, std::string_view head_text, Secret const& key,
                                       std::string_view message) -> Task<Next> {
  parse_again(head_text);
  auto const& head = shared_.request_head;
  auto const prefix_length = first_frame_prefix_length(head);
  open.target_text = head.target.substr(prefix_length);
  open.prefix = head.target.substr(0, prefix_length);
  if (open.target_text.empty()) open.target_text = "/";
  prepare_forward(open, head);
  x_.resendable = false;  // a kept connection is looked at for its end before it is used: this is tried once
  x_.upgrade = true;
  out_.clear();
  http::RequestRewrite rewrite;
  rewrite.target = open.target_text;
  rewrite.host = open.target->place().authority;
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
  unsigned status = 0;
  if (!sent) status = co_await read_handshake_answer();
  if (status != 101) {
    lease_.end();
    bool const final = status == 401 || status == 403 || status == 404;
    std::uint16_t const code = !final ? 1013 : (status == 404 ? 4004 : 4001);
    co_return co_await end_first_frame(code, "the conversation's runtime refused the connection",
                                       Reject::runtime_not_running);
  }
  note_upstream_wait();
  // The runtime's own key where the client's is another that opens the same door.
  auto const& runtime_key = open.entry->record().session_key;
  std::string const frame = runtime_key == key ? std::string(message) : codec::auth_frame(runtime_key.reveal());
  out_.clear();
  std::array<unsigned char, 4> mask;
  upstream::fill_random(mask);
  http::append_masked_frame(out_, http::Opcode::text, frame, mask);
  sent = co_await write_all(lease_.socket(), out_, {}, [](std::size_t) {});
  if (sent)
    co_return co_await end_first_frame(1012, "the conversation's runtime closed the connection",
                                       Reject::runtime_not_running);
  open_tunnel(in_.view(), up_.view());
  co_return Next::handed_over;
}

// What `prefix` routing strips, for a socket that was accepted before its runtime was known.
template <class Stream>
auto Session<Stream>::first_frame_prefix_length(http::RequestHead const& head) const -> std::size_t {
  auto const& rules = proxy_.config().rules;
  if (!rules.prefix && !rules.port) return 0;
  auto const route = http::match_prefix(rules, head.target);
  return route ? route->prefix.size() : 0;
}

// 0: none came.
template <class Stream>
auto Session<Stream>::read_handshake_answer() -> Task<unsigned> {
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

}  // namespace nestgate::proxy
