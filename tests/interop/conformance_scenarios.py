"""The live server's answers with and without nestgate in between, and the facts that nestgate is built on."""

import http.client
import json
import re
import socket
import uuid

import sdk
from gateway_scenarios import static_server
from parts import WebSocket

# Each hop's own; `Server` is not disclosed by nestgate.
OWN_FIELDS = {"date", "server", "x-request-id", "transfer-encoding", "connection", "keep-alive"}


def same_answers(at, report):
    """Requests with and without nestgate in between: status, fields and body are the same"""
    with static_server(at, "same") as (gateway, server):
        workspace = sdk.remote(gateway.client.url, server.key, server.folder / "work")
        nested = sdk.tell_conversation(report, "through the gateway", at.model, workspace)
        file = server.folder / "work" / "range.bin"
        file.write_bytes(bytes(range(256)) * 8)
        for what, request in requests(nested, file, server.key).items():
            tell_same(report, what, request, gateway, server)
        tell_websockets(report, gateway, server, nested)
        tell_early_refusal(report, gateway)


def requests(nested, file, key):
    """What: (method, target, fields, body). What is there without a key is asked with one, since the key leads there."""
    shown = {"X-Session-API-Key": key}
    hexed = nested.replace("-", "")
    range_of = f"/api/file/download?path={file}"
    return {
        "health": ("GET", "/health", shown, None),
        "tools": ("GET", "/api/tools/", shown, None),
        "a redirect keeps the client's host": ("GET", "/api/tools", shown, None),
        "HEAD of an API route": ("HEAD", "/api/tools/", shown, None),
        "an unknown route": ("GET", "/api/no-such", shown, None),
        "an escaped path": ("GET", "/%61live", shown, None),
        "two slashes": ("GET", "//alive", shown, None),
        "a conversation by its dashed id": ("GET", f"/api/conversations/{nested}", shown, None),
        "by 32 hex digits": ("GET", f"/api/conversations/{hexed}", shown, None),
        "in upper case": ("GET", f"/api/conversations/{nested.upper()}", shown, None),
        "an unknown conversation": ("GET", f"/api/conversations/{uuid.UUID(int=1)}", shown, None),
        "delete of an unknown conversation": ("DELETE", f"/api/conversations/{uuid.UUID(int=1)}", shown, None),
        "no id at all": ("GET", "/api/conversations/not-an-id", shown, None),
        "search is no id": ("GET", "/api/conversations/search?limit=1", shown, None),
        "count is none either": ("GET", "/api/conversations/count", shown, None),
        "events": ("GET", f"/api/conversations/{nested}/events/search?limit=100", shown, None),
        "a GET with a body": ("GET", f"/api/conversations/{nested}/events", shown, []),
        "another GET with a body": ("GET", "/api/bash/bash_events/", shown, [uuid.uuid4().hex]),
        "a limit that is too large": ("GET", "/api/conversations/search?limit=101", shown, None),
        "a body that does not fit": ("POST", f"/api/conversations/{nested}/events", shown, {"role": 1}),
        "a body that is no JSON": ("POST", f"/api/conversations/{nested}/events", shown, b"{"),
        "settings": ("GET", "/api/settings", shown, None),
        "a file": ("GET", range_of, shown, None),
        "a range of it": ("GET", range_of, shown | {"Range": "bytes=10-19"}, None),
        "two ranges": ("GET", range_of, shown | {"Range": "bytes=0-1,5-6"}, None),
        "a range beyond it": ("GET", range_of, shown | {"Range": "bytes=99999-"}, None),
        "a preflight": ("OPTIONS", "/api/settings", shown | {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}, None),
        "a preflight of a stranger": ("OPTIONS", "/api/settings", shown | {"Origin": "http://evil.test", "Access-Control-Request-Method": "GET"}, None),
        "the workspace cookie": ("POST", "/api/auth/workspace-session", shown, b""),
        "a workspace file": ("GET", f"/api/conversations/{nested}/workspace/range.bin", shown, None),
        "init of a server that is not dormant": ("GET", "/api/init", shown, None),
        "a websocket's path by plain GET": ("GET", f"/sockets/events/{nested}", shown, None),
        "a header of 60 KB": ("GET", "/api/tools/", shown | {"X-Large": "x" * 60_000}, None),
        "a method of its own": ("PROPFIND", "/api/tools/", shown, None),
    }


def tell_same(report, what, request, gateway, server):
    method, target, fields, body = request
    # The same host in both: it is in redirects and cookies.
    fields = fields | {"Host": "interop.test"}
    direct = answer(server.client, method, target, fields, body)
    through = answer(gateway.client, method, target, fields, body)
    differences = [f"{name}: {direct[name]!r} became {through[name]!r}" for name in direct if direct[name] != through[name]]
    report.line(f"the same answer: {what}", not differences, "; ".join(differences)[:900] or str(direct["status"]))


def answer(client, method, target, fields, body):
    connection = http.client.HTTPConnection(client.host, client.port, timeout=60)
    if isinstance(body, (dict, list)):
        body, fields = json.dumps(body).encode(), fields | {"Content-Type": "application/json"}
    connection.request(method, target, body, fields)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    kept = sorted(f"{name.lower()}: {once(value)}" for name, value in response.getheaders() if name.lower() not in OWN_FIELDS)
    return {"status": response.status, "fields": kept, "body": once(data.decode(errors="replace"))}


def once(text):
    """Without what is made anew each time: an error's id, the time, the boundary of a multipart answer."""
    return re.sub(r'"error_id":"\w+"|"current_datetime":"[^"]+"|boundary=\w+|--[0-9a-f]{20,}', "", text)


def tell_websockets(report, gateway, server, nested):
    key = {"X-Session-API-Key": server.key}
    events = f"/sockets/events/{nested}"
    for what, path, fields, first, expected in [
        ("a right key in the first frame", events, {}, {"type": "auth", "session_api_key": server.key}, "event"),
        ("a right key in the header", events, key, None, "event"),
        ("a right key in the query", f"{events}?session_api_key={server.key}", {}, None, "event"),
        ("a wrong key in the first frame", events, {}, {"type": "auth", "session_api_key": "wrong"}, ("close", 4001)),
        ("a first frame that is none", events, {}, {"type": "hello"}, ("close", 4001)),
        ("an unknown conversation", f"/sockets/events/{uuid.UUID(int=1)}", key, None, ("close", 4004)),
        # By cursor: newer servers have it, 1.43.1 refuses the upgrade.
        ("the session protocol", f"/sockets/session/{nested}?after_seq=-1", key, None, None),
    ]:
        seen = []
        for client in (server.client, gateway.client):
            socket_ = WebSocket(client, path, fields)
            if socket_.status == 101:
                if first:
                    socket_.send(first)
                event = socket_.event()
                seen.append(event[:2] if isinstance(event, tuple) else "event")
            else:
                seen.append(socket_.status)
            socket_.close()
        expected = expected or seen[0]
        report.line(f"websocket, {what}: {expected} on both", seen == [expected, expected], str(seen))


def tell_early_refusal(report, gateway):
    """The server itself answers 100 and swallows the body before it looks at the key."""
    raw = socket.create_connection((gateway.client.host, gateway.client.port), timeout=60)
    raw.sendall(b"POST /api/file/upload?path=/x HTTP/1.1\r\nHost: interop.test\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n"
                b"X-Session-API-Key: wrong\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n")
    said = raw.recv(12)
    raw.close()
    report.line("a body without a right key is refused before a byte of it", said == b"HTTP/1.1 401", said.decode())
