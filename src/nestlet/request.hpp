#pragma once

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/base/result.hpp"
#include "nestlet/json.hpp"
#include "nestlet/net.hpp"
#include "nestlet/settings.hpp"
#include "nestlet/text.hpp"

namespace nestgate::nestlet {

namespace http = beast::http;
using RequestParser = http::request_parser<http::buffer_body>;

// One request whose head is read. The body is read only when a handler asks for it, and only then is
// `Expect: 100-continue` answered: a request without the right key never moves its body.
class Request {
 public:
  // All three outlive the request.
  Request(Stream& stream, beast::flat_buffer& buffer, RequestParser& parser, Limits const& limits);

  std::string_view method() const noexcept { return method_; }
  std::string const& path() const noexcept { return path_; }  // decoded once
  bool path_valid() const noexcept { return path_valid_; }
  Query const& query() const noexcept { return query_; }
  std::string_view header(http::field name) const { return view(parser_.get()[name]); }
  std::string_view header(std::string_view name) const { return view(parser_.get()[name]); }  // the first of that name
  std::string_view session_key() const { return header("X-Session-API-Key"); }
  bool body_read() const { return parser_.is_done(); }

  std::vector<std::string> parameters;  // what the route's {} matched
  std::string_view parameter(std::size_t i) const { return parameters[i]; }

  // Up to `into.size()` bytes of the body, 0 at its end. Faults: cancelled, bad_input, upstream (the client went away).
  Task<Result<std::size_t>> read_some(asio::mutable_buffer into);
  // The whole body: 413 past the limit, 400 when it breaks off.
  Task<Checked<std::string>> body();
  Task<Checked<JsonObject>> object();

 private:
  static std::string_view view(boost::core::string_view text) { return {text.data(), text.size()}; }

  Stream& stream_;
  beast::flat_buffer& buffer_;
  RequestParser& parser_;
  Limits const& limits_;
  std::string method_;
  std::string path_;
  bool path_valid_;
  Query query_;
  bool continue_owed_;
};

}  // namespace nestgate::nestlet
