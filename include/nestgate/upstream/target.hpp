#pragma once

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstdint>
#include <memory>
#include <vector>

#include "nestgate/base/limits.hpp"
#include "nestgate/net/net.hpp"
#include "nestgate/upstream/place.hpp"

namespace nestgate::upstream {

// One kept-alive connection to a nested server.
struct Connection {
  explicit Connection(Executor executor) : socket(executor) {}
  // Whether its peer may have been cut off in what it said: over TLS an end has to be announced.
  bool is_cut_short() const noexcept { return cut_short && *cut_short; }
  TcpSocket socket;                       // to the server; over TLS to the bridge before it
  std::shared_ptr<bool const> cut_short;  // the bridge's word; nullptr: in plain text
  Clock::time_point idle_since{};
  std::uint32_t exchanges = 0;  // answers read so far; 0: fresh
};

// Where one epoch of one runtime listens, and this core's connections to it. A runtime that starts again gets a new
// Target, so a pooled connection can never reach what took over its port. Lives on one core; ended by its last holder.
class Target : public boost::intrusive_ref_counter<Target, boost::thread_unsafe_counter> {
 public:
  explicit Target(Place place) : place_(std::move(place)) {}

  Place const& place() const noexcept { return place_; }
  // The youngest idle connection that was idle for less than `idle_max`, or nullptr. Older ones are closed on the way.
  std::unique_ptr<Connection> take_idle(Clock::time_point now, Clock::duration idle_max);
  // Keeps a connection whose last answer was read to its end; closes it when there are `idle_connections_max` already
  // or the target was withdrawn.
  void put_idle(std::unique_ptr<Connection> connection, Clock::time_point now, std::size_t idle_connections_max);
  void close_idle_before(Clock::time_point moment);

  // Nothing new may use it, and its live streams are to end.
  void withdraw() {
    withdrawn_ = true;
    idle_.clear();
  }
  bool withdrawn() const noexcept { return withdrawn_; }

  // Connections in use, tunnels included: what the limit counts.
  std::uint32_t in_use = 0;
  std::size_t idle_count() const noexcept { return idle_.size(); }
  // Its server's TLS was refused, and somebody was told.
  bool refusal_was_told = false;
  // On its core's list of those whose idle connections are looked at; that list's business.
  bool listed = false;

 private:
  Place place_;
  std::vector<std::unique_ptr<Connection>> idle_;
  bool withdrawn_ = false;
};
using TargetPtr = boost::intrusive_ptr<Target>;

// Whether the peer has ended an idle connection, or said something that nobody asked for: looked at just before a request
// goes on it (agent_server.md 0.8).
bool peer_has_ended(TcpSocket& socket) noexcept;

}  // namespace nestgate::upstream
