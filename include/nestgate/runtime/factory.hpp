#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "nestgate/runtime/docker_settings.hpp"
#include "nestgate/runtime/process_settings.hpp"
#include "nestgate/runtime/provider.hpp"
#include "nestgate/runtime/remote_settings.hpp"

namespace nestgate::runtime {

struct ProviderSettings {
  ProcessSettings process;
  DockerSettings docker = {};
  RemoteSettings remote = {};
};

struct SettingProblem {
  std::string_view key;  // "runtime.process.command"
  std::string what;
};
// Why no runtime could be started with these settings: an unknown placeholder, a program that is not there, a folder that
// cannot be written. Changes nothing, so it can be asked before a start.
std::optional<SettingProblem> problem_with(ProcessSettings const& settings);
// The same of containers, without asking the engine: an address, a template or a file that cannot be right.
std::optional<SettingProblem> problem_with(DockerSettings const& settings);
// The same of a remote runtime API, without asking it.
std::optional<SettingProblem> problem_with(RemoteSettings const& settings);

// The provider of that name ("process", "docker", "remote"); a failure (bad_input) names those that exist.
// `control` is the control core's executor.
Outcome<std::unique_ptr<RuntimeProvider>> make_provider(std::string_view name, ProviderSettings settings, Executor control);

}  // namespace nestgate::runtime
