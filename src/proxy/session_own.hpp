#pragma once

// Requests to the gateway's own routes: read whole under the limit, handled on the control core.
#include "session_impl.hpp"

namespace nestgate::proxy {

inline bool shows_a_credential(http::FieldId id) {
  return id == http::FieldId::authorization || id == http::FieldId::cookie || id == http::FieldId::x_api_key ||
         id == http::FieldId::x_session_api_key || id == http::FieldId::proxy_authorization;
}

inline std::string lower(std::string_view name) {
  std::string out(name);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return out;
}

template <class Stream>
auto Session<Stream>::serve_own(Decision decision, std::size_t head_bytes) -> Task<Next> {
  auto const& head = shared_.request_head;
  ApiRequest request;
  fill_api_request(request, decision, head);
  bool const expects_continue = head.expect_continue;
  auto const limit = own_body_limit(request);
  if (head.body == http::BodyKind::length && head.content_length > limit.bytes_max) {
    co_return co_await refuse_own_body(limit, head_bytes);
  }
  auto& room = proxy_.surroundings().own_bodies;
  if (head.body == http::BodyKind::length && !room.has(head.content_length, limits().own_bodies_bytes_max)) {
    co_return co_await refuse_without_room(head_bytes);
  }
  HeldOwnBody held(room);
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
      if (x_.opened.withdrawn && !stopping_) co_return co_await refuse_head(key_withdrawn);
      if (ec && timed_out_ && !stopping_) co_return co_await refuse_head(body_timeout);
      if (ec) co_return Next::close;
      in_.filled(n);
      progress();
    }
    auto const taken = take_own_body(request.body);
    if (x_.request_refusal != http::Refusal::none) co_return co_await refuse_head(x_.request_refusal);
    in_.consume(taken);
    if (request.body.size() > limit.bytes_max) co_return co_await refuse_own_body(limit, 0);
    if (!held.grow_to(request.body.size(), limits().own_bodies_bytes_max)) co_return co_await refuse_without_room(0);
  }
  if (x_.opened.withdrawn) co_return co_await answer_failure(key_withdrawn, 0);
  co_return co_await answer_own(std::move(request), held);
}

// Without a key that we know nobody gets to fill our memory, and with one nobody more of it than the route needs.
template <class Stream>
auto Session<Stream>::own_body_limit(ApiRequest const& request) const -> OwnBodyLimit {
  bool const by_a_runtime =
      request.route == http::OwnRoute::webhooks && proxy_.directory().find_by_key(request.session_key.reveal()) != nullptr;
  if (by_a_runtime) return {limits().webhook_body_bytes_max, "limits.webhook_body_bytes_max"};
  auto const of_route = proxy_.surroundings().own_routes.body_limit(request);
  bool const by_a_stranger = !request.principal && of_route.from == BodyLimit::From::strangers;
  if (by_a_stranger && limits().callback_body_bytes_max < of_route.bytes_max)
    return {limits().callback_body_bytes_max, "limits.callback_body_bytes_max"};
  if (of_route.bytes_max < limits().api_body_bytes_max) return {of_route.bytes_max, "of this route", of_route.refusal};
  return {limits().api_body_bytes_max, "limits.api_body_bytes_max"};
}

template <class Stream>
auto Session<Stream>::fill_api_request(ApiRequest& request, Decision const& decision, http::RequestHead const& head) const
    -> void {
  request.route = decision.own;
  request.method = head.method;
  request.path = head.path;
  auto const& automation = proxy_.config().automation_mount;
  if (!automation.empty() && head.path.starts_with(automation)) {
    request.mount = automation;
    request.path.erase(0, automation.size());
  }
  request.query = head.query;
  request.content_type = head.value(http::FieldId::content_type);
  for (auto const& field : head.fields()) {
    if (http::equals_ignoring_case(field.name, "prefer")) request.prefer.append(field.value).append(",");
    if (!shows_a_credential(field.id)) request.fields.emplace_back(lower(field.name), field.value);
  }
  auto const authorization = head.value(http::FieldId::authorization);
  request.authorization_scheme = authorization.substr(0, authorization.find(' '));
  request.cookie = Secret(std::string(head.value(http::FieldId::cookie)));
  if (decision.principal) request.principal = *decision.principal;
  request.bearer = Secret(std::string(identity::bearer_token(head.value(http::FieldId::authorization))));
  request.session_key = Secret(std::string(head.value(http::FieldId::x_session_api_key)));
  request.origin = proxy_.config().public_url;
  if (request.origin.empty()) request.origin = std::string(scheme_) + "://" + std::string(head.authority);
  if (proxy_.config().rules.host) request.domain = proxy_.config().rules.domain;
  request.request_id = request_id_;
}

