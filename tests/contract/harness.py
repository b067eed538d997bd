"""What the tests are written with: a client, a script that runs and waits, expectations that say what they saw."""

import base64
import contextlib
import datetime
import hashlib
import hmac
import http.client
import io
import json
import os
import pathlib
import re
import signal
import sys
import tarfile
import time
import urllib.parse
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from scenario import wait_for  # noqa: E402, F401

CALL_S = 30
HANDED_OVER_S = 30   # from a dispatch to the script's start; the original service polls
ENDED_S = 30
TRIES = 3  # what slows the whole machine for a moment does so once; what the service does to itself it does each time
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
NOBODY = "00000000-0000-4000-8000-000000000000"
LOCAL_USER = str(uuid.uuid5(uuid.NAMESPACE_DNS, "openhands-local-user"))
LOCAL_ORG = str(uuid.uuid5(uuid.NAMESPACE_DNS, "openhands-local-org"))
CRON = {"type": "cron", "schedule": "0 0 1 1 *", "timezone": "UTC"}
TERMINAL = {"COMPLETED", "FAILED", "CANCELLED", "SKIPPED"}
OF_CALLER = object()

# Says where it is, tells its environment, and ends when it is told to, with the code that it is told.
WAITING_SCRIPT = """\
echo $$ > pid
tr '\\0' '\\n' < /proc/$$/environ > environment
: > started
while [ ! -e finish ]; do sleep 0.05; done
exit "$(cat finish)"
"""


class Differs(AssertionError):
    """What was seen is not what the contract says."""


class NotHere(Exception):
    """This service, or this call of the tests, has not what the test needs."""


class Test:
    def __init__(self, function, section, arguments, name, mends, slow):
        self.function, self.section, self.arguments, self.name, self.mends, self.slow = function, section, arguments, name, mends, slow


TESTS = []


def holds(mends="", slow=False, of=None):
    """Registers a test. `mends`: the fault of the original service whose mended form it asks for. `of`: a table, a test a row;
    a row's first elements name it, as many as tell it from the others, and all elements are passed."""
    def register(function):
        section = sys.modules[function.__module__].SECTION
        sentence = function.__name__.replace("_", " ")
        if of is None:
            TESTS.append(Test(function, section, (), sentence, mends, slow))
            return function
        names, count = [], 0
        while len(set(names)) < len(of) and count < len(of[0]):
            count += 1
            names = [" ".join(" ".join(map(str, row[:count])).replace(NOBODY, "{id}").split()) for row in of]
        for row, name in zip(of, names):
            TESTS.append(Test(function, section, row, f"{sentence}: {shown(name, 120)}", mends, slow))
        return function
    return register


def shown(value, limit=700):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def equal(seen, wanted, what):
    if seen != wanted:
        raise Differs(f"{what}: {shown(seen)}, wanted {shown(wanted)}")


def true(held, what, seen=""):
    if not held:
        raise Differs(f"{what}{': ' + shown(seen) if seen != '' else ''}")


def matches(pattern, text, what):
    if not isinstance(text, str) or not re.fullmatch(pattern, text, re.S):
        raise Differs(f"{what}: {shown(text)}, wanted {pattern}")


def keys_are(value, wanted, what, additional=()):
    """Additive fields may be there; what the contract names must be."""
    if not isinstance(value, dict):
        raise Differs(f"{what} is no object: {shown(value)}")
    missing = [k for k in wanted if k not in value]
    true(not missing, f"{what} lacks {missing}", sorted(value))
    for key in additional:
        true(key in value, f"{what} lacks the additive field {key}", sorted(value))


def is_moment(text, what):
    """RFC 3339 in UTC."""
    matches(MOMENT, text, what)
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def soon_enough(figure, bound, what):
    """One of the tries is below the bound; `figure` takes it anew each time."""
    seen = []
    while not seen or (seen[-1] >= bound and len(seen) < TRIES):
        seen.append(figure())
    true(seen[-1] < bound, what, seen)


