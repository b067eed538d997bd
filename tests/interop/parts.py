"""What the scenarios are made of: a nestgate, a real agent server that nestgate did not start, a raw websocket, a report."""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import re
import secrets
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from scenario import Failed, Report, Told, adopt_orphans, end_what_is_left, end_with_parent, wait_for  # noqa: E402, F401

DOMAIN = "sandboxes.interop.test"
# A server needs 10 to 18 s on two idle cores, most of it imports.
START_S = 300
CALL_S = 60

# Beyond what nestgate sets by itself (PATH, HOME, LANG, the key): agent_server.md 3.2. Relative paths are below the
# server's working directory, which is its conversation's own.
SERVER_ENVIRONMENT = {
    "OH_ENABLE_VSCODE": "false", "OH_PRELOAD_TOOLS": "false", "LOG_JSON": "true",
    "OH_CONVERSATIONS_PATH": "state/conversations", "OH_BASH_EVENTS_DIR": "state/bash", "OH_PERSISTENCE_DIR": "state/settings",
    "OH_WORKSPACE_PATH": "state/work", "OH_CONVERSATION_WORKTREE_ROOT": "state/worktrees",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENHANDS_SUPPRESS_BANNER": "1", "DO_NOT_TRACK": "1",
    "NO_PROXY": "127.0.0.1,localhost",
}


class Stopwatch:
    def __init__(self):
        self.began = time.monotonic()

    def __str__(self):
        return f"{self.seconds():.1f} s"

    def seconds(self):
        return time.monotonic() - self.began


