"""Runs as the routes show them: dispatch, lists, cancel, and which completions are taken."""

from harness import ENDED_S, NOBODY, UUID, WAITING_SCRIPT, equal, holds, is_moment, keys_are, matches, true

SECTION = "1.4"

KEYS = ["id", "automation_id", "status", "error_detail", "status_detail", "conversation_id", "cost", "timeout_at", "sandbox_id",
        "bash_command_id", "created_at", "started_at", "completed_at"]


@holds()
def a_dispatch_is_201_with_a_pending_run(at):
    automation = at.script(WAITING_SCRIPT)
    run = at.dispatch(automation)
    keys_are(run, KEYS, "the run")
    matches(UUID, run["id"], "id")
    equal((run["automation_id"], run["status"]), (automation["id"], "PENDING"), "automation_id and status")
    equal({k: run[k] for k in KEYS if k not in ("id", "automation_id", "status", "created_at", "timeout_at", "started_at")},
          {k: None for k in KEYS if k not in ("id", "automation_id", "status", "created_at", "timeout_at", "started_at")},
          "what is not known yet")
    is_moment(run["created_at"], "created_at")


@holds()
def each_dispatch_is_a_run_of_its_own(at):
    automation = at.script(WAITING_SCRIPT)
    ids = [at.dispatch(automation)["id"] for _ in range(3)]
    equal(len(set(ids)), 3, "different ids")
    listed = at.call("GET", f"/v1/{automation['id']}/runs", expect=200).json
    equal((listed["total"], {r["id"] for r in listed["runs"]}), (3, set(ids)), "the list")


@holds(mends="rows of one second came in any order on SQLite")
def runs_are_listed_newest_first_and_by_pages(at):
    automation = at.script(WAITING_SCRIPT)
    ids = [at.dispatch(automation)["id"] for _ in range(3)]
    equal([r["id"] for r in at.runs_of(automation["id"])], ids[::-1], "the order")
    page = at.call("GET", f"/v1/{automation['id']}/runs?limit=1&offset=1", expect=200).json
    equal(([r["id"] for r in page["runs"]], page["total"]), ([ids[1]], 3), "the second page of one")


@holds()
def a_dispatch_moves_the_automations_last_trigger(at):
    automation = at.script(WAITING_SCRIPT)
    at.dispatch(automation)
    is_moment(at.call("GET", f"/v1/{automation['id']}").json["last_triggered_at"], "last_triggered_at")


@holds()
def a_disabled_automation_may_be_dispatched(at):
    automation = at.script(WAITING_SCRIPT)
    at.call("PATCH", f"/v1/{automation['id']}", {"enabled": False}, expect=200)
    at.started(automation, at.dispatch(automation))


@holds()
def a_running_run_has_its_start_its_deadline_and_its_command(at):
    running = at.running(timeout=100)
    row = at.until(lambda: (r := running.row())["bash_command_id"] and r, 10, "bash_command_id is not stored", running.row)
    equal((row["status"], row["completed_at"]), ("RUNNING", None), "status and completed_at")
    start, deadline = is_moment(row["started_at"], "started_at"), is_moment(row["timeout_at"], "timeout_at")
    true(100 <= (deadline - start).total_seconds() <= 100 + 720, "seconds from started_at to timeout_at",
         (deadline - start).total_seconds())
    matches("[0-9a-f]{32}|" + UUID, row["bash_command_id"], "bash_command_id")
    equal(row["bash_command_id"].replace("-", ""), running.seen.starts[-1].id, "bash_command_id, as the agent server gave it")
    equal(row["sandbox_id"], None, "sandbox_id")


@holds()
def a_pending_or_running_run_is_cancelled(at):
    running = at.running()
    row = at.call("POST", f"/v1/runs/{running.id}/cancel", expect=200).json
    equal((row["id"], row["status"], row["error_detail"], row["status_detail"]), (running.id, "CANCELLED", "Cancelled by user", None),
          "the run")
    is_moment(row["completed_at"], "completed_at")
    equal(running.row()["status"], "CANCELLED", "the status, read")


@holds()
def a_run_is_cancelled_before_it_is_handed_over(at):
    automation = at.script(WAITING_SCRIPT)
    run = at.dispatch(automation)
    row = at.call("POST", f"/v1/runs/{run['id']}/cancel", expect=200).json
    equal((row["status"], row["error_detail"]), ("CANCELLED", "Cancelled by user"), "the run")


@holds()
def a_cancelled_run_is_not_cancelled_again(at):
    running = at.running()
    at.call("POST", f"/v1/runs/{running.id}/cancel", expect=200)
    at.call("POST", f"/v1/runs/{running.id}/cancel", expect=409).says("Run is CANCELLED, only PENDING or RUNNING runs can be cancelled")


@holds(of=[("COMPLETED",), ("FAILED",)])
def a_run_that_ended_is_not_cancelled(at, status):
    running = at.running()
    running.complete(status).must_be(200)
    at.call("POST", f"/v1/runs/{running.id}/cancel", expect=409).says(f"Run is {status}, only PENDING or RUNNING runs can be cancelled")


@holds()
def an_absent_run_is_404(at):
    at.call("POST", f"/v1/runs/{NOBODY}/cancel", expect=404).says("Run not found")
    at.call("POST", f"/v1/runs/{NOBODY}/complete", {"status": "COMPLETED"}, expect=404).says("Run not found")


@holds()
def a_completion_of_a_cancelled_run_is_409(at):
    running = at.running()
    at.call("POST", f"/v1/runs/{running.id}/cancel", expect=200)
    running.complete(key=at.service.key).must_be(409).says("Run is CANCELLED, expected RUNNING")


@holds(of=[("COMPLETED", "FAILED"), ("FAILED", "COMPLETED")])
def a_second_verdict_that_differs_is_409(at, first, second):
    running = at.running()
    running.complete(first, key=at.service.key).must_be(200)
    running.complete(second, key=at.service.key).must_be(409).says(f"Run is {first}, expected RUNNING")
    equal(running.row()["status"], first, "the status")


@holds()
def a_run_of_a_deleted_automation_may_be_completed(at):
    running = at.running()
    at.call("DELETE", f"/v1/{running.automation['id']}", expect=204)
    equal(running.complete(key=at.service.key).must_be(200).json["status"], "COMPLETED", "status")


@holds()
def runs_of_two_automations_are_listed_apart(at):
    one, other = at.script(WAITING_SCRIPT), at.script(WAITING_SCRIPT)
    run = at.dispatch(one)
    equal([r["id"] for r in at.runs_of(one["id"])], [run["id"]], "the first one's runs")
    equal(at.runs_of(other["id"]), [], "the other one's runs")


@holds(mends="the process of a cancelled run went on")
def a_cancelled_run_that_ignores_its_end_is_ended_all_the_same(at):
    running = at.running("trap '' TERM INT HUP\n" + WAITING_SCRIPT)
    at.call("POST", f"/v1/runs/{running.id}/cancel", expect=200)
    at.until(lambda: not running.seen.alive, 15, "processes that ignore TERM are there still", lambda: running.seen.alive)
    equal(running.ended(ENDED_S)["status"], "CANCELLED", "status")
