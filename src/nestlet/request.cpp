#include "nestlet/request.hpp"

#include <algorithm>
#include <boost/beast/core/string.hpp>

namespace nestgate::nestlet {
namespace {

constexpr std::uint64_t read_bytes_max = 64 * 1024;

}  // namespace

Request::Request(Stream& stream, beast::flat_buffer& buffer, RequestParser& parser, Limits const& limits)
    : stream_(stream), buffer_(buffer), parser_(parser), limits_(limits), method_(view(parser.get().method_string())) {
  std::string_view const target = view(parser.get().target());
  auto const question = target.find('?');
  auto decoded = percent_decode(target.substr(0, question));
  path_valid_ = decoded.has_value() && target.starts_with('/');
  path_ = std::move(decoded).value_or("");
  if (question != target.npos) query_ = Query(target.substr(question + 1));
  continue_owed_ = beast::iequals(parser.get()[http::field::expect], "100-continue") && !parser.is_done();
}

Task<Result<std::size_t>> Request::read_some(asio::mutable_buffer into) {
  if (continue_owed_) {
    continue_owed_ = false;
    static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    stream_.expires_after(std::chrono::seconds(limits_.progress_seconds));
    auto [ec, n] = co_await asio::async_write(stream_, asio::buffer(go_on), no_throw);
    if (ec) co_return Fault{FaultKind::upstream, ec, "request.continue"};
  }
  // Beast reads no more at a time than the buffer has room for.
  auto const left = parser_.content_length_remaining().value_or(read_bytes_max);
  buffer_.reserve(static_cast<std::size_t>(std::min(left, read_bytes_max)));
  while (!parser_.is_done()) {
    auto& body = parser_.get().body();
    body.data = into.data();
    body.size = into.size();
    body.more = true;
    stream_.expires_after(std::chrono::seconds(limits_.progress_seconds));
    auto [ec, n] = co_await http::async_read_some(stream_, buffer_, parser_, no_throw);
    if (ec && ec != http::error::need_buffer) {
      auto const kind = ec == asio::error::operation_aborted ? FaultKind::cancelled : FaultKind::upstream;
      co_return Fault{kind, ec, "request.body"};
    }
    auto const got = into.size() - body.size;
    if (got > 0) co_return got;
  }
  co_return std::size_t{0};
}

Task<Checked<std::string>> Request::body() {
  auto const max = static_cast<std::size_t>(limits_.json_body_bytes_max);
  auto const too_large = refuse(413, "Request body too large: at most " + std::to_string(max) + " bytes");
  if (auto const announced = parser_.content_length(); announced && *announced > max) co_return too_large;
  std::string out;
  constexpr std::size_t step = 64 * 1024;
  for (;;) {
    auto const had = out.size();
    if (had > max) co_return too_large;
    auto const room = std::max<std::size_t>(step, had);  // doubles: a big body is not copied for every piece
    out.resize(had + room);
    auto const n = co_await read_some(asio::buffer(out.data() + had, room));
    if (!n) co_return refuse(400, "The request body broke off");
    out.resize(had + *n);
    if (*n == 0) co_return out;
  }
}

Task<Checked<JsonObject>> Request::object() {
  auto const text = co_await body();
  if (!text) co_return text.error();
  co_return parse_object(*text);
}

}  // namespace nestgate::nestlet
