// The leaves that every request passes: head parse, head rewrite, route match, chunk and frame scan.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "nestgate/base/invariant.hpp"
#include "nestgate/base/limits.hpp"
#include "nestgate/http/chunked.hpp"
#include "nestgate/http/head.hpp"
#include "nestgate/http/rewrite.hpp"
#include "nestgate/http/route.hpp"
#include "nestgate/http/websocket.hpp"

namespace {

using namespace nestgate::http;

constexpr nestgate::Limits limits;
constexpr HeadLimits request_limits{limits.request_head_bytes_max, limits.request_fields_max};
constexpr HeadLimits response_limits{limits.response_head_bytes_max, limits.response_fields_max};

// A request of the SDK, with as many further fields as asked for.
std::string request_text(std::int64_t further_fields) {
  std::string text =
      "GET /api/conversations/0123456789abcdef0123456789abcdef/events/search?limit=1 HTTP/1.1\r\nHost: "
      "gateway.example.org\r\n"
      "Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nUser-Agent: python-httpx/0.27.0\r\n"
      "X-Session-API-Key: tvlSNc-QVZMSrsmlCHHUVyEQdm7SmNWlpDunlEh2zSM\r\n";
  for (std::int64_t i = 0; i < further_fields; ++i)
    text += "X-Field-" + std::to_string(i) + ": some value of a usual length\r\n";
  return text + "\r\n";
}

void ParseRequestHead(benchmark::State& state) {
  auto const text = request_text(state.range(0));
  RequestHead head;
  for (auto _ : state) {
    std::size_t scanned = 0;
    auto const parse = parse_request_head(text, request_limits, head, scanned);
    NESTGATE_INVARIANT(parse.state == HeadParse::State::complete, "the request of the bench is a good one");
    benchmark::DoNotOptimize(head.field_count);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}
BENCHMARK(ParseRequestHead)->Arg(0)->Arg(10)->Arg(50);

void RewriteRequestHead(benchmark::State& state) {
  auto const text = request_text(state.range(0));
  RequestHead head;
  std::size_t scanned = 0;
  auto const parse = parse_request_head(text, request_limits, head, scanned);
  NESTGATE_INVARIANT(parse.state == HeadParse::State::complete, "the request of the bench is a good one");
  RequestRewrite rewrite{};
  rewrite.target = head.target;
  rewrite.session_key = "tvlSNc-QVZMSrsmlCHHUVyEQdm7SmNWlpDunlEh2zSM";
  rewrite.peer_address = "192.0.2.1";
  rewrite.scheme = "http";
  rewrite.request_id = "0123456789abcdef";
  std::string out;
  for (auto _ : state) {
    out.clear();
    append_request_head(out, head, rewrite);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(RewriteRequestHead)->Arg(0)->Arg(10)->Arg(50);

void ParseResponseHead(benchmark::State& state) {
  std::string_view const text =
      "HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 11:00:00 GMT\r\nserver: uvicorn\r\ncontent-length: 200\r\n"
      "content-type: application/json\r\n\r\n";
  ResponseHead head;
  for (auto _ : state) {
    std::size_t scanned = 0;
    auto const parse = parse_response_head(text, response_limits, Method::get, head, scanned);
    NESTGATE_INVARIANT(parse.state == HeadParse::State::complete, "the answer of the bench is a good one");
    benchmark::DoNotOptimize(head.status);
  }
}
BENCHMARK(ParseResponseHead);

void RouteByPath(benchmark::State& state) {
  RouteRules const rules;
  std::string_view const path = "/api/conversations/0123456789abcdef0123456789abcdef/events/search";
  for (auto _ : state) benchmark::DoNotOptimize(match_path(rules, path));
}
BENCHMARK(RouteByPath);

void RouteByPrefix(benchmark::State& state) {
  RouteRules const rules;
  std::string_view const target = "/runtime/0123456789abcdef0123456789abcdef/api/file/download?path=/a";
  for (auto _ : state) benchmark::DoNotOptimize(match_prefix(rules, target));
}
BENCHMARK(RouteByPrefix);

void RouteByHost(benchmark::State& state) {
  RouteRules rules;
  rules.domain = "sandboxes.example.org";
  std::string_view const authority = "8001-0123456789abcdef0123456789abcdef.sandboxes.example.org";
  for (auto _ : state) benchmark::DoNotOptimize(match_host(rules, authority, "/index.html"));
}
BENCHMARK(RouteByHost);

void ScanChunkedBody(benchmark::State& state) {
  auto const chunk_bytes = static_cast<std::size_t>(state.range(0));
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", chunk_bytes);
  std::string body;
  while (body.size() < 64 * 1024) body.append(size).append(chunk_bytes, 'x').append("\r\n");
  body += "0\r\n\r\n";
  for (auto _ : state) {
    ChunkScanner scanner({limits.chunk_extension_bytes_max, limits.trailer_bytes_max});
    auto const step = scanner.feed(body);
    NESTGATE_INVARIANT(scanner.done() && step.consumed == body.size(), "the body of the bench is a good one");
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(body.size()) * state.iterations());
}
BENCHMARK(ScanChunkedBody)->Arg(16)->Arg(1024)->Arg(16 * 1024);

void ScanWebsocketFrames(benchmark::State& state) {
  std::string const payload(static_cast<std::size_t>(state.range(0)), 'x');
  std::string frames;
  while (frames.size() < 16 * 1024) append_frame(frames, Opcode::text, payload);
  FrameScanner scanner(Masked::no);
  for (auto _ : state) {
    bool const fine = scanner.feed(frames);
    NESTGATE_INVARIANT(fine && scanner.at_boundary(), "the frames of the bench are good ones");
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(frames.size()) * state.iterations());
}
BENCHMARK(ScanWebsocketFrames)->Arg(64)->Arg(4096);

}  // namespace
