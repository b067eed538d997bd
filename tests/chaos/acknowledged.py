"""kill -9 of the gateway the moment a 201 is read: what it acknowledges is there afterwards."""

import itertools
import json
import socket
import threading

from automation_place import API, AutomationPlace, CRON, SqliteStore
from doors import Run
from parts import wait_for

KINDS = ["upload", "automation", "run"]
WRITERS = 3       # beside the one that kills, so that its write may share a commit
WARMED_UP = 2     # writes of the one that kills before its last
COMPLETED_S = 60


class Writes:
    """What was acknowledged, from all threads."""

    def __init__(self, place, gateway, automation):
        self.place, self.gateway, self.automation = place, gateway, automation
        self.tarball, self.lock = place.tarball(), threading.Lock()
        status, self.uploaded = place.upload(gateway, self.tarball)
        self.known = {kind: [] for kind in KINDS}

    def _request(self, kind):
        path, body, content = {
            "upload": ("/v1/uploads?name=code", self.tarball, "application/gzip"),
            "automation": ("/v1", json.dumps({**self.place.body_of(self.uploaded), "trigger": CRON}).encode(), "application/json"),
            "run": (f"/v1/{self.automation}/dispatch", b"", "application/json"),
        }[kind]
        client = self.gateway.client
        return (f"POST {API}{path} HTTP/1.1\r\nHost: {client.host}:{client.port}\r\nAuthorization: {client.headers['Authorization']}\r\n"
                f"Content-Type: {content}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode() + body

    def write(self, kind, at_201=lambda: None):
        """Whether it was acknowledged. `at_201` is called once the status is read, before anything else."""
        answer = b""
        try:
            with socket.create_connection((self.gateway.client.host, self.gateway.client.port), 60) as connection:
                connection.sendall(self._request(kind))
                while piece := connection.recv(65536):
                    if not answer and piece.startswith(b"HTTP/1.1 201"):
                        at_201()
                    answer += piece
        except OSError:
            pass
        if not answer.startswith(b"HTTP/1.1 201"):
            return False
        head, _, body = answer.partition(b"\r\n\r\n")
        try:
            made = json.loads(body)["id"]
        except ValueError:
            return True  # cut off: it cannot be named
        if kind == "run":
            self.place.course.add(Run(made, None))
        with self.lock:
            self.known[kind].append(made)
        return True

    def lost(self, since=None):
        """Those that are not there, of those that were noted after `since`, {kind: count}."""
        paths = {"upload": "/v1/uploads/{}", "automation": "/v1/{}", "run": "/v1/runs/{}"}
        return [f"{kind} {one}" for kind in KINDS for one in self.known[kind][(since or {}).get(kind, 0):]
                if self.gateway.client.status("GET", API + paths[kind].format(one)) != 200]


def one_cycle(writes, kind):
    """The gateway is killed by the first of its writes of that kind that is acknowledged after some."""
    stopping = threading.Event()

    def write_on(kinds):
        while not stopping.is_set():
            writes.write(next(kinds))

    others = [threading.Thread(target=write_on, args=(itertools.cycle(KINDS[first:] + KINDS[:first]),), daemon=True)
              for first in range(WRITERS)]
    for thread in others:
        thread.start()
    for _ in range(WARMED_UP):
        writes.write(kind)
    killed = writes.write(kind, writes.gateway.process.kill)
    stopping.set()
    writes.gateway.kill()
    for thread in others:
        thread.join()
    return killed


def run(report, bins, folder, count):
    report.section(f"kill -9 as soon as a 201 is read: {count} times")
    place = AutomationPlace(bins, folder, SqliteStore(folder), ["a"], "1s")
    try:
        gateway, = place.gateways
        gateway.start()
        place.reporting_to = gateway
        automation = place.make_automation(gateway)
        writes = Writes(place, gateway, automation)
        lost, killed = [], dict.fromkeys(KINDS, 0)
        for number in range(count):
            kind = KINDS[number % len(KINDS)]
            since = {one: len(known) for one, known in writes.known.items()}
            killed[kind] += one_cycle(writes, kind)
            gateway.start()
            lost += writes.lost(since)
        for kind in KINDS:
            of_kind = [one for one in lost + writes.lost() if one.startswith(kind)]
            known = len(writes.known[kind])
            report.line(f"{kind}s: {killed[kind]} kills at their 201, {known} acknowledged, none lost", killed[kind] > 0 and not of_kind,
                        of_kind[:3] or "")

        def waiting():
            status, answer = gateway.client.call("GET", f"{API}/v1/{automation}/runs?limit=1")
            return {state: n for state, n in answer["status_counts"].items() if n and state != "COMPLETED"} if status == 200 else status

        done = wait_for(lambda: not waiting(), COMPLETED_S, 0.1)
        report.line("every run that was taken is completed", bool(done), "" if done else waiting())
        starts = place.course.starts()
        wrong = [f"{one}: {starts[one]}" for one in writes.known["run"] if starts[one] != 1]
        report.line("and was started once", not wrong, wrong[:3] or "")
    finally:
        place.stop()
