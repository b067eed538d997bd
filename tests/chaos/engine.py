"""A Docker engine of our own: its data, socket and bridge are nobody else's, and nothing of it is left behind."""

import contextlib
import http.client
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tarfile

from parts import Failed, end_with_parent, is_zombie, wait_for

START_S, STOP_S = 60, 40
IMAGE = "nestgate-chaos:1"


class NoEngine(Exception):
    """Why none can be started here."""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    def __init__(self, folder, flags=(), name="a"):
        self.folder, self.flags = folder, list(flags)
        self.socket = str(folder / "docker.sock")
        self.bridge = f"ngc{os.getpid()}{name}"[:15]
        self.daemon = None
        if os.geteuid() != 0:
            raise NoEngine("a Docker engine of our own needs root")
        if not shutil.which("dockerd"):
            raise NoEngine("there is no dockerd (Debian package docker.io)")
        folder.mkdir(parents=True)
        if self._run("ip", "link", "add", self.bridge, "type", "bridge"):
            raise NoEngine("cannot make a network bridge")
        try:
            self._give_address()
            self.start()
        except Exception:
            self.close()
            raise

    def _run(self, *command):
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode

    def _give_address(self):
        """In a network that no interface here is in."""
        taken = subprocess.run(["ip", "-4", "-o", "address"], capture_output=True, text=True).stdout
        for turn in range(256):
            network = f"10.214.{(os.getpid() + turn) % 256}."
            if f" {network}" not in taken:
                break
        if self._run("ip", "address", "add", f"{network}1/24", "dev", self.bridge) or self._run("ip", "link", "set", self.bridge, "up"):
            raise NoEngine("cannot give the bridge its address")

    def begin_start(self):
        command = ["dockerd", "--data-root", self.folder / "data", "--exec-root", self.folder / "exec", "--pidfile",
                   self.folder / "pid", "-H", f"unix://{self.socket}", "--bridge", self.bridge, "--iptables=false",
                   "--ip6tables=false", "--log-level", "warn", "--shutdown-timeout", "5", *self.flags]
        with open(self.folder / "log", "a") as log:
            self.daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent)

    def start(self):
        self.begin_start()
        wait_for(lambda: self.answers() or self.daemon.poll() is not None, START_S)
        if not self.answers():
            raise NoEngine("dockerd does not start: " + ((self.folder / "log").read_text().splitlines() or ["it says nothing"])[-1][:300])

    def stop(self, how=signal.SIGTERM):
        if not self.daemon or self.daemon.poll() is not None:
            return
        self.daemon.send_signal(how)
        try:
            self.daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        # Its containerd goes with it, a moment later; the next engine takes one that nobody reaped for alive.
        with contextlib.suppress(OSError, ValueError):
            containerd = int((self.folder / "exec/containerd/containerd.pid").read_text())
            wait_for(lambda: self._reap(containerd), 20)

    @staticmethod
    def _reap(pid):
        with contextlib.suppress(OSError):
            os.waitpid(pid, os.WNOHANG)
        return is_zombie(pid)

    def answers(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/_ping")[0] == 200
        return False

    def ask(self, method, path, body=None, content_type="application/json"):
        connection = UnixConnection(self.socket)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        try:
            connection.request(method, "/v1.40" + path, body, {"Content-Type": content_type})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(data or b"null")
        except ValueError:
            return answer.status, data.decode(errors="replace")

    def import_image(self, programs):
        """An image of `programs` in /bin of its own; the libraries and Python are the host's /usr, to be mounted."""
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            for name in ("lib", "lib64", "sbin"):
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
                tar.addfile(link)
            for name in ("usr", "bin", "tmp", "workspace", "proc", "dev", "etc", "chaos"):
                folder = tarfile.TarInfo(name)
                folder.type, folder.mode = tarfile.DIRTYPE, 0o777
                tar.addfile(folder)
            for program in programs:
                tar.add(program, f"bin/{pathlib.Path(program).name}")
        repository, tag = IMAGE.split(":")
        status, said = self.ask("POST", f"/images/create?fromSrc=-&repo={repository}&tag={tag}", made.getvalue(), "application/x-tar")
        if status != 200 or '"error"' in str(said):
            raise Failed(f"the image is not taken: {said}")

    def containers(self):
        """{name: state}, of all there are."""
        status, found = self.ask("GET", "/containers/json?all=1")
        if status != 200:
            raise Failed(f"the engine's list answers {status}")
        return {entry["Names"][0].lstrip("/"): entry["State"] for entry in found}

    def ids(self):
        return {entry["Names"][0].lstrip("/"): entry["Id"] for entry in self.ask("GET", "/containers/json?all=1")[1]}

    def remove_containers(self):
        for entry in self.ids().values():
            self.ask("DELETE", f"/containers/{entry}?v=1&force=1")

    def close(self):
        with contextlib.suppress(OSError, http.client.HTTPException, Failed):
            if self.daemon and self.daemon.poll() is None:
                self.remove_containers()
        self.stop()
        self._kill_shims()
        self._unmount()
        self._run("ip", "link", "delete", self.bridge)

    def _kill_shims(self):
        """They are nobody's children, and name the engine's folder."""
        mark = f"{self.folder}/".encode()

        def none_left():
            left = []
            for entry in pathlib.Path("/proc").iterdir():
                if entry.name.isdigit() and int(entry.name) != os.getpid():
                    with contextlib.suppress(OSError):
                        if mark in (entry / "cmdline").read_bytes():
                            left.append(int(entry.name))
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                self._reap(pid)
            return not left

        wait_for(none_left, 20)

    def _unmount(self):
        mounts = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
        for place in reversed(mounts):
            if place.startswith(f"{self.folder}/"):
                self._run("umount", "-l", place)
