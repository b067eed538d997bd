#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "nestgate/base/result.hpp"
#include "nestlet/app.hpp"
#include "nestlet/connection.hpp"
#include "nestlet/task_group.hpp"

namespace nestgate::nestlet {

// The whole server on one io_context and one thread. Build, open(), run the context; stop() to end, from that thread.
class Server {
 public:
  // `environment`: what commands get. `groups` outlives the server.
  Server(Executor executor, Settings settings, SessionKeys keys, Boot boot, std::vector<std::string> environment,
         ProcessGroups& groups);

  // Binds and listens, everything or nothing. The addresses, with the real ports. Faults: bad_input (no such form of an
  // address), unavailable (the system said no).
  struct ListenFault {
    FaultKind kind;
    std::string message;
  };
  boost::system::result<std::vector<std::string>, ListenFault> open();
  // Closes the doors and the websockets (1012), lets requests finish for the grace time, stops the commands, then ends what
  // is left. Afterwards nothing of the server runs.
  Task<> stop();
  App& app() noexcept { return app_; }

 private:
  struct Connection {
    explicit Connection(asio::basic_stream_socket<asio::generic::stream_protocol, Executor> socket)
        : stream(std::move(socket)) {}
    Stream stream;
    ConnectionState state = ConnectionState::busy;
  };
  using TcpAcceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;
  using LocalAcceptor = asio::basic_socket_acceptor<asio::local::stream_protocol, Executor>;

  Result<std::string> open_tcp(std::string_view address);
  Result<std::string> open_local(std::string_view path);
  template <class Acceptor>
  Task<> accept(std::shared_ptr<Acceptor> door);
  Task<> serve(std::list<Connection>::iterator connection);

  App app_;
  TaskGroup doors_;
  TaskGroup clients_;
  std::list<Connection> connections_;
  std::vector<std::string> local_paths_;
};

}  // namespace nestgate::nestlet
