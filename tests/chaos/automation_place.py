"""Where runs of automations go in these scenarios: a nestlet that outlives every gateway, doors around it, stores that can be
kept from writing."""

import contextlib
import fcntl
import http.client
import io
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import tarfile
import time

from doors import Course, GatewayDoor, RuntimeDoor, Sink
from parts import Failed, Gateway, end_with_parent, wait_for
from postgresql import PostgreSQL, postgresql_programs

API = "/api/automation"
RUNTIME = "place"
CRON = {"type": "cron", "schedule": "0 0 1 1 *", "timezone": "UTC"}
START_S = 60

# Reports until it is answered 200.
SCRIPT = """\
echo "$AUTOMATION_RUN_ID $$" >> {log}
until printf 'header = "Authorization: Bearer %s"\\n' "$AUTOMATION_CALLBACK_API_KEY" |
  curl --config - --silent --fail --output /dev/null --max-time 30 --header 'Content-Type: application/json' \\
    --data '{{"status": "COMPLETED", "conversation_id": "of-the-script", "cost": 0.25}}' "$AUTOMATION_CALLBACK_URL"
do sleep 0.05; done
"""


def tarball_of(script):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo("main.sh")
        member.size, member.mode = len(script), 0o755
        archive.addfile(member, io.BytesIO(script.encode()))
    return out.getvalue()


class SqliteStore:
    """`held()` keeps every gateway from writing: SQLite's own lock of its writers, taken without SQLite, so that what a new
    gateway finds is what a dead one left."""

    write_lock_byte = 120  # of the -shm file (https://www.sqlite.org/walformat.html)

    def __init__(self, folder):
        self.file = folder / "store.db"
        self.url = f"sqlite:{self.file}"

    @contextlib.contextmanager
    def held(self):
        with open(f"{self.file}-shm", "r+b") as shared:
            fcntl.lockf(shared, fcntl.LOCK_EX, 1, self.write_lock_byte)
            yield

    def stop(self):
        pass


class PostgresStore:
    def __init__(self, folder):
        self.server = PostgreSQL(folder)
        self.server.start()
        self.url = self.server.url
        self.session = None

    @contextlib.contextmanager
    def held(self):
        session = self._session()
        self._say(session, "BEGIN; LOCK TABLE automation_run, delivery IN EXCLUSIVE MODE;")
        try:
            yield
        finally:
            self._say(session, "ROLLBACK;")

    def _session(self):
        if self.session is None:
            self.session = subprocess.Popen([postgresql_programs() / "psql", "-X", "-q", "-A", "-t", self.url], text=True, bufsize=1,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=end_with_parent)
        return self.session

    @staticmethod
    def _say(session, commands):
        session.stdin.write(f"{commands}\nSELECT 'done';\n")
        session.stdin.flush()
        if session.stdout.readline().strip() != "done":
            raise Failed("PostgreSQL does not answer")

    def stop(self):
        if self.session:
            self.session.stdin.close()
            self.session.wait()
        self.server.stop()


