"""What was seen of the running service beside its contract, a test a point."""

import concurrent.futures
import json
import os
import pathlib
import re

from harness import CRON, WAITING_SCRIPT, Service, equal, holds, is_moment, true
from live_faults import event_reaches_its_script, slows_no_health

SECTION = "live 2"


@holds(of=[("",), ("../UTC",), ("/etc/localtime",)])
def a_zone_that_is_no_name_is_a_value_error(at, zone):
    at.call("POST", "/v1", at.body(trigger=dict(CRON, timezone=zone))).has_fault(["body", "trigger", "cron", "timezone"], "value_error")


@holds(of=[("../UTC",), ("/etc/localtime",)])
def a_zone_that_is_a_path_is_told_so(at, zone):
    answer = at.call("POST", "/v1", at.body(trigger=dict(CRON, timezone=zone))).must_be(422)
    true(zone in answer.detail[0]["msg"], "the text", answer.detail[0]["msg"])


@holds()
def times_do_not_go_back(at):
    made = at.automation()
    moments = [is_moment(made["created_at"], "created_at"), is_moment(made["updated_at"], "updated_at")]
    for n in range(3):
        moments.append(is_moment(at.call("PATCH", f"/v1/{made['id']}", {"name": f"n{n}"}, expect=200).json["updated_at"], "updated_at"))
    equal(moments, sorted(moments), "created_at, and updated_at after each change")


@holds()
def a_token_that_is_no_jwt_has_not_enough_segments(at):
    at.secret("kv")
    at.call("GET", "/v1/kv", key="nonsense", expect=401).says("Invalid token: Not enough segments")


@holds()
def the_message_of_a_count_in_a_batch_names_the_key(at):
    key = at.kv_token(at.automation()["id"])
    at.call("PUT", "/v1/kv/k", [1], key=key, expect=201)
    detail = at.call("POST", "/v1/kv/batch", {"operations": [{"op": "incr", "key": "k"}]}, key=key, expect=400).detail
    true("key 'k' is not an integer" in detail["message"], "message", detail)
    at.call("POST", "/v1/kv/k/incr", key=key, expect=400).says("type_mismatch: value is not an integer")


@holds()
def a_change_through_a_list_names_its_path(at):
    key = at.kv_token(at.automation()["id"])
    at.call("PUT", "/v1/kv/k", {"a": [1]}, key=key, expect=201)
    answer = at.call("PATCH", "/v1/kv/k", {"path": "a[0].b", "value": 1}, key=key, expect=400)
    answer.says("invalid_path: Cannot set path").says("intermediate value is not a dict")


@holds()
def a_document_that_is_too_large_is_told_with_its_size(at):
    key = at.kv_token(at.automation()["id"])
    answer = at.call("PUT", "/v1/kv/k", "x" * 70_000, key=key, expect=413)
    size = re.search(r"State size \((\d+) bytes\) exceeds limit \(65536 bytes\)", answer.body.decode())
    true(size and 70_000 <= int(size[1]) <= 70_300, "the 413", str(answer))


@holds()
def forty_lists_at_once_are_all_answered(at):
    automation = at.automation()
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: at.call("GET", f"/v1/{automation['id']}/runs"), range(40)))
    equal({a.status for a in answers}, {200}, "statuses")


