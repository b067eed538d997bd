#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages.hpp"
#include "nestgate/runtime/provider.hpp"
#include "nestgate/upstream/http_client.hpp"
#include "runtime/cut.hpp"

namespace nestgate::runtime::docker {

// Where an engine listens: a unix socket's path, or a base URL.
struct EngineAddress {
  std::string unix_socket;
  upstream::Url url;
};
// "unix:///path" or "tcp://host:port"; nothing for anything else.
std::optional<EngineAddress> parse_engine_address(std::string_view host, bool over_tls);

// The Docker Engine API, one call a connection. The version is agreed on by the first call, and anew after `forget_version`.
// Lives on the control core; every call is bounded by the shorter of `by` and the call's own time. Faults of all calls:
// unavailable (the engine cannot be reached, or is too old or too new), timed_out, cancelled, upstream (it failed), and by
// its answer not_found, conflict, bad_input.
class Engine {
 public:
  Engine(EngineAddress address, std::shared_ptr<ClientTls const> tls, std::chrono::milliseconds call_time_max,
         Executor control)
      : address_(std::move(address)), tls_(std::move(tls)), call_time_max_(call_time_max), cut_(control) {}

  EngineAddress const& address() const noexcept { return address_; }
  void forget_version() { version_.reset(); }
  // All calls fail from now on (unavailable), also those under way.
  void cut_short() { cut_.make(); }
  bool is_cut_short() const noexcept { return cut_.is_made(); }

  // The new container's id.
  Task<Outcome<std::string>> create(std::string name, Secret const& body, Deadline by);
  // Of one that runs, or has ended, already: success.
  Task<Outcome<>> start(std::string container, Deadline by);
  // SIGTERM, SIGKILL once the grace is over; returns when it has ended.
  Task<Outcome<>> stop(std::string container, std::chrono::seconds grace);
  Task<Outcome<>> kill(std::string container);
  Task<Outcome<>> pause(std::string container, Deadline by);
  Task<Outcome<>> unpause(std::string container, Deadline by);
  // With its anonymous volumes, whatever it does. Fault conflict: a removal is under way.
  Task<Outcome<>> remove(std::string container);
  Task<Outcome<>> rename(std::string container, std::string name);
  // By id or exact name; nothing: there is none.
  Task<Outcome<std::optional<Container>>> find(std::string id_or_name, Deadline by);
  // All with that label ("key=value"), whatever they do.
  Task<Outcome<std::vector<Container>>> list(std::string label);
  // The newest `bytes_max` of both streams.
  Task<Outcome<std::string>> log(std::string container, bool has_terminal, std::size_t bytes_max);
  Task<Outcome<CommandResult>> execute(std::string container, std::vector<std::string> command, Deadline by);
  // Of one that does not run: nothing. Engines before API 1.41 take two seconds for it.
  Task<Outcome<Usage>> usage(std::string container, Deadline by);

  // Whether it is on the engine's machine.
  Task<Outcome<bool>> has_image(ImageReference image, Deadline by);
  // Whether its registry offers it to whoever `registry_auth` names; asked by the engine, nothing is pulled.
  Task<Outcome<bool>> can_pull(ImageReference image, Secret registry_auth, Deadline by);

  using OnNews = std::function<void(std::string_view)>;
  // `registry_auth` is the header's value; empty: none.
  Task<Outcome<>> pull(ImageReference image, Secret registry_auth, OnNews on_news, Deadline by);

  // Its labels; of one that is there already those that it has.
  Task<Outcome<Labels>> create_volume(std::string body, Deadline by);
  // Nothing: there is none.
  Task<Outcome<std::optional<Labels>>> volume_labels(std::string name);
  Task<Outcome<>> remove_volume(std::string name);

  using OnEvent = std::function<void(Event const&)>;
  // Events of containers with one of these actions from `since` on (by the engine's clock), until the engine ends the
  // stream, which is a fault. `on_open` is told once the engine listens.
  Task<Failure> follow(std::vector<std::string> actions, std::chrono::nanoseconds since, std::function<void()> on_open,
                       OnEvent on_event);

 private:
  Task<Result<upstream::Answer>> exchange(upstream::Call call, Deadline by) {
    return cut_.until_made(upstream::call(std::move(call), by));
  }
  Task<Outcome<>> agree_on_version(Deadline by);
  upstream::Call call_of(std::string_view method, std::string const& path, std::string_view query) const;
  Task<Outcome<upstream::Answer>> send(std::string_view step, upstream::Call call, Deadline by);
  Task<Outcome<upstream::Answer>> ask(std::string_view step, std::string_view method, std::string path, std::string query,
                                      std::string_view body, Deadline by);
  Task<Outcome<>> tell(std::string_view step, std::string_view method, std::string path, std::string query, Deadline by);
  Failure unreachable(std::string_view step, Fault const& fault) const;
  std::string name() const;
  Deadline soon() const { return Deadline::in(call_time_max_); }

  EngineAddress address_;
  std::shared_ptr<ClientTls const> tls_;
  std::chrono::milliseconds call_time_max_;
  std::optional<ApiVersion> version_;
  Cut cut_;
};

}  // namespace nestgate::runtime::docker
