"""What stands between a gateway and those that it talks to about runs: doors before the runtime and before the gateway, and
the receiver of completions. Each stops a run at the step at which it is told to; a run that nobody knows yet waits."""

import collections
import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import threading
import urllib.parse

from parts import wait_for

RUN = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
CALL_S = 30


class Run:
    """One run on its way, and what was seen of it. It stops once, at its step, until it is let go."""

    def __init__(self, run_id, step):
        self.id, self.step = run_id, step
        self.reached, self.let_go, self.passed = threading.Event(), threading.Event(), threading.Event()
        self.peer = None            # the gateway's end of the connection that stopped
        self.gateway_is_dead = False
        self.fences = []            # of the starts that the runtime was handed
        self.posts = []             # (webhook-id, payload) in their order
        self.held_start = None      # forwarded late

    def stops_at(self, step, connection):
        """Whether it was stopped there; returns once it may go on."""
        if self.step != step or self.reached.is_set():
            return False
        self.peer = connection.getpeername()
        self.reached.set()
        self.let_go.wait()
        return True

    def ends_at(self, step, connection):
        """Whether it was stopped there by a gateway that is dead now: that goes no further."""
        return self.stops_at(step, connection) and self.gateway_is_dead


class Course:
    """The runs that are known. A run's calls may come before its dispatch is answered: they wait for that."""

    def __init__(self, log):
        """`log`: where each script that starts appends its run's id and its attempt's process id, a line."""
        self._known = threading.Condition()
        self._runs = {}
        self._log = log
        log.touch()

    def add(self, run):
        with self._known:
            self._runs[run.id] = run
            self._known.notify_all()
        return run

    def run(self, run_id):
        """One whose dispatch is never answered stops nowhere."""
        with self._known:
            self._known.wait_for(lambda: run_id in self._runs, 5)
            return self._runs.setdefault(run_id, Run(run_id, None))

    def all(self):
        with self._known:
            return list(self._runs.values())

    def starts(self):
        """{id: how often its script began}."""
        return collections.Counter(line.split()[0] for line in self._log.read_text().splitlines())

    def starts_of(self, run):
        return self.starts()[run.id]


def read_message(connection, got=b""):
    """(head with its end, body) of a request that says its length; None: it ended early."""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(262144)
        if not piece:
            return None
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
    left = int(length[1]) - len(body) if length else 0
    pieces = [body]
    while left > 0:
        piece = connection.recv(262144)
        if not piece:
            return None
        pieces.append(piece)
        left -= len(piece)
    return head + b"\r\n\r\n", b"".join(pieces)


def closing(head):
    """The same head, asking for the connection's end behind the answer."""
    head = re.sub(rb"(?im)^connection:[^\r\n]*\r\n", b"", head)
    return head[:-2] + b"Connection: close\r\n\r\n"


def listen(serve):
    """The port on which `serve(connection)` is called for each connection, on threads of their own."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)

    def guarded(connection):
        with connection, contextlib.suppress(OSError, http.client.HTTPException):
            serve(connection)

    def accept_forever():
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=guarded, args=(connection,), daemon=True).start()

    threading.Thread(target=accept_forever, daemon=True).start()
    return listener.getsockname()[1]


def listen_for_requests(serve):
    """The same for `serve(connection, head, body)`, once the request is there."""
    def read_first(connection):
        message = read_message(connection)
        if message is not None:
            serve(connection, *message)

    return listen(read_first)


def ends_of_connections():
    """{(local, remote): (bytes that its owner has not read, inode)} of this machine's IPv4 connections."""
    found = {}
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] in ("01", "08"):  # established, or the other side has closed
            local, remote = (int(place.partition(":")[2], 16) for place in fields[1:3])
            found[local, remote] = int(fields[4].partition(":")[2], 16), fields[9]
    return found


def has_read_all(connection):
    """Whether the program at the other end has taken what was sent to it, or closed the connection."""
    try:
        local, remote = connection.getsockname()[1], connection.getpeername()[1]
    except OSError:
        return True
    unread, _ = ends_of_connections().get((remote, local), (0, ""))
    return unread == 0


def owner_of(port, pids):
    """Which of the processes has the connection's end at that port; None: none of them."""
    inodes = {f"socket:[{inode}]" for (local, _), (_, inode) in ends_of_connections().items() if local == port}
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(entry) in inodes:
                        return pid
    return None


