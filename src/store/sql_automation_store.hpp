#pragma once

#include "backend.hpp"
#include "delivery_rows.hpp"
#include "firings.hpp"
#include "judge_queue.hpp"
#include "kv_rows.hpp"
#include "run_claims.hpp"
#include "run_entries.hpp"
#include "run_judgements.hpp"
#include "upload_rows.hpp"
#include "webhook_rows.hpp"

namespace nestgate::store {

// What is kept of automations, in any database: each call is one transaction.
class SqlAutomationStore final : public AutomationStore {
 public:
  // They outlive this and its calls.
  SqlAutomationStore(Backend& backend, Sealer const& sealer) : backend_(backend), sealer_(sealer) {}

  Task<Outcome<Created>> create(AutomationRow row) override;
  Task<Outcome<std::optional<AutomationRow>>> find_template(Tenant tenant, std::string template_id) override;
  Task<Outcome<std::optional<AutomationRow>>> find(std::string id) override;
  Task<Outcome<RowPage<AutomationRow>>> list(Tenant tenant, PageOf page) override;
  Task<Outcome<std::optional<AutomationRow>>> replace(AutomationRow row) override;
  Task<Outcome<std::optional<AutomationRow>>> replace_with_upload(AutomationRow row, UploadRow upload, std::string bytes,
                                                                  std::string gone) override;
  Task<Outcome<std::vector<Planned>>> plans_since(std::uint64_t version, std::size_t limit) override;
  Task<Outcome<std::vector<AutomationRow>>> listening(std::string org_id, std::string source) override;
  Task<Outcome<std::vector<std::string>>> triggers_of(std::string source) override;
  Task<Outcome<>> disable(std::string id, std::string reason, std::string detail) override;
  Task<Outcome<std::vector<Fired>>> fire(std::vector<Firing> firings) override;
  Task<Outcome<RowPage<SkippedRow>>> skipped(std::string automation_id, PageOf page) override;
  Task<Outcome<std::vector<Enqueued>>> enqueue(std::vector<RunRow> runs, std::uint64_t waiting_max) override;
  Task<Outcome<Enqueued>> enqueue_own(RunRow run, UploadRow upload, std::string bytes, std::uint64_t waiting_max) override;
  Task<Outcome<EventTaken>> take_event(std::string org_id, std::string source, std::string delivery_id,
                                       std::vector<RunRow> runs, std::uint64_t waiting_max) override;
  Task<Outcome<Begun>> enqueue_of(std::string automation_id, RunOfAutomation make, std::uint64_t waiting_max,
                                  std::string gateway, RunCaps caps) override;
  Task<Outcome<std::vector<WaitingRun>>> waiting_since(std::uint64_t version, std::size_t limit) override;
  Task<Outcome<std::vector<ClaimAnswer>>> claim(std::vector<std::string> ids, std::string gateway, RunCaps caps) override;
  Task<Outcome<std::vector<RunRow>>> to_clean_up(std::string gateway, std::size_t limit) override;
  Task<Outcome<std::vector<ClaimedRun>>> take_over(std::string gateway, std::size_t limit) override;
  Task<Outcome<std::optional<RunRow>>> find_run(std::string id) override;
  Task<Outcome<RowPage<RunRow>>> list_runs(RunFilter filter, PageOf page) override;
  Task<Outcome<std::map<RunStatus, std::uint64_t>>> count_runs(RunFilter filter) override;
  Task<Outcome<JudgedRun>> judge(std::string id, std::optional<std::uint64_t> fence, RunJudge judge) override;
  Task<Outcome<>> add_upload(UploadRow upload, std::string bytes) override;
  Task<Outcome<std::optional<UploadRow>>> find_upload(std::string id) override;
  Task<Outcome<std::optional<std::string>>> upload_bytes(std::string id) override;
  Task<Outcome<RowPage<UploadRow>>> list_uploads(Tenant tenant, std::string status, PageOf page) override;
  Task<Outcome<>> remove_upload(std::string id) override;
  Task<Outcome<>> add_webhook(WebhookRow webhook) override;
  Task<Outcome<std::optional<WebhookRow>>> find_webhook(std::string org_id, std::string id) override;
  Task<Outcome<std::optional<WebhookRow>>> find_source(std::string org_id, std::string source) override;
  Task<Outcome<RowPage<WebhookRow>>> list_webhooks(std::string org_id, PageOf page) override;
  Task<Outcome<>> replace_webhook(WebhookRow webhook) override;
  Task<Outcome<>> remove_webhook(std::string org_id, std::string id) override;
  Task<Outcome<>> put_endpoint(EndpointRow endpoint) override;
  Task<Outcome<std::optional<EndpointRow>>> find_endpoint(std::string id) override;
  Task<Outcome<RowPage<EndpointRow>>> list_endpoints(Tenant tenant, PageOf page) override;
  Task<Outcome<>> remove_endpoint(std::string id) override;
  Task<Outcome<std::vector<DueDelivery>>> claim_deliveries(std::string gateway, std::chrono::milliseconds lease,
                                                           std::size_t limit) override;
  Task<Outcome<std::uint64_t>> free_deliveries(std::string gateway) override;
  Task<Outcome<std::optional<Time>>> next_delivery_at() override;
  Task<Outcome<std::uint64_t>> record_deliveries(std::vector<DeliveryResult> results) override;
  Task<Outcome<RowPage<DeliveryRow>>> list_deliveries(std::string run_id, PageOf page) override;
  Task<Outcome<std::vector<DeliveryAttemptRow>>> attempts(std::string delivery_id) override;
  Task<Outcome<DeliveryRow>> resend(std::string run_id, std::string delivery_id) override;
  Task<Outcome<KvDocument>> kv(std::string automation_id) override;
  Task<Outcome<>> change_kv(std::string automation_id, KvJudge judge) override;
  Task<Outcome<Secret>> metadata(std::string key) override;
  Task<Outcome<>> put_metadata(std::string key, Secret value) override;
  Task<Outcome<std::uint64_t>> purge(Time before, std::size_t limit) override;

 private:
  Task<std::optional<AutomationRow>> replace_code(Sql& sql, AutomationRow const& row, UploadRow const& upload,
                                                  std::string const& bytes, std::string const& gone) const;
  Task<Outcome<Begun>> begin_run(Sql& sql, std::string const& automation_id, RunOfAutomation const& make,
                                 std::uint64_t waiting_max, std::string const& gateway, RunCaps caps) const;
  Task<Outcome<std::vector<Outcome<JudgedRun>>>> judge_each(std::vector<ToJudge> runs);
  Task<std::uint64_t> purge_all(Sql& sql, Time before, std::size_t limit) const;

  Backend& backend_;
  Sealer const& sealer_;
  RunRows runs_{sealer_};
  AutomationRows automations_{sealer_, runs_};
  UploadRows uploads_;
  WebhookRows webhooks_{sealer_};
  KvRows kv_{sealer_};
  DeliveryRows deliveries_{sealer_, automations_};
  RunEntries entries_{runs_, automations_, uploads_};
  RunClaims claims_{runs_, automations_};
  RunJudgements judgements_{runs_, automations_, deliveries_};
  JudgeQueue judge_queue_{[this](std::vector<ToJudge> runs) { return judge_each(std::move(runs)); }};
  Firings firings_{runs_, judgements_};
};

}  // namespace nestgate::store