class Answer:
    def __init__(self, call, status, headers, body, seconds):
        self.call, self.status, self.headers, self.body, self.seconds = call, status, headers, body, seconds

    def __str__(self):
        return f"{self.call} answers {self.status} {shown(self.body.decode(errors='replace'))}"

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise Differs(f"{self}, which is no JSON") from None

    @property
    def detail(self):
        value = self.json
        if not isinstance(value, dict) or "detail" not in value:
            raise Differs(f"{self}, without a detail")
        return value["detail"]

    def must_be(self, *statuses):
        if self.status not in statuses:
            raise Differs(f"{self}, wanted {' or '.join(map(str, statuses))}")
        return self

    def says(self, text):
        detail = self.detail
        if not isinstance(detail, str) or text not in detail:
            raise Differs(f"{self}, wanted a detail with {text!r}")
        return self

    def has_fault(self, loc, kind=None, msg=None):
        """422 in the usual shape, one fault at `loc` (of `kind`, with `msg` in its text) among them."""
        self.must_be(422)
        faults = self.detail
        if not isinstance(faults, list) or not all(isinstance(f, dict) and {"type", "loc", "msg"} <= f.keys() for f in faults):
            raise Differs(f"{self}, wanted a list of faults with type, loc and msg")
        kinds = (kind,) if isinstance(kind, str) else kind
        for fault in faults:
            if (loc is None or fault["loc"] == list(loc)) and (not kinds or fault["type"] in kinds) and (not msg or msg in fault["msg"]):
                if fault["type"] == "value_error" and not fault["msg"].startswith("Value error, "):
                    raise Differs(f"{self}, wanted the text to begin with 'Value error, '")
                return self
        raise Differs(f"{self}, wanted a fault at {loc} of type {kind} with {msg!r}")


def tar_of(files, mode="w:gz"):
    """A tarball of {name: text or bytes}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o755 if name.endswith(".sh") else 0o644, 1_700_000_000
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def untar(data, what="the tarball"):
    """{name: (mode, bytes)} of the files in it."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            return {m.name.removeprefix("./"): (m.mode, archive.extractfile(m).read()) for m in archive if m.isfile()}
    except (tarfile.TarError, OSError, EOFError) as e:
        raise Differs(f"{what} of {len(data)} bytes is no tar.gz: {e}") from None


def signature(secret, data):
    return hmac.new(secret.encode(), data, hashlib.sha256).hexdigest()


def token(secret, claims, algorithm="HS256"):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    head = part(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()) + b"." + part(json.dumps(claims).encode())
    return (head + b"." + part(hmac.new(secret.encode(), head, hashlib.sha256).digest())).decode()


def template_of(path):
    """The route of a path, as the contract's table names it."""
    path = path.partition("?")[0]
    path = re.sub(r"/kv/(?!batch$)[^/]+", "/kv/{key}", path)
    path = re.sub(r"^/v1/events/[^/]+/requested-types$", "/v1/events/{source}/requested-types", path)
    path = re.sub(r"^/v1/events/[^/]+/(?!requested-types$)[^/]+$", "/v1/events/{org_id}/{source}", path)
    path = re.sub(rf"^/v1/{UUID}", "/v1/{automation_id}", path)
    return re.sub(UUID, "{id}", path)


