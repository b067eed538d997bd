"""What has a bound, measured over HTTP by one client."""

import base64
import http.client
import http.server
import json
import os
import secrets
import select
import socket
import statistics
import threading
import time
import uuid

from engine import IMAGE
from parts import Failed, Gateway, at_once, wait_for

STARTS, DOCKER_STARTS, LISTED, ROUTES, SINGLES, SOCKETS = 50, 15, 2_000, 50_000, 1_000, 100
BATCH = 5_000
TALKS = 4  # a server takes 48 subscribers


class Line:
    """One connection that is kept; as little as can be between the clock and the gateway."""

    def __init__(self, gateway):
        self.connection = http.client.HTTPConnection(gateway.client.host, gateway.client.port, timeout=120)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.headers = gateway.client.headers

    def call(self, method, path, body=None):
        """(seconds, status, the body as it came)."""
        began = time.perf_counter()
        self.connection.request(method, path, body, self.headers)
        answer = self.connection.getresponse()
        data = answer.read()
        return time.perf_counter() - began, answer.status, data


class Figures:
    def __init__(self, report, bins, folder, is_checked):
        self.report, self.bins, self.folder, self.is_checked = report, bins, folder, is_checked

    def tell(self, what, seconds, bound):
        value = f"{seconds * 1000:.2f} ms (bound {bound * 1000:g} ms)"
        if self.is_checked:
            self.report.line(what, seconds < bound, value)
        else:
            self.report.figure(what, value)

    def gateway(self, name, settings):
        gateway = Gateway(self.bins, self.folder / name, settings)
        gateway.start()
        return gateway


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def start_times(gateway, prefix, count, settle=None):
    line, out = Line(gateway), []
    for i in range(count):
        if settle:
            settle()
        seconds, status, data = line.call("POST", "/api/conversations", json.dumps({"conversation_id": f"{prefix}{i}"}))
        if status != 201 or b'"RUNNING"' not in data:
            raise Failed(f"a start: {status} {data[:200]}")
        out.append(seconds)
    return out


def process_starts(figures):
    gateway = figures.gateway("starts", "[runtime]\nprovider = \"process\"\n")
    try:
        figures.tell(f"start of a nestlet process, until RUNNING: median of {STARTS}",
                     statistics.median(start_times(gateway, "s", STARTS)), 0.050)
    finally:
        gateway.stop()


def warm_starts(figures):
    gateway = figures.gateway("warm", "[runtime]\nprovider = \"process\"\n[conversations]\nwarm_runtimes = 4\n")

    def until_ready():
        def is_ready():
            return "\nnestgate_warm_runtimes 4\n" in gateway.admin.call("GET", "/metrics")[1]

        if not wait_for(is_ready, 30, 0.01):
            raise Failed("the warm pool does not fill")

    try:
        times = start_times(gateway, "w", STARTS, until_ready)
        warm = f"\nnestgate_runtime_starts_warm_total {STARTS}\n" in gateway.admin.call("GET", "/metrics")[1]
        figures.report.line("every start was from the warm pool", warm)
        figures.tell(f"start from the warm pool: median of {STARTS}", statistics.median(times), 0.010)
    finally:
        gateway.stop()


