"""The Cloud API and the remote runtime API: the SDK's own workspaces make, use and end runtimes of nestgate."""

import contextlib
import io
import json
import pathlib
import secrets
import shlex
import sys
import tarfile
import uuid

import sdk
from gateway_scenarios import tell_end
from parts import DOMAIN, Client, Gateway, Stopwatch, free_port, names_on_loopback, wait_for

from openhands.workspace import APIRemoteWorkspace, OpenHandsCloudWorkspace

IMAGE = "ghcr.io/openhands/agent-server:latest-python"
SCRIPT = pathlib.Path(__file__).with_name("sandbox_script.py")


class Account:
    """A user with a model and a secret, at a gateway."""

    def __init__(self, at, name, domain, sections=None):
        self.gateway = Gateway(at.bins, at.folder / name, {"runtime": {"ready_timeout": "5m"}, "routing": {"domain": domain},
                                                           **(sections or {})})
        self.client, self.bearer = self.gateway.client, self.gateway.bearer
        self.secret = uuid.uuid4().hex
        self.keys = []

    def set_up(self, report, model):
        settings = {"llm_model": "openai/mock", "llm_api_key": "model-" + self.secret, "llm_base_url": model.url, "mcp_config": {
            "shttp_servers": [{"url": "http://127.0.0.1:1/mcp", "api_key": "k", "timeout": 5}], "sse_servers": [], "stdio_servers": []}}
        status, answer = self.client.json("PATCH", "/api/v1/users/me", self.bearer, settings)
        report.need("the user's model is set", status == 200, f"{status} {answer}" if status != 200 else "")
        status, answer = self.client.json("PUT", "/api/v1/users/me/secrets/INTEROP_SECRET", self.bearer,
                                          {"value": self.secret, "description": "for a look-up"})
        report.need("and a secret", status in (200, 201, 204), f"{status} {answer}" if status not in (200, 201, 204) else "")

    def prompt(self):
        return f'RUN{{test "$INTEROP_SECRET" = {self.secret} && printf "the-%s\\n" same}}'

    def sandbox(self, sandbox):
        status, answer = self.client.json("GET", f"/api/v1/sandboxes?id={sandbox}", self.bearer)
        return answer[0] if status == 200 else {"status": f"HTTP {status}"}

    def cloud_workspace(self, **named):
        return OpenHandsCloudWorkspace(cloud_api_url=self.client.url, cloud_api_key=self.gateway.api_key, **named)


@contextlib.contextmanager
def account(at, report, name, domain, sections=None):
    user = Account(at, name, domain, sections)
    try:
        user.set_up(report, at.model)
        yield user
        tell_end(report, user.gateway, [*user.keys, user.secret])
    finally:
        user.gateway.stop()


def cloud(at, report):
    """OpenHandsCloudWorkspace in both modes, its sandboxes on the gateway's own origin"""
    with account(at, report, "cloud", "") as user:
        sandbox = tell_cloud(at, report, user)
        report.line("leaving it deletes the sandbox", user.sandbox(sandbox) is None)


def cloud_by_host(at, report):
    """OpenHandsCloudWorkspace, each sandbox on a host of its own; paused and resumed"""
    with account(at, report, "cloud-host", DOMAIN) as user, names_on_loopback():
        sandbox = tell_cloud(at, report, user, keep_alive=True)
        tell_cloud_pause(at, report, user, sandbox)


def tell_cloud(at, report, user, **named):
    watch = Stopwatch()
    with user.cloud_workspace(**named) as workspace:
        sandbox, key = workspace._sandbox_id, workspace.api_key
        user.keys.append(key)
        report.line("OpenHandsCloudWorkspace has its sandbox", True, f"{watch}, {workspace.host}")
        workspace.working_dir = sdk.working_dir_of(workspace)
        sdk.tell_workspace(report, "cloud", workspace, at.scratch)
        llm = workspace.get_llm()
        report.line("get_llm: the user's model with its key",
                    (llm.model, llm.api_key.get_secret_value()) == ("openai/mock", "model-" + user.secret))
        report.line("get_mcp_config: the user's servers", list(workspace.get_mcp_config()) == ["shttp_0"])
        tell_cloud_secrets(at, report, user, workspace, llm)
        tell_local_mode(at, report, user, sandbox, key)
    return sandbox


