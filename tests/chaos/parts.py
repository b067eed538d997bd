"""What the scenarios are made of: a gateway that can be killed, its clients, processes, a report."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from scenario import Failed, Report, adopt_orphans, children, end_what_is_left, end_with_parent, wait_for  # noqa: E402, F401

CALL_S = 120
SETTLED_S = 10  # the bound: from the new gateway's start to a settled state of everything
SETTLED = {"RUNNING", "PAUSED", "STOPPED", "ERROR"}


def at_once(work, items):
    """`work(item)` of all at the same time; the results in order."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(items))) as pool:
        return list(pool.map(work, items))


def reap_orphans(known):
    """`known` are the ids of children that somebody else waits for."""
    for pid in children():
        if pid not in known:
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)


def is_zombie(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def servers_below(folder):
    """{conversation: ids of the processes whose working directory is in its folder}."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and not is_zombie(entry.name):
            with contextlib.suppress(OSError):
                place = os.readlink(entry / "cwd")
                if place.startswith(f"{folder}/"):
                    found.setdefault(place[len(str(folder)) + 1:].split("/")[0], []).append(int(entry.name))
    return found


class Client:
    """One origin; every call is a connection of its own."""

    def __init__(self, address, headers=None):
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)
        self.headers = headers or {}

    def call(self, method, path, body=None, headers=None, seconds=CALL_S):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=seconds)
        fields = {**self.headers, **(headers or {})}
        if body is not None:
            body = json.dumps(body).encode()
            fields["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(data or b"null")
        except ValueError:
            return answer.status, data.decode(errors="replace")

    def status(self, *arguments, **named):
        """0: nobody answers."""
        try:
            return self.call(*arguments, **named)[0]
        except (OSError, http.client.HTTPException):
            return 0


class Gateway:
    """nestgate on a folder that outlives it: killed and started again it finds its store."""

    def __init__(self, bins, folder, settings, name="gateway"):
        """`settings`: TOML behind what every gateway here has. `name`: of two on one folder each has its own."""
        self.bins, self.folder, self.name = bins, folder, name
        self.api_key = None
        self.process = None
        folder.mkdir(parents=True, exist_ok=True)
        secret, key = folder / "secret", folder / "api-key"
        if not secret.exists():
            secret.write_text(secrets.token_hex(32))
            key.write_text(secrets.token_urlsafe(32))
            secret.chmod(0o600)
        self.api_key = key.read_text()
        hashed = subprocess.run([bins / "nestgate", "apikey", "hash"], input=self.api_key, text=True, capture_output=True,
                                check=True).stdout.strip()
        self.config = folder / f"{name}.toml"
        self.config.write_text(f"""
[listen]
client = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
threads = 2
[identity]
secret_file = "secret"
[[identity.api_key]]
name = "chaos"
role = "admin"
owner = "chaos"
hash = "{hashed}"
[log]
access = "off"
{settings}
""")

    def start(self):
        """Returns the seconds until it is ready."""
        ready = self.folder / f"{self.name}.ready"
        ready.unlink(missing_ok=True)
        began = time.monotonic()
        with open(self.folder / f"{self.name}.log", "a") as log:
            self.process = subprocess.Popen(
                [self.bins / "nestgate", "serve", "--config", self.config, "--ready-file", ready],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent)
        wait_for(lambda: ready.exists() or self.process.poll() is not None, 60, 0.002)
        if not ready.exists():
            raise Failed(f"the gateway does not start: {self.last_lines()}")
        addresses = json.loads(ready.read_text())
        self.client = Client(addresses["client"][0], {"Authorization": f"Bearer {self.api_key}"})
        self.admin = Client(addresses["admin"])
        if not wait_for(lambda: self.admin.status("GET", "/readyz") == 200, 60, 0.002):
            raise Failed("the gateway is not ready")
        return time.monotonic() - began

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
            if self.process.poll() is None:
                self.kill()
                raise Failed("the gateway does not end at SIGTERM")

    def last_lines(self, count=3):
        return " | ".join((self.folder / f"{self.name}.log").read_text().splitlines()[-count:])

    def create(self, conversation, **body):
        return self.client.call("POST", "/api/conversations", {"conversation_id": conversation, **body})

    def must_create(self, conversation, **body):
        status, answer = self.create(conversation, **body)
        if status not in (200, 201):
            raise Failed(f"{conversation} does not start: {status} {answer}")
        return answer

    def show(self, conversation):
        status, answer = self.client.call("GET", f"/api/conversations/{conversation}")
        return answer if status == 200 else None

    def states(self):
        """{conversation: status} of all."""
        found, page = {}, ""
        while page is not None:
            status, answer = self.client.call("GET", f"/api/conversations?limit=1000{page}")
            if status != 200:
                raise Failed(f"the list answers {status}")
            found.update({entry["conversation_id"]: entry["status"] for entry in answer["results"]})
            page = answer["next_page_id"] and f"&page_id={answer['next_page_id']}"
        return found

    def settle(self, seconds=SETTLED_S):
        """The states once each is settled, or as they are after so long."""
        seen = {}

        def settled():
            seen.clear()
            seen.update(self.states())
            return set(seen.values()) <= SETTLED

        wait_for(settled, seconds)
        return seen

    def key_of(self, conversation):
        """As it is derived: what a client has had all along."""
        said = subprocess.run([self.bins / "nestgate", "key", "--config", self.config, conversation], text=True,
                              capture_output=True, check=True).stdout
        return said.split()[1]

    def opens(self, conversation, key, path="/api/bash/bash_events/search"):
        """Whether the session key alone, as a client has it, gets an answer of the nested server."""
        stranger = Client(f"{self.client.host}:{self.client.port}")
        return stranger.status("GET", f"/runtime/{conversation}{path}", headers={"X-Session-API-Key": key}) == 200
