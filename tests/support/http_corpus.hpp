#pragma once

#include <simdjson.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// Loads tests/corpus/http; tests/corpus/README.md says what each key means. NESTGATE_TEST_DATA names the folder `tests`.
namespace nestgate::test {

struct ForwardedExpectation {
  std::optional<std::string> line;
  std::vector<std::string> has;
  std::vector<std::string> lacks;
  std::optional<std::string> body;
};

struct RequestCase {
  std::string name;
  std::string source;
  std::string request;
  std::vector<ForwardedExpectation> forwarded;
  unsigned status = 0;  // 0: nothing is refused
  std::string code;
  bool in_body = false;
  std::string after;
};

struct ResponseCase {
  std::string name;
  std::string source;
  std::string method = "GET";
  std::string response;
  bool then_close = false;
  unsigned status = 0;
  std::string code;  // not empty: the answer is the gateway's own
  std::vector<unsigned> interim;
  std::vector<std::string> has;
  std::vector<std::string> lacks;
  std::string body;
  bool complete = true;
  std::string upstream;
};

namespace detail {

using Element = simdjson::dom::element;
using Object = simdjson::dom::object;

inline std::string bytes_of_text(std::string_view utf8) {
  std::string out;
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    auto const lead = static_cast<unsigned char>(utf8[i]);
    if (lead < 0x80) {
      out += utf8[i];
      continue;
    }
    if (lead > 0xc3) throw std::runtime_error("a character beyond U+00FF is no byte");
    auto const low = static_cast<unsigned char>(utf8[++i]);
    out += static_cast<char>((lead & 0x03) << 6 | (low & 0x3f));
  }
  return out;
}

inline std::string bytes_of(Element element) {
  if (element.is_string()) return bytes_of_text(std::string_view(element));
  std::string out;
  if (element.is_object()) {
    std::string const once = bytes_of(element["repeat"]);
    for (std::int64_t i = 0, n = element["times"]; i < n; ++i) out += once;
    return out;
  }
  for (Element part : simdjson::dom::array(element)) out += bytes_of(part);
  return out;
}

inline std::optional<std::string> optional_bytes(Element object, std::string_view key) {
  Element found;
  if (object[key].get(found) != simdjson::SUCCESS) return std::nullopt;
  return bytes_of(found);
}

inline std::string bytes_or(Element object, std::string_view key, std::string_view otherwise) {
  return optional_bytes(object, key).value_or(std::string(otherwise));
}

template <class Take>
void for_each_in(Element object, std::string_view key, Take take) {
  simdjson::dom::array found;
  if (object[key].get(found) != simdjson::SUCCESS) return;
  for (Element element : found) take(element);
}

inline std::vector<std::string> texts(Element object, std::string_view key) {
  std::vector<std::string> out;
  for_each_in(object, key, [&](Element element) { out.push_back(bytes_of(element)); });
  return out;
}

inline unsigned status_of(Element expect) {
  std::uint64_t status = 0;
  return expect["status"].get(status) == simdjson::SUCCESS ? static_cast<unsigned>(status) : 0u;
}

inline std::string with_key(std::string text, std::string_view key) {
  constexpr std::string_view mark = "{key}";
  for (auto at = text.find(mark); at != text.npos; at = text.find(mark, at + key.size())) text.replace(at, mark.size(), key);
  return text;
}

template <class Case, class Read>
std::vector<Case> load(std::string_view file, Read read) {
  simdjson::dom::parser parser;
  std::vector<Case> out;
  for (Element element : simdjson::dom::array(parser.load(std::string(NESTGATE_TEST_DATA "/corpus/http/").append(file)))) {
    out.push_back(read(element));
  }
  return out;
}

}  // namespace detail

// `key` goes where the corpus says {key}.
inline std::vector<RequestCase> load_request_cases(std::string_view key) {
  using namespace detail;
  return load<RequestCase>("requests.json", [key](Element element) {
    RequestCase out;
    out.name = bytes_of(element["name"]);
    out.source = bytes_of(element["source"]);
    out.request = with_key(bytes_of(element["request"]), key);
    Element const expect = element["expect"];
    for_each_in(expect, "forwarded", [&](Element forwarded) {
      out.forwarded.push_back({optional_bytes(forwarded, "line"), texts(forwarded, "has"), texts(forwarded, "lacks"),
                               optional_bytes(forwarded, "body")});
    });
    out.status = status_of(expect);
    out.code = bytes_or(expect, "code", "");
    out.in_body = bytes_or(expect, "in", "head") == "body";
    out.after = bytes_or(expect, "after", "");
    return out;
  });
}

inline std::vector<ResponseCase> load_response_cases() {
  using namespace detail;
  return load<ResponseCase>("responses.json", [](Element element) {
    ResponseCase out;
    out.name = bytes_of(element["name"]);
    out.source = bytes_of(element["source"]);
    out.method = bytes_or(element, "method", "GET");
    out.response = bytes_of(element["response"]);
    out.then_close = bytes_or(element, "then", "") == "close";
    Element const expect = element["expect"];
    out.status = status_of(expect);
    out.code = bytes_or(expect, "code", "");
    for_each_in(expect, "interim",
                [&](Element status) { out.interim.push_back(static_cast<unsigned>(std::uint64_t(status))); });
    out.has = texts(expect, "has");
    out.lacks = texts(expect, "lacks");
    out.body = bytes_or(expect, "body", "");
    bool complete = true;
    if (expect["complete"].get(complete) == simdjson::SUCCESS) out.complete = complete;
    out.upstream = bytes_or(expect, "upstream", "");
    return out;
  });
}

}  // namespace nestgate::test
