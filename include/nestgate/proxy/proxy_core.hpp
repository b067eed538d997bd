#pragma once

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nestgate/conversation/directory.hpp"
#include "nestgate/http/head.hpp"
#include "nestgate/net/buffer.hpp"
#include "nestgate/net/core.hpp"
#include "nestgate/net/line_sink.hpp"
#include "nestgate/net/tls.hpp"
#include "nestgate/proxy/config.hpp"
#include "nestgate/proxy/own_routes.hpp"
#include "nestgate/proxy/stats.hpp"

namespace nestgate::proxy {

// Something with a deadline. All of a core's are looked at by one sweep instead of a timer each.
class Watch : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  // May close and cancel what it owns, and may end itself.
  virtual void on_sweep(Clock::time_point now) = 0;
  // Drain began (phase one), or everything has to end now (phase two).
  virtual void on_drain() = 0;
  virtual void on_stop() = 0;
  // The API keys were replaced. Both sets are there while this is called; what a key that is gone has opened ends with the
  // next sweep.
  virtual void on_api_keys(identity::ApiKeys const* before, identity::ApiKeys const* now) = 0;

 protected:
  ~Watch() = default;
};

// Tells every core which runtime a Socket.IO session id belongs to; returns when each knows, so that the client's next
// request may come to any.
class SidPublisher {
 public:
  virtual ~SidPublisher() = default;
  virtual Task<> publish_sid(std::string sid, ConversationId runtime) = 0;
};

// Told once of each place of a runtime, on each core, whose server was reached but whose TLS was refused: `why` is a
// certificate that is not trusted, or nothing that speaks TLS. On that core's thread.
using OnUntrusted = std::function<void(ConversationId const& id, std::string_view authority, std::string_view why)>;

class OwnBodyRoom;

// What the proxy needs of the rest of the gateway; all outlive the cores.
struct Surroundings {
  Core& control;  // where own routes are handled
  OwnRoutes& own_routes;
  conversation::DirectoryPublisher& directories;  // learnt aliases go to every core
  SidPublisher& sids;
  LineSink& access_log;
  conversation::Waker& waker;  // on the control core
  OnUntrusted const& on_untrusted;
  OwnBodyRoom& own_bodies;  // of all cores
};

// The data plane of one core: its directory, its sessions and tunnels, its limits and counters. Used by its core's thread
// only, but for `stats()`, which anyone may read.
class ProxyCore {
 public:
  ProxyCore(Core& core, Config config, Surroundings surroundings);
  ~ProxyCore();

  // Start a session for an accepted connection. Over the connection limit it is closed; without TLS the client is told 503.
  void serve(TcpSocket client);
  void serve(UnixSocket client);
  void serve_tls(TcpSocket client, std::shared_ptr<TlsServer const> tls);

  // Starts the sweep. Once, before the first connection.
  void start();
  // Phase one: what runs may finish, idle connections are told to go, websockets are closed with 1012. Phase two, after
  // `grace`: what is left is cut. Returns when nothing is left. The listeners must be closed before.
  Task<> drain(Clock::duration grace);
  void replace_config(Config config);

  // What the control side says of the runtimes, and what sessions learn.
  void publish(conversation::RuntimeRecordPtr record);
  void withdraw(ConversationId const& id, Epoch epoch);
  void add_alias(ConversationId const& alias, ConversationId const& runtime);
  // So many more are about to be published.
  void expect(std::size_t more) { directory_.expect(more); }
  // Of the runtimes that were used here.
  std::vector<conversation::Activity> activity() const;
  conversation::Directory const& directory() const noexcept { return directory_; }
  Stats const& stats() const noexcept { return stats_; }
  void learn_sid(std::string sid, ConversationId const& runtime);

  // For sessions and tunnels of this core only.
  struct Internals;
  Core& core() noexcept { return core_; }
  Config const& config() const noexcept { return config_; }
  Internals& internals() noexcept { return *internals_; }
  Surroundings& surroundings() noexcept { return surroundings_; }
  Stats& counters() noexcept { return stats_; }
  bool draining() const noexcept { return draining_; }

 private:
  bool has_room();
  template <class Socket>
  void serve_plain(Socket client);
  template <class Socket>
  void turn_away(Socket client);
  Task<> sweep_forever();

  Core& core_;
  Config config_;
  Surroundings surroundings_;
  Stats stats_;
  conversation::Directory directory_;
  std::unique_ptr<Internals> internals_;
  bool draining_ = false;
};

}  // namespace nestgate::proxy
