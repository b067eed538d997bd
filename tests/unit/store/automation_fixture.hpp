#pragma once

#include "nestgate/store/automation_store.hpp"
#include "store_fixture.hpp"

namespace nestgate::store {

inline Tenant const alice{"user-alice", "org-acme"};
inline Tenant const bob{"user-bob", "org-acme"};

inline Time at(std::chrono::seconds since_1970) { return Time(since_1970); }

inline AutomationRow automation_of(std::string id, Tenant tenant = alice) {
  AutomationRow row;
  row.id = std::move(id);
  row.tenant = std::move(tenant);
  row.name = "nightly";
  row.trigger_json = R"({"type":"cron"})";
  row.trigger_kind = "cron";
  row.tarball_path = "oh-internal://uploads/u";
  row.entrypoint = "python main.py";
  row.policy_json = "{}";
  return row;
}

inline RunRow run_of(std::string id, std::string automation_id = "a1", Tenant tenant = alice) {
  RunRow run;
  run.id = std::move(id);
  run.automation_id = std::move(automation_id);
  run.tenant = std::move(tenant);
  run.trigger_source = "cron";
  run.target = "warm";
  return run;
}

template <class... Runs>
std::vector<RunRow> runs_of(Runs... runs) {
  std::vector<RunRow> all;
  (all.push_back(std::move(runs)), ...);
  return all;
}

// Judges that decide always the same.
inline RunDecision change_of(RunRow const& run, RunStatus status) {
  RunDecision decision;
  decision.writes = true;
  decision.run = run.clone();
  decision.run.status = status;
  if (is_terminal(status)) decision.run.completed_at = at(2'000'000'000s);
  return decision;
}
inline RunJudge to(RunStatus status) {
  return [status](RunRow const& run) { return change_of(run, status); };
}
// As `to`, and the world is told.
inline RunJudge ending(RunStatus status) {
  return [status](RunRow const& run) {
    auto decision = change_of(run, status);
    decision.tells = true;
    decision.payload = "for endpoints";
    decision.plain_payload = "plain";
    return decision;
  };
}

template <class Rows>
std::vector<std::string> ids_of_rows(Rows const& rows) {
  std::vector<std::string> ids;
  for (auto const& row : rows) ids.push_back(row.id);
  return ids;
}

// What tests of automations say to a store.
class AutomationGateway : public Gateway {
 public:
  using Gateway::Gateway;

  AutomationStore& automations() { return store().automations(); }
  void live(std::string gateway) { get(store().renew(std::move(gateway), 1h)); }
  void die(std::string gateway) { get(store().renew(std::move(gateway), 0ms)); }

  AutomationRow create(AutomationRow row) { return get(automations().create(std::move(row))).row; }
  AutomationRow automation(std::string id) { return std::move(*get(automations().find(std::move(id)))); }
  Enqueued enqueue(RunRow run) { return std::move(get(automations().enqueue(runs_of(std::move(run)), 0)).front()); }
  RunRow run(std::string id) { return std::move(*get(automations().find_run(std::move(id)))); }
  std::vector<ClaimAnswer> claim_runs(std::vector<std::string> ids, RunCaps caps = {}, std::string gateway = "g") {
    return get(automations().claim(std::move(ids), std::move(gateway), caps));
  }
  RunRow begin(RunRow run, std::string gateway = "g") {
    auto const id = enqueue(std::move(run)).run.id;
    return std::move(claim_runs({id}, {}, std::move(gateway)).front().claimed->run);
  }
  JudgedRun judge(std::string id, RunJudge judge, std::optional<std::uint64_t> fence = std::nullopt) {
    return get(automations().judge(std::move(id), fence, std::move(judge)));
  }
  std::vector<std::string> waiting(std::uint64_t version = 0) {
    return ids_of_rows(get(automations().waiting_since(version, 1000)));
  }
  std::vector<std::string> listed(RunFilter filter, PageOf page = {}) {
    return ids_of_rows(get(automations().list_runs(std::move(filter), page)).rows);
  }
  std::uint64_t count(RunStatus status) { return get(automations().count_runs({}))[status]; }
  Fired fire(Firing firing) {
    std::vector<Firing> firings;
    firings.push_back(std::move(firing));
    return std::move(get(automations().fire(std::move(firings))).front());
  }
  std::vector<DeliveryRow> deliveries(std::string run_id) {
    return get(automations().list_deliveries(std::move(run_id), {})).rows;
  }
};

// Of one store over each database.
class AutomationCalls : public testing::TestWithParam<Kind<TestDatabase>> {
 protected:
  AutomationCalls() { gateway_.live("g"); }

  std::unique_ptr<TestDatabase> database_ = GetParam().make();
  AutomationGateway gateway_{database_->url()};
  AutomationStore& store_ = gateway_.automations();
};

// Of two at once.
class SharedAutomations : public testing::TestWithParam<Kind<SharedDatabase>> {
 protected:
  std::unique_ptr<SharedDatabase> database_ = GetParam().make();
  AutomationGateway one_{database_->url()}, other_{database_->url()};
};

}  // namespace nestgate::store
