"""The fake agent server does what the tests rely on.   python3 -m unittest agent_server_test"""

import http.client
import json
import pathlib
import tempfile
import threading
import time
import unittest
import uuid

from agent_server import AgentServer, group_lives

BOUNDARY = "b0undary"


class FakeAgentServer(unittest.TestCase):
    def setUp(self):
        self.agent = AgentServer(0, "key")
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=self.agent.folder))
        self.run_id = str(uuid.uuid4())

    def tearDown(self):
        self.agent.stop()

    def call(self, method, path, value=None, key="key", data=None, content_type="application/json"):
        connection = http.client.HTTPConnection("127.0.0.1", self.agent.port, timeout=20)
        headers = {"X-Session-API-Key": key, **({"Content-Type": content_type} if value is not None or data else {})}
        connection.request(method, path, data if data is not None else json.dumps(value) if value is not None else None, headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, json.loads(body) if answer.headers["Content-Type"] == "application/json" else body

    def upload(self, path, data):
        body = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="upload"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n").encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
        return self.call("POST", f"/api/file/upload?path={path}", data=body, content_type=f"multipart/form-data; boundary={BOUNDARY}")

    def archive(self, suffix=""):
        return f"{self.folder}/automation-{self.run_id}.tar.gz{suffix}"

    def test_keeps_an_upload_byte_for_byte(self):
        data = bytes(range(256)) * 3 + b"\r\n--\r\n"
        self.assertEqual(self.upload(self.archive(), data)[0], 200)
        self.assertEqual(pathlib.Path(self.archive()).read_bytes(), data)
        self.assertEqual(self.agent.run(self.run_id).upload(".tar.gz").data, data)

    def test_refuses_a_wrong_key_and_a_relative_path(self):
        self.assertEqual(self.call("GET", "/api/bash/bash_events/search", key="other")[0], 401)
        self.assertEqual(self.upload("relative", b"x")[0], 400)

    def test_runs_a_command_and_tells_its_end(self):
        status, answer = self.call("POST", "/api/bash/execute_bash_command", {"command": "echo out; echo err >&2; exit 3", "timeout": 10})
        self.assertEqual((status, answer["exit_code"], answer["stdout"], answer["stderr"]), (200, 3, "out\n", "err\n"))

    def test_lists_outputs_by_command(self):
        started = [self.call("POST", "/api/bash/start_bash_command", {"command": f"exit {n}", "timeout": 10})[1] for n in (4, 5)]
        for command in started:
            self.assertTrue(self.agent.commands[command["id"]].ended.wait(10))
        path = f"/api/bash/bash_events/search?kind__eq=BashOutput&sort_order=TIMESTAMP_DESC&limit=1&command_id__eq={started[0]['id']}"
        items = self.call("GET", path)[1]["items"]
        self.assertEqual([i["exit_code"] for i in items], [4])
        self.assertEqual(self.call("GET", f"/api/bash/bash_events/{items[0]['id']}")[1]["command_id"], started[0]["id"])

    def test_pages_through_events(self):
        for n in range(3):
            self.call("POST", "/api/bash/execute_bash_command", {"command": f"exit {n}", "timeout": 10})
        found, page = [], ""
        while page is not None:
            answer = self.call("GET", f"/api/bash/bash_events/search?kind__eq=BashOutput&limit=1{page}")[1]
            found += [i["exit_code"] for i in answer["items"]]
            page = answer["next_page_id"] and f"&page_id={answer['next_page_id']}"
        self.assertEqual(found, [0, 1, 2])

    def test_ends_a_command_at_its_timeout_with_its_children(self):
        began = time.monotonic()
        answer = self.call("POST", "/api/bash/execute_bash_command", {"command": "sleep 60 & wait", "timeout": 1})[1]
        self.assertEqual(answer["exit_code"], -1)
        self.assertLess(time.monotonic() - began, 10)
        self.assertFalse(group_lives(next(iter(self.agent.commands.values())).pid))

    def test_refuses_as_many_uploads_as_it_is_told_for_one_run_only(self):
        self.agent.misbehave(uploads_refused=2)
        self.assertEqual([self.upload(self.archive(), b"x")[0] for _ in range(3)], [503, 503, 200])
        self.run_id = str(uuid.uuid4())
        self.assertEqual(self.upload(self.archive(), b"x")[0], 200)

    def test_holds_an_upload(self):
        release = threading.Event()
        self.agent.misbehave(upload_held=release)
        done = threading.Thread(target=self.upload, args=(self.archive(), b"x"))
        done.start()
        run = self.agent.run(self.run_id)
        with self.agent.lock:
            self.assertTrue(self.agent.lock.wait_for(lambda: run.uploads, 10))
        self.assertFalse(run.uploads[0].kept)
        release.set()
        done.join(10)
        self.assertTrue(run.uploads[0].kept)

    def test_drops_the_connection_after_a_start_that_it_carried_out(self):
        self.agent.misbehave(start_dropped="run")
        with self.assertRaises((http.client.HTTPException, OSError)):
            self.call("POST", "/api/bash/start_bash_command", {"command": f"true {self.archive()}", "timeout": 10})
        starts = self.agent.run(self.run_id).starts
        self.assertEqual(len(starts), 1)
        self.assertTrue(starts[0].ended.wait(10))

    def test_drops_the_connection_before_a_start(self):
        self.agent.misbehave(start_dropped="lost")
        with self.assertRaises((http.client.HTTPException, OSError)):
            self.call("POST", "/api/bash/start_bash_command", {"command": f"true {self.archive()}", "timeout": 10})
        self.assertEqual(self.agent.run(self.run_id).starts, [])

    def test_answers_a_start_late(self):
        self.agent.misbehave(start_answer_after=1)
        began = time.monotonic()
        self.assertEqual(self.call("POST", "/api/bash/start_bash_command", {"command": f"true {self.archive()}", "timeout": 10})[0], 200)
        self.assertGreaterEqual(time.monotonic() - began, 1)

    def test_refuses_searches_of_one_run(self):
        self.agent.misbehave(searches_refused=1, search_status=401)
        command = self.call("POST", "/api/bash/start_bash_command", {"command": f"true {self.archive()}", "timeout": 10})[1]
        path = f"/api/bash/bash_events/search?command_id__eq={command['id']}"
        self.assertEqual([self.call("GET", path)[0] for _ in range(2)], [401, 200])

    def test_never_tells_of_a_silent_run(self):
        self.agent.misbehave(silent=True)
        command = self.call("POST", "/api/bash/start_bash_command", {"command": f"true {self.archive()}", "timeout": 10})[1]
        self.assertTrue(self.agent.commands[command["id"]].ended.wait(10))
        self.assertEqual(self.call("GET", f"/api/bash/bash_events/search?command_id__eq={command['id']}")[1]["items"], [])

    def test_reads_the_environment_as_a_shell_does(self):
        self.upload(self.archive(".env"), b"export A='one'\nexport B='it'\\''s \"x\"\n'\nexport C='{\"k\": 1}'\n")
        self.assertEqual(self.agent.run(self.run_id).environment, {"A": "one", "B": "it's \"x\"\n", "C": '{"k": 1}'})

    def test_pushes_events_over_a_websocket_once_it_has_the_key(self):
        import sys
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "interop"))
        from parts import Client, WebSocket
        socket = WebSocket(Client(f"127.0.0.1:{self.agent.port}"), "/sockets/bash-events")
        socket.send({"type": "auth", "session_api_key": "key"})
        with self.agent.lock:
            self.assertTrue(self.agent.lock.wait_for(lambda: self.agent.subscribers, 10))
        self.call("POST", "/api/bash/execute_bash_command", {"command": "exit 7", "timeout": 10})
        self.assertEqual([socket.event()["kind"], socket.event()["exit_code"]], ["BashCommand", 7])
        socket.close()
        socket = WebSocket(Client(f"127.0.0.1:{self.agent.port}"), "/sockets/bash-events")
        socket.send({"type": "auth", "session_api_key": "wrong"})
        self.assertEqual(socket.event()[:2], ("close", 4001))
        socket.close()


if __name__ == "__main__":
    unittest.main()
