#include "run_book.hpp"

#include <memory>

#include "nestgate/automation/completion.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/upstream/random.hpp"
#include "own_run.hpp"

namespace nestgate::automation {
namespace {

using store::RunDecision;
using store::RunRow;

// +1, -1: how an end counts for its automation's failures in a row.
int failures_of(RunRow const& run) {
  if (run.status == RunStatus::completed) return -1;
  return run.status == RunStatus::failed ? 1 : 0;
}

// Of a run without an automation.
Secret own_callback(RunRow const& run) {
  if (run.wish_json.empty()) return {};
  auto own = parse_own_run(run.wish_json);
  if (own.callback_url.empty()) return {};
  return to_json(PlainCallback{std::move(own.callback_url), {}});
}

RunDecision decision_of(Judged judged, Effect& effect) {
  effect = judged.effect;
  RunDecision decision;
  decision.writes = judged.effect != Effect::refused;
  decision.tells = judged.effect == Effect::settled || judged.effect == Effect::corrected;
  if (decision.tells) {
    decision.payload = completion_event(judged.run);
    decision.plain_payload = plain_completion(judged.run);
    decision.callback_json = own_callback(judged.run);
    decision.automation_failures = failures_of(judged.run);
  }
  decision.run = std::move(judged.run);
  return decision;
}

}  // namespace

store::RunJudge cancelling_for_successor(store::Time now) {
  return [now](RunRow const& row) {
    Effect effect = Effect::refused;
    return decision_of(judge(row.clone(), CancelAsked{"Ended by a later moment of its schedule"}, now), effect);
  };
}

Task<Outcome<RunBook::Applied>> RunBook::apply(std::string id, std::optional<std::uint64_t> fence, RunEvent event) {
  // Set by the judge on whatever thread; read only once its transaction is over.
  auto const effect = std::make_shared<Effect>(Effect::refused);
  auto judging = [effect, event = std::move(event), now = std::chrono::system_clock::now()](RunRow const& row) {
    return decision_of(judge(row.clone(), event, now), *effect);
  };
  NESTGATE_CO_TRY(judged, co_await rows_.judge(std::move(id), fence, std::move(judging)));
  Applied applied{*effect, std::move(judged.run)};
  if (!judged.wrote) applied.effect = Effect::refused;
  count(applied);
  if (applied.effect == Effect::settled || applied.effect == Effect::corrected) listeners_.settled(applied.run);
  if (applied.effect == Effect::again) listeners_.again(applied.run);
  if (judged.told) listeners_.told();
  co_return std::move(applied);
}

Task<Outcome<bool>> RunBook::note(std::string id, std::uint64_t fence, Edit edit) {
  auto editing = [edit = std::move(edit)](RunRow const& row) {
    RunDecision decision;
    decision.writes = true;
    decision.run = row.clone();
    edit(decision.run);
    return decision;
  };
  NESTGATE_CO_TRY(judged, co_await rows_.judge(std::move(id), fence, std::move(editing)));
  co_return judged.wrote;
}

void RunBook::count(Applied const& applied) {
  if (applied.effect == Effect::again) stats_.attempts_again.add();
  if (applied.effect != Effect::settled && applied.effect != Effect::corrected) return;
  switch (applied.run.status) {
    case RunStatus::completed: stats_.completed.add(); break;
    case RunStatus::failed: stats_.failed.add(); break;
    case RunStatus::cancelled: stats_.cancelled.add(); break;
    case RunStatus::skipped: stats_.skipped.add(); break;
    default: break;
  }
}

std::string timed_id() { return dashed_uuid(upstream::timed_uuid_hex(std::chrono::system_clock::now())); }

}  // namespace nestgate::automation