@contextlib.contextmanager
def names_on_loopback():
    """Every name below DOMAIN is 127.0.0.1 for this process; no resolver on the machine needs to know."""
    real = socket.getaddrinfo

    def patched(host, *arguments, **named):
        name = host.decode() if isinstance(host, bytes) else host
        return real("127.0.0.1" if name and name.endswith("." + DOMAIN) else host, *arguments, **named)

    socket.getaddrinfo = patched
    try:
        yield
    finally:
        socket.getaddrinfo = real


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def processes_below(folder):
    """The command lines of processes whose working directory is below `folder`."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if os.readlink(entry / "cwd").startswith(f"{folder}/"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:90]
    return found


class Client:
    """One origin; every call is a request of its own."""

    def __init__(self, address):
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)
        self.url = f"http://{address}"

    def call(self, method, path, headers=None, body=None, seconds=CALL_S):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=seconds)
        fields = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            fields["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def json(self, *arguments, **named):
        status, data = self.call(*arguments, **named)
        try:
            return status, json.loads(data or b"null")
        except ValueError:
            return status, data.decode(errors="replace")

    def status(self, *arguments, **named):
        """0: nobody listens."""
        try:
            return self.call(*arguments, **named)[0]
        except OSError:
            return 0


class WebSocket:
    """Enough of RFC 6455 to be a client that reads, or one that does not. No extension is offered."""

    def __init__(self, client, path, headers=None, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(CALL_S)
        self.socket.connect((client.host, client.port))
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        fields = {"Host": f"{client.host}:{client.port}", "Upgrade": "websocket", "Connection": "Upgrade",
                  "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13", **(headers or {})}
        self.socket.sendall((f"GET {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items()) + "\r\n").encode())
        # Not buffered: what is not asked for stays in the kernel, so a client that does not read is one.
        self.stream = self.socket.makefile("rb", buffering=0)
        self.status = int(self._head_line().split()[1])
        while self._head_line():
            pass

    def _head_line(self):
        line = b""
        while not line.endswith(b"\r\n"):
            byte = self.stream.read(1)
            if not byte:
                raise Failed("the websocket's handshake broke off")
            line += byte
        return line.decode().rstrip()

    def _exactly(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.stream.read(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def send(self, message):
        data = json.dumps(message).encode()
        mask = secrets.token_bytes(4)
        length = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + struct.pack(">H", len(data))
        self.socket.sendall(b"\x81" + length + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))

    def receive(self):
        """(opcode, payload) of the next frame that is no ping or pong."""
        while True:
            first, second = self._exactly(2)
            length = second & 127
            if length == 126:
                length = struct.unpack(">H", self._exactly(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self._exactly(8))[0]
            payload = self._exactly(length)
            if first & 15 not in (9, 10):
                return first & 15, payload

    def event(self):
        """The next event; ("close", code, reason) and ("gone",) are the ends."""
        try:
            opcode, payload = self.receive()
        except (EOFError, ConnectionError):
            return ("gone",)
        if opcode == 8:
            return ("close", struct.unpack(">H", payload[:2])[0] if len(payload) > 1 else 1005, payload[2:].decode())
        return json.loads(payload)

    def close(self):
        self.stream.close()
        self.socket.close()


class Listener(threading.Thread):
    """Reads a conversation's events as a websocket client of its own, to the socket's end."""

    def __init__(self, client, conversation, key):
        super().__init__(daemon=True)
        self.changed = threading.Condition()
        self.events, self.end = [], None
        self.socket = WebSocket(client, f"/sockets/events/{conversation}")
        self.socket.send({"type": "auth", "session_api_key": key})
        self.start()

    def run(self):
        while True:
            try:
                event = self.socket.event()
            except (OSError, ValueError) as e:
                event = ("failed", str(e))
            with self.changed:
                if isinstance(event, tuple):
                    self.end = event
                else:
                    self.events.append(event)
                self.changed.notify_all()
                if self.end:
                    return

    def wait(self, condition, seconds=CALL_S):
        with self.changed:
            return self.changed.wait_for(lambda: condition(self), seconds)


def has_full_state(status):
    def holds(listener):
        return any(e.get("key") == "full_state" and e["value"].get("execution_status") == status for e in listener.events)
    return holds


def toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml(item)}" for name, item in value.items()) + " }"
    return json.dumps(value)


class Gateway:
    """nestgate in a folder of its own. `sections`: what the settings have beyond the usual, by table name."""

    def __init__(self, bins, folder, sections=None, statics=()):
        self.program, self.folder = bins / "nestgate", folder
        folder.mkdir(parents=True, exist_ok=True)
        self.api_key = secrets.token_urlsafe(32)
        (folder / "secret").write_text(secrets.token_hex(32))
        (folder / "secret").chmod(0o600)
        hashed = subprocess.run([self.program, "apikey", "hash"], input=self.api_key, text=True, capture_output=True, check=True)
        tables = {
            "listen": {"client": ["127.0.0.1:0"], "admin": "127.0.0.1:0"},
            "identity": {"secret_file": "secret"},
            "routing": {"domain": DOMAIN},
            "runtime.process": {"command": [sys.executable, "-m", "openhands.agent_server", "--host", "127.0.0.1", "--port", "{port}"],
                                "environment": SERVER_ENVIRONMENT},
            "log": {"access": "access.log"},
        }
        for name, table in (sections or {}).items():
            tables[name] = tables.get(name, {}) | table
        self.tables = tables
        self.arrays = [("identity.api_key", {"name": "interop", "role": "admin", "owner": "interop", "hash": hashed.stdout.strip()})]
        for static in statics:
            (folder / f"{static.id}.key").write_text(static.key)
            (folder / f"{static.id}.key").chmod(0o600)
            self.arrays.append(("runtime.static", {"id": static.id, "url": static.client.url, "session_api_key_file": f"{static.id}.key"}))
        self.bearer = {"Authorization": f"Bearer {self.api_key}"}
        self.process = None
        self.start()

    def start(self):
        config, ready = self.folder / "nestgate.toml", self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        text = "".join(f"[{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in table.items())
                       for name, table in self.tables.items())
        text += "".join(f"[[{name}]]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in table.items())
                        for name, table in self.arrays)
        config.write_text(text)
        with open(self.folder / "nestgate.log", "a") as log:
            self.process = subprocess.Popen([self.program, "serve", "--config", config, "--ready-file", ready],
                                            stdin=subprocess.DEVNULL, stderr=log, preexec_fn=end_with_parent)
        wait_for(lambda: ready.exists() or self.process.poll() is not None, CALL_S)
        if not ready.exists():
            raise Failed("nestgate did not start: " + (self.folder / "nestgate.log").read_text()[-2000:])
        addresses = json.loads(ready.read_text())
        self.client, self.admin = Client(addresses["client"][0]), Client(addresses["admin"])
        # A gateway that is started anew is to be found where its clients know it. Its admin address is a new one, since the
        # old gateway keeps its own while it drains.
        self.tables["listen"]["client"] = addresses["client"]

    def host_url(self, conversation):
        return f"http://{conversation}.{DOMAIN}:{self.client.port}"

    def begin_stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process

    def stop(self):
        if self.process.poll() is None:
            self.begin_stop()
        try:
            return self.process.wait(CALL_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "killed"

    def metric(self, name):
        """The sum of its samples."""
        text = self.admin.call("GET", "/metrics")[1].decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))

    def logs(self):
        return "".join((self.folder / name).read_text() for name in ("nestgate.log", "access.log") if (self.folder / name).exists())


class AgentServer:
    """The real one, started by hand: for nestgate a static runtime."""

    def __init__(self, name, folder):
        self.id, self.folder = name, folder
        self.key = secrets.token_urlsafe(32)
        for below in ("home", "tmp", "work"):
            (folder / below).mkdir(parents=True)
        self.client = Client(f"127.0.0.1:{free_port()}")
        self.process = None

    def start(self):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp"),
                       "LANG": "C.UTF-8", "SESSION_API_KEY": self.key, "OH_SECRET_KEY": "interop-secret", **SERVER_ENVIRONMENT}
        with open(self.folder / "server.log", "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "openhands.agent_server", "--host", "127.0.0.1", "--port", str(self.client.port)],
                cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent)

    def wait_alive(self):
        alive = wait_for(lambda: self.client.status("GET", "/alive") == 200 or self.process.poll() is not None, START_S, 0.2)
        if not alive or self.process.poll() is not None:
            raise Failed("the agent server did not start: " + (self.folder / "server.log").read_text()[-2000:])

    def end(self, by):
        """By that signal; SIGKILL once it had its time."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(by)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
