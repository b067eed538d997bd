"""Data plane and process provider: what the SDK and a real agent server do through nestgate."""

import contextlib
import os
import signal
import threading
import uuid

import sdk
from parts import (AgentServer, Failed, Gateway, Listener, Stopwatch, WebSocket, has_full_state, names_on_loopback,
                   processes_below, wait_for)


class Started:
    """A conversation whose agent server nestgate's process provider started."""

    def __init__(self, gateway, report):
        self.id = uuid.uuid4().hex
        self.gateway = gateway
        watch = Stopwatch()
        self.start(report, watch)

    def start(self, report, watch):
        status, answer = self.gateway.client.json("POST", "/api/conversations", self.gateway.bearer,
                                                  {"conversation_id": self.id}, seconds=310)
        report.need("nestgate starts an agent server", status in (200, 201) and answer.get("status") == "RUNNING",
                    f"{watch}" if status in (200, 201) else f"{status} {answer}")
        self.key = answer["session_api_key"]

    def state(self):
        return self.gateway.client.json("GET", f"/api/conversations/{self.id}", self.gateway.bearer)[1].get("status")


@contextlib.contextmanager
def started_conversation(at, report):
    gateway = Gateway(at.bins, at.folder / "process", {"runtime": {"ready_timeout": "5m"}})
    try:
        c = Started(gateway, report)
        yield c
        tell_end(report, gateway, [c.key])
    finally:
        gateway.stop()


def tell_end(report, gateway, keys):
    code = gateway.stop()
    report.line("the gateway ends in order", code == 0, f"exit code {code}")
    left = wait_for(lambda: not processes_below(gateway.folder), 10) or processes_below(gateway.folder)
    report.line("nothing that it started outlives it (tmux neither)", left is True, "" if left is True else str(left))
    logs = gateway.logs()
    report.line("no key stands in its logs", logs and not any(key in logs for key in [gateway.api_key, *keys]))


def key_routing(at, report):
    with started_conversation(at, report) as c:
        tell_route(at, report, "key routing", c, c.gateway.client.url)


def all_routes(at, report):
    with started_conversation(at, report) as c, names_on_loopback():
        tell_route(at, report, "key routing", c, c.gateway.client.url)
        tell_route(at, report, "prefix routing", c, f"{c.gateway.client.url}/runtime/{c.id}")
        tell_route(at, report, "host routing", c, c.gateway.host_url(c.id))
        tell_fork(at, report, c)
        tell_lookup_secret(at, report, c)
        tell_killed_server(at, report, c)


def tell_route(at, report, where, c, url):
    workspace = sdk.remote(url, c.key, at.scratch)
    workspace.working_dir = sdk.working_dir_of(workspace)
    report.line(f"{where}: alive, and server_info is the server's", workspace.alive and "sdk_version" in workspace.get_server_info())
    sdk.tell_workspace(report, where, workspace, at.scratch)
    nested = sdk.tell_conversation(report, where, at.model, workspace)
    # By the API key, so that only the id in the path can have led there.
    status, count = c.gateway.client.json("GET", f"/api/conversations/{nested}/events/count", c.gateway.bearer)
    report.line(f"{where}: the id that the server handed out is routed by its path", status == 200 and count > 0, f"{count} events")


def tell_fork(at, report, c):
    workspace = sdk.remote(c.gateway.client.url, c.key, at.scratch)
    workspace.working_dir = sdk.working_dir_of(workspace)
    talk = sdk.Talk(at.model, workspace)
    try:
        talk.say("RUN{true}")
        talk.run()
        fork = talk.conversation.fork()
        status, count = c.gateway.client.json("GET", f"/api/conversations/{fork.id}/events/count", c.gateway.bearer)
        report.line("a fork's id is learnt from the answer that made it", status == 200 and count > 0, f"{status}, {count} events")
        fork.close()
    finally:
        talk.close()


