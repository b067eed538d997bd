#include "nestgate/nested/resources.hpp"

#include <simdjson.h>

#include "nestgate/upstream/http_client.hpp"

namespace nestgate::nested {
namespace {

constexpr std::size_t answer_bytes_max = 64 * 1024;

}  // namespace

Resources parse_resources(std::string_view server_info) {
  Resources out;
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(server_info.data(), server_info.size()).get(root)) return out;
  std::uint64_t bytes = 0;
  if (!root.at_pointer("/resources/memory/rss").get(bytes)) out.memory_bytes = bytes;
  double percent = 0;
  if (!root.at_pointer("/resources/cpu_percent").get(percent)) out.cpu_percent = percent;
  return out;
}

Task<upstream::Outcome<Resources>> ask_resources(upstream::Place at, Deadline by) {
  auto call = upstream::call_to(at, "/server_info");
  call.answer_bytes_max = answer_bytes_max;
  auto const answered = co_await upstream::call(std::move(call), by);
  if (!answered) co_return upstream::failed("server_info", answered.error());
  if (answered->status != 200) co_return upstream::refused("server_info", answered->status);
  co_return parse_resources(answered->body);
}

}  // namespace nestgate::nested