template <class Stream>
auto Session<Stream>::answer_own(ApiRequest request, HeldOwnBody& held) -> Task<Next> {
  set_phase(Phase::own, std::chrono::milliseconds(0));
  auto& around = proxy_.surroundings();
  auto handled = around.own_routes.handle(std::move(request));
  ApiResponse response = co_await call_on(around.control, std::move(handled));
  held.end();
  RemoteStream pieces(around.control, std::move(response.stream));
  if (stopping_) co_return Next::close;
  if (x_.opened.withdrawn) co_return co_await answer_failure(key_withdrawn, 0);
  if (pieces) co_return co_await relay_stream(response, pieces);
  LocalAnswer answer{response.status};
  answer.content_type = response.content_type;
  answer.body = response.body;
  answer.headers = &response.headers;
  answer.challenges = response.challenge == ApiResponse::Challenge::yes;
  auto const after = after_local_answer();
  co_return co_await send_local(answer, after);
}

// Each piece goes out as it comes. It may take its time; a client that does not take it may not.
template <class Stream>
auto Session<Stream>::relay_stream(ApiResponse const& response, RemoteStream& pieces) -> Task<Next> {
  LocalAnswer answer{response.status};
  answer.content_type = response.content_type;
  answer.headers = &response.headers;
  answer.framing = x_.version == http::Version::http_1_1 ? Framing::chunked : Framing::until_close;
  if (answer.framing == Framing::until_close) x_.client_keep_alive = false;
  auto const after = after_local_answer();
  x_.status = answer.status;
  out_.clear();
  append_local_answer(out_, answer, x_.version, after, SendBody::no, request_id_);
  bool ended = x_.method == http::Method::head;
  if (!ended && !response.body.empty()) append_piece(answer.framing, response.body);
  own_stream_ = &pieces;
  error_code ec;
  for (;;) {
    set_phase(Phase::relay, timeouts().body_progress);
    ec = co_await write_client(out_, {});
    if (ec || ended) break;
    set_phase(Phase::own_stream, timeouts().stream_idle);
    std::string const piece = co_await pieces.next();
    if (x_.client_gone || stopping_) break;
    out_.clear();
    ended = piece.empty();
    append_piece(answer.framing, piece);
  }
  own_stream_ = nullptr;
  end_request();
  bool const stays = !ec && ended && after == AfterAnswer::keep_alive && !proxy_.draining();
  co_return stays ? Next::keep_alive : Next::close;
}

// An empty one is the end.
template <class Stream>
auto Session<Stream>::append_piece(Framing framing, std::string_view piece) -> void {
  x_.bytes_out += piece.size();
  if (framing == Framing::until_close) {
    out_.append(piece);
  } else if (piece.empty()) {
    out_.append("0\r\n\r\n");
  } else {
    http::append_chunk(out_, piece);
  }
}

template <class Stream>
auto Session<Stream>::take_own_body(WipedString& body) -> std::size_t {
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

// Nobody whom we do not know gets to fill our memory.
template <class Stream>
auto Session<Stream>::refuse_own_body(OwnBodyLimit limit, std::size_t head_bytes) -> Task<Next> {
  proxy_.counters().rejected[static_cast<std::size_t>(Reject::body_too_large)].add();
  std::string message(limit.refusal);
  if (message.empty()) {
    message.append("the body is over the limit ").append(limit.name).append(": ");
    message.append(std::to_string(limit.bytes_max)).append(" bytes");
  }
  ExchangeFailure const failure{413, "body_too_large", message, 0};
  co_return co_await answer_failure(failure, head_bytes);
}

template <class Stream>
auto Session<Stream>::refuse_without_room(std::size_t head_bytes) -> Task<Next> {
  proxy_.counters().rejected[static_cast<std::size_t>(Reject::overloaded)].add();
  co_return co_await answer_failure(no_room_for_body, head_bytes);
}

}  // namespace nestgate::proxy
