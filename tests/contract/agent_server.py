"""A scripted agent server: takes files and runs commands for real, and misbehaves for one run as it is told.

    agent_server.py --port PORT --key-file FILE      stands alone until it is ended

Files land where their paths say. A command runs under /bin/sh in a process group of its own; stop() ends those that are left.
A run is known by the id in the names of its files and in the text of its command.
"""

import argparse
import base64
import contextlib
import dataclasses
import email.parser
import email.policy
import functools
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid

RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FIRST_FRAME_S = 10


@dataclasses.dataclass
class Misbehaviour:
    """What goes wrong for one run. Counts say how often; a large one says always."""

    uploads_refused: int = 0         # so many uploads are answered with upload_status and not kept
    upload_status: int = 503
    upload_held: threading.Event = None  # an upload is read, but not kept or answered before it is set
    starts_refused: int = 0          # so many starts are answered with start_status, nothing is started
    start_status: int = 503
    start_answer_after: float = 0    # seconds; the command runs at once
    start_dropped: str = ""          # "run": starts the command, then closes without an answer; "lost": closes, starts nothing
    searches_refused: int = 0        # so many searches are answered with search_status
    search_status: int = 404
    silent: bool = False             # no output of the command is ever told, on no way
    commands_refused: int = 0        # so many execute_bash_command are answered with a 503


@dataclasses.dataclass
class Upload:
    path: str
    data: bytes
    headers: dict
    part_headers: dict
    at: float
    kept: bool = False

    @functools.cached_property
    def text(self):
        return self.data.decode()


@dataclasses.dataclass
class Command:
    id: str
    run: str
    text: str
    timeout: float
    cwd: str
    request: bytes
    headers: dict
    at: float
    blocking: bool
    timestamp: str = ""
    pid: int = 0
    output: dict = None
    ended: threading.Event = dataclasses.field(default_factory=threading.Event)
    answered: threading.Event = dataclasses.field(default_factory=threading.Event)  # of a start: also where nobody took the answer


class Run:
    """What this server saw of one run."""

    def __init__(self, run_id, misbehaviour):
        self.id, self.misbehaviour = run_id, misbehaviour
        self.uploads, self.starts, self.commands, self.calls = [], [], [], []
        self.searches = 0
        self.read = None, {}

    def upload(self, suffix):
        """The last one that was kept of a file whose name ends so."""
        return next((u for u in reversed(self.uploads) if u.kept and u.path.endswith(suffix)), None)

    @property
    def environment_text(self):
        found = self.upload(".env")
        return found.text if found else None

    @property
    def environment(self):
        """{name: value} of the environment file; None before it is there."""
        text = self.environment_text
        if text is None:
            return None
        if self.read[0] is not text:
            # Not shlex: it takes seconds for a value of a megabyte.
            pieces = r"""'[^']*'|"[^"]*"|\\.|[^\s'"\\]"""
            found = re.findall(rf"^export (\w+)=((?:{pieces})*)", text, re.M)
            self.read = text, {name: "".join(p[1:-1] if p[0] in "'\"" else p.lstrip("\\") for p in re.findall(pieces, value)) for name,
                               value in found}
        return self.read[1]

    @property
    def alive(self):
        return [c.pid for c in self.starts if c.pid and group_lives(c.pid)]


def group_lives(group):
    """Whether a process of the group runs; one that only waits to be reaped does not."""
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == group and fields[0] not in "ZX":
                    return True
    return False


def timestamp():
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z"


