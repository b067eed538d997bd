#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "nestgate/proxy/proxy_core.hpp"

namespace nestgate::proxy {

// The proxy's cores, a thread each, and what is said to all of them. Owned and called by the control side; the
// publishers may be called from any core.
class CoreSet final : public conversation::DirectoryPublisher, public SidPublisher {
 public:
  // All but the config outlive it. The waker is called on the control core.
  CoreSet(unsigned threads, Config const& config, Core& control, OwnRoutes& own_routes, conversation::Waker& waker,
          LineSink& access_log);
  CoreSet(CoreSet const&) = delete;
  CoreSet& operator=(CoreSet const&) = delete;
  // Drained before, or never started.
  ~CoreSet();

  // Each core listens with SO_REUSEPORT, so the kernel spreads connections. Returns the address with its real port; a
  // fault (bad_input, with the system's code) when it cannot be had. Before start().
  Result<asio::ip::tcp::endpoint> listen(asio::ip::tcp::endpoint at);
  Result<asio::ip::tcp::endpoint> listen_tls(asio::ip::tcp::endpoint at);
  // A socket file that is left over is replaced; one that answers, or a file that is no socket, is a fault.
  Result<> listen_unix(std::filesystem::path const& path);
  // For connections accepted from now on.
  void use_tls(std::shared_ptr<TlsServer const> tls);

  // Before start().
  void on_untrusted(OnUntrusted listener) { on_untrusted_ = std::move(listener); }
  // Runs the cores, which can be published to from now on. Clients wait in the listeners' queues until open_doors().
  void start();
  void open_doors();
  void replace_config(Config const& config);
  // Closes the listeners, drains every core, joins the threads. On the control core.
  Task<> drain(Clock::duration grace);

  Task<> publish(conversation::RuntimeRecordPtr record) override;
  Task<> withdraw(ConversationId id, Epoch epoch) override;
  Task<> add_alias(ConversationId alias, ConversationId runtime) override;
  // One message a core. A core serves its clients between the pieces of a large batch, so that part of it may hold before
  // the rest does.
  Task<> apply(std::vector<conversation::RuntimeRecordPtr> published,
               std::vector<std::pair<ConversationId, Epoch>> withdrawn) override;
  Task<std::vector<conversation::Activity>> activity() override;
  Task<> publish_sid(std::string sid, ConversationId runtime) override;

  std::vector<Stats const*> stats() const;
  // What core 0 knows, read on its thread; none once the cores have ended.
  Task<std::string> describe_routes();

 private:
  struct Worker;
  enum class Security : bool { plain, tls };
  template <class Make>
  Task<> on_every_core(Make make);
  Result<asio::ip::tcp::endpoint> listen_on_all(asio::ip::tcp::endpoint at, Security security);

  OnUntrusted on_untrusted_;
  std::unique_ptr<OwnBodyRoom> own_bodies_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::filesystem::path> unix_paths_;
  Core& control_;
  bool started_ = false;
  bool ended_ = false;  // no core runs any more: nothing is published
};

}  // namespace nestgate::proxy
