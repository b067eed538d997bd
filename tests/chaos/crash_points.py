"""kill -9 of the gateway at each step of a start and of an end, one after another on one store.

A point is a call that the peer holds: the nested server (nested.py) before it does what it was told, or the engine before it
hears of a call or after it answered. Nothing here depends on timing.
"""

import threading

from holds import Board, EngineDoor
from parts import SETTLED, SETTLED_S, Gateway, servers_below, wait_for

# What a start has at each of these is its server's; the same for every provider.
START_AT_SERVER = ["launched", "GET /alive", "POST /api/settings", "POST /api/secrets", "POST /api/conversations",
                   "GET conversation/events"]
STOP_AT_SERVER = ["POST conversation/stop", "GET conversation/", "SIGTERM"]
START_AT_ENGINE = ["before create", "after create", "before start", "after start"]
STOP_AT_ENGINE = ["before stop", "after stop"]
REMOVE_AT_ENGINE = ["before stop", "after stop", "before remove", "after remove"]
PAUSE_AT_ENGINE = ["before pause", "after pause"]
RESUME_AT_ENGINE = ["before unpause", "after unpause"]
SMOKE = {("start", "launched"), ("start", "POST /api/secrets"), ("stop", "SIGTERM"), ("start", "after create"), ("remove", "after stop")}

# With them the older dialect's every call is made.
CONFIGURATION = {"settings": {"llm_model": "m"}, "secrets": {"NAME": "value"}, "initial_user_msg": "hello"}
STEADY = "steady"  # runs all the while, and is nobody's target


def points(provider):
    out = [("start", step) for step in START_AT_SERVER]
    out += [("again", step) for step in ("launched", "GET /alive")]
    out += [("stop", step) for step in STOP_AT_SERVER]
    out += [("remove", step) for step in STOP_AT_SERVER]
    if provider == "docker":
        for what, steps in (("start", START_AT_ENGINE), ("again", ["before start", "after start"]), ("stop", STOP_AT_ENGINE),
                            ("remove", REMOVE_AT_ENGINE), ("pause", PAUSE_AT_ENGINE), ("resume", RESUME_AT_ENGINE)):
            out += [(what, step) for step in steps]
    return out


class ProcessPlace:
    """Where runtimes are processes."""

    name = "process"

    def __init__(self, folder, here):
        self.runtimes = folder / "gateway" / "runtimes"
        self.board = Board(folder / "board")
        self.door = None
        self.settings = f"""
[runtime]
provider = "process"
[runtime.process]
command = ["/usr/bin/python3", "{here}/nested.py", "{{port}}", "{{id}}", "{self.board.path}"]
stop_grace = "2s"
"""

    def up(self):
        """{conversation: how many runtimes it has}, of those that run or stand still."""
        programs = {}
        for conversation, pids in servers_below(self.runtimes).items():
            programs[conversation.lstrip("~")] = len(pids)
        return programs

    def remains_of(self, conversation):
        return (self.runtimes / conversation).exists()


class DockerPlace:
    """Where runtimes are containers."""

    name = "docker"

    def __init__(self, folder, here, engine):
        self.engine = engine
        (folder / "board").mkdir()
        self.board = Board(folder / "board" / "board")
        self.door = EngineDoor(folder / "door.sock", engine.socket)
        self.settings = f"""
[runtime]
provider = "docker"
[runtime.docker]
host = "unix://{self.door.path}"
image = "nestgate-chaos:1"
entry_point = "none"
command = ["/usr/bin/python3", "/chaos/nested.py", "{{port}}", "{{id}}", "/board/board"]
volumes = ["/usr:/usr:ro", "{here}:/chaos:ro", "{folder}/board:/board"]
pull = "never"
stop_grace = "2s"
"""

    def up(self):
        return {name.removeprefix("openhands-runtime-"): 1 for name, state in self.engine.containers().items()
                if state in ("running", "paused", "restarting")}

    def remains_of(self, conversation):
        return f"openhands-runtime-{conversation}" in self.engine.containers()


def expected_up(states):
    return {conversation: 1 for conversation, state in states.items() if state in ("RUNNING", "PAUSED")}


def do(gateway, what, conversation):
    """Its answer is nobody's: the gateway dies before it comes."""
    path = f"/api/conversations/{conversation}"
    if what in ("start", "again"):
        gateway.client.status("POST", "/api/conversations", {"conversation_id": conversation, **CONFIGURATION})
    elif what == "remove":
        gateway.client.status("DELETE", path)
    else:
        gateway.client.status("POST", f"{path}/{what}")


