"""The main job on a bare machine: three conversations behind one gateway, every routing kind, one readable report.

    demo.py --bin build/release/bin [--stay] [--small]

Starts `nestgate` (which starts three `nestlet`s) on free ports of loopback, in a temporary folder, and is their client.
Every line of the report was checked; exit code 0 only if all held. With --stay the gateway stays up until Ctrl-C and
addresses, keys and example calls are printed instead. --small moves 64 MiB instead of 1 GiB.
"""

import argparse
import base64
import ctypes
import hashlib
import http.client
import http.server
import io
import json
import pathlib
import secrets
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

DOMAIN = "sandboxes.example.test"
CONVERSATIONS = ["0f8fad5bd9cb469fa16570867728950e", "7c9e66792fd04d2fa5a1e0e4f1b5d9aa", "demo-three"]
KNOWN_SOCKET_IO_SERVER = "socket-io"
PATIENCE_S = 60


def fail(message):
    raise SystemExit(f"demo: {message}")


class Report:
    """What was checked, a line each."""

    def __init__(self):
        self.failures = 0

    def section(self, title):
        print(f"\n{title}")

    def line(self, what, held, figure=""):
        self.failures += not held
        print(f"  {'ok  ' if held else 'FAIL'} {what:<58} {figure}")


class Client:
    """One origin; every call is a request of its own, as curl would send it."""

    def __init__(self, address):
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)

    def call(self, method, path, headers=None, body=None, host=None):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host or f"{self.host}:{self.port}")
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            connection.putheader("Content-Type", "application/json")
        if body is not None or method in ("POST", "PUT"):
            connection.putheader("Content-Length", str(len(body or b"")))
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data

    def json(self, *arguments, **named):
        status, data = self.call(*arguments, **named)
        return status, json.loads(data or b"null")


