"""kill -9 of a gateway while a run of an automation is at each step of its way, one run a step in every cycle.

The steps are the calls that the gateway makes and gets (doors.py). Where it must not have written what it has learnt, nobody
can write to the store from before it learns it until it is dead; in every other cycle it may, and either outcome is good.
"""

import time

from automation_place import API, AutomationPlace, PostgresStore, SqliteStore
from doors import Run, owner_of
from parts import Failed, wait_for

# What each is: after claim, after upload, after the start bytes, after the answer before commit, callback parsed before
# commit, committed before the answer, before the webhook, after the webhook before its record.
STEPS = ["claimed", "tarball there", "environment there", "start late", "start later", "start there", "start answered", "callback sent",
         "callback answered", "webhook comes", "webhook read", "webhook answered"]
PASSING = {"start answered", "callback sent", "webhook answered"}  # the gateway learns something as the last thing that it does
REACHED_S = 60
COMPLETED_S = 30  # from the gateway's end: a lease, a start, a script's next try
DELIVERED_S = 60  # from a run's end: what a dead gateway was posting is posted again by the next
GUARDS_S = 20  # from a run's end: guards go together, some seconds later
OLD_GUARDS = 400  # that go with one run's
SURE = 20  # in so many cycles each of two gateways has had a run at each step
ORDER = ["PENDING", "RUNNING", "COMPLETED"]


class Watched:
    """What the API shows of a run."""

    def __init__(self, run):
        self.run, self.since = run, time.monotonic()
        self.seen, self.row, self.deliveries = [], None, None

    def look(self, gateway):
        """Whether it is completed."""
        status, row = gateway.client.call("GET", f"{API}/v1/runs/{self.run.id}")
        if status != 200:
            raise Failed(f"run {self.run.id}: {status} {row}")
        if not self.seen or self.seen[-1] != row["status"]:
            self.seen.append(row["status"])
        self.row = row
        return row["status"] == "COMPLETED"

    def is_delivered(self, gateway):
        status, answer = gateway.client.call("GET", f"{API}/v1/runs/{self.run.id}/deliveries")
        if status != 200:
            raise Failed(f"deliveries of {self.run.id}: {status} {answer}")
        self.deliveries = answer["deliveries"]
        return bool(self.deliveries) and all(one["state"] == "delivered" for one in self.deliveries)

    def faults(self, place, starts):
        """Once it is completed and its completion delivered."""
        run, found = self.run, []
        if [ORDER.index(one) if one in ORDER else -1 for one in self.seen] != sorted({ORDER.index(one) for one in self.seen if one in ORDER}):
            found.append(f"was shown as {self.seen}")
        if starts[run.id] != 1:
            found.append(f"its script was started {starts[run.id]} times")
        if run.gateway_is_dead and len(set(run.fences)) != len(run.fences):
            found.append(f"its starts had the fences {run.fences}")
        if (self.row["conversation_id"], self.row["cost"]) != ("of-the-script", 0.25):
            found.append(f"its report is {self.row['conversation_id']}, {self.row['cost']}")
        if len(self.deliveries) != 1:
            found.append(f"{len(self.deliveries)} completions are kept")
        if not run.posts or len({one for one, _ in run.posts}) != 1:
            found.append(f"its completion came as {[one for one, _ in run.posts]}")
        if any((said["run_id"], said["status"]) != (run.id, "COMPLETED") for _, said in run.posts):
            found.append(f"its completion said {[said for _, said in run.posts]}")
        if left := place.remains_of(run.id):
            found.append(f"{left} are left in the runtime")
        return [f"{run.step}: run {run.id} {one}" for one in found]


