"""The faults of the original service that are mended, in the order of the list of them."""

import concurrent.futures
import json
import os
import pathlib
import socket
import threading
import time

import automations
from harness import NOBODY, WAITING_SCRIPT, Differs, NotHere, Service, equal, holds, is_moment, soon_enough, true

SECTION = "live 1"
HEALTHY_S = 0.3


class Prober(threading.Thread):
    """Asks for something again and again, from another client; how long each answer took."""

    def __init__(self, at, path="/health", pause=0.02):
        super().__init__(daemon=True)
        self.client, self.path, self.pause = Service(f"http://{at.service.host}:{at.service.port}", at.service.prefix,
                                                     at.service.key), path, pause
        self.seconds, self.fault, self.done = [], None, threading.Event()

    def run(self):
        while not self.done.wait(self.pause):
            try:
                self.seconds.append(self.client.call("GET", self.path, expect=200, seconds=20).seconds)
            except Differs as e:
                self.fault = str(e)
                return

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join(30)


def slows_no_health(at, act, what):
    def slowest():
        with Prober(at) as prober:
            at.until(lambda: prober.seconds or prober.fault, 10, "health is not answered")
            act()
        true(not prober.fault, "health", prober.fault)
        return max(prober.seconds)
    soon_enough(slowest, HEALTHY_S, what)


def seen_of(at, automation, run):
    return at.agent.run(run["id"]), lambda: at.run_of(automation["id"], run["id"])


def event_reaches_its_script(at, size):
    at.need_agent()
    hook = at.webhook()
    # No program is called before it is known that the script runs: with an environment that large none could be.
    script = ": > started\nwhile [ ! -e finish ]; do read -r _ < /dev/null; done\n"
    automation = at.script(script, trigger={"type": "event", "source": hook["source"], "on": "*"})
    answer = at.event(hook["source"], {"type": "x", "text": "y" * size}, secret=hook["webhook_secret"],
                      header="X-Signature-256").must_be(200).json
    equal(answer["matched"], 1, "matched")
    run = at.runs_of(automation["id"])[0]
    at.runs.append((automation["id"], run["id"]))
    running = at.started(automation, run)
    running.file("started")
    folders = pathlib.Path("/tmp"), pathlib.Path(f"/tmp/nestgate-private-{os.getuid()}")
    left = [p.name for folder in folders for p in folder.glob(f"automation-{run['id']}*") if p.suffix in (".env", ".gz")]
    equal(left, [], "what is left of tarball and environment")


@holds(mends="a trigger of text was 500",
       of=[(method, repr(value), value) for method in ("POST", "PATCH") for value in ("cron", 5, [], True)])
def a_trigger_that_is_no_object_is_422(at, method, _, value):
    answer = at.call("POST", "/v1", at.body(trigger=value)) if method == "POST" else at.call("PATCH", f"/v1/{at.automation()['id']}",
        {"trigger": value})
    answer.must_be(422)
    equal(answer.detail[0]["loc"][:2], ["body", "trigger"], "where")


@holds(mends="a change to null was 500", of=[("name",), ("tarball_path",), ("entrypoint",), ("enabled",), ("trigger",)])
def a_change_to_null_is_422(at, name):
    made = at.automation()
    answer = at.call("PATCH", f"/v1/{made['id']}", {name: None}).must_be(422)
    equal(answer.detail[0]["loc"][:2], ["body", name], "where")
    equal(at.call("GET", f"/v1/{made['id']}", expect=200).json, made, "the automation afterwards")


@holds(mends="a change to an upload that does not exist was 200")
def a_change_to_an_upload_that_does_not_exist_is_404(at):
    made = at.automation()
    at.call("PATCH", f"/v1/{made['id']}", {"tarball_path": f"oh-internal://uploads/{NOBODY}"}, expect=404).says("Upload not found")
    equal(at.call("GET", f"/v1/{made['id']}").json["tarball_path"], made["tarball_path"], "tarball_path afterwards")


@holds(mends="a download under a name outside Latin-1 was 500", of=[("テスト",), ("naïve ☃\r\nX-Evil: 1",), ("🎉",)])
def a_tarball_is_downloaded_under_the_name(at, name):
    automations.downloaded_under(at, name)


@holds(mends="a chunked upload over 1 MiB was 201 with status FAILED")
def a_chunked_upload_over_the_limit_is_413(at):
    before = at.call("GET", "/v1/uploads").json["total"]
    pieces = (b"\0" * 65_536 for _ in range(17))
    at.call("POST", "/v1/uploads?name=n", body=pieces, headers={"Content-Type": "application/gzip"},
            expect=413).says("Maximum size is 1048576 bytes")
    equal(at.call("GET", "/v1/uploads").json["total"], before, "how many uploads are listed")


