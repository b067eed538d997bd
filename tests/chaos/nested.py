"""A nested server of the older kind that stops at any call until it is told to go on; runs as a program of its own.

    nested.py PORT ID BOARD

BOARD is a Unix socket where it says what it is about to do and reads one line before it goes on. Without a listener there
it never stops.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading

PORT, ID, BOARD = int(sys.argv[1]), sys.argv[2], sys.argv[3]
KEY = os.environ.get("SESSION_API_KEY", "")
state = {}


def ask_board(step):
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as board:
        board.connect(BOARD)
        board.sendall(f"{ID} {step}\n".encode())
        board.recv(16)


def answer_of(method, path, key):
    """(the step's name, status, value)."""
    if path in ("/alive", "/health"):
        return f"{method} {path}", 200, {"status": "ok"}
    if path == "/server_info":
        return f"{method} {path}", 200, {"uptime": 1.0, "idle_time": 0.0, "resources": {"cpu_percent": 0.0}}
    if key != KEY:
        return f"{method} {path}", 401, {"detail": "Unauthorized"}
    if path == "/whoami":
        return f"{method} {path}", 200, {"id": ID, "pid": os.getpid()}
    if path in ("/api/settings", "/api/secrets", "/api/add-git-providers"):
        return f"{method} {path}", 200, {"ok": True}
    if method == "POST" and path == "/api/conversations":
        return f"{method} {path}", 200, {"conversation_id": ID, "status": "ok"}
    if path.startswith(f"/api/conversations/{ID}"):
        rest = path.removeprefix(f"/api/conversations/{ID}") or "/"
        known = {"/": {"conversation_id": ID, "status": state["status"]}} if "status" in state else {}
        known |= {"/events": {"events": []}, "/stop": {"conversation_id": ID}}
        return f"{method} conversation{rest}", 200 if rest in known else 404, known.get(rest, {"detail": "Not Found"})
    return f"{method} {path}", 404, {"detail": "Not Found"}


def serve(connection):
    stream = connection.makefile("rb")
    with connection, contextlib.suppress(OSError, ValueError):
        while line := stream.readline():
            method, target, _ = line.decode().split(" ", 2)
            fields = {}
            while (field := stream.readline().decode().rstrip()):
                name, _, value = field.partition(":")
                fields[name.lower()] = value.strip()
            stream.read(int(fields.get("content-length", 0)))
            step, status, value = answer_of(method, target.partition("?")[0], fields.get("x-session-api-key", ""))
            ask_board(step)
            if status == 200 and step == "POST /api/conversations":
                state["status"] = "RUNNING"
            if status == 200 and step == "POST conversation/stop":
                state["status"] = "STOPPED"
            body = json.dumps(value).encode()
            connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                               + body)


def end(*_):
    ask_board("SIGTERM")
    os._exit(0)


signal.signal(signal.SIGTERM, end)
ask_board("launched")
listener = socket.create_server(("0.0.0.0", PORT), backlog=64)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