class Cycles:
    """One after the other: all runs come to their steps, a gateway is killed, the other goes on; where it is the only one it
    is started again."""

    def __init__(self, place, automation):
        self.place, self.automation = place, automation
        self.open = []    # completed, and their completion is still to come
        self.done = []    # Watched
        self.faults = []
        self.killed_at = dict.fromkeys(STEPS, 0)
        self.slowest = 0.0

    def one(self, number):
        gateways = self.place.gateways
        first = gateways[number % len(gateways)]
        self.place.reporting_to = first
        runs = self._dispatch(first)
        self._wait_reached(runs)
        # Whose a run is can only be seen while it still has the connection.
        by_pid = {gateway.process.pid: gateway for gateway in gateways}
        holders = {run: first if run.step.startswith("callback") else by_pid.get(owner_of(run.peer[1], by_pid)) for run in runs}
        victim = max(gateways, key=lambda one: sum(1 / (1 + self.killed_at[run.step]) for run in runs if holders[run] is one))
        survivor = next((gateway for gateway in gateways if gateway is not victim), None)
        for run in runs:
            run.gateway_is_dead = holders[run] is victim
        passing = [run for run in runs if run.step in PASSING]
        is_locked = number % 2 == 0
        if is_locked:
            with self.place.store.held():
                self._pass(passing, is_locked)
                victim.kill()
        else:
            self._pass(passing, is_locked)
            victim.kill()
        for run in runs:
            self.killed_at[run.step] += run.gateway_is_dead
            run.let_go.set()
        began = time.monotonic()
        gateway = survivor or victim
        if not survivor:
            victim.start()
        self.place.reporting_to = gateway
        self._wait_completed(gateway, runs)
        self.slowest = max(self.slowest, time.monotonic() - began)
        if survivor:
            victim.start()
        self.settle_open(gateway)

    def _dispatch(self, gateway):
        return [self.place.course.add(Run(self.place.dispatch(gateway, self.automation), step)) for step in STEPS]

    @staticmethod
    def _wait_reached(runs):
        deadline = time.monotonic() + REACHED_S
        for run in runs:
            if not run.reached.wait(max(0, deadline - time.monotonic())):
                raise Failed(f"run {run.id} does not come to '{run.step}'")

    @staticmethod
    def _pass(runs, is_locked):
        for run in runs:
            run.let_go.set()
        for run in runs:
            if is_locked and not run.passed.wait(REACHED_S):
                raise Failed(f"run {run.id}: the gateway does not read at '{run.step}'")

    def _wait_completed(self, gateway, runs):
        watched = [Watched(run) for run in runs]
        left = list(watched)

        def completed():
            left[:] = [one for one in left if not one.look(gateway)]
            return not left

        wait_for(completed, COMPLETED_S, 0.02)
        for one in left:
            self.faults.append(f"{one.run.step}: run {one.run.id} is {one.row['status']} ({one.row['error_detail']}) after {COMPLETED_S} s")
        self.open += [one for one in watched if one not in left]

    def settle_open(self, gateway):
        """Judges those whose completion has been delivered."""
        starts = self.place.course.starts()
        still, done = [], []
        for one in self.open:
            if one.is_delivered(gateway) and not self.place.remains_of(one.run.id):
                done.append(one)
            elif time.monotonic() - one.since < DELIVERED_S:
                still.append(one)
            else:
                one.since = None
                self.faults += one.faults(self.place, starts) or [f"{one.run.step}: run {one.run.id}: its completion is {one.deliveries}"]
                self.place.forget([one.run])
        for one in done:
            self.faults += one.faults(self.place, starts)
            self.place.forget([one.run])
        self.done += done
        self.open = still

    def guards_go(self, gateway):
        """That of a run that nothing happened to goes behind it, and with it those that are old."""
        self.place.age_guards(OLD_GUARDS)
        self.place.reporting_to = gateway
        watched = Watched(self.place.course.add(Run(self.place.dispatch(gateway, self.automation), None)))
        return wait_for(lambda: watched.look(gateway), COMPLETED_S) and wait_for(lambda: not self.place.guards(), GUARDS_S, 0.2)

    def look_again(self, gateway):
        """What was settled in all cycles is still what it was."""
        starts = self.place.course.starts()
        for one in self.done:
            ended = one.row["completed_at"]
            if not one.look(gateway) or one.row["completed_at"] != ended:
                self.faults.append(f"{one.run.step}: run {one.run.id} was completed at {ended}, now it is {one.row}")
            self.faults += one.faults(self.place, starts)
        status, answer = gateway.client.call("GET", f"{API}/v1/{self.automation}/runs?limit=1")
        made = len(self.place.course.all())
        if status != 200 or answer["total"] != made:
            self.faults.append(f"of {made} runs {answer} are listed")


def run_cycles(report, cycles, count):
    place, began = cycles.place, time.monotonic()
    for number in range(count):
        cycles.one(number)
        if cycles.faults:
            break
    gateway = place.gateways[0]

    def settled():
        cycles.settle_open(gateway)
        return not cycles.open

    wait_for(settled, DELIVERED_S + 30, 0.2)
    cycles.faults += [f"{one.run.step}: run {one.run.id}: its completion is {one.deliveries}" for one in cycles.open]
    cycles.look_again(gateway)
    report.line("the guard of a run that nothing happened to goes, and old ones with it", cycles.guards_go(gateway),
                f"left: {[path.name for path in place.guards()][:3]}")
    seconds = time.monotonic() - began
    for step in STEPS:
        faults = [fault for fault in cycles.faults if fault.startswith(f"{step}: ")]
        killed = cycles.killed_at[step]
        is_met = killed > 0 or len(place.gateways) > 1 and count < SURE  # the other gateway may have had it
        report.line(f"killed {killed} times at: {step}", is_met and not faults, "; ".join(faults[:3]))
    others = [fault for fault in cycles.faults if not any(fault.startswith(f"{step}: ") for step in STEPS)]
    report.line(f"{len(cycles.done)} runs: each started once, ended once, told with one id", not cycles.faults, "; ".join(others[:3]))
    report.figure("cycles, and seconds for each", f"{number + 1}, {seconds / (number + 1):.2f}")
    report.figure("slowest: from a gateway's end until all runs of its cycle are completed", f"{cycles.slowest:.2f} s")


def run_sqlite(report, bins, folder, count):
    report.section(f"kill -9 at each step of a run: {count} cycles on SQLite")
    place = AutomationPlace(bins, folder, SqliteStore(folder), ["a"], "1s")
    try:
        gateway, = place.gateways
        gateway.start()
        run_cycles(report, Cycles(place, place.make_automation(gateway)), count)
    finally:
        place.stop()


def run_postgresql(report, bins, folder, count):
    report.section(f"kill -9 at each step of a run: {count} cycles on PostgreSQL, two gateways")
    place = AutomationPlace(bins, folder, PostgresStore(folder), ["a", "b"], "2s")
    try:
        for gateway in place.gateways:
            gateway.start()
        run_cycles(report, Cycles(place, place.make_automation(place.gateways[0])), count)
    finally:
        place.stop()