def tell_lookup_secret(at, report, c):
    """The SDK tells the server only where a secret is; the server fetches it through the gateway when it runs."""
    key = {"X-Session-API-Key": c.key}
    value = uuid.uuid4().hex
    c.gateway.client.call("PUT", "/api/settings/secrets", key, {"name": "INTEROP_SECRET", "value": value})
    workspace = sdk.remote(c.gateway.client.url, c.key, at.scratch)
    workspace.working_dir = sdk.working_dir_of(workspace)
    secrets = workspace.get_secrets()
    report.line("get_secrets: names and look-up URLs at the gateway, no values",
                [s.url for s in secrets.values()] == [f"{c.gateway.client.url}/api/settings/secrets/INTEROP_SECRET"])
    talk = sdk.Talk(at.model, workspace)
    try:
        talk.conversation.update_secrets(secrets)
        talk.say(f'RUN{{test "$INTEROP_SECRET" = {value} && printf "the-%s\\n" same}}')
        talk.run()
        report.line("the agent's command has the secret's value", "the-same" in talk.observed())
    finally:
        talk.close()


def tell_killed_server(at, report, c):
    workspace = sdk.remote(c.gateway.client.url, c.key, at.scratch)
    workspace.working_dir = sdk.working_dir_of(workspace)
    talk = sdk.Talk(at.model, workspace)
    talk.say("RUN{printf 'before-%s\\n' death}")
    talk.run()
    talk.close()
    pid = int(workspace.execute_command("echo $PPID", timeout=60).stdout)
    os.kill(pid, signal.SIGKILL)
    state = wait_for(lambda: c.state() != "RUNNING" and c.state(), 30)
    report.line("its server killed: the conversation is no longer shown as running", state == "ERROR", str(state))
    status, _ = c.gateway.client.call("GET", f"/api/conversations/{talk.id}", {"X-Session-API-Key": c.key})
    report.line("meanwhile 503, which clients wait through", status == 503, str(status))
    c.start(report, Stopwatch())
    again = sdk.Talk(at.model, workspace, conversation_id=uuid.UUID(talk.id))
    try:
        report.line("its files are there again, and so is the conversation", "before-death" in again.observed())
        again.say("RUN{printf 'after-%s\\n' death}")
        report.line("and it goes on", again.run() == "finished" and "after-death" in again.observed(), again.status())
    finally:
        again.close()


@contextlib.contextmanager
def static_server(at, name, sections=None):
    """A gateway before an agent server that it did not start."""
    server = AgentServer(name, at.folder / name)
    watch = Stopwatch()
    server.start()
    gateway = None
    try:
        server.wait_alive()
        gateway = Gateway(at.bins, at.folder / f"{name}-gateway", sections, [server])
        at.report.line("an agent server that somebody else started", True, f"alive after {watch}")
        yield gateway, server
    finally:
        at.model.release_all()
        if gateway:
            gateway.stop()
        server.end(signal.SIGTERM)


class Running(threading.Thread):
    """A run in its middle: its last answer is held by the model until `finish`."""

    def __init__(self, at, talk, command="true"):
        super().__init__(daemon=True)
        self.name_of_hold = uuid.uuid4().hex
        self.model, self.talk = at.model, talk
        self.outcome = self.fault = None
        talk.say(f"RUN{{{command}}} HOLD{{{self.name_of_hold}}}")
        self.start()
        if not at.model.wait_held(self.name_of_hold, 120):
            raise Failed("the run did not get to its middle")

    def run(self):
        try:
            self.outcome = self.talk.run()
        except Exception as e:  # the SDK's own ways to say that a run ended badly are what is looked at
            self.fault = e

    def finish(self):
        self.model.release(self.name_of_hold)

    def wait(self, seconds):
        self.join(seconds)
        return self.outcome or (type(self.fault).__name__ if self.fault else "still running")


def restarts(at, report):
    """agent_server.md 3.6: what a run is after its server was ended, and that the SDK comes through."""
    with static_server(at, "restarted") as (gateway, server):
        workspace = sdk.remote(gateway.client.url, server.key, server.folder / "work")
        talk = sdk.Talk(at.model, workspace)
        try:
            for by, expected in ((signal.SIGTERM, "paused"), (signal.SIGKILL, "ConversationRunError")):
                tell_restart(at, report, server, gateway, talk, by, expected)
        finally:
            talk.close()


