"""Runs the prompt beside this file in a conversation, with the repositories and plugins that are configured there.

Once the workspace is entered, its exit reports how the run ended, whatever goes wrong in between.
"""

import json
import os
import random
import sys
from datetime import datetime, timezone
from pathlib import Path

from openhands.sdk import Conversation
from openhands.sdk.plugin import PluginSource
from openhands.tools.preset.default import get_default_agent

HERE = Path(__file__).resolve().parent
TITLE_LENGTH_MAX = 200


def say(text):
    print(text, flush=True)


def configured(name):
    """What a file beside this one says; None without it."""
    path = HERE / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def what_started_it():
    """The trigger's payload; empty where there is none that can be read."""
    path = os.environ.get("AUTOMATION_EVENT_PAYLOAD_FILE")
    text = Path(path).read_text(encoding="utf-8") if path else os.environ.get("AUTOMATION_EVENT_PAYLOAD")
    try:
        payload = json.loads(text or "{}")
    except ValueError as fault:
        say(f"the event payload is no JSON: {fault}")
        return {}
    return payload if isinstance(payload, dict) else {}


def open_workspace():
    server = os.environ.get("AGENT_SERVER_URL", "").rstrip("/")
    key = os.environ.get("OH_SESSION_API_KEYS_0") or os.environ.get("SESSION_API_KEY") or None
    if server:
        from openhands.sdk.workspace.remote.base import RemoteWorkspace

        folder = os.path.expanduser(os.environ.get("WORKSPACE_BASE", "/workspace"))
        return RemoteWorkspace(host=server, api_key=key, working_dir=folder)
    from openhands.workspace import OpenHandsCloudWorkspace

    return OpenHandsCloudWorkspace(
        local_agent_server_mode=True,
        cloud_api_url=os.environ["OPENHANDS_CLOUD_API_URL"].rstrip("/"),
        cloud_api_key=os.environ["OPENHANDS_API_KEY"],
        keep_alive=True,
    )


def clone(workspace, repos):
    """What to tell the agent of the repositories, and where they are."""
    if not repos:
        return "", []
    result = workspace.clone_repos(repos)
    if result.failed_repos:
        say(f"not cloned: {', '.join(result.failed_repos)}")
    if not result.repo_mappings:
        return "", []
    return workspace.get_repos_context(result.repo_mappings), [m.local_path for m in result.repo_mappings.values()]


def choose(experiment):
    """One variant, by weight."""
    variants = experiment["variants"]
    return random.choices(variants, weights=[v["weight"] for v in variants])[0]


def model_of(workspace, profile):
    if profile:
        try:
            return workspace.get_llm(profile_name=profile)
        except FileNotFoundError:
            say(f"there is no model profile {profile!r}: the default one is used")
    return workspace.get_llm()


def if_there(what, ask):
    """What a user may not have set up; None then."""
    try:
        return ask() or None
    except Exception as fault:  # whatever it is, the run goes on without
        say(f"no {what}: {fault}")
        return None


def servers_in(mcp_config):
    """As the agent's field has it."""
    try:
        from openhands.sdk.mcp.config import coerce_mcp_config
    except ImportError:
        return mcp_config.get("mcpServers", mcp_config)
    return coerce_mcp_config(mcp_config)


def make_agent(workspace, profile, folders):
    agent = get_default_agent(llm=model_of(workspace, profile), cli_mode=True)
    changes = {}
    skills = if_there("skills", lambda: workspace.load_skills_from_agent_server(project_dirs=folders or None))
    if skills and skills[1]:
        changes["agent_context"] = skills[1]
    mcp_config = if_there("MCP servers", workspace.get_mcp_config)
    if mcp_config:
        changes["mcp_config"] = servers_in(mcp_config)
    return agent.model_copy(update=changes) if changes else agent


def title_of(payload):
    """The automation's name, with what it is about: a repository's issue or pull request, else the time."""
    name = " ".join(str(payload.get("automation_name") or os.environ.get("AUTOMATION_NAME") or "").split())
    if not name:
        return None
    event = payload.get("event") if isinstance(payload.get("event"), dict) else {}
    repository = (event.get("repository") or {}).get("full_name") if isinstance(event.get("repository"), dict) else None
    about = next((event[k] for k in ("pull_request", "issue") if isinstance(event.get(k), dict)), event)
    if repository and isinstance(about.get("number"), int):
        context = f"{repository.rsplit('/', 1)[-1]}#{about['number']}"
    else:
        context = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"{name} — {context}"[:TITLE_LENGTH_MAX]


def prompt_of(payload, repos_context):
    prompt = (HERE / "prompt.txt").read_text(encoding="utf-8")
    before = [repos_context] if repos_context else []
    if "event" in payload:
        event = json.dumps(payload["event"], indent=2, ensure_ascii=False)
        before.append(f"## Event\n\nThis event started the run:\n\n```json\n{event}\n```")
    return "\n\n".join([*before, "## Task", prompt]) if before else prompt


def tags_of(payload, experiment, variant, profile):
    tags = {"automationtrigger": str(payload.get("trigger") or "unknown")[:256]}
    for tag, name in (("automationid", "AUTOMATION_ID"), ("automationrunid", "AUTOMATION_RUN_ID")):
        if os.environ.get(name):
            tags[tag] = os.environ[name]
    if experiment:
        tags |= {"experimentid": experiment["experiment_id"], "variant": variant["name"]}
        if profile:
            tags["modelprofile"] = profile
    return tags


def run(workspace):
    payload = what_started_it()
    experiment = configured("experiment_config.json")
    variant = choose(experiment) if experiment else None
    profile = (variant or {}).get("model") or os.environ.get("AUTOMATION_MODEL") or None
    plugins = variant["plugins"] if variant else configured("plugins_config.json")
    repos_context, folders = clone(workspace, configured("repos_config.json"))
    more = {"plugins": [PluginSource.model_validate(p) for p in plugins]} if plugins else {}
    conversation = Conversation(
        agent=make_agent(workspace, profile, folders),
        workspace=workspace,
        delete_on_close=False,
        tags=tags_of(payload, experiment, variant, profile),
        **more,
    )
    say(f"conversation {conversation.id}")
    try:
        title = title_of(payload)
        if title:
            path = f"/api/conversations/{conversation.id}"
            if_there("title", lambda: workspace.client.patch(path, json={"title": title}).raise_for_status())
        secrets = if_there("secrets", workspace.get_secrets)
        if secrets:
            conversation.update_secrets(secrets)
        conversation.send_message(prompt_of(payload, repos_context))
        conversation.run()
    finally:
        if_there("clean end of the conversation", conversation.close)


if __name__ == "__main__":
    with open_workspace() as opened:
        run(opened)
    sys.exit(0)
