"""A PostgreSQL of a script's own, and what is needed to start programs."""

import contextlib
import os
import pathlib
import pwd
import signal
import socket
import subprocess

from scenario import Failed, end_with_parent, wait_for

START_S, STOP_S = 60, 30


def postgresql_programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise Failed("there is no PostgreSQL below /usr/lib/postgresql")
    return found[-1].parent


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def told(command, **how):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=START_S, **how)
    if done.returncode:
        raise Failed(f"{pathlib.Path(command[0]).name} ends with {done.returncode}: {(done.stderr or done.stdout).strip()[-800:]}")
    return done.stdout.strip()


class PostgreSQL:
    """A server on a unix socket in a folder of its own; no TCP."""

    def __init__(self, folder):
        self.folder = folder / "postgresql"
        self.folder.mkdir(mode=0o700)
        # A database user of a known name, so that the URL is the same whoever runs it.
        self.url = f"postgresql://contract@/contract?host={self.folder}"
        self.who = {}
        if os.geteuid() == 0:
            names = [name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()}]
            if not names:
                raise Failed("root cannot run PostgreSQL, and there is neither a user postgres nor nobody")
            user = pwd.getpwnam(names[0])
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            # The way to the folder must be open to that user; what else lies there keeps its own mode.
            folder.chmod(0o711)
            self.who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.process = None

    def start(self):
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(self.folder)}
        data, programs = self.folder / "data", postgresql_programs()
        how = {"cwd": self.folder, "env": environment, **self.who}
        told([programs / "initdb", "--pgdata", data, "--auth", "trust", "--username", "contract", "--encoding", "UTF8", "--no-sync"], **how)
        with open(self.folder.parent / "postgresql.log", "w") as log:
            self.process = subprocess.Popen([programs / "postgres", "-D", data, "-k", self.folder, "-c", "listen_addresses=", "-c",
                                             "max_connections=50"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent, **how)
        ready = [programs / "pg_isready", "-q", "-h", self.folder]
        if not wait_for(lambda: self.process.poll() is None and subprocess.run(ready).returncode == 0, START_S, 0.1):
            raise Failed("PostgreSQL does not start: " + (self.folder.parent / "postgresql.log").read_text()[-800:])
        told([programs / "createdb", "-h", self.folder, "-U", "contract", "contract"], **how)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
