#include "nestgate/runtime/factory.hpp"

#include "docker/docker_provider.hpp"
#include "process_provider.hpp"
#include "remote/remote_provider.hpp"

namespace nestgate::runtime {

Outcome<std::unique_ptr<RuntimeProvider>> make_provider(std::string_view name, ProviderSettings settings, Executor control) {
  if (name == "process") return std::unique_ptr<RuntimeProvider>(new ProcessProvider(std::move(settings.process), control));
  if (name == "docker") return docker::make_docker_provider(std::move(settings.docker), control);
  if (name == "remote") return remote::make_remote_provider(std::move(settings.remote), control);
  return upstream::fail(FaultKind::bad_input, "runtime.provider",
                        "runtime.provider: '" + std::string(name) + "' is none of: process, docker, remote");
}

}  // namespace nestgate::runtime