def tell_restart(at, report, server, gateway, talk, by, expected):
    running = Running(at, talk)
    listener = Listener(gateway.client, talk.id, server.key)
    listener.wait(lambda l: l.events)
    server.end(by)
    listener.wait(lambda l: l.end, 30)
    report.line(f"{by.name} in the middle of a run: websockets close with 1012", listener.end[:2] == ("close", 1012), str(listener.end))
    status = gateway.client.status("GET", f"/api/conversations/{talk.id}", {"X-Session-API-Key": server.key})
    report.line(f"{by.name}: meanwhile 503", status == 503, str(status))
    refused = WebSocket(gateway.client, f"/sockets/events/{talk.id}", {"X-Session-API-Key": server.key})
    report.line(f"{by.name}: an upgrade is refused with 503", refused.status == 503, str(refused.status))
    refused.close()
    server.start()
    server.wait_alive()
    watch = Stopwatch()
    outcome = running.wait(90)
    report.line(f"{by.name}: run() of the SDK ends: {expected}", outcome == expected, f"{outcome}, {watch} after the server was back")
    running.finish()
    # The SDK takes the snapshot with which its websocket comes back for the end of a run that began just before.
    wait_for(lambda: gateway.metric("nestgate_tunnels_open"), 60)
    talk.say("RUN{printf 'next-%s\\n' " + by.name + "}")
    report.line(f"{by.name}: the next run works", talk.run() == "finished" and f"next-{by.name}" in talk.observed(), talk.status())


def stalled_reader(at, report):
    """agent_server.md 0.7: a subscriber that does not read freezes the end of every run, unless somebody reads for it."""
    with static_server(at, "stalled") as (gateway, server):
        talk = sdk.Talk(at.model, sdk.remote(gateway.client.url, server.key, server.folder / "work"))
        key = {"X-Session-API-Key": server.key}
        stalled = WebSocket(gateway.client, f"/sockets/events/{talk.id}", key, receive_buffer=4096)
        stalled.event()
        reader = Listener(gateway.client, talk.id, server.key)
        reader.wait(lambda l: l.events)
        try:
            message = {"role": "user", "content": [{"type": "text", "text": "x" * 900_000}], "run": False}
            for _ in range(20):
                gateway.client.call("POST", f"/api/conversations/{talk.id}/events", key, message)
            arrived = reader.wait(lambda l: sum(e["kind"] == "MessageEvent" for e in l.events) >= 20)
            report.line("another reader has all of 18 MB that one does not read", arrived)
            watch = Stopwatch()
            talk.say("RUN{true} SAY{done}")
            report.line("run() of the SDK returns at once", talk.run(120) == "finished" and watch.seconds() < 15, str(watch))
            report.line("the other reader has the run's final state", reader.wait(has_full_state("finished"), 15), str(watch))
            watch = Stopwatch()
            talk.say("RUN{printf 'second-%s\\n' run}")
            held = talk.run(120) == "finished" and "second-run" in talk.observed()
            report.line("the next run is not refused", held and watch.seconds() < 15, str(watch))
            end = None
            while not isinstance(end, tuple):
                end = stalled.event()
            report.line("the one that stalled is closed with 1013 once it reads", end[:2] == ("close", 1013), str(end))
        finally:
            stalled.close()
            talk.close()


def drain(at, report):
    """A new gateway takes over while the old one drains, in the middle of a run."""
    with static_server(at, "drained") as (gateway, server):
        talk = sdk.Talk(at.model, sdk.remote(gateway.client.url, server.key, server.folder / "work"))
        try:
            running = Running(at, talk)
            listener = Listener(gateway.client, talk.id, server.key)
            listener.wait(lambda l: l.events)
            watch = Stopwatch()
            old = gateway.begin_stop()
            gateway.start()
            listener.wait(lambda l: l.end, 60)
            report.line("SIGTERM of the gateway closes websockets with 1012", listener.end and listener.end[:2] == ("close", 1012),
                        f"{listener.end} after {watch}")
            code = old.wait(60)
            report.line("the old gateway ends by itself", code == 0, f"exit code {code} after {watch}")
            running.finish()
            outcome = running.wait(60)
            report.line("run() of the SDK ends through the new one", outcome == "finished", f"{outcome}")
            talk.say("RUN{printf 'next-%s\\n' run}")
            report.line("and the next run works", talk.run() == "finished" and "next-run" in talk.observed(), talk.status())
        finally:
            talk.close()
