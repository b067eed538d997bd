#pragma once

#include "unit/api/whole_api.hpp"

namespace nestgate::test {

// The whole API with a nested server that runs what it is given, as alice asks it.
class Api : public WholeApi {
 protected:
  explicit Api(conversation::ManagerSettings settings = {}) : WholeApi(with_sources(), quick(settings), quick_runs()) {
    nested.on("POST /api/bash/execute_bash_command", {200, R"({"exit_code":0})"});
    nested.on("POST /api/bash/start_bash_command", {200, R"({"id":"cmd1"})"});
    nested.on("GET /api/bash/bash_events/search", {200, R"({"items":[]})"});
  }

  using WholeApi::ask;
  Answered ask(http::Method method, std::string path, std::optional<identity::Principal> by, std::string body,
               std::string content_type, std::string token = {}) {
    auto request = request_for(method, std::move(path), {std::move(by), {}, std::move(body)});
    request.content_type = std::move(content_type);
    request.bearer = Secret(std::move(token));
    return ask(std::move(request));
  }
  Answered start(std::string const& id, identity::Principal by = alice) {
    return ask(http::Method::post, "/api/conversations", std::move(by), R"({"conversation_id":")" + id + "\"}");
  }
  Answered submit(identity::Principal by = alice) {
    return ask(http::Method::post, "/api/automation/v1/runs", std::move(by),
               R"({"tarball_base64":"H4s=","entrypoint":"python main.py","conversation_id":"c1"})");
  }

 private:
  static conversation::ManagerSettings quick(conversation::ManagerSettings settings) {
    settings.stop_poll_pause = std::chrono::milliseconds(1);
    return settings;
  }
  static api::Settings with_sources() {
    std::vector<Secret> secrets;
    secrets.emplace_back("a secret of built-in sources");
    api::Settings settings;
    settings.automation.webhook_secrets = std::make_shared<std::vector<Secret> const>(std::move(secrets));
    return settings;
  }
  static automation::Settings quick_runs() {
    automation::Settings settings;
    settings.watch_interval = std::chrono::milliseconds(5);
    settings.tarball_bytes_max = 1000;
    settings.kv_secret = std::make_shared<Secret const>("a secret of the key-value store");
    return settings;
  }
};

}  // namespace nestgate::test