def tell_cloud_secrets(at, report, user, workspace, llm):
    sandbox, key = workspace._sandbox_id, {"X-Session-API-Key": workspace.api_key}
    found = workspace.get_secrets()
    where = f"/api/v1/sandboxes/{sandbox}/settings/secrets"
    report.line("get_secrets: names and look-up URLs, no values",
                {n: s.url for n, s in found.items()} == {"INTEROP_SECRET": f"{user.client.url}{where}/INTEROP_SECRET"})
    listed = user.client.call("GET", where, key)[1].decode()
    report.line("the list holds no value", user.secret not in listed)
    status, value = user.client.call("GET", f"{where}/INTEROP_SECRET", key)
    report.line("the sandbox's key opens one value", (status, value.decode()) == (200, user.secret), str(status))
    refused = [user.client.status("GET", f"{where}/INTEROP_SECRET", fields) for fields in ({}, {"X-Session-API-Key": "wrong"})]
    report.line("nothing and a wrong key do not", refused == [401, 401], str(refused))
    talk = sdk.Talk(at.model, workspace, llm=llm)
    try:
        talk.conversation.update_secrets(found)
        talk.say(user.prompt())
        held = talk.run() == "finished" and "the-same" in talk.observed()
        report.line("a run with the user's model: the agent's command has the looked-up value", held, talk.status())
    finally:
        talk.close()


def tell_local_mode(at, report, user, sandbox, key):
    """An automation's script in the sandbox."""
    env = {"OPENHANDS_API_KEY": user.gateway.api_key, "OPENHANDS_CLOUD_API_URL": user.client.url, "PROMPT": user.prompt()}
    starter = f"exec {shlex.quote(sys.executable)} {SCRIPT.name}\n"
    content_type, body = multipart({"entrypoint": "bash main.sh", "conversation_id": sandbox, "env": json.dumps(env), "timeout": "480"},
                                   {"tarball": tarball({"main.sh": starter, SCRIPT.name: SCRIPT.read_text()})})
    watch = Stopwatch()
    status, run = user.client.json("POST", "/api/automation/v1/runs", user.bearer | {"Content-Type": content_type}, body)
    report.need("local mode: the run is taken", status == 201, f"{status} {run}" if status != 201 else "")

    def ended():
        answer = user.client.json("GET", f"/api/automation/v1/runs/{run['id']}", user.bearer)[1]
        return answer if answer.get("completed_at") else None

    kept = wait_for(ended, 480, 0.5) or {}
    report.line("local mode: the SDK in the sandbox reports the run as completed", kept.get("status") == "COMPLETED",
                f"{watch}" if kept.get("status") == "COMPLETED" else f"{watch} {kept}")
    conversation = kept.get("conversation_id")
    _, found = user.client.json("GET", f"/api/conversations/{conversation}/events/search?limit=100", {"X-Session-API-Key": key})
    report.line("local mode: its agent had the looked-up secret", "the-same" in json.dumps(found), str(conversation))


def tell_cloud_pause(at, report, user, sandbox):
    before = user.sandbox(sandbox)
    report.line("keep_alive leaves it running", before["status"] == "RUNNING", before["status"])
    status, _ = user.client.call("POST", f"/api/v1/sandboxes/{sandbox}/pause", user.bearer)
    paused = wait_for(lambda: user.sandbox(sandbox)["status"] == "PAUSED", 30)
    shown = user.sandbox(sandbox)
    report.line("it can be paused; then it shows no key", status == 200 and paused and not shown.get("session_api_key"), shown["status"])
    watch = Stopwatch()
    with user.cloud_workspace(sandbox_id=sandbox) as workspace:
        user.keys.append(workspace.api_key)
        result = workspace.execute_command("echo back", timeout=60)
        report.line("a workspace of its id resumes it", result.stdout.strip() == "back", str(watch))
        workspace.working_dir = sdk.working_dir_of(workspace)
        sdk.tell_conversation(report, "resumed", at.model, workspace)
    report.line("and deletes it when it is left", user.sandbox(sandbox) is None)


def runtime_api(at, report):
    """APIRemoteWorkspace from start to stop, with pause and resume"""
    with account(at, report, "runtime-api", "") as user:
        tell_runtime_api(at, report, user)


def runtime_api_by_host(at, report):
    """APIRemoteWorkspace, each runtime on a host of its own"""
    with account(at, report, "runtime-api-host", DOMAIN) as user, names_on_loopback():
        tell_runtime_api(at, report, user)