class Service:
    """The service under test, as one who has a key (or none) sees it."""

    def __init__(self, base_url, prefix, key):
        parts = urllib.parse.urlsplit(base_url)
        self.host, self.port, self.prefix, self.key = parts.hostname, parts.port or 80, prefix.rstrip("/"), key
        self.seen = set()

    def raw(self, method, target, headers=(), body=None, seconds=CALL_S):
        """No key, no prefix; `headers` are pairs. `body`: bytes, or an iterable of bytes that is sent chunked."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=seconds)
        began = time.monotonic()
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            names = {name.lower() for name, _ in headers}
            for name, value in headers:
                connection.putheader(name, value)
            chunked = body is not None and not isinstance(body, bytes)
            if chunked:
                connection.putheader("Transfer-Encoding", "chunked")
            elif "content-length" not in names and (body is not None or method in ("POST", "PUT", "PATCH")):
                connection.putheader("Content-Length", str(len(body or b"")))
            connection.endheaders()
            with contextlib.suppress(ConnectionError):  # an early answer may close what is still being sent
                for piece in body if chunked else [body] if body else []:
                    connection.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                if chunked:
                    connection.send(b"0\r\n\r\n")
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as e:
            raise Differs(f"{method} {shown(target, 200)} gets no answer after {time.monotonic() - began:.1f} s: {e!r}") from None
        finally:
            connection.close()
        return Answer(f"{method} {shown(target, 200)}", answer.status, answer.headers, data, time.monotonic() - began)

    def call(self, method, path, json_=None, *, body=None, headers=None, key=OF_CALLER, expect=None, seconds=CALL_S):
        """A call below the prefix. `json_` is sent as JSON; `body` as it is. `key=None`: without credentials."""
        fields = dict(headers or {})
        key = self.key if key is OF_CALLER else key
        if key is not None and "Authorization" not in fields:
            fields["Authorization"] = f"Bearer {key}"
        if body is None and json_ is not None:
            body = json.dumps(json_).encode()
            fields.setdefault("Content-Type", "application/json")
        answer = self.raw(method, self.prefix + path, list(fields.items()), body, seconds)
        self.seen.add((method, template_of(path), answer.status))
        if expect is not None:
            answer.must_be(*expect if isinstance(expect, tuple) else (expect,))
        return answer


class Running:
    """A run whose script is there and waits."""

    def __init__(self, at, automation, run, seen):
        self.at, self.automation, self.id, self.seen = at, automation, run["id"], seen
        self.environment = seen.environment
        self.folder = pathlib.Path(self.environment["WORKSPACE_BASE"])

    def file(self, name, seconds=HANDED_OVER_S):
        """Its content once it is there."""
        path = self.folder / name
        self.at.until(path.exists, seconds, f"the script wrote no {name}")
        return path.read_text()

    def finish(self, code=0):
        (self.folder / "finish.part").write_text(str(code))
        (self.folder / "finish.part").rename(self.folder / "finish")

    def complete(self, status="COMPLETED", key=None, **more):
        return self.at.call("POST", f"/v1/runs/{self.id}/complete", {"status": status, **more},
                            key=key or self.environment["AUTOMATION_CALLBACK_API_KEY"])

    def row(self):
        return self.at.run_of(self.automation["id"], self.id)

    def ended(self, seconds=ENDED_S, as_status=None):
        """Its row once it is terminal."""
        row = self.at.until(lambda: (r := self.row())["status"] in TERMINAL and r, seconds, "the run does not end", lambda: self.row())
        if as_status:
            equal(row["status"], as_status, f"the run's end ({row['error_detail']!r})")
        return row


class At:
    """What a test is given: the service, the agent server, and what it made, which goes with it."""

    def __init__(self, service, agent, secrets, second=None, callback_base=None, restart=None):
        self.service, self.agent, self.secrets, self.second = service, agent, secrets, second
        self.callback_base, self.restart = callback_base, restart
        self.made, self.runs = [], []
        self.call = service.call

    def secret(self, name):
        if not self.secrets.get(name):
            raise NotHere(f"--{name}-secret-file was not given")
        return self.secrets[name]

    def other(self):
        if self.second is None:
            raise NotHere("no second user: --second-key-file was not given, or the service does not take its key")
        return self.second

    def need_agent(self):
        if self.agent is None:
            raise NotHere("--agent-port was not given")
        return self.agent

    def until(self, condition, seconds, what, seen=lambda: ""):
        value = wait_for(condition, seconds, 0.05)
        if not value:
            last = seen()
            raise Differs(f"{what} within {seconds} s{': ' + shown(last) if last != '' else ''}")
        return value

    def upload(self, data=None, name="code", **more):
        """A stored tarball; its row."""
        data = tar_of({"main.sh": "true\n"}) if data is None else tar_of(data) if isinstance(data, dict) else data
        query = urllib.parse.urlencode({"name": name, **more})
        answer = self.call("POST", f"/v1/uploads?{query}", body=data, headers={"Content-Type": "application/gzip"}, expect=201)
        return answer.json

    def body(self, **more):
        """Of a POST /v1 that is taken."""
        made = {"name": "contract", "trigger": dict(CRON), "tarball_path": "https://example.org/code.tar.gz", "entrypoint": "sh main.sh"}
        return {**made, **more}

    def made_by(self, answer):
        """Notes what a creation made, so that it goes at the test's end."""
        answer.must_be(200, 201)
        self.made.append(("DELETE", f"/v1/{answer.json['id']}"))
        return answer.json

    def automation(self, **more):
        return self.made_by(self.call("POST", "/v1", self.body(**more), expect=201))

    def script(self, files, **more):
        """An automation whose tarball holds `files` (main.sh is its entry)."""
        files = {"main.sh": files} if isinstance(files, str) else files
        return self.automation(tarball_path=self.upload(files)["tarball_path"], **more)

    def webhook(self, **more):
        body = {"name": "contract", "source": f"contract-{uuid.uuid4().hex[:12]}", **more}
        row = self.call("POST", "/v1/webhooks", body, expect=201).json
        self.made.append(("DELETE", f"/v1/webhooks/{row['id']}"))
        return row

    def dispatch(self, automation):
        self.need_agent()
        run = self.call("POST", f"/v1/{automation['id']}/dispatch", expect=201).json
        self.runs.append((automation["id"], run["id"]))
        return run

    def runs_of(self, automation_id):
        return self.call("GET", f"/v1/{automation_id}/runs?limit=100", expect=200).json["runs"]

    def run_of(self, automation_id, run_id):
        found = [r for r in self.runs_of(automation_id) if r["id"] == run_id]
        true(found, f"the list of runs lacks {run_id}")
        return found[0]

    def started(self, automation, run):
        """The run once its start reached the agent server."""
        seen = self.agent.run(run["id"])
        self.until(lambda: seen.starts, HANDED_OVER_S, "no command is started for the run",
                   lambda: (self.run_of(automation["id"], run["id"]), seen.calls))
        self.until(lambda: self.run_of(automation["id"], run["id"])["status"] != "PENDING", HANDED_OVER_S, "the run stays PENDING")
        return Running(self, automation, run, seen)

    def running(self, files=WAITING_SCRIPT, **more):
        """A new automation's run whose script is started and says so."""
        automation = self.script(files, **more)
        running = self.started(automation, self.dispatch(automation))
        running.file("started")
        return running

    def ended_run(self, files, seconds=ENDED_S, **more):
        """A new automation's run, by script, once it is terminal; its row."""
        automation = self.script(files, **more)
        running = self.started(automation, self.dispatch(automation))
        return running, running.ended(seconds)

    def event(self, source, payload, secret=None, header="X-Hub-Signature-256", org=LOCAL_ORG, signed=OF_CALLER, raw=None, prefix="sha256=",
              headers=None):
        """Delivers an event. `signed`: the header's value, None for none."""
        data = raw if raw is not None else json.dumps(payload).encode()
        secret = secret or self.secret("webhook")
        fields = {"Content-Type": "application/json", **(headers or {})}
        if signed is OF_CALLER:
            fields[header] = prefix + signature(secret, data)
        elif signed is not None:
            fields[header] = signed
        return self.call("POST", f"/v1/events/{org}/{source}", body=data, headers=fields, key=None, seconds=60)

    def kv_token(self, automation_id, **claims):
        now = int(time.time())
        return token(self.secret("kv"),
                     {"automation_id": automation_id, "run_id": str(uuid.uuid4()), "iat": now, "exp": now + 3600, **claims})

    def clean(self):
        """Ends the test's runs and takes away what it made; says nothing of what cannot be taken away."""
        for _, run_id in self.runs:
            with contextlib.suppress(Differs):
                self.call("POST", f"/v1/runs/{run_id}/cancel")
        if self.agent:
            with self.agent.lock:
                self.agent.armed = None
            for _, run_id in self.runs:
                for group in self.agent.run(run_id).alive:
                    with contextlib.suppress(OSError):
                        os.killpg(group, signal.SIGKILL)
        for method, path in reversed(self.made):
            with contextlib.suppress(Differs):
                self.call(method, path)