@holds(mends="upload times had no zone on SQLite")
def times_of_uploads_have_their_zone(at):
    row = at.upload()
    created, updated = (is_moment(row[name].replace("+00:00", "Z"), name) for name in ("created_at", "updated_at"))
    true(updated >= created, "updated_at is before created_at", row)


@holds(mends="a hostile pattern stopped the whole service for seconds",
       of=[("nested groups", "^(a+)+$", "a" * 30 + "!"), ("alternatives", "^(a|a)*$", "a" * 30 + "!"), ("stars", "^(a*)*b$", "a" * 30),
           ("many stars", "a*" * 25 + "b", "a" * 40)])
def a_hostile_pattern_slows_no_other_request(at, _, pattern, text):
    hook = at.webhook()
    at.automation(trigger={"type": "event", "source": hook["source"], "on": "*", "filter": f"regex(text, '{pattern}')"},
                  tarball_path="s3://bucket/nothing.tar.gz")

    def matched():
        return at.event(hook["source"], {"type": "x", "text": text}, secret=hook["webhook_secret"],
                        header="X-Signature-256").must_be(200).json["matched"]
    slows_no_health(at, lambda: equal(matched(), 0, "matched"), "the slowest health while the pattern is matched, in s")


@holds(mends="an event of 200 KB ended its run with exit 126 and left its secrets in /tmp",
       of=[("132,311 bytes", 132_311), ("200 KB", 200_000), ("1 MB", 1_000_000)])
def an_event_of_any_size_reaches_its_script(at, _, size):
    event_reaches_its_script(at, size)


@holds(mends="one 503 failed the run", of=[("once", 1), ("three times", 3)])
def a_tarball_that_is_refused_with_503_is_brought_again(at, _, times):
    at.need_agent().misbehave(uploads_refused=times)
    running = at.running()
    equal(running.row()["status"], "RUNNING", "status")
    equal(len(running.seen.starts), 1, "starts")


@holds(mends="a start that was answered late failed its run, whose script ran on", slow=True)
def a_start_that_is_answered_after_12_s_is_one_start_of_a_run_that_completes(at):
    at.need_agent().misbehave(start_answer_after=12)
    running = at.running()
    true(running.seen.starts[0].answered.wait(30), "the start was not answered")
    at.until(lambda: running.row()["bash_command_id"], 10, "bash_command_id is not stored", running.row)
    running.complete(cost=1).must_be(200)
    equal((len(running.seen.starts), running.row()["status"]), (1, "COMPLETED"), "starts and status")


@holds(mends="a start whose answer was lost failed its run",
       of=[("after it was carried out", "run"), ("before it was carried out", "lost")])
def a_start_whose_answer_is_lost_is_one_start_in_the_end(at, _, how):
    at.need_agent().misbehave(start_dropped=how)
    running = at.running("echo x >> starts\n" + WAITING_SCRIPT)
    running.complete().must_be(200)
    equal(running.ended()["status"], "COMPLETED", "status")
    equal((running.folder / "starts").read_text().split(), ["x"], "how often the script began")


@holds(mends="the same verdict twice was 409", of=[("COMPLETED",), ("FAILED",)])
def the_same_verdict_twice_is_200(at, status):
    running = at.running()
    first = running.complete(status, cost=2, conversation_id="c").must_be(200).json
    again = running.complete(status, key=at.service.key).must_be(200).json
    equal((again["status"], again["cost"], again["conversation_id"], again["completed_at"]), (status, 2, "c", first["completed_at"]),
          "the second answer")


@holds(mends="the script's callback key was the admin key")
def the_callback_key_opens_its_own_run_alone(at):
    one, other = at.running(), at.running()
    key = one.environment["AUTOMATION_CALLBACK_API_KEY"]
    true(key != at.service.key, "the callback key is the admin key")
    true(key != other.environment["AUTOMATION_CALLBACK_API_KEY"], "two runs share a callback key")
    for method, path, body in (("GET", "/v1", None), ("POST", "/v1", at.body()), ("GET", "/v1/uploads", None),
                               ("GET", "/v1/webhooks", None), ("DELETE", f"/v1/{one.automation['id']}", None),
                               ("POST", f"/v1/{one.automation['id']}/dispatch", None),
                               ("POST", f"/v1/runs/{other.id}/complete", {"status": "COMPLETED"}),
                               ("POST", f"/v1/runs/{other.id}/cancel", None)):
        answer = at.call(method, path, body, key=key)
        true(answer.status in (401, 403, 404), f"the key of a run opens something else: {answer}")
    equal(other.row()["status"], "RUNNING", "the other run")
    one.complete(key=key).must_be(200)