class AutomationPlace:
    """Gateways on one store, one runtime, one receiver, one automation."""

    def __init__(self, bins, folder, store, names, lease):
        self.folder, self.store = folder, store
        self.course = Course(folder / "starts")
        self.sink = Sink(self.course)
        self.home = folder / "gateway"
        self.home.mkdir()
        self.home.chmod(0o755)
        key = secrets.token_urlsafe(32)
        (self.home / "runtime.key").write_text(key)
        (self.home / "runtime.key").chmod(0o600)
        self.nestlet = self._start_nestlet(bins, key)
        self.reporting_to = None  # the gateway that scripts reach
        self.gateway_door = GatewayDoor(self.course, self._address)
        self.runtime_door = RuntimeDoor(self.course, self.server_port)
        self.gateways = [Gateway(bins, self.home, self._settings(lease), name) for name in names]

    def _start_nestlet(self, bins, key):
        ready, keys, work = self.folder / "nestlet.ready", self.folder / "keys", self.folder / "commands"
        work.mkdir()
        keys.write_text(key + "\n")
        keys.chmod(0o600)
        with open(self.folder / "nestlet.log", "w") as log:
            process = subprocess.Popen([bins / "nestlet", "--listen", "127.0.0.1:0", "--workspace", work, "--ready-file", ready,
                                        "--session-key-file", keys], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       preexec_fn=end_with_parent)
        wait_for(lambda: ready.exists() or process.poll() is not None, START_S, 0.005)
        if not ready.exists():
            raise Failed(f"nestlet does not start: {(self.folder / 'nestlet.log').read_text()[-500:]}")
        self.server_port = int(json.loads(ready.read_text())["listen"][0].rpartition(":")[2])
        return process

    def _settings(self, lease):
        return f"""
[store]
url = {json.dumps(self.store.url)}
lease = "{lease}"
[automation]
base_url = "http://127.0.0.1:{self.gateway_door.port}{API}"
target = "conversation:{RUNTIME}"
workspace_base = "{self.folder}/work"
allow_private_callbacks = true
scan_interval = "100ms"
start_timeout = "60s"
delivery_timeout = "10s"
delivery_pause_first = "1s"
[[runtime.static]]
id = "{RUNTIME}"
url = "http://127.0.0.1:{self.runtime_door.port}"
session_api_key_file = "runtime.key"
"""

    def _address(self):
        gateway = self.reporting_to
        if gateway is None or gateway.process is None or gateway.process.poll() is not None:
            return None
        return gateway.client.host, gateway.client.port

    def upload(self, gateway, data):
        """(status, answer)"""
        connection = http.client.HTTPConnection(gateway.client.host, gateway.client.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", f"{API}/v1/uploads?name=code", data, {**gateway.client.headers, "Content-Type": "application/gzip"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def tarball(self):
        return tarball_of(SCRIPT.format(log=self.folder / "starts"))

    def body_of(self, upload):
        return {"name": "chaos", "trigger": CRON, "tarball_path": upload["tarball_path"], "entrypoint": "sh main.sh", "timeout": 600,
                "callback_url": f"http://127.0.0.1:{self.sink.port}/"}

    def make_automation(self, gateway):
        status, upload = self.upload(gateway, self.tarball())
        if status != 201:
            raise Failed(f"an upload answers {status} {upload}")
        status, automation = gateway.client.call("POST", f"{API}/v1", self.body_of(upload))
        if status != 201:
            raise Failed(f"an automation answers {status} {automation}")
        return automation["id"]

    def dispatch(self, gateway, automation):
        status, run = gateway.client.call("POST", f"{API}/v1/{automation}/dispatch")
        if status != 201:
            raise Failed(f"a dispatch answers {status} {run}")
        return run["id"]

    def remains_of(self, run):
        """In the runtime's /tmp and its private folder, but for the guards, which keep late starts out."""
        top = pathlib.Path("/tmp")
        found = [path for folder in (top, top / f"nestgate-private-{os.getuid()}") for path in folder.glob(f"automation-{run}*")]
        return [str(path.relative_to(top)) for path in found if ".start-" not in path.name]

    def guards(self):
        """Of all runs."""
        known = {run.id for run in self.course.all()}
        links = [path for path in pathlib.Path("/tmp").glob("automation-*.start-*") if path.is_symlink()]
        return [path for path in links if path.name.removeprefix("automation-").partition(".")[0] in known]

    def age_guards(self, count):
        """So many of them; the others are not there any more."""
        for path in self.guards()[count:]:
            path.unlink(missing_ok=True)
        long_ago = time.time() - 2 * 86_400
        for path in self.guards():
            os.utime(path, (long_ago, long_ago), follow_symlinks=False)

    def forget(self, runs):
        for run in runs:
            for name in self.remains_of(run.id):
                (pathlib.Path("/tmp") / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / "work" / "automation-runs" / run.id, ignore_errors=True)

    def stop(self):
        try:
            for gateway in self.gateways:
                gateway.stop()
        finally:
            self.nestlet.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.nestlet.wait(20)
            self.store.stop()
            for path in self.guards():
                path.unlink(missing_ok=True)
            self.forget(self.course.all())