def tell_runtime_api(at, report, user):
    key = {"X-API-Key": user.gateway.api_key}
    named = {"runtime_api_url": user.client.url, "runtime_api_key": user.gateway.api_key, "server_image": IMAGE}
    watch = Stopwatch()
    with APIRemoteWorkspace(**named) as workspace:
        session = workspace.session_id
        user.keys.append(workspace.api_key)
        report.line("APIRemoteWorkspace has its runtime", True, f"{watch}, {workspace.host}")
        workspace.working_dir = sdk.working_dir_of(workspace)
        sdk.tell_workspace(report, "runtime API", workspace, at.scratch)
        talked = sdk.tell_conversation(report, "runtime API", at.model, workspace)
        second = APIRemoteWorkspace(session_id=session, keep_alive=True, **named)
        report.line("a second client of the session finds the same runtime", (second.host, second.api_key) == (workspace.host, workspace.api_key))
        second.cleanup()
        workspace.pause()
        _, shown = user.client.json("GET", f"/sessions/{session}", key)
        report.line("pause: the session is shown as paused", shown.get("status") == "paused", str(shown.get("status")))
        watch = Stopwatch()
        workspace.resume()
        report.line("resume: commands run again", workspace.execute_command("echo back", timeout=60).stdout.strip() == "back", str(watch))
        again = sdk.Talk(at.model, workspace, conversation_id=uuid.UUID(talked))
        try:
            again.say("RUN{printf 'after-%s\\n' pause}")
            report.line("and the conversation goes on", again.run() == "finished" and "after-pause" in again.observed(), again.status())
        finally:
            again.close()
    status, shown = user.client.json("GET", f"/sessions/{session}", key)
    report.line("leaving it stops the runtime", status == 404 or shown.get("status") == "stopped", f"{status}")


def warm_pool(at, report):
    """A dormant agent server gets its key, and a sandbox is there at once"""
    port = free_port()
    sections = {"listen": {"client": [f"127.0.0.1:{port}"]}, "conversations": {"warm_runtimes": 1, "internal_url": f"http://127.0.0.1:{port}"}}
    with account(at, report, "warm", "", sections) as user:
        warm = wait_for(lambda: user.gateway.metric("nestgate_warm_runtimes"), 300, 0.5)
        report.need("a dormant server is ready", bool(warm))
        watch = Stopwatch()
        with user.cloud_workspace() as workspace:
            report.line("a sandbox is there at once", watch.seconds() < 5, str(watch))
            user.keys.append(workspace.api_key)
            workspace.working_dir = sdk.working_dir_of(workspace)
            sdk.tell_conversation(report, "warm", at.model, workspace)
            environ = workspace.execute_command("tr '\\0' '\\n' < /proc/$PPID/environ", timeout=60).stdout
            report.line("its key is not in its environment", "OH_DEFERRED_INIT" in environ and workspace.api_key not in environ)
            boot = dict(line.split("=", 1) for line in environ.splitlines() if "=" in line).get("OH_SESSION_API_KEYS_0", "")
            port = dict(enumerate(workspace.execute_command("tr '\\0' '\\n' < /proc/$PPID/cmdline", timeout=60).stdout.split())).values()
            direct = Client(f"127.0.0.1:{[word for word in port if word.isdigit()][-1]}")
            refused = direct.status("GET", "/api/settings", {"X-Session-API-Key": boot})
            report.line("the boot key that is there opens nothing any more", bool(boot) and refused == 401, str(refused))
            # A conversation's state is pushed when a run begins, events in batches of five or after 30 s.
            pushed = wait_for(lambda: pushes(user.gateway), 60, 0.5)
            report.line("it pushes its news to the gateway", pushed and set(pushed) == {200}, str(pushed))
            known = wait_for(lambda: user.client.json("GET", f"/api/conversations/{workspace._sandbox_id}", user.bearer)[1].get("agent_status"), 30)
            report.line("which knows its agent's status", known in ("idle", "finished"), str(known))


def pushes(gateway):
    """The statuses of what was pushed, by the access log."""
    lines = [json.loads(line) for line in (gateway.folder / "access.log").read_text().splitlines()]
    return [line["status"] for line in lines if str(line.get("path") or line.get("target")).startswith("/api/v1/webhooks/")]



def tarball(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def multipart(fields, files):
    boundary = secrets.token_hex(16)
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    parts += [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n"
              for name, data in files.items()]
    return f"multipart/form-data; boundary={boundary}", b"".join(parts) + f"--{boundary}--\r\n".encode()