@holds(mends="a command that ended without a callback was seen at the deadline only", of=[("0", "COMPLETED"), ("3", "FAILED")])
def a_command_that_ends_without_a_callback_settles_its_run(at, code, status):
    running = at.running(WAITING_SCRIPT.replace('exit "$(cat', 'echo last words >&2; exit "$(cat'))
    running.finish(code)
    row = running.ended(8, status)
    if code != "0":
        true("exit_code=3" in row["error_detail"] and "last words" in row["error_detail"], "error_detail", row["error_detail"])


@holds(mends="a command's end was seen at the deadline only; here there is no websocket to see it by")
def a_command_that_ends_is_seen_without_a_websocket_too(at):
    at.need_agent().websocket = False
    try:
        running = at.running()
        running.finish(4)
        true("exit_code=4" in running.ended(8, "FAILED")["error_detail"], "error_detail", running.row()["error_detail"])
    finally:
        at.agent.websocket = True


@holds(mends="the process of a cancelled run went on")
def a_cancelled_run_ends_its_processes(at):
    running = at.running("sleep 1000 & echo $! > child\n" + WAITING_SCRIPT)
    true(running.seen.alive, "the script does not run")
    at.call("POST", f"/v1/runs/{running.id}/cancel", expect=200)
    at.until(lambda: not running.seen.alive, 5, "processes of the cancelled run are there still", lambda: running.seen.alive)
    equal(running.row()["status"], "CANCELLED", "status")


@holds(mends="a run that was cancelled while its tarball was brought was started all the same")
def a_run_that_is_cancelled_while_its_tarball_is_brought_is_never_started(at):
    release = threading.Event()
    at.need_agent().misbehave(upload_held=release)
    automation = at.script(WAITING_SCRIPT)
    run = at.dispatch(automation)
    seen, row = seen_of(at, automation, run)
    try:
        at.until(lambda: seen.uploads, 30, "no upload comes")
        at.call("POST", f"/v1/runs/{run['id']}/cancel", expect=200)
    finally:
        release.set()
    # Another run through the same dispatcher is started after it: this one would have been by then.
    other = at.running()
    other.complete().must_be(200)
    equal((seen.starts, row()["status"]), ([], "CANCELLED"), "starts and status")


@holds(mends="KV PUT of null was 422")
def a_null_is_stored(at):
    automation = at.automation()
    key = at.kv_token(automation["id"])
    made = at.call("PUT", "/v1/kv/nothing", body=b"null", headers={"Content-Type": "application/json"}, key=key, expect=201).json
    equal(made["value"], None, "value")
    equal(at.call("GET", "/v1/kv/nothing", key=key, expect=200).json, {"key": "nothing", "value": None}, "the value, read")
    equal(at.call("GET", "/v1/kv", key=key).json["keys"], ["nothing"], "the keys")


@holds(mends="counting at once lost most counts",
       of=[("by itself", "/n/incr", None),
           ("in a batch", "/batch", {"operations": [{"op": "incr", "key": "n"}, {"op": "rpush", "key": "l", "value": 1}]})])
