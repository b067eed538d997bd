"""Automations in a real agent server: what a preset's tarball holds runs with the real SDK."""

import contextlib
import json
import os
import sys
import uuid

from gateway_scenarios import tell_end
from parts import CALL_S, SERVER_ENVIRONMENT, Gateway, Stopwatch, free_port, wait_for

API = "/api/automation/v1"
RUN_S = 480

# In the installer's place: the environment that it would make is there, and is held against the versions that are asked for.
INSTALLER = f"""#!{sys.executable}
import importlib.metadata, os, sys
words = sys.argv[1:]
if words[0] == "venv":
    os.symlink({sys.prefix!r}, words[-1])
else:
    wanted = [word.split("==") for word in words if "==" in word]
    sys.exit(not wanted or any(importlib.metadata.version(name) != version for name, version in wanted))
"""


@contextlib.contextmanager
def configured_conversation(at, report):
    """An agent server that has a model and a secret, as its owner gave them; `uv` is the one above in its commands' PATH."""
    tools = at.folder / "tools"
    tools.mkdir()
    (tools / "uv").write_text(INSTALLER)
    (tools / "uv").chmod(0o755)
    address = f"127.0.0.1:{free_port()}"
    sections = {"runtime": {"ready_timeout": "5m"}, "listen": {"client": [address]},
                "automation": {"base_url": f"http://{address}/api/automation"},
                "runtime.process": {"environment": {**SERVER_ENVIRONMENT, "PATH": f"{tools}:{os.environ['PATH']}"}}}
    gateway = Gateway(at.bins, at.folder / "presets", sections)
    secret = uuid.uuid4().hex
    try:
        llm = {"model": "openai/mock", "base_url": at.model.url, "api_key": "model-" + secret}
        status, made = gateway.client.json("POST", "/api/conversations", gateway.bearer, {
            "conversation_id": uuid.uuid4().hex, "settings": {"agent_settings_diff": {"llm": llm}},
            "secrets": {"INTEROP_SECRET": {"secret": secret, "description": "for a look-up"}}}, seconds=310)
        report.need("an agent server with a model and a secret", made.get("status") == "RUNNING", f"{status} {made}"[:300])
        yield gateway, made, secret
        tell_end(report, gateway, [made["session_api_key"], secret])
    finally:
        gateway.stop()


def presets(at, report):
    """A prompt's automation and one with a plugin, from their creation to their own reports"""
    with configured_conversation(at, report) as (gateway, made, secret):
        target = f"conversation:{made['conversation_id']}"
        prompt = f'RUN{{test "$INTEROP_SECRET" = {secret} && printf "the-%s\\n" same}} SAY{{all done}}'
        body = {"name": "Interop prompt", "prompt": prompt, "timeout": RUN_S, "target": target,
                "trigger": {"type": "cron", "schedule": "0 0 1 1 *"}}
        seen = tell_preset(report, gateway, made, "prompt", body)
        report.line("prompt: its agent had the conversation's secret, and worked off the prompt", "the-same" in seen)
        report.line("prompt: the conversation has the automation's name", "Interop prompt — " in seen)


def tell_preset(report, gateway, made, kind, body):
    client, watch = gateway.client, Stopwatch()
    status, automation = client.json("POST", f"{API}/preset/{kind}", gateway.bearer, body)
    report.need(f"{kind}: taken", status == 201, "" if status == 201 else f"{status} {automation}")
    status, run = client.json("POST", f"{API}/{automation['id']}/dispatch", gateway.bearer)
    report.need(f"{kind}: dispatched", status == 201, "" if status == 201 else f"{status} {run}")

    def ended():
        # The script reports before it ends: its exit code comes after the status.
        kept = client.json("GET", f"{API}/runs/{run['id']}", gateway.bearer)[1]
        return kept if kept.get("exit_code") is not None else None

    kept = wait_for(ended, RUN_S, 0.5) or {}
    held = (kept.get("status"), kept.get("exit_code")) == ("COMPLETED", 0) and kept.get("cost") is not None
    report.need(f"{kind}: COMPLETED by its own report, exit code 0, with its cost", held, f"{watch}" if held else f"{watch} {kept}")
    conversation = kept["conversation_id"]
    report.line(f"{kind}: it said which conversation it is", bool(conversation) and conversation in kept["stdout_tail"].replace("-", ""),
                f"{conversation} {kept['stdout_tail']}")
    path, key = f"/api/conversations/{conversation}", {"X-Session-API-Key": made["session_api_key"]}
    seen = [client.json("GET", f"{path}{below}", key, seconds=CALL_S)[1] for below in ("", "/events/search?limit=100")]
    return json.dumps(seen, ensure_ascii=False)
