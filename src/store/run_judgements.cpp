#include "run_judgements.hpp"

#include "counters.hpp"

namespace nestgate::store {

using upstream::fail;

// One that is to be written.
struct RunJudgements::Decided {
  std::size_t which;
  RunStatus before;
  std::uint64_t of_version;
  RunDecision decision;
  bool told = false;
  bool is_holders = false;  // its holder made it
};

namespace {

// Of the same run in one call, or, on a server, while others write: each round somebody's decision is written.
constexpr int rounds_max = 64;

Outcome<RunDecision> decide(RunJudge const& judge, RunRow const& run) {
  try {
    return judge(run);
  } catch (std::exception const& thrown) {
    return fail(FaultKind::internal, "store.judge", std::string("a decision about a run failed: ") + thrown.what());
  }
}

// What it was made with stays.
void keep_made_with(RunRow& to, RunRow from) {
  to.id = std::move(from.id);
  to.automation_id = std::move(from.automation_id);
  to.tenant = std::move(from.tenant);
  to.owner = std::move(from.owner);
  to.organisation = std::move(from.organisation);
  to.trigger_source = std::move(from.trigger_source);
  to.dedupe_key = std::move(from.dedupe_key);
  to.scheduled_for = from.scheduled_for;
  to.target = std::move(from.target);
  to.priority = from.priority;
  to.concurrent_max = from.concurrent_max;
  to.attempts_max = from.attempts_max;
  to.retry_pause_s = from.retry_pause_s;
  to.created_at = from.created_at;
  to.wish_json = std::move(from.wish_json);
  to.is_unreadable = from.is_unreadable;
  to.event_payload_json = std::move(from.event_payload_json);
}

std::int64_t is_pending(RunStatus status) { return status == RunStatus::pending ? 1 : 0; }

}  // namespace

Task<std::vector<Outcome<JudgedRun>>> RunJudgements::judge(Sql& sql, std::vector<ToJudge> const& wanted) const {
  std::vector<std::optional<Outcome<JudgedRun>>> answers(wanted.size());
  std::vector<std::size_t> which(wanted.size());
  for (std::size_t i = 0; i < which.size(); ++i) which[i] = i;
  for (int round = 0; !which.empty() && round < rounds_max; ++round)
    which = co_await judge_some(sql, wanted, which, answers);
  for (auto const i : which)
    answers[i] = fail(FaultKind::unavailable, "store.judge", "store: run " + wanted[i].id + " changes too often");
  std::vector<Outcome<JudgedRun>> out;
  out.reserve(answers.size());
  for (auto& answer : answers) out.push_back(std::move(*answer));
  co_return out;
}

// Those that somebody else wrote between reading and writing are returned.
Task<std::vector<std::size_t>> RunJudgements::judge_some(Sql& sql, std::vector<ToJudge> const& wanted,
                                                         std::vector<std::size_t> const& which,
                                                         std::vector<std::optional<Outcome<JudgedRun>>>& answers) const {
  std::vector<std::string> ids;
  ids.reserve(which.size());
  for (auto const i : which) ids.push_back(wanted[i].id);
  auto found = co_await runs_.find_each_for_judgement(sql, ids);
  std::vector<Decided> decided;
  for (std::size_t n = 0; n < which.size(); ++n) {
    auto const& one = wanted[which[n]];
    auto& answer = answers[which[n]];
    auto& run = found[n];
    if (!run) {
      answer = fail(FaultKind::not_found, "store.judge", "there is no run " + one.id);
      continue;
    }
    RunDecision decision;
    if (!one.fence || *one.fence == run->fence) {
      auto made = decide(one.judge, *run);
      if (!made) {
        answer = made.error();
        continue;
      }
      decision = std::move(*made);
    }
    if (!decision.writes) {
      answer = JudgedRun{std::move(*run), false, false};
      continue;
    }
    auto const before = run->status;
    auto const of_version = run->version;
    keep_made_with(decision.run, std::move(*run));
    decided.push_back({which[n], before, of_version, std::move(decision), false, one.fence.has_value()});
  }
  if (decided.empty()) co_return std::vector<std::size_t>();

  auto version = co_await count_up(sql, run_versions, decided.size());
  std::vector<RunRows::Change> changes;
  for (auto& one : decided) {
    one.decision.run.version = version++;
    changes.push_back({&one.decision.run, one.of_version, one.decision.run.version});
  }
  auto const is_written = co_await runs_.update(sql, changes);
  std::vector<Decided> written;
  std::vector<std::size_t> again;
  for (std::size_t i = 0; i < decided.size(); ++i) {
    if (is_written[i]) {
      written.push_back(std::move(decided[i]));
    } else {
      again.push_back(decided[i].which);
    }
  }
  co_await follow_up(sql, written);
  for (auto& one : written) answers[one.which] = JudgedRun{std::move(one.decision.run), true, one.told};
  co_return again;
}

Task<> RunJudgements::follow_up(Sql& sql, std::vector<Decided>& written) const {
  std::vector<DeliveryRows::End> ends;
  std::map<std::string, AutomationRows::FailureCount> failures;
  std::int64_t waiting = 0;
  bool waits_anew = false, is_news_to_holder = false;
  for (auto& one : written) {
    auto const& run = one.decision.run;
    waiting += is_pending(run.status) - is_pending(one.before);
    if (run.status == RunStatus::pending) waits_anew = true;
    if (!one.is_holders && !run.holder.empty() && run.clean_up == CleanUp::stop) is_news_to_holder = true;
    if (one.decision.tells) ends.push_back({&one.decision, &one.told});
    if (one.decision.automation_failures == 0 || run.automation_id.empty()) continue;
    auto& count = failures[run.automation_id];
    if (one.decision.automation_failures > 0) {
      ++count.more;
    } else {
      count = {true, 0};
    }
  }
  if (!failures.empty()) co_await automations_.count_failures(sql, failures);
  co_await runs_.count_waiting(sql, waiting);
  if (!ends.empty()) co_await deliveries_.post(sql, ends);
  if (waits_anew || is_news_to_holder) co_await sql.notify();
}

}  // namespace nestgate::store
