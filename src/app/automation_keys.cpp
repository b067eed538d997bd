#include "app/settings_key_groups.hpp"
#include "nestgate/automation/trigger.hpp"
#include "nestgate/upstream/http_client.hpp"

namespace nestgate::app {
namespace {

using namespace std::chrono_literals;

bool is_absolute(std::string_view text) { return text.front() == '/'; }
bool is_target(std::string_view text) { return automation::parse_target(text).has_value(); }
bool is_origin(std::string_view text) {
  auto const url = upstream::parse_url(text);
  return url && url->path.empty() && url->query.empty();
}

void add_automation_api(std::vector<Key<Settings>>& keys) {
  auto const key = below<&Settings::api, &api::Settings::automation>(keys);
  using Api = api::AutomationApiSettings;
  using A = automation::Settings;
  add<&Settings::automation, &A::base_url>(
      keys, "automation.base_url", Text{0, 500, "http:// or https:// URL without query, or empty", is_base_url},
      Reload::restart,
      "What scripts are told to call back, and the path of the automation API; empty: /api/automation at the origin that "
      "the client of a run with its own tarball wrote, else at conversations.internal_url, routing.public_url, or on "
      "loopback the first port of listen.client.");
  add<&Settings::automation_target>(
      keys, "automation.target", Text{1, 200, R"("fresh", "warm", "conversation:ID" or "label:L")", is_target},
      Reload::restart,
      "Where runs go whose automation names no runtime: one made for them, one from the warm pool, or one that is there.");
  add<&Settings::automation_local_key_file>(
      keys, "automation.local_api_key_file", secret_path, Reload::restart,
      "The static key of the contract's local mode, with its one user and organisation; empty: there is none.");
  add<&Settings::automation_kv_secret_file>(keys, "automation.kv_secret_file", secret_path, Reload::restart,
                                            "Signs the tokens of the key-value store; empty: it is off.");
  add<&Settings::automation_webhook_secret_file>(
      keys, "automation.webhook_secret_file", secret_path, Reload::restart,
      "What events of the built-in sources are signed with; empty: they are unknown.");
  add<&Settings::automation_webhook_secret_previous_file>(
      keys, "automation.webhook_secret_previous_file", secret_path, Reload::restart,
      "Opens beside it while senders are switched over to a new one; empty: there is none.");
  key.operator()<&Api::cors_origins>("automation.cors_origins",
                                     ListOf<Text>{{1, 500, "origin, as https://example.org", is_origin}, 0, 64},
                                     "Whose pages may send the browser's cookies to the automation API.");
  key.operator()<&Api::webhook_secret_overlap>("automation.webhook_secret_overlap", Duration{0s, 24h * 30},
                                               "How long a custom source's old secret opens beside its new one.");
  key.operator()<&Api::event_time_tolerance>("automation.event_time_tolerance", Duration{1s, 24h},
                                             "How old or early an event may be whose signature has a time.");
  key.operator()<&Api::event_body_bytes_max>("automation.event_body_bytes_max", Bytes{1_KiB, 1_GiB},
                                             "An event's body; beyond it 413.");
  key.operator()<&Api::event_match_time_max>("automation.event_match_timeout", Duration{10ms, 1min},
                                             "Of all filters on one event; what comes behind does not match.");
  key.operator()<&Api::kv_document_bytes_max>("automation.kv_document_bytes_max", Count{0, 64 * 1024 * 1024},
                                              "An automation's key-value document; beyond it 413; 0: no limit.");
  key.operator()<&Api::cron_interval_min>("automation.cron_interval_min", Duration{1s, 24h},
                                          "Between two moments of a schedule, told by /v1/validate; nobody is held to it.");
  key.operator()<&Api::sdk_version>("automation.sdk_version", Text{1, 64},
                                    "The version of the SDK that scripts are told to install.");
}

}  // namespace

void add_automation(std::vector<Key<Settings>>& keys) {
  using automation::PrivateCallbacks;
  add_automation_api(keys);
  auto const key = below<&Settings::automation>(keys);
  using A = automation::Settings;
  key.operator()<&A::workspace_base>("automation.workspace_base", Text{0, 1024, "absolute path, may be empty", is_absolute},
                                     "Where runs have their folders in a runtime; empty: /workspace where it may be written "
                                     "to, else its home.");
  key.operator()<&A::agent_server_url>("automation.agent_server_url",
                                       Text{0, 500, "http:// or https:// URL without query, or empty", is_base_url},
                                       "The runtime's server as scripts in it see it; empty: as the gateway sees it.");
  key.operator()<&A::zone_folder>("automation.zone_folder", Text{1, 1024, "absolute path", is_absolute},
                                  "The time zones, as TZif files; an update of them is noticed.");
  key.operator()<&A::private_callbacks>("automation.allow_private_callbacks",
                                        FlagOf<PrivateCallbacks>{PrivateCallbacks::refuse, PrivateCallbacks::allow},
                                        "Whether completions are posted to private and loopback addresses too.");
  add<&Settings::completion_signing_key_files>(
      keys, "automation.completion_signing_key_files", ListOf<Text>{{1, 4096, "path"}, 0, 16}, Reload::restart,
      "Keys that plain callbacks are signed with, newest first (standard webhooks); none: they are not signed.");
  key.operator()<&A::run_time_default>("automation.run_timeout_default", Duration{1s, 24h},
                                       "Of a run that names no time of its own.");
  key.operator()<&A::run_time_max>("automation.run_timeout_max", Duration{1s, 24h}, "The longest time that a run may name.");
  key.operator()<&A::report_margin>("automation.report_margin", Duration{1s, 1h},
                                    "Beyond a run's time, before its timeout_at.");
  key.operator()<&A::hard_grace>("automation.hard_grace", Duration{1s, 24h},
                                 "Beyond its timeout_at, before a run is given up that nobody says the end of.");
  key.operator()<&A::provision_time_max>("automation.provision_timeout", Duration{1s, 1h},
                                         "Until a run's runtime is there; its dispatch is tried as long as that and its own "
                                         "time.");
  key.operator()<&A::watch_interval>("automation.watch_interval", Duration{10ms, 10min},
                                     "How often a running command is looked at.");
  key.operator()<&A::upload_time_max>("automation.upload_timeout", Duration{100ms, 1h},
                                      "Each try to bring a tarball into a runtime.");
  key.operator()<&A::start_time_max>("automation.start_timeout", Duration{100ms, 10min},
                                     "For the answer to a start, before its command is looked for.");
  key.operator()<&A::download_time_max>("automation.download_timeout", Duration{1s, 1h}, "Of an external tarball.");
  key.operator()<&A::download_bytes_max>("automation.download_bytes_max", Bytes{1_KiB, 10 * 1_GiB},
                                         "Of an external tarball.");
  key.operator()<&A::runs_in_flight_max>("automation.runs_in_flight_max", Count{1, 1'000'000},
                                         "Runs that are RUNNING at once, of all gateways on the store; the rest waits.");
  key.operator()<&A::runs_in_flight_of_user_max>("automation.runs_in_flight_of_user_max", Count{0, 1'000'000},
                                                 "The same, of one user; 0: no limit.");
  key.operator()<&A::runs_in_flight_of_automation_max>("automation.runs_in_flight_of_automation_max", Count{0, 1'000'000},
                                                       "The same, of one automation; 0: no limit.");
  key.operator()<&A::runs_in_flight_of_runtime_max>("automation.runs_in_flight_of_runtime_max", Count{0, 1'000'000},
                                                    "The same, in one existing runtime; 0: no limit.");
  key.operator()<&A::starts_per_minute_of_user_max>("automation.starts_per_minute_of_user_max", Count{0, 1'000'000},
                                                    "Runs of one user that this gateway starts; 0: no limit.");
  key.operator()<&A::runs_waiting_max>("automation.runs_waiting_max", Count{1, 10'000'000},
                                       "Runs that are PENDING; beyond it none is taken (503).");
  key.operator()<&A::scan_interval>("automation.scan_interval", Duration{100ms, 10min},
                                    "Between two looks for runs and deliveries that nobody said anything of.");
  key.operator()<&A::fire_ahead>(
      "automation.fire_ahead", Duration{0ms, 1s},
      "How long before its moment a schedule's run is stored, to start at the moment; a change of "
      "the automation takes it back. Not where its overlap policy looks at open runs.");
  key.operator()<&A::runs_kept_for>("automation.runs_kept_for", Duration{1h, 24h * 3650},
                                    "Ended runs, with what belongs to them; older ones are removed.");
  key.operator()<&A::tarball_bytes_max>("automation.tarball_bytes_max", Bytes{1_KiB, 1_GiB},
                                        "Of a run that brings its own; beyond it 413.");
  key.operator()<&A::tarball_bytes_held_max>(
      "automation.tarball_bytes_held_max", Bytes{1_MiB, 64_GiB},
      "Tarballs in memory: those kept for the next run, and those on their way to runtimes.");
  key.operator()<&A::output_tail_bytes>("automation.output_tail_bytes", Bytes{0, 1_MiB},
                                        "What is kept of each output stream's end.");
  key.operator()<&A::delivery_pause_first>("automation.delivery_pause_first", Duration{1s, 1h},
                                           "Between the first two tries to post a completion; doubles with each.");
  key.operator()<&A::delivery_pause_max>("automation.delivery_pause_max", Duration{1s, 24h},
                                         "The longest pause between two tries.");
  key.operator()<&A::delivery_give_up>("automation.delivery_give_up", Duration{1s, 24h * 30},
                                       "How long a completion is tried.");
  key.operator()<&A::endpoint_failing_max>("automation.endpoint_failing_max", Duration{1h, 24h * 365},
                                           "How long an endpoint may fail before it is switched off.");
  key.operator()<&A::delivery_time_max>("automation.delivery_timeout", Duration{100ms, 10min}, "One try.");
  key.operator()<&A::deliveries_at_once_max>("automation.deliveries_at_once_max", Count{1, 10'000},
                                             "Completions that are posted at the same time.");
}

}  // namespace nestgate::app
