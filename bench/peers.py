"""The proxies under comparison, each set up for the same job: the conversation is taken from the path, the session key is
set, the forwarded fields are written, connections to the nested server are kept, one thread. Each request is logged to
a file by all of them, or by none."""

import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

SECRET = "bench-secret-that-is-long-enough-0123456789"
CONVERSATION = "0123456789abcdef0123456789abcdef"
OTHERS_KNOWN = [f"{number:032x}" for number in range(1, 100)]
access_logs = False


def session_key(conversation):
    """The compatible derivation: base64url of SHA-256(secret ":" id), without padding."""
    digest = hashlib.sha256(f"{SECRET}:{conversation}".encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def wait_until(ready, what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = ready()
        if result:
            return result
        time.sleep(0.02)
    raise RuntimeError(f"{what} did not come up within {seconds} s")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Program:
    """A child on its own cores, ended by stop_all at the latest."""

    running = []

    def __init__(self, command, cores, log, output=subprocess.PIPE):
        self.log = open(log, "w+b")
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output,
                                        stderr=self.log, preexec_fn=lambda: os.sched_setaffinity(0, cores))
        Program.running.append(self)

    @staticmethod
    def stop_all():
        for program in Program.running:
            program.stop()
        Program.running.clear()

    def listening_port(self):
        """For our own programs: they print where they listen."""
        line = self.process.stdout.readline().decode()
        match = re.match(r"listening (\d+)", line)
        if not match:
            raise RuntimeError(f"{self.process.args[0]} does not listen; see {self.log.name}")
        return int(match.group(1))

    def pids(self):
        """The process and its direct children (nginx's worker)."""
        mine = self.process.pid
        found = [mine]
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                except OSError:
                    continue
                if parent == mine:
                    found.append(int(entry.name))
        return found

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Peer:
    """A started proxy: where it listens and which processes its CPU time is counted in."""

    def __init__(self, name, version, program, port):
        self.name, self.version, self.program, self.port = name, version, program, port
        wait_until(lambda: answers(port) or program.process.poll() is not None, name)
        if program.process.poll() is not None:
            raise RuntimeError(f"{name} did not start: {pathlib.Path(program.log.name).read_text(errors='replace')[:2000]}")
        self.pids = program.pids()


def first_line(command, pattern):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(pattern, done.stdout + done.stderr)
    return match.group(1) if match else "?"


def start_relay(bins, work, origin_port, cores):
    program = Program([bins / "bench_relay", "--origin", f"127.0.0.1:{origin_port}"], cores, work / "relay.log")
    return Peer("relay", "bytes only, no HTTP", program, program.listening_port())


def start_nestgate(bins, work, origin_port, cores):
    (work / "secret").write_text(SECRET)
    (work / "secret").chmod(0o600)
    settings = f"""
[listen]
client = ["127.0.0.1:0"]
threads = 1
admin = "127.0.0.1:0"
[identity]
secret_file = "secret"
[log]
access = "{"nestgate-access.log" if access_logs else "off"}"
[limits]
upstream_connections_per_runtime_max = 16384
upstream_idle_connections_per_runtime_max = 1024
upgrades_per_key_per_second_max = 1000000
"""
    for conversation in [CONVERSATION, *OTHERS_KNOWN]:
        settings += f'[[runtime.static]]\nid = "{conversation}"\nurl = "http://127.0.0.1:{origin_port}"\n'
    (work / "nestgate.toml").write_text(settings)
    ready = work / "ready.json"
    ready.unlink(missing_ok=True)
    program = Program([bins / "nestgate", "serve", "--config", work / "nestgate.toml", "--ready-file", ready], cores,
                      work / "nestgate.log")
    wait_until(lambda: ready.exists() or program.process.poll() is not None, "nestgate")
    if not ready.exists():
        raise RuntimeError("nestgate did not start: " + (work / "nestgate.log").read_text(errors="replace")[:2000])
    port = int(json.loads(ready.read_text())["client"][0].rsplit(":", 1)[1])
    return Peer("nestgate", first_line([bins / "nestgate", "--version"], r"([\d.]+)"), program, port)


def start_nginx(bins, work, origin_port, cores):
    binary = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    port = free_port()
    known = [CONVERSATION, *OTHERS_KNOWN]
    keys = "\n".join(f"    {conversation} {session_key(conversation)};" for conversation in known)
    backends = "\n".join(f"    {conversation} nested;" for conversation in known)
    forwarded = """
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Session-API-Key $session_key;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_pass http://$backend;"""
    temporary = "\n".join(f"  {kind}_temp_path {work}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""
    (work / "nginx.conf").write_text(f"""
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 20000;
pid {work}/nginx.pid;
error_log {work}/nginx-error.log warn;
events {{ worker_connections 16384; }}
http {{
{temporary}
  access_log {f"{work}/nginx-access.log combined buffer=64k flush=1s" if access_logs else "off"};
  server_tokens off;
  keepalive_requests 1000000000;
  map_hash_bucket_size 128;
  map $uri $conversation {{
    ~^/api/conversations/(?<of_path>[^/]+) $of_path;
    ~^/sockets/events/(?<of_socket>[^/]+) $of_socket;
  }}
  map $conversation $session_key {{
{keys}
  }}
  map $conversation $backend {{
{backends}
  }}
  upstream nested {{
    server 127.0.0.1:{origin_port};
    keepalive 1024;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{{forwarded}
      proxy_set_header Connection "";
    }}
    location /sockets/ {{{forwarded}
      proxy_set_header Connection upgrade;
      proxy_set_header Upgrade $http_upgrade;
      proxy_read_timeout 1h;
    }}
  }}
}}
""")
    program = Program([binary, "-e", work / "nginx-error.log", "-p", work, "-c", work / "nginx.conf"], cores, work / "nginx.log")
    return Peer("nginx", first_line([binary, "-v"], r"nginx/([\d.]+)"), program, port)


def start_haproxy(bins, work, origin_port, cores):
    binary = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
    port = free_port()
    known = [CONVERSATION, *OTHERS_KNOWN]
    (work / "haproxy-keys.map").write_text("".join(f"{conversation} {session_key(conversation)}\n" for conversation in known))
    (work / "haproxy-backends.map").write_text("".join(f"{conversation} nested\n" for conversation in known))
    log_target, log_requests = ("log stdout format raw local0", "log global\n  option httplog") if access_logs else ("", "")
    (work / "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn 8192
  {log_target}
defaults
  mode http
  {log_requests}
  option http-keep-alive
  http-reuse always
  timeout client 75s
  timeout server 900s
  timeout connect 5s
  timeout tunnel 1h
frontend clients
  bind 127.0.0.1:{port} backlog 4096
  http-request set-var(txn.conversation) path,field(4,/)
  http-request set-header X-Session-API-Key %[var(txn.conversation),map({work}/haproxy-keys.map)]
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  use_backend %[var(txn.conversation),map({work}/haproxy-backends.map,none)]
backend nested
  server one 127.0.0.1:{origin_port} pool-max-conn 1024
backend none
  http-request return status 404
""")
    with open(work / "haproxy-access.log", "wb") as access_log:
        program = Program([binary, "-db", "-f", work / "haproxy.cfg"], cores, work / "haproxy.log", access_log)
    return Peer("haproxy", first_line([binary, "-v"], r"version ([\d.]+)"), program, port)


STARTERS = {"nestgate": start_nestgate, "nginx": start_nginx, "haproxy": start_haproxy, "relay": start_relay}
