#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/base/deadline.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/net/net.hpp"
#include "nestgate/net/tls.hpp"
#include "nestgate/upstream/place.hpp"
#include "nestgate/upstream/url.hpp"

namespace nestgate::upstream {

Url url_of(Place const& place);
// The place of a URL's server, of which `at` is an address. Over TLS it is called by its name, in plain text only where
// `naming` says so.
enum class Naming : std::uint8_t { over_tls, always };
Place place_of(Url const& url, asio::ip::tcp::endpoint const& at, std::shared_ptr<ClientTls const> const& trusted,
               Naming naming);

// Whether a call may end at an address that only this machine or its network can reach. It is the connected address
// that is looked at, so a name that resolves to two things gains nothing.
enum class Reach : std::uint8_t { anywhere, public_only };

// Of a 2xx answer: told with nothing once its head is there, then of each piece of its body as it comes. False ends the
// exchange as cancelled. Not called after `call` returned.
using OnPiece = std::function<bool(std::string_view piece)>;

// Connections over plain TCP to one place that stay open for the next calls. Lives on one core, whose loop outlives it.
class KeptConnections {
 public:
  // Keeps `count_max`, each for `idle_max`: less than their server leaves an idle one open.
  KeptConnections(std::size_t count_max, Clock::duration idle_max) : count_max_(count_max), idle_max_(idle_max) {}
  // The one that was put here last and has neither ended nor said anything since; nothing: there is none.
  std::optional<TcpSocket> take();
  void put(TcpSocket socket);
  void close_idle();
  bool empty() const noexcept { return idle_.empty(); }

 private:
  struct Idle {
    TcpSocket socket;
    Clock::time_point since;
  };
  std::size_t count_max_;
  Clock::duration idle_max_;
  std::vector<Idle> idle_;  // the one that was put here last is last
};

struct Call {
  std::string method = "GET";
  Url url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::pair<std::string, Secret>> secret_headers;  // X-Session-API-Key and the like; never logged
  std::vector<std::string_view> body;  // sent one behind the other, never copied; what they view outlives the call
  std::string content_type;
  std::size_t answer_bytes_max = 16 * 1024 * 1024;  // of a body that is not taken by `on_piece`
  std::chrono::seconds retry_after_max{3600};       // what the answer says beyond it is cut
  Reach reach = Reach::anywhere;
  std::optional<asio::ip::tcp::endpoint> at;  // there, instead of where the URL's host is looked up
  std::string unix_socket;                    // a path: there instead of to the URL's host and port, and never over TLS
  std::shared_ptr<ClientTls const> tls;       // for https; nothing: the system's authorities
  OnPiece on_piece;                           // then a 2xx answer has no body
  std::shared_ptr<KeptConnections> kept;      // for plain TCP: of them, and left open for the next call
};

// A GET of what is at `path` of a server, at the address of its place.
Call call_to(Place const& place, std::string_view path, std::string_view query = {});

struct Answer {
  unsigned status = 0;
  std::string content_type;
  std::string body;
  std::optional<std::chrono::seconds> retry_after;  // from now on; said in seconds or as a date
  bool stays_open = false;                          // its connection can take another call
  bool ok() const noexcept { return status >= 200 && status < 300; }
};

// One exchange over a fresh connection (TCP, a unix socket, TLS for https with verification), or over the one that is kept;
// what nestgate calls itself is rare enough. Nothing is sent twice.
// Faults: upstream (refused, reset, not HTTP), timed_out, too_large, forbidden (beyond `reach`), cancelled. Redirects are
// not followed. Any status is an Answer. Runs on the control core: names are resolved on Asio's own thread.
Task<Result<Answer>> call(Call request, Deadline by);

}  // namespace nestgate::upstream