class RuntimeDoor:
    """In front of a runtime's server. Steps of a run: `claimed` (its tarball comes), `tarball there` (its environment
    comes), `environment there` (its start comes), `start there` (the runtime has answered), `start answered` (the answer
    was passed on). `start late`, `start later`: as `environment there`, but the start arrives in the end, before the next
    gateway's tarball or its environment. What stopped at another step goes on only if its gateway lives."""

    late_before = {"start late": "tarball", "start later": "environment"}

    def __init__(self, course, server_port):
        self.course, self.server_port = course, server_port
        self.port = listen_for_requests(self._serve)

    def _serve(self, connection, head, body):
        if re.search(rb"(?im)^upgrade:", head):
            self._tunnel(connection, head)
            return
        what, run = self._what(head.split(b" ", 2)[1].decode(), body)
        if run:
            self._pass_run(connection, what, run, head, body)
        else:
            connection.sendall(self._ask(head, body))

    def _what(self, target, body):
        path, _, query = target.partition("?")
        if path == "/api/file/upload":
            place = urllib.parse.parse_qs(query).get("path", [""])[0]
            if found := re.fullmatch(rf"/tmp/(?:nestgate-private-\d+/)?automation-({RUN})\.(tar\.gz|env)", place):
                return "environment" if found[2] == "env" else "tarball", self.course.run(found[1])
        if path == "/api/bash/start_bash_command":
            if found := re.search(rf"ln -s nestgate:\d+:\$\$ /tmp/automation-({RUN})\.start", body.decode()):
                return "start", self.course.run(found[1])
        return None, None

    def _pass_run(self, connection, what, run, head, body):
        if what == "start":
            self._pass_start(connection, run, head, body)
            return
        if run.ends_at({"tarball": "claimed", "environment": "tarball there"}[what], connection):
            return
        if run.gateway_is_dead and run.held_start and self.late_before[run.step] == what:
            late, run.held_start = run.held_start, None
            self._start(run, *late)
            wait_for(lambda: self.course.starts_of(run), CALL_S)
        connection.sendall(self._ask(head, body))

    def _pass_start(self, connection, run, head, body):
        if run.ends_at("environment there", connection):
            return
        if run.step in self.late_before and not run.reached.is_set():
            run.held_start = head, body
            if run.ends_at(run.step, connection):
                return
            run.held_start = None
        answer = self._start(run, head, body)
        if run.ends_at("start there", connection):
            return
        passes = run.stops_at("start answered", connection)
        connection.sendall(answer)
        if passes:
            wait_for(lambda: has_read_all(connection), CALL_S, 0.003)
            run.passed.set()

    def _start(self, run, head, body):
        run.fences.append(int(re.search(rb"ln -s nestgate:(\d+):", body)[1]))
        return self._ask(head, body)

    def _ask(self, head, body):
        with socket.create_connection(("127.0.0.1", self.server_port), CALL_S) as server:
            server.sendall(closing(head) + body)
            pieces = []
            while piece := server.recv(262144):
                pieces.append(piece)
            return b"".join(pieces)

    def _tunnel(self, connection, head):
        def copy(source, sink):
            with contextlib.suppress(OSError):
                while piece := source.recv(65536):
                    sink.sendall(piece)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)

        with socket.create_connection(("127.0.0.1", self.server_port)) as server:
            server.sendall(head)
            threading.Thread(target=copy, args=(connection, server), daemon=True).start()
            copy(server, connection)


class GatewayDoor:
    """In front of the gateway, for scripts. `callback sent`: the gateway has read it once it may go on. `callback
    answered`: its answer has come, and goes no further. Without a gateway a script is told nothing, and tries again."""

    def __init__(self, course, address):
        """`address()`: host and port of a gateway; None: there is none."""
        self.course, self.address = course, address
        self.port = listen_for_requests(self._serve)

    def _serve(self, connection, head, body):
        found = re.search(rf"/v1/runs/({RUN})/complete$", head.split(b" ", 2)[1].decode())
        run = self.course.run(found[1]) if found else Run("", None)
        is_sent_held = run.stops_at("callback sent", connection)
        if (place := self.address()) is None:
            return
        with socket.create_connection(place, CALL_S) as gateway:
            gateway.sendall(closing(head) + body)
            if is_sent_held:
                wait_for(lambda: has_read_all(gateway), CALL_S, 0.003)
                run.peer = gateway.getpeername()
                run.passed.set()
            answer = gateway.recv(262144)
            if not answer or run.ends_at("callback answered", connection):
                return
            connection.sendall(answer)
            while piece := gateway.recv(262144):
                connection.sendall(piece)


class Sink:
    """The receiver of completions. `webhook comes`: it is there, unread, and is lost. `webhook read`: it is never answered.
    `webhook answered`: the gateway has read the answer."""

    def __init__(self, course):
        self.course = course
        self.port = listen(self._serve)

    def _serve(self, connection):
        seen = b""
        while b"run_id" not in seen or not re.search(RUN.encode(), seen.partition(b"run_id")[2]):
            before, seen = len(seen), connection.recv(262144, socket.MSG_PEEK)
            if not seen:
                return
            if len(seen) == before:
                threading.Event().wait(0.001)  # what was seen stays readable, so nothing tells of more
        run = self.course.run(re.search(RUN.encode(), seen.partition(b"run_id")[2])[0].decode())
        if run.ends_at("webhook comes", connection):
            return
        message = read_message(connection)
        if message is None:
            return
        head, body = message
        run.posts.append((re.search(rb"(?im)^webhook-id:\s*(\S+)", head)[1].decode(), json.loads(body)))
        if run.ends_at("webhook read", connection):
            return
        passes = run.stops_at("webhook answered", connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        if passes:
            wait_for(lambda: has_read_all(connection), CALL_S, 0.003)
            run.passed.set()