class AgentServer:
    """`journal`: every request as (seconds, method, path with query, run id or None)."""

    def __init__(self, port, key, websocket=True):
        self.key, self.websocket = key, websocket
        self.lock = threading.Condition()
        self.runs, self.commands, self.events, self.journal = {}, {}, [], []
        self.subscribers = []
        self.armed = None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="contract-agent-"))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (Handler,), {"agent": self}))
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            left = [c for c in self.commands.values() if c.pid]
            self.lock.notify_all()
        for command in left:
            with contextlib.suppress(OSError):
                os.killpg(command.pid, signal.SIGKILL)
        for path in {u.path for r in self.runs.values() for u in r.uploads if u.kept}:
            with contextlib.suppress(OSError):
                os.unlink(path)
        for run in self.runs.values():
            # What the started command left beside them.
            for path in pathlib.Path("/tmp").glob(f"automation-{run.id}*"):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            environment = run.environment or {}
            if run.id in environment.get("WORKSPACE_BASE", ""):
                shutil.rmtree(environment["WORKSPACE_BASE"], ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def misbehave(self, **how):
        """For the next run that is not known yet."""
        with self.lock:
            self.armed = Misbehaviour(**how)
            return self.armed

    def run(self, run_id):
        """What was seen of it; made on first sight."""
        with self.lock:
            return self._run(run_id)

    def _run(self, run_id):
        if run_id not in self.runs:
            self.runs[run_id] = Run(run_id, self.armed or Misbehaviour())
            self.armed = None
        return self.runs[run_id]

    def run_named_in(self, text):
        """By the id of a run in it that is known, or after the name that a run's files have."""
        with self.lock:
            ids = RUN_ID.findall(text)
            known = next((i for i in ids if i in self.runs), None)
            named = re.search(rf"automation-({RUN_ID.pattern})", text)
            chosen = known or (named.group(1) if named else None)
            return self._run(chosen) if chosen else None

    def start_command(self, text, cwd, timeout, request, headers, blocking):
        run = self.run_named_in(text)
        command = Command(uuid.uuid4().hex, run.id if run else "", text, timeout, cwd, request, headers, time.monotonic(), blocking,
                          timestamp())
        with self.lock:
            self.commands[command.id] = command
            if run:
                (run.commands if blocking else run.starts).append(command)
            self._tell({"id": command.id, "timestamp": command.timestamp, "command": text, "cwd": cwd, "timeout": timeout,
                        "kind": "BashCommand"}, run)
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8", "PWD": str(self.folder)}
        out, err = (tempfile.TemporaryFile(dir=self.folder) for _ in range(2))
        try:
            process = subprocess.Popen(["/bin/sh", "-c", text], cwd=cwd or self.folder, env=environment, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=err,
                                       start_new_session=True)
        except OSError as e:
            self._finish(command, run, -1, "", str(e))
            return command
        command.pid = process.pid
        threading.Thread(target=self._wait, args=(command, run, process, out, err), daemon=True).start()
        return command

    def _wait(self, command, run, process, out, err):
        try:
            code = process.wait(command.timeout)
        except subprocess.TimeoutExpired:
            code = -1
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
            file.close()
        self._finish(command, run, code, *texts)

    def _finish(self, command, run, code, out, err):
        with self.lock:
            command.output = {"id": uuid.uuid4().hex, "timestamp": timestamp(), "command_id": command.id, "order": 0, "exit_code": code,
                              "stdout": out or None, "stderr": err or None, "kind": "BashOutput"}
            self._tell(command.output, run)
            command.ended.set()

    def _tell(self, event, run):
        if not (event["kind"] == "BashOutput" and run and run.misbehaviour.silent):
            self.events.append(event)
            for queue in self.subscribers:
                queue.append(event)
        self.lock.notify_all()


class Refused(Exception):
    def __init__(self, status, detail):
        super().__init__(detail)
        self.status, self.detail = status, detail


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    agent = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.serve()

    do_POST = do_DELETE = do_GET

    def serve(self):
        path, _, query = self.path.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        try:
            body = self.body()
            if path in ("/alive", "/health"):
                return self.answer(200, {"status": "ok"})
            if path == "/ready":
                return self.answer(200, {"status": "ready"})
            if path == "/server_info":
                return self.answer(200, {"version": "1.43.1", "uptime": 1.0, "idle_time": 1.0})
            if path == "/sockets/bash-events":
                return self.websocket()
            self.check_key()
            routes = {
                ("POST", "/api/file/upload"): self.upload, ("GET", "/api/file/download"): self.download,
                ("POST", "/api/bash/start_bash_command"): self.start, ("POST", "/api/bash/execute_bash_command"): self.execute,
                ("GET", "/api/bash/bash_events/search"): self.search, ("DELETE", "/api/bash/bash_events"): self.clear,
            }
            if route := routes.get((self.command, path)):
                return route(body)
            if self.command == "GET" and path.startswith("/api/bash/bash_events/"):
                return self.event(path.rsplit("/", 1)[1])
            raise Refused(404, "Not Found")
        except Refused as e:
            self.answer(e.status, {"detail": e.detail})
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            data = bytearray()
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return bytes(data)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def note(self, run):
        with self.agent.lock:
            self.agent.journal.append((time.monotonic(), self.command, self.path, run.id if run else None))
            if run:
                run.calls.append(f"{self.command} {self.path.partition('?')[0]}")
            self.agent.lock.notify_all()

    def check_key(self):
        if not hmac.compare_digest(self.headers.get("X-Session-API-Key", "").encode(), self.agent.key.encode()):
            raise Refused(401, "Unauthorized")

    def answer(self, status, value, content_type="application/json"):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def drop(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def refuse_by(self, run, count, status):
        """Uses up one refusal of the run's misbehaviour, if there is one left."""
        if run is None:
            return
        with self.agent.lock:
            left = getattr(run.misbehaviour, count)
            if not left:
                return
            setattr(run.misbehaviour, count, left - 1)
        raise Refused(status, "as the test told it")

    def upload(self, body):
        path = self.query.get("path", "")
        run = self.agent.run_named_in(path)
        self.note(run)
        if not path.startswith("/"):
            raise Refused(400, "Path must be absolute")
        content_type = self.headers.get("Content-Type", "")
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
        parts = [p for p in message.iter_parts()] if message.is_multipart() else []
        part = next((p for p in parts if p.get_param("name", header="content-disposition") == "file"), None)
        if part is None:
            raise Refused(422, [{"type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": None}])
        data = self.part_bytes(body, content_type)
        made = Upload(path, data, dict(self.headers.items()), dict(part.items()), time.monotonic())
        if run:
            with self.agent.lock:
                run.uploads.append(made)
                self.agent.lock.notify_all()
            if run.misbehaviour.upload_held:
                run.misbehaviour.upload_held.wait(60)
            self.refuse_by(run, "uploads_refused", run.misbehaviour.upload_status)
        target = pathlib.Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        with self.agent.lock:
            made.kept = True
            self.agent.lock.notify_all()
        self.answer(200, {"success": True, "file_size": len(data)})

    def part_bytes(self, body, content_type):
        """As sent: the parser of mail would touch line ends."""
        boundary = re.search(r'boundary="?([^";]+)', content_type).group(1).encode()
        for piece in body.split(b"--" + boundary)[1:]:
            head, _, data = piece.partition(b"\r\n\r\n")
            if b'name="file"' in head or b"name=file" in head:
                return data[:-2]
        return b""

    def download(self, _):
        self.note(self.agent.run_named_in(self.query.get("path", "")))
        path = pathlib.Path(self.query.get("path", ""))
        if not path.is_absolute():
            raise Refused(400, "Path must be absolute")
        if not path.is_file():
            raise Refused(404, "File not found")
        self.answer(200, path.read_bytes(), "application/octet-stream")

    def command_of(self, body):
        try:
            value = json.loads(body)
            text, cwd, timeout = value["command"], value.get("cwd"), value.get("timeout", 300)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused(422, [{"type": "missing", "loc": ["body", "command"], "msg": "Field required", "input": None}]) from None
        return text, cwd, timeout

    def start(self, body):
        text, cwd, timeout = self.command_of(body)
        run = self.agent.run_named_in(text)
        self.note(run)
        self.refuse_by(run, "starts_refused", run.misbehaviour.start_status if run else 0)
        dropped = ""
        if run:
            with self.agent.lock:
                dropped, run.misbehaviour.start_dropped = run.misbehaviour.start_dropped, ""
        if dropped == "lost":
            return self.drop()
        command = self.agent.start_command(text, cwd, timeout, body, dict(self.headers.items()), False)
        if dropped:
            return self.drop()
        if run and run.misbehaviour.start_answer_after:
            pause, run.misbehaviour.start_answer_after = run.misbehaviour.start_answer_after, 0
            threading.Event().wait(pause)
        try:
            self.answer(200, {"id": command.id, "timestamp": command.timestamp, "command": text, "cwd": cwd, "timeout": timeout,
                              "kind": "BashCommand"})
        finally:
            command.answered.set()

    def execute(self, body):
        text, cwd, timeout = self.command_of(body)
        run = self.agent.run_named_in(text)
        self.note(run)
        self.refuse_by(run, "commands_refused", 503)
        command = self.agent.start_command(text, cwd, timeout, body, dict(self.headers.items()), True)
        command.ended.wait(timeout + 5)
        self.answer(200, command.output)

    def search(self, _):
        wanted = self.query.get("command_id__eq", "").replace("-", "")
        with self.agent.lock:
            command = self.agent.commands.get(wanted)
            run = self.agent.runs.get(command.run) if command else None
            if run:
                run.searches += 1
            live = [r for r in self.agent.runs.values() if r.starts and not r.starts[-1].ended.is_set()]
            refused_without_id = [r for r in live if r.misbehaviour.searches_refused]
        self.note(run)
        blamed = run or (refused_without_id[0] if not wanted and refused_without_id else None)
        self.refuse_by(blamed, "searches_refused", blamed.misbehaviour.search_status if blamed else 0)
        with self.agent.lock:
            items = [e for e in self.agent.events if self.query.get("kind__eq", e["kind"]) == e["kind"]
                     and (not wanted or e.get("command_id") == wanted) and self.in_window(e)]
        items.sort(key=lambda e: e["timestamp"], reverse=self.query.get("sort_order") == "TIMESTAMP_DESC")
        first = next((i for i, e in enumerate(items) if e["id"] == self.query.get("page_id")), 0)
        limit = int(self.query.get("limit", 100))
        if not 1 <= limit <= 100:
            raise Refused(422, [{"type": "less_than_equal", "loc": ["query", "limit"], "msg": "Input should be less than or equal to 100"}])
        page, rest = items[first:first + limit], items[first + limit:]
        if "order__gt" in self.query:
            page = [e for e in page if e.get("order", -1) > int(self.query["order__gt"])]
        self.answer(200, {"items": page, "next_page_id": rest[0]["id"] if rest else None})

    def in_window(self, event):
        since, until = self.query.get("timestamp__gte", ""), self.query.get("timestamp__lt", "~")
        return since.rstrip("Z") <= event["timestamp"].rstrip("Z") < until.rstrip("Z")

    def event(self, event_id):
        self.note(None)
        with self.agent.lock:
            found = next((e for e in self.agent.events if e["id"] == event_id.replace("-", "")), None)
        if not found:
            raise Refused(404, "Not Found")
        self.answer(200, found)

    def clear(self, _):
        self.note(None)
        with self.agent.lock:
            count = len(self.agent.events)
            self.agent.events.clear()
        self.answer(200, {"cleared_count": count})

    def websocket(self):
        self.note(None)
        if not self.agent.websocket or "websocket" not in self.headers.get("Upgrade", "").lower():
            raise Refused(404, "Not Found")
        early = self.headers.get("X-Session-API-Key") or self.query.get("session_api_key")
        if early is not None and early != self.agent.key:
            raise Refused(403, "Forbidden")
        accept = base64.b64encode(hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + WEBSOCKET_GUID).digest()).decode()
        self.send_response(101)
        for name, value in (("Upgrade", "WebSocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        if early is None and not self.first_frame_is_good():
            return self.frame(8, struct.pack(">H", 4001) + b"Authentication failed")
        self.push_events()

    def first_frame_is_good(self):
        self.connection.settimeout(FIRST_FRAME_S)
        with contextlib.suppress(OSError, ValueError, AttributeError):
            opcode, payload = self.receive()
            value = json.loads(payload)
            return opcode == 1 and value.get("type") == "auth" and value.get("session_api_key") == self.agent.key
        return False

    def push_events(self):
        queue, gone = [], threading.Event()
        with self.agent.lock:
            if "all" in (self.query.get("resend_mode"), "all" if self.query.get("resend_all") else ""):
                queue += self.agent.events
            self.agent.subscribers.append(queue)
        self.connection.settimeout(None)
        sending = threading.Lock()

        def read():
            with contextlib.suppress(OSError, EOFError, struct.error):
                while True:
                    opcode, payload = self.receive()
                    if opcode == 9:
                        with sending:
                            self.frame(10, payload)
                    if opcode == 8:
                        with sending:
                            self.frame(8, payload[:2])
                        break
            gone.set()
            with self.agent.lock:
                self.agent.lock.notify_all()

        threading.Thread(target=read, daemon=True).start()
        try:
            while not gone.is_set():
                with self.agent.lock:
                    self.agent.lock.wait_for(lambda: queue or gone.is_set(), 1)
                    events, queue[:] = list(queue), []
                for event in events:
                    with sending:
                        self.frame(1, json.dumps(event).encode())
        except OSError:
            pass
        finally:
            with self.agent.lock:
                self.agent.subscribers.remove(next(q for q in self.agent.subscribers if q is queue))

    def receive(self):
        first, second = self.exactly(2)
        length = second & 127
        if length > 125:
            length = struct.unpack(">H" if length == 126 else ">Q", self.exactly(2 if length == 126 else 8))[0]
        mask = self.exactly(4) if second & 128 else b"\0\0\0\0"
        return first & 15, bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.exactly(length)))

    def exactly(self, count):
        data = self.rfile.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def frame(self, opcode, payload):
        size = len(payload)
        head = bytes([size]) if size < 126 else bytes([126]) + struct.pack(">H", size) if size < 65536 else bytes([127]) + struct.pack(">Q",
            size)
        self.wfile.write(bytes([0x80 | opcode]) + head + payload)
        self.wfile.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key-file", type=pathlib.Path, required=True)
    options = parser.parse_args()
    agent = AgentServer(options.port, options.key_file.read_text().strip())
    print(f"agent server at {agent.url}", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        agent.thread.join()
    except KeyboardInterrupt:
        agent.stop()


if __name__ == "__main__":
    sys.exit(main())
