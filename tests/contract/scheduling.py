"""Schedules that fire. Which moments an expression means is tested elsewhere, without waiting for them."""

import datetime
import json

from harness import WAITING_SCRIPT, equal, holds, is_moment, soon_enough, true

SECTION = "4"
FIRED_S = 100  # the original looks once a minute
NOTHING = "s3://bucket/nothing.tar.gz"


def fired(at, automation, seconds=FIRED_S):
    """Its first run."""
    return at.until(lambda: at.runs_of(automation["id"]), seconds, "the schedule makes no run")[-1]


def every(seconds):
    return {"type": "cron", "schedule": f"* * * * * */{seconds}"}


@holds(slow=True)
def a_due_schedule_makes_a_run_that_is_handed_over(at):
    at.need_agent()
    automation = at.script(WAITING_SCRIPT, trigger=every(5))
    run = fired(at, automation)
    at.call("PATCH", f"/v1/{automation['id']}", {"enabled": False}, expect=200)
    at.runs += [(automation["id"], r["id"]) for r in at.runs_of(automation["id"])]
    running = at.started(automation, run)
    payload = json.loads(running.environment["AUTOMATION_EVENT_PAYLOAD"])
    equal((payload["trigger"], payload["trigger_payload"]["schedule"], "event" in payload), ("cron", "* * * * * */5", False), "the payload")
    is_moment(at.call("GET", f"/v1/{automation['id']}").json["last_triggered_at"], "last_triggered_at")


@holds(mends="a run came up to 70 s after its moment")
def a_run_comes_within_a_second_of_its_moment(at):
    def lateness():
        automation = at.automation(trigger=every(2), tarball_path=NOTHING)
        made = is_moment(fired(at, automation, 10)["created_at"], "created_at")
        return (made.second % 2) + made.microsecond / 1e6
    soon_enough(lateness, 1, "seconds between the moment and the run")


@holds(mends="one run a minute, whatever the schedule")
def each_moment_makes_one_run(at):
    automation = at.automation(trigger=every(2), tarball_path=NOTHING)
    runs = at.until(lambda: (r := at.runs_of(automation["id"])) and len(r) >= 4 and r, 20, "four moments make no four runs")
    moments = [is_moment(r["created_at"], "created_at").replace(microsecond=0) for r in runs[::-1]]
    pauses = {later - earlier for earlier, later in zip(moments, moments[1:])}
    equal(pauses, {datetime.timedelta(seconds=2)}, "pauses between the runs")


@holds(of=[("disabled", "PATCH"), ("deleted", "DELETE")], mends="it is seen only by a schedule that fires at its moment")
def a_schedule_does_not_fire_once_it_is(at, _, method):
    control, automation = (at.automation(trigger=every(1), tarball_path=NOTHING) for _ in range(2))
    fired(at, automation, 10)
    at.call(method, f"/v1/{automation['id']}", {"enabled": False} if method == "PATCH" else None, expect=(200, 204))
    count = len(at.runs_of(automation["id"])) if method == "PATCH" else None
    before = len(at.runs_of(control["id"]))
    at.until(lambda: len(at.runs_of(control["id"])) >= before + 3, 15, "another schedule does not fire meanwhile")
    if method == "PATCH":
        true(len(at.runs_of(automation["id"])) <= count + 1, "runs after it was disabled", (count, len(at.runs_of(automation["id"]))))
    else:
        at.call("GET", f"/v1/{automation['id']}/runs", expect=404)


@holds()
def a_moment_before_the_creation_is_not_made_up_for(at):
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=3)
    automation = at.automation(trigger={"type": "cron", "schedule": f"{past.minute} {past.hour} * * *"}, tarball_path=NOTHING)
    control = at.automation(trigger=every(1), tarball_path=NOTHING)
    fired(at, control)
    equal(at.runs_of(automation["id"]), [], "runs")