def engine_start(engine, number):
    """Seconds of create and start, and until its server answers."""
    body = {"Image": IMAGE, "Entrypoint": ["nestlet", "--listen", "0.0.0.0:8000", "--workspace", "/workspace"],
            "ExposedPorts": {"8000/tcp": {}},
            "HostConfig": {"Binds": ["/usr:/usr:ro"], "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}}}
    began = time.perf_counter()
    status, made = engine.ask("POST", f"/containers/create?name=bare{number}", body)
    if status != 201 or engine.ask("POST", f"/containers/{made['Id']}/start")[0] != 204:
        raise Failed(f"the engine: {status} {made}")
    started = time.perf_counter() - began
    port = engine.ask("GET", f"/containers/{made['Id']}/json")[1]["NetworkSettings"]["Ports"]["8000/tcp"][0]["HostPort"]
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)
            connection.request("GET", "/alive")
            if connection.getresponse().status == 200:
                break
        except (OSError, http.client.HTTPException):
            time.sleep(0.002)
    return made["Id"], started, time.perf_counter() - began


def docker_starts(figures, engine):
    from docker_scenarios import settings
    gateway = figures.gateway("docker", settings(engine))
    line = Line(gateway)
    ours, theirs, alive, over = [], [], [], []
    try:
        for i in range(DOCKER_STARTS):
            container, started, answered = engine_start(engine, i)
            engine.ask("DELETE", f"/containers/{container}?force=1&v=1")
            seconds, status, data = line.call("POST", "/api/conversations", json.dumps({"conversation_id": f"f{i}"}))
            if status != 201:
                raise Failed(f"a start: {status} {data[:200]}")
            line.call("DELETE", f"/api/conversations/f{i}")
            ours.append(seconds), theirs.append(started), alive.append(answered), over.append(seconds - started)
    finally:
        gateway.stop()
        engine.remove_containers()
    figures.report.figure("start on Docker: through nestgate; the engine's create and start; until its server answers",
                          " / ".join(f"{statistics.median(all_) * 1000:.0f} ms" for all_ in (ours, theirs, alive)))
    figures.tell(f"what nestgate adds to the engine's create and start: median of {DOCKER_STARTS} pairs", statistics.median(over), 0.050)


def listing(figures):
    gateway = figures.gateway("list", f"""
[runtime]
provider = "process"
conversations_max = {LISTED + 10}
[runtime.process]
runtimes_max = {LISTED + 10}
cgroup = false
stop_grace = "1s"
""")
    try:
        began = time.monotonic()
        lines = at_once(lambda worker: start_times(gateway, f"n{worker}-", LISTED // 16), range(16))
        took = time.monotonic() - began
        figures.report.figure(f"{sum(map(len, lines))} conversations on nestlets started by 16 clients", f"{took:.0f} s")
        line, totals = Line(gateway), []
        for _ in range(9):
            seconds, seen, page = 0.0, 0, ""
            while page is not None:
                took, status, data = line.call("GET", f"/api/conversations?limit=100{page}")
                seconds += took
                answer = json.loads(data)
                seen += len(answer["results"])
                page = answer["next_page_id"] and f"&page_id={answer['next_page_id']}"
            if seen != sum(map(len, lines)):
                raise Failed(f"{seen} are listed")
            totals.append(seconds)
        figures.tell(f"list of all {seen} in pages of 100 on one connection: median of 9", statistics.median(totals), 0.020)
    finally:
        gateway.stop()


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def open_socket(gateway, conversation, key):
    """A websocket that stays; its handshake's answer is read."""
    made = socket.create_connection((gateway.client.host, gateway.client.port))
    made.sendall(f"GET /sockets/events/{conversation}?session_api_key={key} HTTP/1.1\r\nHost: {gateway.client.host}\r\n"
                 "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = made.recv(1)
        if not piece:
            raise Failed("a websocket was closed in its handshake")
        head += piece
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise Failed(f"a websocket: {head[:60]}")
    return made


def is_open(one):
    """Only pings may have come."""
    while select.select([one], [], [], 0)[0]:
        frame = one.recv(65536)
        if not frame or frame[0] & 15 == 8:
            return False
    return True


def routes(figures):
    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{origin.server_address[1]}"
    gateway = figures.gateway("routes", f"""
[runtime]
provider = "process"
conversations_max = {2 * ROUTES}
[limits]
upgrades_per_key_per_second_max = 1000
[timeouts]
tunnel_ping = "10m"
""")
    try:
        talks = [str(uuid.uuid4()) for _ in range(TALKS)]
        keys = [gateway.must_create(talk, settings={"llm_model": "m", "llm_api_key": "k"}, initial_user_msg="hello")["session_api_key"]
                for talk in talks]
        sockets = [open_socket(gateway, talk, key) for talk, key in zip(talks, keys) for _ in range(SOCKETS // TALKS)]
        line = Line(gateway)
        put = lambda first, count: json.dumps({"put": [{"id": f"r{i}", "url": url} for i in range(first, first + count)]})
        bodies = [put(first, BATCH) for first in range(0, ROUTES, BATCH)]
        times = []
        for body in bodies:
            seconds, status, data = line.call("POST", "/api/routes", body)
            if status != 200 or json.loads(data)["put"] != BATCH:
                raise Failed(f"a batch: {status} {data[:200]}")
            times.append(seconds)
        rate = ROUTES / sum(times)
        shown = f"{rate:,.0f} a second (bound 20,000), slowest batch {max(times) * 1000:.0f} ms"
        if figures.is_checked:
            figures.report.line(f"{ROUTES:,} static routes added in batches of {BATCH:,}", rate >= 20_000, shown)
        else:
            figures.report.figure(f"{ROUTES:,} static routes added in batches of {BATCH:,}", shown)
        one = json.dumps({"url": url})
        added = [line.call("PUT", f"/api/routes/x{i}", one)[0] for i in range(SINGLES)]
        removed = [line.call("DELETE", f"/api/routes/x{i}")[0] for i in range(SINGLES)]
        for what, all_ in (("added", added), ("removed", removed)):
            figures.report.figure(f"one route {what}, beside {ROUTES:,}: median of {SINGLES}", f"{statistics.median(all_) * 1000:.2f} ms")
            figures.tell(f"one route {what}, beside {ROUTES:,}: p99 of {SINGLES}", percentile(all_, 0.99), 0.001)
        took, status, _ = line.call("POST", "/api/routes", json.dumps({"remove": [f"r{i}" for i in range(BATCH)]}))
        figures.report.figure(f"{BATCH:,} routes removed in one batch", f"{took * 1000:.0f} ms, {status}")
        line.call("POST", "/api/routes", put(0, BATCH))
        figures.report.line(f"{SOCKETS} websockets open all the while: none was dropped", all(map(is_open, sockets)))
        bare = [restart_time(gateway) for _ in range(3)]
        with_none = figures.gateway("bare", "[runtime]\nprovider = \"process\"\n")
        empty = statistics.median(restart_time(with_none) for _ in range(3))
        with_none.stop()
        served = at_once(lambda i: gateway.opens(f"r{i}", gateway.key_of(f"r{i}"), "/any"), [0, ROUTES // 2, ROUTES - 1])
        figures.report.line("after a restart they are served", all(served), served)
        figures.report.figure("restart without any route, to ready", f"{empty * 1000:.0f} ms")
        figures.tell(f"restart with {ROUTES:,} routes, from the program's start to ready: median of 3", statistics.median(bare), 1.0)
    finally:
        gateway.stop()
        origin.shutdown()


def restart_time(gateway):
    gateway.kill()
    return gateway.start()


def run(report, bins, folder, engine, is_checked):
    report.section(f"figures ({os.cpu_count()} processors, load {os.getloadavg()[0]:.1f})")
    figures = Figures(report, bins, folder, is_checked)
    parts = [process_starts, warm_starts, routes, listing]
    if engine:
        parts.append(lambda all_: docker_starts(all_, engine))
    for part in parts:
        try:
            part(figures)
        except (Failed, OSError, http.client.HTTPException) as problem:
            report.line(f"{getattr(part, '__name__', 'figure')} is measured to its end", False, problem)
