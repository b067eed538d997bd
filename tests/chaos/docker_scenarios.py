"""Many conversations on a real Docker engine that restarts and loses containers."""

import json
import threading
import time

from engine import Engine
from parts import SETTLED, SETTLED_S, Gateway, at_once, wait_for

SEEN_S = 15  # until what an engine's restart did is shown: its events are asked for again within 5 s


def settings(engine, reach="published"):
    return f"""
[runtime]
provider = "docker"
[runtime.docker]
host = "unix://{engine.socket}"
image = "nestgate-chaos:1"
entry_point = "none"
command = ["nestlet", "--listen", "0.0.0.0:{{port}}", "--workspace", "/workspace"]
volumes = ["/usr:/usr:ro"]
pull = "never"
reach = "{reach}"
stop_grace = "2s"
"""


def running(engine):
    return sorted(name.removeprefix("openhands-runtime-") for name, state in engine.containers().items() if state == "running")


def same(answers):
    """What two starters must be told alike."""
    told = [{name: answer[name] for name in ("conversation_id", "session_api_key", "url", "status")} for _, answer in answers]
    return all(one == told[0] for one in told) and told[0]["status"] == "RUNNING"


def race(report, gateway, engine, ids):
    racing = ids[: len(ids) // 2]
    answers = at_once(gateway.create, ids + racing)
    refused = [answer for answer in answers if answer[0] not in (200, 201)]
    report.need(f"{len(ids)} conversations started at once, {len(racing)} of them by two: all run", not refused, refused[:2] or "")
    pairs = [(answers[i], answers[len(ids) + i]) for i in range(len(racing))]
    report.line("each pair gets the same answer", all(same(pair) for pair in pairs))
    report.line("exactly one of each pair made it", all(sorted(status for status, _ in pair) == [200, 201] for pair in pairs))
    report.line(f"there are exactly {len(ids)} containers", sorted(engine.containers()) == sorted(f"openhands-runtime-{i}" for i in ids),
                len(engine.containers()))
    check_reachable(report, gateway, ids)


def check_reachable(report, gateway, ids):
    opened = at_once(lambda one: gateway.opens(one, gateway.key_of(one)), ids)
    report.line("all are reached by their keys", all(opened), f"{sum(opened)} of {len(ids)}")


def is_truthful(gateway, engine):
    states = gateway.states()
    return set(states.values()) <= SETTLED and sorted(one for one, state in states.items() if state == "RUNNING") == running(engine)


def check_starts_again(report, gateway, engine, ids):
    answers = at_once(gateway.create, ids)
    refused = [answer for answer in answers if answer[0] not in (200, 201)]
    report.line("all start again on demand", not refused, refused[:2] or "")
    report.line("one container each", running(engine) == sorted(ids), len(running(engine)))
    check_reachable(report, gateway, ids)


def restart_in_the_middle(report, gateway, engine, ids):
    """SIGTERM to the engine once some of the starts have their containers, and others not."""
    answers = []
    starters = threading.Thread(target=lambda: answers.extend(at_once(gateway.create, ids)))
    before = len(engine.containers())
    starters.start()
    wait_for(lambda: len(engine.containers()) >= before + len(ids) // 3, 60)
    engine.stop()
    engine.start()
    starters.join()
    told = {status for status, _ in answers}
    report.line("every start is answered: it runs, or why it does not", told <= {200, 201, 409, 500, 502, 503, 504}, sorted(told))
    shown = wait_for(lambda: is_truthful(gateway, engine), SEEN_S)
    report.line("what is shown as running is what runs", bool(shown),
                "" if shown else f"shown {json.dumps(gateway.states())}, there are {running(engine)}")


def restart(report, gateway, engine, ids):
    engine.stop()
    engine.start()
    shown = wait_for(lambda: is_truthful(gateway, engine), SEEN_S)
    states = gateway.states()
    report.line("the engine restarted, its containers dead: none is shown as running", bool(shown) and "RUNNING" not in states.values(),
                "" if shown else states)
    key = gateway.key_of(ids[0])
    report.line("a dead one is refused", not gateway.opens(ids[0], key))


def kill_containers(report, gateway, engine, ids):
    victims = ids[:3]
    containers = engine.ids()
    for victim in victims:
        engine.ask("POST", f"/containers/{containers[f'openhands-runtime-{victim}']}/kill")
    shown = wait_for(lambda: all(gateway.show(one)["status"] == "ERROR" for one in victims), SETTLED_S)
    reasons = [gateway.show(one)["error"] for one in victims]
    report.line("containers killed: shown as error with the reason", bool(shown) and all(reasons), reasons[0])
    report.line("the others go on", [one for one, state in gateway.states().items() if state != "RUNNING" and one not in victims] == [])
    check_starts_again(report, gateway, engine, ids)


def remove_all(report, gateway, engine, ids):
    removed = at_once(lambda one: gateway.client.status("DELETE", f"/api/conversations/{one}"), ids)
    report.line("all are removed, and nothing is left of them", set(removed) == {204} and not engine.containers() and not gateway.states(),
                f"{sorted(set(removed))} {len(engine.containers())} containers")


def run(report, bins, folder, engine, smoke):
    report.section("many conversations on a real Docker engine")
    ids = [f"d{i}" for i in range(6 if smoke else 30)]
    gateway = Gateway(bins, folder / "gateway", settings(engine))
    gateway.start()
    try:
        race(report, gateway, engine, ids)
        kill_containers(report, gateway, engine, ids)
        restart(report, gateway, engine, ids)
        check_starts_again(report, gateway, engine, ids)
        if not smoke:
            remove_all(report, gateway, engine, ids)
            restart_in_the_middle(report, gateway, engine, ids)
            check_starts_again(report, gateway, engine, ids)
        remove_all(report, gateway, engine, ids)
    finally:
        gateway.stop()


def run_live_restore(report, bins, folder, programs):
    """By the containers' own addresses: the processes behind published ports end with their engine."""
    report.section("an engine with live-restore restarts")
    ids = [f"l{i}" for i in range(5)]
    engine = Engine(folder / "engine", ["--live-restore"], "l")
    gateway = None
    try:
        engine.import_image(programs)
        gateway = Gateway(bins, folder / "gateway", settings(engine, "network"))
        gateway.start()
        for one in ids:
            gateway.must_create(one)
        containers = engine.ids()
        engine.stop()
        report.line("while it is away they are reached", all(at_once(lambda one: gateway.opens(one, gateway.key_of(one)), ids)))
        report.line("and shown as running", set(gateway.states().values()) == {"RUNNING"}, gateway.states())
        began = time.monotonic()
        refused = gateway.create("l-new")
        took = time.monotonic() - began
        report.line("a start is refused at once, with a reason", refused[0] == 503 and took < 10, f"{took:.1f} s {refused[1]['error']['message']}")
        engine.start()
        check_reachable(report, gateway, ids)
        report.line("in the same containers", engine.ids() == containers)
        gateway.kill()
        engine.stop()
        engine.start()
        gateway.start()
        states = gateway.settle()
        report.line("gateway and engine restarted: they go on", states == {one: "RUNNING" for one in ids}, states)
        check_reachable(report, gateway, ids)
        report.line("in the same containers", engine.ids() == containers)
        remove_all(report, gateway, engine, ids)
    finally:
        if gateway:
            gateway.stop()
        engine.close()
