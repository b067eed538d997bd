"""The SDK as its users write it: an agent with a terminal, a remote workspace, a conversation to its end."""

import hashlib
import os
import secrets

os.environ.update(OPENHANDS_SUPPRESS_BANNER="1", DO_NOT_TRACK="1", LITELLM_LOCAL_MODEL_COST_MAP="True", LOG_LEVEL="INFO",
                  NO_PROXY="127.0.0.1,localhost", LOG_JSON="true")
for name in [name for name in os.environ if name.lower().endswith("_proxy") and name != "NO_PROXY"]:
    del os.environ[name]

from openhands.sdk import LLM, Agent, Conversation, Tool, Workspace  # noqa: E402
from openhands.sdk.event import ObservationEvent  # noqa: E402
from openhands.tools.terminal import TerminalTool  # noqa: E402

from parts import Failed  # noqa: E402


def agent_for(model, llm=None):
    llm = llm or LLM(usage_id="agent", model="openai/mock", base_url=model.url, api_key="x", num_retries=0)
    return Agent(llm=llm, tools=[Tool(name=TerminalTool.name)])


def remote(host, key, working_dir):
    return Workspace(host=host, api_key=key, working_dir=str(working_dir))


class Talk:
    """One conversation of the SDK; it stays on its server when it is closed."""

    def __init__(self, model, workspace, conversation_id=None, llm=None):
        self.conversation = Conversation(agent=agent_for(model, llm), workspace=workspace, visualizer=None, delete_on_close=False,
                                         conversation_id=conversation_id)

    @property
    def id(self):
        return str(self.conversation.id)

    def status(self):
        return self.conversation.state.execution_status.value

    def say(self, prompt):
        self.conversation.send_message(prompt)

    def run(self, seconds=300):
        self.conversation.run(timeout=seconds)
        return self.status()

    def observed(self):
        """What the terminal showed, all of it."""
        return "\n".join(part.text for event in self.conversation.state.events if isinstance(event, ObservationEvent)
                         for part in event.observation.to_llm_content if hasattr(part, "text"))

    def close(self):
        self.conversation.close()


def tell_conversation(report, where, model, workspace, llm=None):
    """A run of one tool call and a finish. The command's output cannot be mistaken for the command."""
    marker = secrets.token_hex(4)
    talk = Talk(model, workspace, llm=llm)
    try:
        talk.say(f"RUN{{printf 'seen-%s\\n' {marker}}} SAY{{all done}}")
        report.line(f"{where}: a RemoteConversation runs to its end", talk.run() == "finished", talk.status())
        report.line(f"{where}: its tool call was made in the runtime", f"seen-{marker}" in talk.observed())
    finally:
        talk.close()
    return talk.id


def tell_workspace(report, where, workspace, scratch):
    """Bash and files, with a name that wants care in a query."""
    result = workspace.execute_command("echo out; echo err >&2; exit 3", timeout=60)
    report.line(f"{where}: a command's streams and exit code",
                (result.exit_code, result.stdout.strip(), result.stderr.strip()) == (3, "out", "err"), f"exit {result.exit_code}")
    sent, came = scratch / "sent", scratch / "came"
    sent.write_bytes(secrets.token_bytes(3 << 20))
    there = f"{workspace.execute_command('pwd', timeout=60).stdout.strip()}/up dir/f+1 %41.bin"
    up = workspace.file_upload(sent, there)
    down = workspace.file_download(there, came)
    report.line(f"{where}: 3 MiB up and down again", up.success and down.success and digest(sent) == digest(came))


def working_dir_of(workspace):
    result = workspace.execute_command("pwd", timeout=60)
    if result.exit_code:
        raise Failed(f"pwd: {result.stderr}")
    return result.stdout.strip()


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
