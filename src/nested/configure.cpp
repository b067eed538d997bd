#include "answers.hpp"
#include "messages.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/nested/client.hpp"

namespace nestgate::nested {

using upstream::Answer;

Task<Outcome<Dialect>> Client::configure(Configuration const& configuration, Clock::duration step_max, Dialect known) {
  Dialect dialect = known;
  if (!configuration.settings_json.empty()) {
    NESTGATE_CO_TRY(found, co_await put_settings(configuration, dialect, step_max));
    dialect = found;
  }
  if (!configuration.git_tokens.empty()) {
    NESTGATE_CO_TRY(found, co_await put_git_tokens(configuration, dialect, step_max));
    dialect = found;
  }
  for (auto const& secret : configuration.secrets) {
    NESTGATE_CO_TRY(found, co_await put_secret("secrets", secret.name, secret.value, secret.description, dialect, step_max));
    dialect = found;
  }
  co_return dialect;
}

Task<Outcome<Dialect>> Client::put_settings(Configuration const& configuration, Dialect dialect, Clock::duration step_max) {
  auto const& settings = configuration.settings_json;
  auto const refusal = [&settings](Answer const& answer) {
    return refused("settings", answer, excerpt_of_refusal(answer.body, settings));
  };
  if (dialect != Dialect::agent_server) {
    Message message{"POST", "/api/settings", {}, {settings.reveal()}};
    NESTGATE_CO_TRY(answer, co_await tell("settings", std::move(message), Deadline::in(step_max)));
    if (answer.ok()) co_return Dialect::older;
    if (dialect == Dialect::older || !lacks_route(answer)) co_return refusal(answer);
  }
  Message message{"PATCH", "/api/settings", {}, {settings.reveal()}};
  NESTGATE_CO_TRY(answer, co_await tell("settings", std::move(message), Deadline::in(step_max)));
  if (!answer.ok()) co_return refusal(answer);
  co_return Dialect::agent_server;
}

Task<Outcome<Dialect>> Client::put_git_tokens(Configuration const& configuration, Dialect dialect,
                                              Clock::duration step_max) {
  if (dialect != Dialect::agent_server) {
    Secret const body = git_providers_body(configuration.git_tokens);
    Message message{"POST", "/api/add-git-providers", {}, {body.reveal()}};
    NESTGATE_CO_TRY(answer, co_await tell("git_provider_tokens", std::move(message), Deadline::in(step_max)));
    if (answer.ok()) co_return Dialect::older;
    if (dialect == Dialect::older || !lacks_route(answer)) {
      auto failure = refused("git_provider_tokens", answer);
      if (answer.status == 401) failure.fault.kind = FaultKind::bad_input;  // the provider does not know the token
      co_return failure;
    }
  }
  for (auto const& token : configuration.git_tokens) {
    std::string const name = token.provider + "_token";
    auto put = put_secret("git_provider_tokens", name, token.token, std::string_view(), Dialect::agent_server, step_max);
    NESTGATE_CO_TRY(found, co_await std::move(put));
    dialect = found;
  }
  co_return dialect;
}

Task<Outcome<Dialect>> Client::put_secret(std::string_view step, std::string_view name, Secret const& value,
                                          std::string_view description, Dialect dialect, Clock::duration step_max) {
  Secret const body = secret_body(name, value, description);
  if (dialect != Dialect::agent_server) {
    Message message{"POST", "/api/secrets", {}, {body.reveal()}};
    NESTGATE_CO_TRY(answer, co_await tell(step, std::move(message), Deadline::in(step_max)));
    if (answer.ok()) co_return Dialect::older;
    if (answer.status == 400 && says_already_exists(answer.body)) {
      NESTGATE_CO_TRY_VOID(co_await replace_secret(step, name, body, step_max));
      co_return Dialect::older;
    }
    if (dialect == Dialect::older || !lacks_route(answer)) co_return refused(step, answer);
  }
  Message message{"PUT", "/api/settings/secrets", {}, {body.reveal()}};
  NESTGATE_CO_TRY(answer, co_await tell(step, std::move(message), Deadline::in(step_max)));
  if (!answer.ok()) co_return refused(step, answer);
  co_return Dialect::agent_server;
}

// Which value an older server holds it does not tell, and it changes none (nested_server.md 6).
Task<Outcome<>> Client::replace_secret(std::string_view step, std::string_view name, Secret const& body,
                                       Clock::duration step_max) {
  std::string path = "/api/secrets/";
  append_percent_encoded(path, name);
  Message removal{"DELETE", path, {}, {}};
  NESTGATE_CO_TRY(removed, co_await tell(step, std::move(removal), Deadline::in(step_max)));
  if (!removed.ok() && removed.status != 404) co_return refused(step, removed);
  Message message{"POST", "/api/secrets", {}, {body.reveal()}};
  NESTGATE_CO_TRY(answer, co_await tell(step, std::move(message), Deadline::in(step_max)));
  if (!answer.ok()) co_return refused(step, answer);
  co_return Outcome<>{};
}

}  // namespace nestgate::nested
