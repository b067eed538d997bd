#include "nestgate/runtime/provider.hpp"

namespace nestgate::runtime {
namespace {

Failure cannot(std::string_view provider, std::string_view what) {
  return upstream::fail(FaultKind::conflict, "runtime.unsupported",
                        std::string(what) + ": the provider '" + std::string(provider) + "' cannot do this");
}

}  // namespace

std::string_view to_string(Presence presence) noexcept {
  switch (presence) {
    case Presence::starting: return "starting";
    case Presence::running: return "running";
    case Presence::paused: return "paused";
    case Presence::stopped: return "stopped";
    case Presence::failed: return "failed";
  }
  return "";
}

Wish Wish::clone() const {
  Wish out{image, command, working_dir, {}, resource_factor};
  out.environment.reserve(environment.size());
  for (auto const& [name, value] : environment) out.environment.emplace_back(name, value.clone());
  return out;
}

Task<Outcome<>> RuntimeProvider::wait_ready(ConversationId, Deadline) { co_return Outcome<>{}; }
Task<Outcome<std::optional<Found>>> RuntimeProvider::inspect(ConversationId) { co_return std::optional<Found>(); }
Task<Outcome<std::vector<Found>>> RuntimeProvider::list() { co_return std::vector<Found>(); }
Task<Outcome<>> RuntimeProvider::pause(ConversationId) { co_return cannot(name(), "pause"); }
Task<Outcome<Instance>> RuntimeProvider::resume(Spec, Deadline) { co_return cannot(name(), "resume"); }
Task<Outcome<Instance>> RuntimeProvider::assign(ConversationId, Spec) { co_return cannot(name(), "assign"); }
Task<Outcome<CommandResult>> RuntimeProvider::execute(ConversationId, std::vector<std::string>, Deadline) {
  co_return cannot(name(), "execute");
}
Task<Outcome<std::string>> RuntimeProvider::log(ConversationId, std::size_t) { co_return cannot(name(), "log"); }
Task<Outcome<Usage>> RuntimeProvider::usage(ConversationId, Deadline) { co_return Usage{}; }
Task<Outcome<std::optional<bool>>> RuntimeProvider::has_image(std::string, Deadline) { co_return std::optional<bool>(); }

}  // namespace nestgate::runtime
