"""What an automation runs inside a sandbox: the SDK in its local mode, with the user's model and secrets.

PROMPT, the address and the key come from the environment that the run was given.
"""

import os

from openhands.sdk import Agent, Conversation, Tool
from openhands.tools.terminal import TerminalTool
from openhands.workspace import OpenHandsCloudWorkspace

with OpenHandsCloudWorkspace(local_agent_server_mode=True, cloud_api_url=os.environ["OPENHANDS_CLOUD_API_URL"],
                             cloud_api_key=os.environ["OPENHANDS_API_KEY"], working_dir=os.getcwd()) as workspace:
    agent = Agent(llm=workspace.get_llm(), tools=[Tool(name=TerminalTool.name)])
    conversation = Conversation(agent=agent, workspace=workspace, visualizer=None, delete_on_close=False)
    conversation.update_secrets(workspace.get_secrets())
    conversation.send_message(os.environ["PROMPT"])
    conversation.run()
    print("status", conversation.state.execution_status.value)
    conversation.close()
