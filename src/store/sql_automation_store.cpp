#include "sql_automation_store.hpp"

#include <algorithm>
#include <utility>

namespace nestgate::store {

Task<Outcome<AutomationStore::Created>> SqlAutomationStore::create(AutomationRow row) {
  return backend_.write([this, row = std::move(row)](Sql& sql) { return automations_.create(sql, row); });
}

Task<Outcome<std::optional<AutomationRow>>> SqlAutomationStore::find_template(Tenant tenant, std::string template_id) {
  return backend_.read([this, tenant = std::move(tenant), template_id = std::move(template_id)](Sql& sql) {
    return automations_.find_template(sql, tenant, template_id);
  });
}

Task<Outcome<std::optional<AutomationRow>>> SqlAutomationStore::find(std::string id) {
  return backend_.read([this, id = std::move(id)](Sql& sql) { return automations_.find(sql, id); });
}

Task<Outcome<RowPage<AutomationRow>>> SqlAutomationStore::list(Tenant tenant, PageOf page) {
  return backend_.read([this, tenant = std::move(tenant), page](Sql& sql) { return automations_.list(sql, tenant, page); });
}

Task<Outcome<std::optional<AutomationRow>>> SqlAutomationStore::replace(AutomationRow row) {
  return backend_.write([this, row = std::move(row)](Sql& sql) { return automations_.replace(sql, row); });
}

Task<Outcome<std::optional<AutomationRow>>> SqlAutomationStore::replace_with_upload(AutomationRow row, UploadRow upload,
                                                                                    std::string bytes, std::string gone) {
  return backend_.write([this, row = std::move(row), upload = std::move(upload), bytes = std::move(bytes),
                         gone = std::move(gone)](Sql& sql) { return replace_code(sql, row, upload, bytes, gone); });
}

Task<Outcome<std::vector<AutomationStore::Planned>>> SqlAutomationStore::plans_since(std::uint64_t version,
                                                                                     std::size_t limit) {
  return backend_.read([this, version, limit](Sql& sql) { return automations_.plans_since(sql, version, limit); });
}

Task<Outcome<std::vector<AutomationRow>>> SqlAutomationStore::listening(std::string org_id, std::string source) {
  return backend_.read([this, org_id = std::move(org_id), source = std::move(source)](Sql& sql) {
    return automations_.listening(sql, org_id, source);
  });
}

Task<Outcome<std::vector<std::string>>> SqlAutomationStore::triggers_of(std::string source) {
  return backend_.read([this, source = std::move(source)](Sql& sql) { return automations_.triggers_of(sql, source); });
}

Task<Outcome<>> SqlAutomationStore::disable(std::string id, std::string reason, std::string detail) {
  return backend_.write([this, id = std::move(id), reason = std::move(reason), detail = std::move(detail)](Sql& sql) {
    return automations_.disable(sql, id, reason, detail);
  });
}

Task<Outcome<std::vector<Fired>>> SqlAutomationStore::fire(std::vector<Firing> firings) {
  return backend_.write([this, firings = std::move(firings)](Sql& sql) { return firings_.fire(sql, firings); });
}

Task<Outcome<RowPage<SkippedRow>>> SqlAutomationStore::skipped(std::string automation_id, PageOf page) {
  return backend_.read([this, automation_id = std::move(automation_id), page](Sql& sql) {
    return firings_.skipped(sql, automation_id, page);
  });
}

Task<Outcome<std::vector<Enqueued>>> SqlAutomationStore::enqueue(std::vector<RunRow> runs, std::uint64_t waiting_max) {
  return backend_.write(
      [this, runs = std::move(runs), waiting_max](Sql& sql) { return entries_.enqueue(sql, runs, waiting_max); });
}

Task<Outcome<AutomationStore::Begun>> SqlAutomationStore::enqueue_of(std::string automation_id, RunOfAutomation make,
                                                                     std::uint64_t waiting_max, std::string gateway,
                                                                     RunCaps caps) {
  return backend_.write([this, automation_id = std::move(automation_id), make = std::move(make), waiting_max,
                         gateway = std::move(gateway),
                         caps](Sql& sql) { return begin_run(sql, automation_id, make, waiting_max, gateway, caps); });
}

Task<Outcome<Enqueued>> SqlAutomationStore::enqueue_own(RunRow run, UploadRow upload, std::string bytes,
                                                        std::uint64_t waiting_max) {
  return backend_.write([this, run = std::move(run), upload = std::move(upload), bytes = std::move(bytes),
                         waiting_max](Sql& sql) { return entries_.enqueue_own(sql, run, upload, bytes, waiting_max); });
}

Task<Outcome<AutomationStore::EventTaken>> SqlAutomationStore::take_event(std::string org_id, std::string source,
                                                                          std::string delivery_id, std::vector<RunRow> runs,
                                                                          std::uint64_t waiting_max) {
  return backend_.write([this, org_id = std::move(org_id), source = std::move(source), delivery_id = std::move(delivery_id),
                         runs = std::move(runs), waiting_max](Sql& sql) {
    return entries_.take_event(sql, org_id, source, delivery_id, runs, waiting_max);
  });
}

Task<Outcome<std::vector<WaitingRun>>> SqlAutomationStore::waiting_since(std::uint64_t version, std::size_t limit) {
  return backend_.read([this, version, limit](Sql& sql) { return runs_.waiting_since(sql, version, limit); });
}

Task<Outcome<std::vector<ClaimAnswer>>> SqlAutomationStore::claim(std::vector<std::string> ids, std::string gateway,
                                                                  RunCaps caps) {
  return backend_.write([this, ids = std::move(ids), gateway = std::move(gateway), caps](Sql& sql) {
    return claims_.claim(sql, ids, gateway, caps);
  });
}

Task<Outcome<std::vector<RunRow>>> SqlAutomationStore::to_clean_up(std::string gateway, std::size_t limit) {
  return backend_.read(
      [this, gateway = std::move(gateway), limit](Sql& sql) { return claims_.to_clean_up(sql, gateway, limit); });
}

Task<Outcome<std::vector<ClaimedRun>>> SqlAutomationStore::take_over(std::string gateway, std::size_t limit) {
  return backend_.write(
      [this, gateway = std::move(gateway), limit](Sql& sql) { return claims_.take_over(sql, gateway, limit); });
}

Task<Outcome<std::optional<RunRow>>> SqlAutomationStore::find_run(std::string id) {
  return backend_.read([this, id = std::move(id)](Sql& sql) { return runs_.find(sql, id); });
}

Task<Outcome<RowPage<RunRow>>> SqlAutomationStore::list_runs(RunFilter filter, PageOf page) {
  return backend_.read([this, filter = std::move(filter), page](Sql& sql) { return runs_.list(sql, filter, page); });
}

Task<Outcome<std::map<RunStatus, std::uint64_t>>> SqlAutomationStore::count_runs(RunFilter filter) {
  filter.statuses.clear();
  return backend_.read([this, filter = std::move(filter)](Sql& sql) { return runs_.count(sql, filter); });
}

Task<Outcome<JudgedRun>> SqlAutomationStore::judge(std::string id, std::optional<std::uint64_t> fence, RunJudge judge) {
  return judge_queue_.judge({std::move(id), fence, std::move(judge)});
}

Task<Outcome<std::vector<Outcome<JudgedRun>>>> SqlAutomationStore::judge_each(std::vector<ToJudge> runs) {
  return backend_.write([this, runs = std::move(runs)](Sql& sql) { return judgements_.judge(sql, runs); });
}

Task<Outcome<>> SqlAutomationStore::add_upload(UploadRow upload, std::string bytes) {
  return backend_.write(
      [this, upload = std::move(upload), bytes = std::move(bytes)](Sql& sql) { return uploads_.add(sql, upload, bytes); });
}

Task<Outcome<std::optional<UploadRow>>> SqlAutomationStore::find_upload(std::string id) {
  return backend_.read([this, id = std::move(id)](Sql& sql) { return uploads_.find(sql, id); });
}

Task<Outcome<std::optional<std::string>>> SqlAutomationStore::upload_bytes(std::string id) {
  return backend_.read([this, id = std::move(id)](Sql& sql) { return uploads_.bytes(sql, id); });
}

Task<Outcome<RowPage<UploadRow>>> SqlAutomationStore::list_uploads(Tenant tenant, std::string status, PageOf page) {
  return backend_.read([this, tenant = std::move(tenant), status = std::move(status), page](Sql& sql) {
    return uploads_.list(sql, tenant, status, page);
  });
}

Task<Outcome<>> SqlAutomationStore::remove_upload(std::string id) {
  return backend_.write([this, id = std::move(id)](Sql& sql) { return uploads_.remove(sql, id); });
}

Task<Outcome<>> SqlAutomationStore::add_webhook(WebhookRow webhook) {
  return backend_.write([this, webhook = std::move(webhook)](Sql& sql) { return webhooks_.add(sql, webhook); });
}

Task<Outcome<std::optional<WebhookRow>>> SqlAutomationStore::find_webhook(std::string org_id, std::string id) {
  return backend_.read(
      [this, org_id = std::move(org_id), id = std::move(id)](Sql& sql) { return webhooks_.find(sql, org_id, id); });
}

Task<Outcome<std::optional<WebhookRow>>> SqlAutomationStore::find_source(std::string org_id, std::string source) {
  return backend_.read([this, org_id = std::move(org_id), source = std::move(source)](Sql& sql) {
    return webhooks_.find_source(sql, org_id, source);
  });
}

Task<Outcome<RowPage<WebhookRow>>> SqlAutomationStore::list_webhooks(std::string org_id, PageOf page) {
  return backend_.read([this, org_id = std::move(org_id), page](Sql& sql) { return webhooks_.list(sql, org_id, page); });
}

Task<Outcome<>> SqlAutomationStore::replace_webhook(WebhookRow webhook) {
  return backend_.write([this, webhook = std::move(webhook)](Sql& sql) { return webhooks_.replace(sql, webhook); });
}

Task<Outcome<>> SqlAutomationStore::remove_webhook(std::string org_id, std::string id) {
  return backend_.write(
      [this, org_id = std::move(org_id), id = std::move(id)](Sql& sql) { return webhooks_.remove(sql, org_id, id); });
}

Task<Outcome<>> SqlAutomationStore::put_endpoint(EndpointRow endpoint) {
  return backend_.write(
      [this, endpoint = std::move(endpoint)](Sql& sql) { return deliveries_.put_endpoint(sql, endpoint); });
}

Task<Outcome<std::optional<EndpointRow>>> SqlAutomationStore::find_endpoint(std::string id) {
  return backend_.read([this, id = std::move(id)](Sql& sql) { return deliveries_.find_endpoint(sql, id); });
}

Task<Outcome<RowPage<EndpointRow>>> SqlAutomationStore::list_endpoints(Tenant tenant, PageOf page) {
  return backend_.read(
      [this, tenant = std::move(tenant), page](Sql& sql) { return deliveries_.list_endpoints(sql, tenant, page); });
}

Task<Outcome<>> SqlAutomationStore::remove_endpoint(std::string id) {
  return backend_.write([this, id = std::move(id)](Sql& sql) { return deliveries_.remove_endpoint(sql, id); });
}

Task<Outcome<std::vector<AutomationStore::DueDelivery>>> SqlAutomationStore::claim_deliveries(
    std::string gateway, std::chrono::milliseconds lease, std::size_t limit) {
  return backend_.write([this, gateway = std::move(gateway), lease, limit](Sql& sql) {
    return deliveries_.claim(sql, gateway, lease, limit);
  });
}

Task<Outcome<std::uint64_t>> SqlAutomationStore::free_deliveries(std::string gateway) {
  return backend_.write([this, gateway = std::move(gateway)](Sql& sql) { return deliveries_.free(sql, gateway); });
}

Task<Outcome<std::optional<Time>>> SqlAutomationStore::next_delivery_at() {
  return backend_.read([this](Sql& sql) { return deliveries_.next_at(sql); });
}

Task<Outcome<std::uint64_t>> SqlAutomationStore::record_deliveries(std::vector<DeliveryResult> results) {
  return backend_.write([this, results = std::move(results)](Sql& sql) { return deliveries_.record(sql, results); });
}

Task<Outcome<RowPage<DeliveryRow>>> SqlAutomationStore::list_deliveries(std::string run_id, PageOf page) {
  return backend_.read([this, run_id = std::move(run_id), page](Sql& sql) { return deliveries_.list(sql, run_id, page); });
}

Task<Outcome<std::vector<DeliveryAttemptRow>>> SqlAutomationStore::attempts(std::string delivery_id) {
  return backend_.read(
      [this, delivery_id = std::move(delivery_id)](Sql& sql) { return deliveries_.attempts(sql, delivery_id); });
}

Task<Outcome<DeliveryRow>> SqlAutomationStore::resend(std::string run_id, std::string delivery_id) {
  return backend_.write([this, run_id = std::move(run_id), delivery_id = std::move(delivery_id)](Sql& sql) {
    return deliveries_.resend(sql, run_id, delivery_id);
  });
}

Task<Outcome<KvDocument>> SqlAutomationStore::kv(std::string automation_id) {
  return backend_.read(
      [this, automation_id = std::move(automation_id)](Sql& sql) { return kv_.document(sql, automation_id); });
}

Task<Outcome<>> SqlAutomationStore::change_kv(std::string automation_id, KvJudge judge) {
  return backend_.write([this, automation_id = std::move(automation_id), judge = std::move(judge)](Sql& sql) {
    return kv_.change(sql, automation_id, judge);
  });
}

Task<Outcome<Secret>> SqlAutomationStore::metadata(std::string key) {
  return backend_.read([this, key = std::move(key)](Sql& sql) { return kv_.metadata(sql, key); });
}

Task<Outcome<>> SqlAutomationStore::put_metadata(std::string key, Secret value) {
  return backend_.write(
      [this, key = std::move(key), value = std::move(value)](Sql& sql) { return kv_.put_metadata(sql, key, value); });
}

Task<Outcome<std::uint64_t>> SqlAutomationStore::purge(Time before, std::size_t limit) {
  return backend_.write([this, before, limit](Sql& sql) { return purge_all(sql, before, limit); });
}

// Whoever runs something of the old one by now has read it.
Task<std::optional<AutomationRow>> SqlAutomationStore::replace_code(Sql& sql, AutomationRow const& row,
                                                                    UploadRow const& upload, std::string const& bytes,
                                                                    std::string const& gone) const {
  auto replaced = co_await automations_.replace(sql, row);
  if (!replaced) co_return std::nullopt;
  co_await uploads_.add(sql, upload, bytes);
  if (!gone.empty()) co_await uploads_.remove(sql, gone);
  co_return replaced;
}

Task<Outcome<AutomationStore::Begun>> SqlAutomationStore::begin_run(Sql& sql, std::string const& automation_id,
                                                                    RunOfAutomation const& make, std::uint64_t waiting_max,
                                                                    std::string const& gateway, RunCaps caps) const {
  bool const is_to_claim = !gateway.empty();
  if (is_to_claim) co_await sql.stand_in(Line::claims);  // before anything else is held, as every claim
  std::vector<std::string> const ids(1, automation_id);
  auto found = co_await automations_.find_each(sql, ids);
  std::optional<RunRow> run;
  if (!found.empty()) run = make(found.begin()->second);
  if (!run) co_return upstream::fail(FaultKind::not_found, "store.enqueue", "Automation not found");
  auto as_made = run->clone();
  bool is_begun = false;
  if (is_to_claim) is_begun = co_await claims_.begin_new(sql, *run, gateway, caps);
  std::vector<RunRow> runs;
  runs.push_back(*std::move(run));
  NESTGATE_CO_TRY(kept, co_await entries_.enqueue(sql, runs, waiting_max));
  Begun begun;
  begun.enqueued = std::move(kept.front());
  if (!begun.enqueued.is_new || !is_to_claim) co_return begun;
  begun.claim.what = is_begun ? ClaimAnswer::What::claimed : ClaimAnswer::What::at_cap;
  if (is_begun)
    begun.claim.claimed =
        ClaimedRun{std::exchange(begun.enqueued.run, std::move(as_made)), std::move(found.begin()->second)};
  co_return begun;
}

Task<std::uint64_t> SqlAutomationStore::purge_all(Sql& sql, Time before, std::size_t limit) const {
  auto most = co_await runs_.purge(sql, before, limit);
  most = std::max(most, co_await firings_.purge(sql, before, limit));
  most = std::max(most, co_await entries_.purge(sql, before, limit));
  most = std::max(most, co_await uploads_.purge(sql, before, limit));
  most = std::max(most, co_await automations_.purge(sql, before, limit));
  co_return most;
}

}  // namespace nestgate::store
