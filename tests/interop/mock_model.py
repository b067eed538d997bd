"""A language model on loopback that does as its prompt says: POST .../chat/completions, answered whole, never streamed.

With tools offered it first calls `terminal`, once for each turn asked for, then `finish`; without tools it says a
sentence. Words anywhere in the newest user message steer it:

    RUN{command}    what `terminal` is called with
    TURNS=n         calls of `terminal` before `finish` (1)
    SAY{text}       what `finish` says
    HOLD{name}      an answer after the first `terminal` call waits until `release(name)`
"""

import http.server
import json
import re
import threading
import uuid

HOLD_S = 600


class MockModel:
    def __init__(self):
        model = self
        self.changed = threading.Condition()
        self.held, self.released = set(), set()
        self.requests = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                answer = json.dumps(model.answer(asked)).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:
                    self.close_connection = True  # the server that asked is gone

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, asked):
        with self.changed:
            self.requests += 1
        messages = asked.get("messages", [])
        newest = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=-1)
        prompt = text_of(messages[newest]) if newest >= 0 else ""
        turns_done = sum(m["role"] == "tool" for m in messages[newest + 1:])
        if not asked.get("tools"):
            return completion({"role": "assistant", "content": "a mock's sentence"})
        if turns_done < int(word(prompt, r"TURNS=(\d+)", "1")):
            return completion(call("terminal", {"command": word(prompt, r"RUN\{(.*?)\}", "true")}))
        self.hold(word(prompt, r"HOLD\{(.*?)\}", ""))
        return completion(call("finish", {"message": word(prompt, r"SAY\{(.*?)\}", "done")}))

    def hold(self, name):
        if not name:
            return
        with self.changed:
            self.held.add(name)
            self.changed.notify_all()
            self.changed.wait_for(lambda: name in self.released, HOLD_S)

    def wait_held(self, name, seconds):
        """Until an answer is held by that name: the run is in its middle."""
        with self.changed:
            return self.changed.wait_for(lambda: name in self.held, seconds)

    def release(self, name):
        with self.changed:
            self.released.add(name)
            self.changed.notify_all()

    def release_all(self):
        with self.changed:
            self.released |= self.held
            self.changed.notify_all()

    def close(self):
        self.release_all()
        self.server.shutdown()
        self.server.server_close()


def text_of(message):
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def word(prompt, pattern, otherwise):
    found = re.search(pattern, prompt, re.S)
    return found.group(1) if found else otherwise


def call(name, arguments):
    return {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_" + uuid.uuid4().hex, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}]}


def completion(message):
    return {"id": "mock-" + uuid.uuid4().hex, "object": "chat.completion", "created": 0, "model": "mock",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
