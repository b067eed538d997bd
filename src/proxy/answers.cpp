#include "answers.hpp"

#include <time.h>

#include <cstring>

#include "nestgate/codec/json_writer.hpp"
#include "nestgate/http/fault_status.hpp"

namespace nestgate::proxy {
namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

void append_number(std::string& out, std::string_view key, std::uint64_t value) {
  out.append(key).append(std::to_string(value));
}

void append_string(std::string& out, std::string_view key, std::string_view value) {
  out.append(key);
  codec::append_json_string(out, value);
}

// RFC 3339 in UTC with milliseconds; the seconds' text is kept, they change rarely.
void append_now(std::string& out) {
  thread_local time_t cached_second = -1;
  thread_local char cached[24];
  timespec now;
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != cached_second) {
    tm parts;
    ::gmtime_r(&now.tv_sec, &parts);
    ::strftime(cached, sizeof cached, "%Y-%m-%dT%H:%M:%S", &parts);
    cached_second = now.tv_sec;
  }
  auto const ms = static_cast<unsigned>(now.tv_nsec / 1'000'000);
  char const fraction[] = {'.', static_cast<char>('0' + ms / 100), static_cast<char>('0' + ms / 10 % 10),
                           static_cast<char>('0' + ms % 10), 'Z'};
  out.append(cached).append(fraction, sizeof fraction);
}

}  // namespace

void append_local_answer(std::string& out, LocalAnswer const& answer, http::Version client, AfterAnswer after,
                         SendBody send_body, std::string_view request_id) {
  out.append("HTTP/1.1 ").append(std::to_string(answer.status)).append(" ");
  out.append(http::reason_phrase(answer.status)).append("\r\n");
  bool const may_have_body = answer.status != 204 && answer.status != 304;
  bool const in_pieces = answer.framing != Framing::length;
  if (may_have_body && (in_pieces || !answer.body.empty())) append_field(out, "Content-Type", answer.content_type);
  if (may_have_body && !in_pieces) append_field(out, "Content-Length", std::to_string(answer.body.size()));
  if (answer.framing == Framing::chunked) append_field(out, "Transfer-Encoding", "chunked");
  append_field(out, "Cache-Control", "no-store");
  if (answer.status == 401 && answer.challenges) append_field(out, "WWW-Authenticate", "Bearer");
  append_field(out, "X-Request-Id", request_id);
  if (answer.retry_after_s != 0) append_field(out, "Retry-After", std::to_string(answer.retry_after_s));
  out.append(answer.fields);
  if (answer.headers) {
    for (auto const& [name, value] : *answer.headers) append_field(out, name, value);
  }
  if (after == AfterAnswer::close) {
    append_field(out, "Connection", "close");
  } else if (client == http::Version::http_1_0) {
    append_field(out, "Connection", "keep-alive");
  }
  out.append("\r\n");
  if (may_have_body && !in_pieces && send_body == SendBody::yes) out.append(answer.body);
}

std::string error_body(unsigned status, std::string_view code, std::string_view message, std::string_view request_id,
                       RuntimeInAnswer runtime) {
  std::string out;
  codec::JsonWriter json(out);
  json.begin_object();
  json.member("detail", status == 401 ? std::string_view("Unauthorized") : message);
  json.key("error").begin_object();
  json.member("code", code).member("message", message).member("request_id", request_id);
  if (!runtime.state.empty()) json.member("state", runtime.state).member("progress", runtime.progress);
  json.end_object().end_object();
  return out;
}

void append_access_line(std::string& out, AccessRecord const& record) {
  out.append(R"({"ts":")");
  append_now(out);
  append_string(out, R"(","kind":"access","request_id":)", record.request_id);
  append_string(out, R"(,"peer":)", record.peer);
  append_string(out, R"(,"method":)", record.method);
  append_string(out, R"(,"target":)", record.target);
  append_string(out, R"(,"route":)", record.route);
  append_string(out, R"(,"conversation":)", record.conversation);
  append_number(out, R"(,"status":)", record.status);
  append_number(out, R"(,"bytes_in":)", record.bytes_in);
  append_number(out, R"(,"bytes_out":)", record.bytes_out);
  append_number(out, R"(,"duration_us":)", record.duration_us);
  append_number(out, R"(,"upstream_us":)", record.upstream_us);
  out.push_back('}');
}

}  // namespace nestgate::proxy