class WebSocket:
    """Enough of RFC 6455 for a client of text frames."""

    def __init__(self, client, path, headers=None):
        self.socket = socket.create_connection((client.host, client.port), timeout=PATIENCE_S)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        fields = {"Host": "gateway", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key,
                  "Sec-WebSocket-Version": "13", **(headers or {})}
        head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        self.socket.sendall(head.encode())
        self.stream = self.socket.makefile("rb")
        self.status = int(self.stream.readline().split()[1])
        while self.stream.readline() not in (b"\r\n", b""):
            pass

    def send(self, message):
        data = json.dumps(message).encode()
        mask = secrets.token_bytes(4)
        length = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + struct.pack(">H", len(data))
        self.socket.sendall(b"\x81" + length + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))

    def receive(self):
        """(opcode, payload); pings of the gateway are passed over."""
        while True:
            first, second = self.stream.read(2)
            length = second & 127
            if length == 126:
                length = struct.unpack(">H", self.stream.read(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self.stream.read(8))[0]
            payload = self.stream.read(length)
            if first & 15 not in (9, 10):
                return first & 15, payload

    def close(self):
        self.socket.close()


class MemoryCurve:
    """The resident memory of a process while something runs."""

    def __init__(self, pid):
        self.pid, self.samples, self.over = pid, [], threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self.over.wait(0.05):
            self.samples.append(self.resident_kib(self.pid))

    @staticmethod
    def resident_kib(pid):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def __enter__(self):
        self.samples.append(self.resident_kib(self.pid))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.samples.append(self.resident_kib(self.pid))

    def text(self):
        low, high = min(self.samples), max(self.samples)
        step = max(1, len(self.samples) // 24)
        blocks = "▁▂▃▄▅▆▇█"
        scale = max(high, 1)
        curve = "".join(blocks[min(7, sample * 7 // scale)] for sample in self.samples[::step])
        return f"{low / 1024:.1f} to {high / 1024:.1f} MiB  {curve}"

    def growth_mib(self):
        return (max(self.samples) - self.samples[0]) / 1024


class Receiver:
    """A small HTTP server of ours: takes the completion callback, and speaks enough Socket.IO to be routed to."""

    def __init__(self):
        received = self.received = []
        self.arrived = threading.Event()
        arrived = self.arrived

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, text):
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self):
                self.answer(b'0{"sid":"demo-sid-1","upgrades":["websocket"],"pingInterval":25000}' if "sid=" not in self.path else b"6")

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                received.append((self.path, dict(self.headers), json.loads(body)))
                arrived.set()
                self.answer(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def end_with_parent():
    """Also where this script is killed, its gateway (and so every runtime) ends."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Gateway:
    """nestgate in a folder of its own."""

    def __init__(self, bins, folder, receiver, ports):
        self.folder = folder
        self.api_key = secrets.token_urlsafe(32)
        program = bins / "nestgate"
        (folder / "secret").write_text(secrets.token_hex(32))
        (folder / "secret").chmod(0o600)
        hashed = subprocess.run([program, "apikey", "hash"], input=self.api_key, text=True, capture_output=True, check=True).stdout
        (folder / "nestgate.toml").write_text(f"""
[listen]
client = ["127.0.0.1:{ports[0]}"]
admin = "127.0.0.1:{ports[1]}"
[identity]
secret_file = "secret"
[[identity.api_key]]
name = "demo"
role = "admin"
owner = "demo"
hash = "{hashed.strip()}"
[routing]
domain = "{DOMAIN}"
[[runtime.static]]
id = "{KNOWN_SOCKET_IO_SERVER}"
url = "http://127.0.0.1:{receiver.port}"
[automation]
allow_private_callbacks = true
[log]
access = "access.log"
""")
        self.config = folder / "nestgate.toml"
        ready = folder / "ready.json"
        self.process = subprocess.Popen([program, "serve", "--config", self.config, "--ready-file", ready],
                                        stdin=subprocess.DEVNULL, stderr=open(folder / "nestgate.log", "w"),
                                        preexec_fn=end_with_parent)
        deadline = time.monotonic() + PATIENCE_S
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                fail("nestgate did not start:\n" + (folder / "nestgate.log").read_text())
            time.sleep(0.01)
        addresses = json.loads(ready.read_text())
        self.client, self.admin = Client(addresses["client"][0]), Client(addresses["admin"])
        self.bearer = {"Authorization": f"Bearer {self.api_key}"}
        self.keys = {}
        self.key_command = [program, "key", "--config", self.config]

    def start_conversation(self, conversation):
        status, answer = self.client.json("POST", "/api/conversations", self.bearer, {
            "conversation_id": conversation, "settings": {"llm_model": "demo/model"},
            "git_provider_tokens": {"github": "demo-token"}, "secrets": {"DEMO_SECRET": "demo-value"}})
        if status != 201:
            fail(f"conversation {conversation}: {status} {answer}")
        self.keys[conversation] = answer["session_api_key"]
        return answer

    def header(self, conversation):
        return {"X-Session-API-Key": self.keys[conversation]}

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_S)


def tell_starts(gateway, report):
    report.section("Conversations: runtime started, alive, configured (settings, git providers, secrets)")
    for conversation in CONVERSATIONS:
        began = time.monotonic()
        answer = gateway.start_conversation(conversation)
        took = time.monotonic() - began
        report.line(f"{conversation} is {answer['status']}", answer["status"] == "RUNNING", f"{took * 1000:.0f} ms")
    lines = subprocess.run([*gateway.key_command, *CONVERSATIONS], capture_output=True, text=True, check=True).stdout.split("\n")
    derived = dict(line.split(" ") for line in lines if line)
    report.line("`nestgate key` derives the keys that the answers gave", derived == gateway.keys)


def workspace_of(gateway, header):
    """Which runtime answered: a command's working folder is its conversation's own."""
    _, answer = gateway.client.json("POST", "/api/bash/execute_bash_command", header, {"command": "pwd"})
    return answer["stdout"].strip()


def tell_routes(gateway, report):
    client = gateway.client
    first, second, third = CONVERSATIONS
    report.section("Routing: each kind reaches its own nested server")

    def marker(conversation):
        return f"{conversation}-was-here"

    for conversation in CONVERSATIONS:
        path = f"{workspace_of(gateway, gateway.header(conversation))}/marker"
        command = {"command": f"echo {marker(conversation)} > marker"}
        client.json("POST", "/api/bash/execute_bash_command", gateway.header(conversation), command)
        gateway.keys[conversation + ":marker"] = path

    def reads_marker(prefix, conversation, headers, host=None):
        path = gateway.keys[conversation + ":marker"]
        status, data = client.call("GET", f"{prefix}/api/file/download?path={path}", headers, host=host)
        return status == 200 and data.decode().strip() == marker(conversation)

    report.line("session key in a header", all(reads_marker("", c, gateway.header(c)) for c in CONVERSATIONS))
    report.line("host {id}." + DOMAIN, reads_marker("", second, gateway.header(second), host=f"{second}.{DOMAIN}"))
    report.line("prefix /runtime/{id}", reads_marker(f"/runtime/{third}", third, gateway.header(third)))
    routes = json.loads(gateway.admin.call("GET", "/debug/routes")[1])["routes"]
    port = next(route["endpoint"].rsplit(":", 1)[1] for route in routes if route["id"] == first)
    report.line("prefix /runtime/{port}", reads_marker(f"/runtime/{port}", first, gateway.header(first)))
    report.line("API key instead of the session key", reads_marker(f"/runtime/{first}", first, gateway.bearer))

    nested = {"conversation_id": "5d0e1c1e-7f3e-4c55-a3bb-0a6d0f1d2c3b", "agent": {}, "workspace": {"working_dir": "/tmp"}}
    status, made = client.json("POST", "/api/conversations", gateway.header(second), nested)
    status, seen = client.json("GET", f"/api/conversations/{made['id']}/events/count", gateway.bearer)
    report.line("path /api/conversations/{id}, an id its server handed out", status == 200 and isinstance(seen, int))
    status, first_packet = client.call("GET", f"/socket.io/?EIO=4&transport=polling&conversation_id={KNOWN_SOCKET_IO_SERVER}", gateway.bearer)
    by_sid = client.call("GET", "/socket.io/?EIO=4&transport=polling&sid=demo-sid-1", gateway.bearer)
    report.line("Socket.IO by conversation_id, then by sid", status == 200 and first_packet.startswith(b"0{") and by_sid[1] == b"6")

    tunnel = WebSocket(client, "/sockets/bash-events", {})
    tunnel.send({"type": "auth", "session_api_key": gateway.keys[third]})
    tunnel.send({"command": "cat marker"})
    output = ""
    while marker(third) not in output:
        opcode, payload = tunnel.receive()
        if opcode == 8:
            break
        output = payload.decode()
    tunnel.close()
    report.line("websocket that names its key in the first frame", marker(third) in output)
    wrong = WebSocket(client, "/sockets/bash-events", {"X-Session-API-Key": "wrong"})
    opcode, payload = wrong.receive()
    report.line("a wrong key on a websocket: accepted, then closed 4001", opcode == 8 and struct.unpack(">H", payload[:2])[0] == 4001)
    known = client.call("GET", f"/api/conversations/{first}", {"X-Session-API-Key": "wrong", "X-Request-Id": "same"})
    unknown = client.call("GET", "/api/conversations/no-such-one", {"X-Session-API-Key": "wrong", "X-Request-Id": "same"})
    report.line("without a credential known and unknown ids look the same", known == unknown and known[0] == 401)
    return made["id"]


def tell_stream(gateway, report, nested_id):
    report.section("Streaming")
    conversation = CONVERSATIONS[1]
    connection = http.client.HTTPConnection(gateway.client.host, gateway.client.port, timeout=PATIENCE_S)
    connection.request("GET", f"/api/conversations/{nested_id}/events/stream", headers=gateway.header(conversation))
    answer = connection.getresponse()
    message = {"role": "user", "content": [{"type": "text", "text": "hello from the demo"}], "run": False}
    posted = time.monotonic()
    gateway.client.json("POST", f"/api/conversations/{nested_id}/events", gateway.header(conversation), message)
    line = b""
    while b"hello from the demo" not in line:
        line = answer.readline()
        if not line:
            break
    took = time.monotonic() - posted
    connection.close()
    report.line("an event arrives on an open SSE stream", b"hello from the demo" in line, f"{took * 1000:.1f} ms after its POST")


class RepeatingFile:
    """A body of `size` bytes, made as it is read."""

    def __init__(self, head, size, tail):
        self.block = secrets.token_bytes(1 << 20)
        self.digest = hashlib.sha256()
        self.head, self.left, self.tail = head, size, tail
        self.length = len(head) + size + len(tail)

    def pieces(self):
        yield self.head
        while self.left:
            piece = self.block[:min(self.left, len(self.block))]
            self.digest.update(piece)
            self.left -= len(piece)
            yield piece
        yield self.tail


def tell_files(gateway, report, size):
    mib = size >> 20
    report.section(f"{mib} MiB up and down, with the gateway's resident memory")
    conversation = CONVERSATIONS[0]
    path = f"{workspace_of(gateway, gateway.header(conversation))}/large.bin"
    boundary = "demo-boundary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\nContent-Type: application/octet-stream\r\n\r\n'
    body = RepeatingFile(head.encode(), size, f"\r\n--{boundary}--\r\n".encode())
    with MemoryCurve(gateway.process.pid) as curve:
        began = time.monotonic()
        connection = http.client.HTTPConnection(gateway.client.host, gateway.client.port, timeout=PATIENCE_S * 5)
        connection.request("POST", f"/api/file/upload?path={path}", body=body.pieces(), encode_chunked=False, headers={
            "Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(body.length), **gateway.header(conversation)})
        status = connection.getresponse().status
        up = time.monotonic() - began
        connection.close()
        began = time.monotonic()
        connection = http.client.HTTPConnection(gateway.client.host, gateway.client.port, timeout=PATIENCE_S * 5)
        connection.request("GET", f"/api/file/download?path={path}", headers=gateway.header(conversation))
        answer = connection.getresponse()
        digest = hashlib.sha256()
        while piece := answer.read(1 << 20):
            digest.update(piece)
        down = time.monotonic() - began
        connection.close()
    report.line("upload", status == 200, f"{mib / up:.0f} MiB/s")
    report.line("download, same SHA-256", digest.digest() == body.digest.digest(), f"{mib / down:.0f} MiB/s")
    report.line("resident memory stays flat (grows by under 16 MiB)", curve.growth_mib() < 16, curve.text())
    gateway.client.call("POST", "/api/bash/execute_bash_command", gateway.header(conversation), {"command": "rm large.bin"})


SCRIPT = """set -eu
echo "run $AUTOMATION_RUN_ID in sandbox $SANDBOX_ID"
test -n "$SESSION_API_KEY"
python3 - <<'PY'
import json, os, urllib.request
report = {"status": "COMPLETED", "run_id": os.environ["AUTOMATION_RUN_ID"], "cost": 0.25}
request = urllib.request.Request(os.environ["AUTOMATION_CALLBACK_URL"], json.dumps(report).encode(), {
    "Content-Type": "application/json", "Authorization": "Bearer " + os.environ["AUTOMATION_CALLBACK_API_KEY"]})
urllib.request.urlopen(request)
PY
"""


def tarball():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        entry = tarfile.TarInfo("main.sh")
        entry.size = len(SCRIPT)
        archive.addfile(entry, io.BytesIO(SCRIPT.encode()))
    return out.getvalue()


def multipart(fields, files):
    boundary = secrets.token_hex(16)
    parts = []
    for name, value in fields.items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for name, data in files.items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n")
    return f"multipart/form-data; boundary={boundary}", b"".join(parts) + f"--{boundary}--\r\n".encode()


def tell_automation(gateway, report, receiver):
    report.section("Automation: a tarball runs in a conversation's existing runtime")
    content_type, body = multipart({"entrypoint": "bash main.sh", "conversation_id": CONVERSATIONS[2],
                                    "callback_url": f"http://127.0.0.1:{receiver.port}/completed"}, {"tarball": tarball()})
    began = time.monotonic()
    status, run = gateway.client.json("POST", "/api/automation/v1/runs", gateway.bearer | {"Content-Type": content_type}, body)
    report.line("the run is taken", status == 201, f"{status} {run.get('status', run)}")
    arrived = receiver.arrived.wait(PATIENCE_S)
    took = time.monotonic() - began
    completion = receiver.received[0][2] if receiver.received else {}
    held = arrived and completion.get("status") == "COMPLETED" and completion.get("run_id") == run.get("id")
    report.line("its completion is posted", held, f"{took * 1000:.0f} ms after it was asked for")
    _, kept = gateway.client.json("GET", f"/api/automation/v1/runs/{run.get('id')}", gateway.bearer)
    report.line("the run says so too, with its cost", kept.get("status") == "COMPLETED" and kept.get("cost") == 0.25)


def tell_metrics(gateway, report):
    report.section("Metrics (a few of them) and logs")
    text = gateway.admin.call("GET", "/metrics")[1].decode()
    wanted = ("nestgate_requests_total", "nestgate_tunnels_opened_total", "nestgate_runtimes", "nestgate_process_resident_memory_bytes")
    shown = [line for line in text.splitlines() if line.startswith(wanted) and not line.endswith(" 0")]
    for line in shown[:12]:
        print(f"       {line}")
    report.line("Prometheus text", "nestgate_" in text, f"{sum(not l.startswith('#') for l in text.splitlines())} samples")
    logs = (gateway.folder / "access.log").read_text() + (gateway.folder / "nestgate.log").read_text()
    said = [key for name, key in gateway.keys.items() if ":" not in name] + [gateway.api_key]
    report.line("no key appears in any log", not any(key in logs for key in said), f"{logs.count(chr(10))} lines")


def tell_end(gateway, report):
    report.section("The end")
    routes = json.loads(gateway.admin.call("GET", "/debug/routes")[1])["routes"]
    ports = [int(route["endpoint"].rsplit(":", 1)[1]) for route in routes if route["id"] in CONVERSATIONS]
    status, _ = gateway.client.json("POST", f"/api/conversations/{CONVERSATIONS[2]}/stop", gateway.bearer)
    report.line("a conversation stops", status == 200)
    status, _ = gateway.client.call("DELETE", f"/api/conversations/{CONVERSATIONS[2]}", gateway.bearer)
    report.line("and is deleted", status in (200, 204))
    began = time.monotonic()
    code = gateway.stop()
    report.line("SIGTERM drains the gateway", code == 0, f"{(time.monotonic() - began) * 1000:.0f} ms")

    def answers(port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    report.line("no runtime outlives it", not any(answers(port) for port in ports))


def stay(gateway):
    base = f"http://{gateway.client.host}:{gateway.client.port}"
    print(f"nestgate   {base}\nadmin      http://{gateway.admin.host}:{gateway.admin.port}   (/healthz /readyz /metrics /debug/routes)")
    print(f"settings   {gateway.config}\nAPI key    {gateway.api_key}\n")
    for conversation in CONVERSATIONS:
        gateway.start_conversation(conversation)
        print(f"conversation {conversation}\n  session key {gateway.keys[conversation]}")
    conversation = CONVERSATIONS[0]
    key = gateway.keys[conversation]
    print(f"""
curl {base}/api/conversations -H 'Authorization: Bearer {gateway.api_key}'
curl {base}/runtime/{conversation}/server_info -H 'X-Session-API-Key: {key}'
curl {base}/api/bash/execute_bash_command -H 'X-Session-API-Key: {key}' -H 'Content-Type: application/json' -d '{{"command":"uname -a"}}'
curl {base}/alive -H 'Host: {conversation}.{DOMAIN}'

Ctrl-C ends it.""", flush=True)
    try:
        gateway.process.wait()
    except KeyboardInterrupt:
        pass
    return gateway.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--stay", action="store_true")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="nestgate-demo-") as folder:
        receiver = Receiver()
        gateway = Gateway(options.bin.resolve(), pathlib.Path(folder), receiver, (8080, 9090) if options.stay else (0, 0))
        try:
            if options.stay:
                return stay(gateway)
            report = Report()
            began = time.monotonic()
            print(f"nestgate at {gateway.client.host}:{gateway.client.port}")
            tell_starts(gateway, report)
            nested_id = tell_routes(gateway, report)
            tell_stream(gateway, report, nested_id)
            tell_files(gateway, report, (64 << 20) if options.small else (1 << 30))
            tell_automation(gateway, report, receiver)
            tell_metrics(gateway, report)
            tell_end(gateway, report)
            print(f"\n{'everything held' if not report.failures else f'{report.failures} did not hold'}, {time.monotonic() - began:.1f} s")
            return 1 if report.failures else 0
        finally:
            gateway.stop()


if __name__ == "__main__":
    sys.exit(main())
