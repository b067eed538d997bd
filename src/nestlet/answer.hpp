#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "nestlet/fd.hpp"
#include "nestlet/outbox.hpp"

namespace nestgate::nestlet {

// An error answer; the body is `{"detail": ...}` as FastAPI has it (agent_server.md 1.2).
struct Refusal {
  Refusal() = default;  // what error() of a success gives
  Refusal(unsigned status_code, std::string json) : status(status_code), body(std::move(json)) {}
  unsigned status = 500;
  std::string body;
};
template <class T = void>
using Checked = boost::system::result<T, Refusal>;

// A piece of an open file, `length` bytes from `offset`.
struct FileSlice {
  Fd file;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};
// Server-sent events until the outbox closes.
struct EventStream {
  std::shared_ptr<void> source;  // owns the feed of the seats
  std::shared_ptr<Outbox> events;
  std::vector<std::unique_ptr<Feed::Seat>> seats;
};

// What a handler gives back: data only. The connection does the writing.
struct Answer {
  Answer() = default;
  Answer(unsigned status_code, std::string json) : status(status_code), body(std::move(json)) {}
  Answer(Refusal refusal) : status(refusal.status), body(std::move(refusal.body)) {}

  unsigned status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> fields;
  std::variant<std::string, FileSlice, EventStream> body;
};

Answer json(std::string body);
Answer success();  // {"success":true}
Answer plain(std::string text);

Refusal refuse(unsigned status, std::string_view detail);
Refusal not_found();
// 422 as FastAPI has it. `where` is "query", "body" or a place in it, as "body.action"; the input is never echoed, it may be
// a secret.
Refusal invalid(std::string_view where, std::string_view field, std::string_view type, std::string_view message);
Refusal missing(std::string_view where, std::string_view field);

std::string_view reason(unsigned status);

}  // namespace nestgate::nestlet
