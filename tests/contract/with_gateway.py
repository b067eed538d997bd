"""The contract's tests against nestgate in local mode: starts it on a store of its own, runs them, ends what it started.

    with_gateway.py --nestgate build/release/bin/nestgate --store sqlite|postgresql [--set KEY=TOML] [--keep] [-- OPTIONS OF run.py]

The exit code is 0 only if all held. PostgreSQL is Debian's; as root it runs as another user, since initdb refuses root.
"""

import argparse
import json
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile

import run

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from postgresql import PostgreSQL, free_port, told  # noqa: E402
from scenario import Failed, adopt_orphans, end_what_is_left, end_with_parent, wait_for  # noqa: E402

PREFIX = "/api/automation"
START_S, STOP_S = 60, 60  # a drain may take its grace of 30 s

# Deadlines that are seen soon, and work directories that anybody may make. One that this nestgate does not have is left out.
WISHES = {"automation.report_margin": '"1s"', "automation.watch_interval": '"250ms"', "automation.start_timeout": '"2s"',
          "automation.workspace_base": '"{folder}/workspace"'}


class Gateway:
    """nestgate with one static runtime, which the tests play."""

    def __init__(self, program, folder, store_url, more):
        self.program, self.folder, self.process = program, folder, None
        self.port, self.agent_port = free_port(), free_port()
        for name in ("local", "agent", "kv", "webhook", "second"):
            (folder / f"{name}.key").write_text(secrets.token_urlsafe(32))
            (folder / f"{name}.key").chmod(0o600)
        (folder / "secret").write_text(secrets.token_hex(32))
        (folder / "secret").chmod(0o600)
        hashed = told([program, "apikey", "hash"], input=(folder / "second.key").read_text())
        self.tables = {
            "listen": {"client": f'["127.0.0.1:{self.port}"]', "admin": '"127.0.0.1:0"', "threads": "2"},
            "identity": {"secret_file": '"secret"'},
            "store": {"url": json.dumps(store_url)},
            "automation": {"base_url": f'"{self.origin}{PREFIX}"', "target": '"conversation:agent"', "local_api_key_file": '"local.key"',
                           "kv_secret_file": '"kv.key"',
                           "webhook_secret_file": '"webhook.key"', "allow_private_callbacks": "true"},
        }
        self.arrays = [("identity.api_key", {"name": '"second"', "role": '"automation"', "owner": '"second"', "hash": json.dumps(hashed)}),
                       ("runtime.static", {"id": '"agent"', "url": f'"http://127.0.0.1:{self.agent_port}"',
                                           "session_api_key_file": '"agent.key"'})]
        self.config, self.ready = folder / "nestgate.toml", folder / "ready.json"
        self.write()
        for key, value in WISHES.items():
            if self.check_with(key, value.format(folder=folder)):
                print(f"this nestgate has no {key}", flush=True)
        for key, value in more.items():
            self.set(key, value)
        self.write()

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.port}"

    def set(self, key, value):
        table, _, name = key.rpartition(".")
        self.tables.setdefault(table, {})[name] = value

    def check_with(self, key, value):
        """Whether the settings are worse with the key; it stays only where they are not."""
        before = self.faults()
        self.set(key, value)
        self.write()
        worse = len(self.faults()) > len(before)
        if worse:
            table, _, name = key.rpartition(".")
            del self.tables[table][name]
            self.write()
        return worse

    def faults(self):
        return subprocess.run([self.program, "check", "--config", self.config], capture_output=True, text=True,
                              timeout=START_S).stderr.splitlines()

    def write(self):
        def lines(head, table):
            return head + "\n" + "".join(f"{key} = {value}\n" for key, value in table.items())
        self.config.write_text("".join(lines(f"[{name}]", table) for name,
                                       table in self.tables.items()) + "".join(lines(f"[[{name}]]", table) for name, table in self.arrays))

    def start(self):
        self.ready.unlink(missing_ok=True)
        with open(self.folder / "nestgate.log", "a") as log:
            self.process = subprocess.Popen([self.program, "serve", "--config", self.config, "--ready-file", self.ready], cwd=self.folder,
                                            stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=end_with_parent)
        wait_for(lambda: self.ready.exists() or self.process.poll() is not None, START_S)
        if not self.ready.exists():
            raise Failed("nestgate does not start: " + (self.folder / "nestgate.log").read_text()[-2000:])

    def restart(self):
        """Killed, and started again on its store."""
        self.process.kill()
        self.process.wait()
        self.start()

    def stop(self):
        """Its exit code; None if it had to be killed or never ran."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


def test(options, folder):
    store = PostgreSQL(folder) if options.store == "postgresql" else None
    gateway = None
    try:
        if store:
            store.start()
        more = dict(item.split("=", 1) for item in options.set)
        gateway = Gateway(options.nestgate.absolute(), folder, store.url if store else "sqlite:nestgate.db", more)
        gateway.start()
        files = [f"--{name}={folder / file}" for name,
                 file in (("api-key-file", "local.key"), ("agent-key-file", "agent.key"), ("kv-secret-file", "kv.key"),
                                                                 ("webhook-secret-file", "webhook.key"), ("second-key-file", "second.key"))]
        arguments = ["--base-url", gateway.origin, "--prefix", PREFIX, "--agent-port", str(gateway.agent_port), *files, *options.arguments]
        code = run.run_tests(run.parsed(arguments), gateway.restart)
        if (ended := gateway.process.poll()) is not None:
            print(f"FAIL  nestgate ended by itself with {ended}")
            return 1
        if (ended := gateway.stop()) != 0:
            print(f"FAIL  nestgate ends with {ended} at SIGTERM")
            return 1
        return code
    finally:
        if gateway:
            gateway.stop()
        if store:
            store.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nestgate", type=pathlib.Path, required=True)
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=TOML",
                        help="a further setting, as automation.workspace_base='\"/tmp/x\"'")
    parser.add_argument("--keep", action="store_true", help="leave the folder with store and logs also if all held")
    parser.add_argument("arguments", nargs="*", help="for run.py, behind --")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    adopt_orphans()
    # Short, since a socket's path has 108 characters at most.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="contract-"))
    code = 1
    try:
        code = test(options, folder)
    except Failed as e:
        print(f"FAIL  {e}")
    finally:
        end_what_is_left()
        if code == 0 and not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"contract: settings, store and logs are in {folder}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
