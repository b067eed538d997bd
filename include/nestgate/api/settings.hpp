#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/base/conversation_id.hpp"
#include "nestgate/base/secret.hpp"

namespace nestgate::api {

// `[[cloud.spec]]`: what `POST /api/v1/sandboxes?sandbox_spec_id=` may name. What is empty is as the provider's settings
// say.
struct SandboxSpec {
  std::string id = "default";
  std::string image;
  std::vector<std::string> command;
  std::string working_dir;
  std::vector<std::pair<std::string, std::string>> environment;  // of the server; clients are not told
  std::uint32_t resource_factor = 1;
};

// `[cloud]`.
struct CloudSettings {
  std::vector<SandboxSpec> specs = {SandboxSpec{}};  // at least one; the first is taken where a client names none
  std::chrono::milliseconds secrets_age_max{5'000};  // how long looked-up secrets are given from memory; 0: never
};

// `[runtime_api]`.
struct RuntimeApiSettings {
  std::string registry_prefix;  // told to clients, which put it before the names of images that they build
  // Which users' keys may name, here and in POST /api/conversations; empty: any. An admin's may name any.
  std::vector<std::string> images;
  // Whether a start's `command` and `working_dir` are its server's. Clients name a port in theirs that only one provider
  // can know; without, those of the provider's settings are.
  enum class Command : bool { of_settings, of_client } command = Command::of_settings;
};

// `[webhooks]`.
struct WebhookSettings {
  std::uint32_t pending_max = 10'000;  // conversations whose news the manager was not told yet
};

// Of `[automation]` what the routes alone need.
struct AutomationApiSettings {
  std::shared_ptr<Secret const> local_key;  // of the one local user (automation.md 2.2); nullptr: there is none
  std::vector<std::string> cors_origins;    // whose pages may send the browser's cookies
  std::string sdk_version = "1.43.1";       // told to scripts that install the SDK

  // What built-in event sources sign with, newest first: each opens. nullptr: there are no built-in sources.
  std::shared_ptr<std::vector<Secret> const> webhook_secrets;
  std::chrono::seconds webhook_secret_overlap{24 * 3600};  // for which a custom source's old secret opens beside the new one
  std::chrono::seconds event_time_tolerance{300};          // either side, where a scheme has a time
  std::uint32_t event_body_bytes_max = 25 * 1024 * 1024;
  std::chrono::milliseconds event_match_time_max{2'000};  // of all filters on one event; what comes behind does not match
  std::uint32_t kv_document_bytes_max = 65'536;           // 0: no limit
  std::chrono::seconds cron_interval_min{60};             // told to those who ask beforehand; schedules are not held to it
};

struct Settings {
  CloudSettings cloud;
  RuntimeApiSettings runtime;
  WebhookSettings webhooks;
  AutomationApiSettings automation;
};

// Somebody asked for secrets, with or without success; for the audit log. Views live as long as the call.
struct SecretAccess {
  std::string_view route;    // "sandbox" or "user"
  std::string_view sandbox;  // the id whose key was shown; "" when it is none's
  std::string_view owner;
  std::string_view name;  // "" for all of them
  unsigned status = 0;    // of the answer
  std::string_view request_id;
};
using Audit = std::function<void(SecretAccess const& access)>;

}  // namespace nestgate::api