def counting_at_once_counts_every_200(at, _, path, body):
    key = at.kv_token(at.automation()["id"])

    def ten(_):
        client = Service(f"http://{at.service.host}:{at.service.port}", at.service.prefix, key)
        return [client.call("POST", f"/v1/kv{path}", body).status for _ in range(10)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        statuses = [s for of_one in pool.map(ten, range(4)) for s in of_one]
    true(set(statuses) <= {200, 409}, "statuses", sorted(set(statuses)))
    true(statuses.count(200) > 0, "nobody counted")
    equal(at.call("GET", "/v1/kv/n", key=key, expect=200).json["value"], statuses.count(200), "the counter beside the number of 200s")
    at.service.seen.add(("POST", "/v1/kv/{key}/incr", 200))


@holds(mends="what was acknowledged was lost when the service was killed at once", slow=True)
def what_was_acknowledged_survives_a_kill(at):
    if at.restart is None:
        raise NotHere("--restart-command was not given")
    automation = at.automation(tarball_path="s3://bucket/nothing.tar.gz")

    def create():
        made = at.automation()
        return lambda: equal(at.call("GET", f"/v1/{made['id']}", expect=200).json, made, "the automation")

    def dispatch():
        run = at.call("POST", f"/v1/{automation['id']}/dispatch", expect=201).json
        return lambda: at.run_of(automation["id"], run["id"])

    def upload():
        row = at.upload(b"kept")
        made = at.body(tarball_path=row["tarball_path"])

        def check():
            equal(at.call("GET", f"/v1/{at.made_by(at.call('POST', '/v1', made, expect=201))['id']}/tarball", expect=200).body, b"kept",
                  "the upload")
        return check

    def put():
        key = at.kv_token(automation["id"])
        at.call("PUT", f"/v1/kv/kept-{time.monotonic_ns()}", 5, key=key, expect=201)
        keys = at.call("GET", "/v1/kv", key=key).json["keys"]
        return lambda: equal(at.call("GET", "/v1/kv", key=key, expect=200).json["keys"], keys, "the keys")

    def hook():
        made = at.webhook()
        return lambda: at.call("GET", f"/v1/webhooks/{made['id']}", expect=200)

    for step in (create, dispatch, upload, put, hook, create, dispatch):
        check = step()
        at.restart()
        check()


@holds(mends="while an external tarball was fetched slowly, every other request waited")
def a_slow_download_slows_no_other_request(at):
    at.need_agent()

    def median_of_lists():
        with Prober(at, "/v1?limit=10") as prober:
            at.until(lambda: len(prober.seconds) >= 30 or prober.fault, 30, "lists are not answered")
        true(not prober.fault, "lists", prober.fault)
        return sorted(prober.seconds)[len(prober.seconds) // 2]

    def slowdown():
        before = median_of_lists()
        with socket.create_server(("127.0.0.1", 0)) as slow:
            automation = at.automation(tarball_path=f"https://127.0.0.1:{slow.getsockname()[1]}/slow.tar.gz")
            run = at.dispatch(automation)
            seen, _ = seen_of(at, automation, run)
            at.until(lambda: seen.commands, 30, "nothing fetches the tarball")
            during = median_of_lists()
            at.call("POST", f"/v1/runs/{run['id']}/cancel")
        return during - before
    soon_enough(slowdown, 0.05, "how much longer the median list takes during the download, in s")


SEARCHES = [("401, for a while", 401, 4), ("404, for a while", 404, 4), ("401, always", 401, 10 ** 6), ("404, always", 404, 10 ** 6),
            ("503, for a while", 503, 4)]


@holds(mends="one wrong answer to a search failed a live run", of=SEARCHES)
def a_search_that_is_refused_fails_no_live_run(at, _, status, times):
    at.need_agent().misbehave(searches_refused=times, search_status=status)
    running = at.running()
    at.until(lambda: running.seen.searches or running.seen.starts[0].at + 4 < time.monotonic(), 6, "nothing was to be seen")
    equal(running.row()["status"], "RUNNING", "status")
    running.complete().must_be(200)
    equal(running.row()["status"], "COMPLETED", "status")


@holds(mends="one wrong answer to a search failed a live run", of=[(str(status), status) for status in (401, 404, 503)])
def a_search_that_is_refused_is_asked_again(at, _, status):
    at.need_agent().misbehave(searches_refused=2, search_status=status)
    at.agent.websocket = False
    try:
        running = at.running()
        running.finish(0)
        running.ended(20, "COMPLETED")
    finally:
        at.agent.websocket = True


@holds(mends="the text of a failed run showed the internal address", slow=True)
def a_run_that_fails_since_nothing_is_known_of_it_shows_no_internal_address(at):
    at.need_agent().misbehave(searches_refused=10 ** 6, search_status=404, silent=True)
    automation = at.script(WAITING_SCRIPT, timeout=1)
    row = at.started(automation, at.dispatch(automation)).ended(120, "FAILED")
    true(row["error_detail"].startswith("Timed out: "), "error_detail", row["error_detail"])
    text = json.dumps(row)
    true(str(at.agent.port) not in text and "http://" not in text, "an internal address", text)


@holds(mends="an upload that was refused was swallowed, or failed the run without its reason",
       of=[("400", 400), ("403", 403), ("413", 413)])
def an_upload_that_is_refused_for_good_fails_the_run_with_its_reason(at, _, status):
    at.need_agent().misbehave(uploads_refused=10 ** 6, upload_status=status)
    automation = at.script(WAITING_SCRIPT, timeout=5)
    run = at.dispatch(automation)
    seen, row = seen_of(at, automation, run)
    ended = at.until(lambda: (r := row())["status"] == "FAILED" and r, 90, "the run does not fail", row)
    true(str(status) in ended["error_detail"] or "upload" in ended["error_detail"].lower(), "error_detail", ended["error_detail"])
    true("http://" not in json.dumps(ended), "an internal address", ended)
    equal(seen.starts, [], "starts")