def prepare(gateway, what, conversation):
    if what != "start":
        gateway.must_create(conversation, **CONFIGURATION)
    if what == "again":
        gateway.client.call("POST", f"/api/conversations/{conversation}/stop")
    if what == "resume":
        gateway.client.call("POST", f"/api/conversations/{conversation}/pause")


def hold_and_kill(gateway, place, what, step, conversation):
    """The gateway is dead when it returns, and was at that step."""
    at_engine = step.split()[0] in ("before", "after")
    holds, name = (place.door, step) if at_engine else (place.board, f"{conversation} {step}")
    holds.arm(name)
    caller = threading.Thread(target=do, args=(gateway, what, conversation), daemon=True)
    caller.start()
    try:
        holds.wait_reached(name)
    finally:
        gateway.kill()
        holds.release_all()
    caller.join()


def faults_after(gateway, place, what, conversation, key):
    """What does not hold once the gateway was started again."""
    states = gateway.settle()
    faults = []
    if not set(states.values()) <= SETTLED:
        return [f"not settled after {SETTLED_S} s: {states}"]
    # A runtime that was being made when its gateway died may still have to end.
    if not wait_for(lambda: place.up() == expected_up(gateway.states()), SETTLED_S):
        faults.append(f"shown {gateway.states()}, there are {place.up()}")
    states = gateway.states()
    if what == "remove" and conversation in states:
        if not wait_for(lambda: conversation not in gateway.states(), SETTLED_S):
            faults.append(f"its removal was not finished: {gateway.states()[conversation]}")
    if what != "remove" and what != "start" and conversation not in states:
        faults.append("it is forgotten")
    if conversation in states and states[conversation] == "RUNNING" and not gateway.opens(conversation, key, "/whoami"):
        faults.append("its key does not open it")
    return faults


def faults_of_new_start(gateway, place, conversation, key):
    faults = []
    status, answer = gateway.create(conversation, **CONFIGURATION)
    if status not in (200, 201):
        return [f"a new start: {status} {answer}"]
    if answer["session_api_key"] != key or not gateway.opens(conversation, key, "/whoami"):
        faults.append("its key is not what it was")
    if not wait_for(lambda: place.up().get(conversation) == 1, SETTLED_S):
        faults.append(f"a new start has {place.up().get(conversation, 0)} runtimes")
    status, answer = gateway.client.call("DELETE", f"/api/conversations/{conversation}")
    if status != 204:
        faults.append(f"its removal: {status} {answer}")
    if conversation in place.up() or place.remains_of(conversation):
        faults.append("something is left of it after its removal")
    return faults


def faults_of_steady(gateway, place, key, was):
    """What ran on while its gateway was dead; without that it is started again."""
    if place.name == "docker":
        ids = place.engine.ids().get(f"openhands-runtime-{STEADY}")
        if ids != was or gateway.states().get(STEADY) != "RUNNING":
            return [f"the conversation beside it is {gateway.states().get(STEADY)}, its container {'another' if ids != was else 'the same'}"]
    elif gateway.states().get(STEADY) != "STOPPED":
        return [f"the conversation beside it is {gateway.states().get(STEADY)}"]
    status, answer = gateway.create(STEADY)
    if status != 200 or not gateway.opens(STEADY, key, "/whoami"):
        return [f"the conversation beside it does not go on: {status} {answer}"]
    return []


def run(report, bins, folder, place, smoke):
    report.section(f"kill -9 of the gateway at each step ({place.name})")
    gateway = Gateway(bins, folder / "gateway", place.settings + "[conversations]\nstop_poll_pause = \"50ms\"\n")
    gateway.start()
    try:
        gateway.must_create(STEADY)
        steady_key = gateway.key_of(STEADY)
        was = place.engine.ids()[f"openhands-runtime-{STEADY}"] if place.name == "docker" else None
        for number, (what, step) in enumerate(points(place.name)):
            if smoke and (what, step) not in SMOKE:
                continue
            conversation = f"c{number}"
            key = gateway.key_of(conversation)
            prepare(gateway, what, conversation)
            hold_and_kill(gateway, place, what, step, conversation)
            gateway.start()
            faults = faults_after(gateway, place, what, conversation, key)
            faults += faults_of_new_start(gateway, place, conversation, key)
            faults += faults_of_steady(gateway, place, steady_key, was)
            report.line(f"{what}: {step}", not faults, "; ".join(faults))
    finally:
        gateway.stop()
    left = {} if place.name == "docker" else place.up()
    report.line("after the gateway's end nothing runs that should not", not left, left or "")