@holds(mends="under many dispatches some were answered 500, and what was known of runs was lost", slow=True)
def four_clients_dispatch_at_once_and_nothing_is_lost(at):
    automation = at.automation(tarball_path="s3://bucket/nothing.tar.gz")

    def fifty(_):
        client = Service(f"http://{at.service.host}:{at.service.port}", at.service.prefix, at.service.key)
        return [client.call("POST", f"/v1/{automation['id']}/dispatch") for _ in range(50)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [a for of_one in pool.map(fifty, range(4)) for a in of_one]
    equal({a.status for a in answers}, {201}, "statuses")
    ids = {a.json["id"] for a in answers}

    def listed():
        return [r for offset in (0, 100) for r in at.call("GET", f"/v1/{automation['id']}/runs?limit=100&offset={offset}").json["runs"]]
    at.until(lambda: {r["status"] for r in listed()} == {"FAILED"}, 60, "runs do not end", lambda: sorted(r["status"] for r in listed()))
    equal({r["id"] for r in listed()}, ids, "the runs")


@holds()
def an_event_of_nearly_128_kib_reaches_its_script(at):
    event_reaches_its_script(at, 129_000)


STARTS = [("4xx", {"starts_refused": 10 ** 6, "start_status": 400}), ("5xx, then better", {"starts_refused": 2, "start_status": 500}),
          ("a lost connection", {"start_dropped": "lost"})]


@holds(of=STARTS)
def no_environment_file_stays_after_a_start_that_met_with(at, _, how):
    at.need_agent().misbehave(**how)
    automation = at.script("true\n", timeout=5)
    run = at.dispatch(automation)
    at.until(lambda: at.run_of(automation["id"], run["id"])["status"] in ("FAILED", "COMPLETED"), 60, "the run does not end",
             lambda: at.run_of(automation["id"], run["id"]))
    path = pathlib.Path(f"/tmp/nestgate-private-{os.getuid()}/automation-{run['id']}.env")
    true(at.agent.run(run["id"]).upload(".env"), "no environment file was brought")
    at.until(lambda: not path.exists(), 10, "the environment file is there still")


@holds()
def of_a_run_the_agent_server_is_asked_nothing_else(at):
    running = at.running()
    running.complete().must_be(200)
    known = {"POST /api/file/upload", "POST /api/bash/execute_bash_command", "POST /api/bash/start_bash_command",
             "GET /api/bash/bash_events/search", "GET /api/file/download"}
    true(set(running.seen.calls) <= known, "calls", sorted(set(running.seen.calls) - known))


@holds()
def the_body_of_a_start_has_command_and_timeout(at):
    start = at.running().seen.starts[0]
    value = json.loads(start.request)
    equal((value["command"], value["timeout"], {k for k, v in value.items() if v is not None} - {"command", "timeout"}),
          (start.text, 600, set()), "the body")


@holds()
def the_event_payload_has_a_space_behind_its_commas_and_colons(at):
    text = at.running(name="spaced").environment["AUTOMATION_EVENT_PAYLOAD"]
    true(text in (json.dumps(json.loads(text)), json.dumps(json.loads(text), ensure_ascii=False)), "the payload", text)
    true(text.startswith('{"trigger": "cron", '), "the payload of a manual run of a cron automation", text)


@holds(slow=True)
def an_event_body_of_20_mb_slows_no_other_request(at):
    """The original takes it; a service with a limit may answer 413."""
    hook = at.webhook()
    body = json.dumps({"type": "x", "text": "z" * 20_000_000}).encode()  # made beforehand: this, too, would slow the one who asks

    def deliver():
        answer = at.event(hook["source"], None, raw=body, secret=hook["webhook_secret"], header="X-Signature-256").must_be(200, 413)
        if answer.status == 200:
            equal(answer.json["matched"], 0, "matched")
    slows_no_health(at, deliver, "the slowest health meanwhile, in s")


@holds()
def a_callback_that_overtakes_the_starts_answer_is_taken(at):
    at.need_agent().misbehave(start_answer_after=3)
    running = at.running()
    running.complete(conversation_id="early").must_be(200)
    row = at.until(lambda: (r := running.row())["bash_command_id"] and r, 15, "bash_command_id is not stored afterwards", running.row)
    equal((row["status"], row["conversation_id"], row["bash_command_id"].replace("-", "")),
          ("COMPLETED", "early", running.seen.starts[0].id), "the run")


@holds()
def a_disabled_automation_with_a_setup_path_runs_by_hand(at):
    automation = at.script(WAITING_SCRIPT, setup_script_path="none.sh")
    at.call("PATCH", f"/v1/{automation['id']}", {"enabled": False}, expect=200)
    at.started(automation, at.dispatch(automation)).file("started")
