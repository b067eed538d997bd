"""Automations in a real agent server: what a preset's tarball holds runs with the real SDK."""

import contextlib
import json
import os
import sys
import uuid

from gateway_scenarios import tell_end
from parts import SERVER_ENVIRONMENT, Gateway, Stopwatch, wait_for

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
    """An agent server whose owner gave it a model and a secret; its commands' `uv` is the one above."""
    tools = at.folder / "tools"
    tools.mkdir()
    (tools / "uv").write_text(INSTALLER)
    (tools / "uv").chmod(0o755)
    environment = SERVER_ENVIRONMENT | {"PATH": f"{tools}:{os.environ['PATH']}"}
    gateway = Gateway(at.bins, at.folder / "presets", {"runtime": {"ready_timeout": "5m"}, "runtime.process": {"environment": environment}})
    secret = uuid.uuid4().hex
    try:
        llm = {"model": "openai/mock", "base_url": at.model.url, "api_key": "model-" + secret}
        status, made = gateway.client.json("POST", "/api/conversations", gateway.bearer, {
            "settings": {"agent_settings_diff": {"llm": llm}}, "secrets": {"INTEROP_SECRET": secret}}, seconds=310)
        report.need("an agent server with a model and a secret", made.get("status") == "RUNNING", f"{status}")
        yield gateway, made, secret
        tell_end(report, gateway, [made["session_api_key"], secret])
    finally:
        gateway.stop()


def presets(at, report):
    """A prompt's automation, from its creation to its own report"""
    with configured_conversation(at, report) as (gateway, made, secret):
        client, key = gateway.client, {"X-Session-API-Key": made["session_api_key"]}
        status, automation = client.json("POST", f"{API}/preset/prompt", gateway.bearer, {
            "name": "Interop prompt", "trigger": {"type": "cron", "schedule": "0 0 1 1 *"}, "timeout": RUN_S,
            "target": f"conversation:{made['conversation_id']}",
            "prompt": f'RUN{{test "$INTEROP_SECRET" = {secret} && printf "the-%s\\n" same}} SAY{{all done}}'})
        report.need("the prompt is taken", status == 201, "" if status == 201 else f"{status} {automation}")
        watch = Stopwatch()
        status, run = client.json("POST", f"{API}/{automation['id']}/dispatch", gateway.bearer)
        report.need("and a run of it", status == 201, "" if status == 201 else f"{status} {run}")

        def ended():
            # The script reports, and ends then: its exit code comes after the verdict.
            shown = client.json("GET", f"{API}/runs/{run['id']}", gateway.bearer)[1]
            return shown if shown.get("exit_code") is not None else None

        kept = wait_for(ended, RUN_S, 0.5) or {}
        held = (kept.get("status"), kept.get("exit_code")) == ("COMPLETED", 0) and kept["cost"] is not None
        report.need("it reports itself as completed, with its cost, and ends with 0", held, f"{watch}" if held else f"{watch} {kept}")
        path = f"/api/conversations/{kept['conversation_id']}"
        status, conversation = client.json("GET", path, key)
        report.line("and names its conversation, which has the automation's name",
                    status == 200 and str(conversation.get("title")).startswith("Interop prompt — "), kept["conversation_id"])
        _, seen = client.json("GET", f"{path}/events/search?limit=100", key)
        report.line("whose agent had the prompt and the secret", "the-same" in json.dumps(seen))
