"""What holds a gateway at a step, without any timing: the peer that it talks to does not go on until it is told to."""

import contextlib
import pathlib
import re
import socket
import threading

from parts import Failed

HELD_S = 60


class Holds:
    """Named steps; a peer that comes to one that is armed waits there."""

    def __init__(self):
        self._lock = threading.Lock()
        self._armed = {}

    def arm(self, step):
        with self._lock:
            self._armed[step] = (threading.Event(), threading.Event())

    def wait_reached(self, step):
        if not self._armed[step][0].wait(HELD_S):
            raise Failed(f"nobody came to '{step}'")

    def release_all(self):
        with self._lock:
            armed, self._armed = self._armed, {}
        for _, released in armed.values():
            released.set()

    def pass_by(self, step):
        """Returns when the step may go on, and whether it was held."""
        with self._lock:
            held = self._armed.get(step)
        if not held:
            return False
        held[0].set()
        held[1].wait()
        return True


def listen(path, serve):
    """Calls `serve(connection)` for each connection to the Unix socket, on threads of their own."""
    pathlib.Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    pathlib.Path(path).chmod(0o666)
    listener.listen(256)

    def accept_forever():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept_forever, daemon=True).start()


class Board(Holds):
    """Where nested servers (nested.py) say what they are about to do."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        listen(path, self._serve)

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            self.pass_by(connection.makefile().readline().rstrip())
            connection.sendall(b"go\n")


class EngineDoor(Holds):
    """In front of a Docker engine's socket: stops a call before the engine hears of it, or once the engine has answered.
    A call that was held is never told its answer, since who asked is dead."""

    STEPS = [(r"POST /[^/]+/containers/create", "create"), (r"POST /[^/]+/containers/[^/]+/(\w+)", None),
             (r"DELETE /[^/]+/containers/[^/]+", "remove"), (r"GET /[^/]+/containers/[^/]+/json", "inspect")]

    def __init__(self, path, engine_socket):
        super().__init__()
        self.path, self.engine_socket = path, engine_socket
        listen(path, self._serve)

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as engine:
            request = b""
            while b"\r\n\r\n" not in request:
                piece = connection.recv(65536)
                if not piece:
                    return
                request += piece
            step = self._step_of(request.split(b" HTTP/", 1)[0].decode().partition("?")[0])
            if step and self.pass_by(f"before {step}"):
                return
            engine.connect(self.engine_socket)
            engine.sendall(request)
            threading.Thread(target=self._copy, args=(connection, engine), daemon=True).start()
            first = engine.recv(65536)
            if step and self.pass_by(f"after {step}"):
                return
            if first:
                connection.sendall(first)
                self._copy(engine, connection)

    def _step_of(self, line):
        for pattern, name in self.STEPS:
            if match := re.fullmatch(pattern, line):
                return name or match[1]
        return None

    @staticmethod
    def _copy(source, sink):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
