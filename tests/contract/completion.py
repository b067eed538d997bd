"""How a run ends: by its script's callback, by its command's end, at its deadline."""

import json
import sys
import uuid

from harness import WAITING_SCRIPT, equal, holds, is_moment, keys_are, true

SECTION = "7"

CALLBACK = f"""\
{sys.executable} - <<'END'
import os, urllib.request
request = urllib.request.Request(os.environ["AUTOMATION_CALLBACK_URL"], open("body.json", "rb").read(),
    {{"Authorization": "Bearer " + os.environ["AUTOMATION_CALLBACK_API_KEY"], "Content-Type": "application/json"}})
open("answered", "w").write(str(urllib.request.urlopen(request).status))
END
"""


def posting(body):
    return f"cat > body.json <<'END'\n{json.dumps(body)}\nEND\n" + CALLBACK


@holds()
def a_script_that_calls_back_completes_its_run(at):
    body = {"status": "COMPLETED", "run_id": "whatever", "conversation_id": "c0ffee", "cost": 0.125}
    _, row = at.ended_run(posting(body))
    equal((row["status"], row["conversation_id"], row["cost"], row["error_detail"], row["status_detail"]),
          ("COMPLETED", "c0ffee", 0.125, None, None), "the run")
    true(is_moment(row["completed_at"], "completed_at") >= is_moment(row["started_at"], "started_at"), "completed_at is before started_at",
         row)


@holds()
def the_answer_to_a_callback_is_the_run(at):
    running = at.running()
    row = running.complete().must_be(200).json
    equal((row["id"], row["automation_id"], row["status"]), (running.id, running.automation["id"], "COMPLETED"), "the answer")
    equal(running.row(), row, "the run, read")


@holds(of=[("integer cost", {"cost": 3}, "cost", 3.0), ("cost in a string", {"cost": "1.5"}, "cost", 1.5), ("no cost", {}, "cost", None),
           ("null cost", {"cost": None}, "cost", None),
           ("cost of nothing", {"cost": 0}, "cost", 0.0), ("empty conversation", {"conversation_id": ""}, "conversation_id", None),
           ("null conversation", {"conversation_id": None}, "conversation_id", None)])
def a_completion_stores(at, _, more, name, wanted):
    equal(at.running().complete(**more).must_be(200).json[name], wanted, name)


@holds()
def a_completed_run_has_no_error_whatever_the_callback_says(at):
    row = at.running().complete(error="ignored").must_be(200).json
    equal((row["error_detail"], row["status_detail"]), (None, None), "error_detail and status_detail")


EVENT = {"kind": "ConversationErrorEvent", "id": "e1", "timestamp": "2026-01-01T00:00:00", "source": "environment", "parent_id": None,
         "code": "RuntimeError", "detail": "boom",
         "classification": {"kind": "unknown", "retryable": False, "user_action": "retry", "error_id": "err-1"}}
ERRORS = [
    ("a text", "it broke", "it broke"),
    ("nothing", None, "Completion callback reported failure"),
    ("an empty text", "", "Completion callback reported failure"),
    ("the SDK's event", EVENT, "RuntimeError: boom [kind=unknown, source=environment]"),
    ("code and detail", {"code": "X", "detail": "y"}, "X: y"),
    ("code and message", {"code": "X", "message": "y"}, "X: y"),
    ("code alone", {"code": "X"}, "X"),
    ("detail alone", {"detail": "y"}, "y"),
    ("message alone", {"message": "y"}, "y"),
    ("neither", {"other": 1}, "Structured callback error"),
    ("source alone", {"detail": "y", "source": "agent", "extra": 1}, "y [source=agent]"),
    ("kind alone", {"detail": "y", "classification": {"kind": "quota"}, "extra": 1}, "y [kind=quota]"),
]


@holds(of=ERRORS)
def an_error_is_shown_as_text(at, _, error, wanted):
    row = at.running().complete("FAILED", **({"error": error} if error is not None else {})).must_be(200).json
    equal((row["status"], row["error_detail"]), ("FAILED", wanted), "status and error_detail")


def detail_of(at, error):
    detail = at.running().complete("FAILED", error=error).must_be(200).json["status_detail"]
    keys_are(detail, ["phase", "kind", "detail", "transient", "fingerprint", "first_seen_at", "last_seen_at", "count"], "status_detail")
    equal((detail["phase"], detail["count"]), ("callback", 1), "phase and count")
    return detail


@holds()
def a_text_is_an_execution_error_of_the_sdk(at):
    detail = detail_of(at, "it broke")
    equal((detail["kind"], detail["source"], detail["transient"]), ("execution_error", "sdk_callback", False), "kind, source, transient")
    true("it broke" in detail["detail"], "detail", detail["detail"])
    true(detail["fingerprint"].startswith("callback:sdk_callback"), "fingerprint", detail["fingerprint"])


@holds(of=[("unknown", False), ("rate_limit", True), ("auth", False), ("quota", False), ("transient", True)])
def a_typed_error_keeps_its_classification(at, kind, retryable):
    error = {**EVENT, "classification": {**EVENT["classification"], "kind": kind, "retryable": retryable}}
    detail = detail_of(at, error)
    equal({k: detail.get(k) for k in ("kind", "transient", "source", "code", "user_action", "error_id")},
          {"kind": kind, "transient": retryable, "source": "environment", "code": "RuntimeError", "user_action": "retry",
           "error_id": "err-1"}, "status_detail")
    equal(detail.get("formatted_detail"), f"RuntimeError: boom [kind={kind}, source=environment]", "formatted_detail")


@holds()
def a_typed_error_without_a_classification_gets_one(at):
    detail = detail_of(at, {k: v for k, v in EVENT.items() if k != "classification"})
    true(detail["kind"] in ("auth", "quota", "rate_limit", "config", "transient", "agent_action", "internal", "unknown"), "kind", detail)
    equal((detail["source"], detail["code"]), ("environment", "RuntimeError"), "source and code")


@holds(of=[("with a classification", {"detail": "y", "classification": {"kind": "quota"}, "extra": 1}, "quota", "sdk_callback"),
           ("without", {"detail": "y", "extra": 1}, "execution_error", "sdk_callback"),
           ("with a source", {"detail": "y", "source": "hook", "extra": 1}, "execution_error", "hook")])
def an_untyped_error_is_an_execution_error(at, _, error, kind, source):
    detail = detail_of(at, error)
    equal((detail["kind"], detail["transient"], detail["source"]), (kind, False, source), "kind, transient, source")


@holds()
def a_run_that_failed_before_its_start_is_not_completed(at):
    automation = at.automation(tarball_path="s3://bucket/never.tar.gz")
    run = at.dispatch(automation)
    at.until(lambda: at.run_of(automation["id"], run["id"])["status"] == "FAILED", 30, "the run does not fail")
    at.call("POST", f"/v1/runs/{run['id']}/complete", {"status": "COMPLETED"}, expect=409).says("Run is FAILED, expected RUNNING")


@holds()
def a_template_keeps_the_outcome_of_its_first_run(at):
    running = at.running(template={"id": f"first-{uuid.uuid4()}", "version": "7"})
    running.complete("FAILED", error="x").must_be(200)
    first = at.until(lambda: at.call("GET", f"/v1/{running.automation['id']}").json["preset_metadata"].get("first_run"), 10,
                     "no first_run is kept")
    equal((first["status"], first["failure_stage"], first["template_version"]), ("failure", "execution", "7"), "first_run")
    again = at.started(running.automation, at.dispatch(running.automation))
    again.complete("COMPLETED").must_be(200)
    equal(at.call("GET", f"/v1/{running.automation['id']}").json["preset_metadata"]["first_run"], first, "first_run after a second run")


@holds()
def a_command_that_ends_well_without_a_callback_completes_its_run(at):
    _, row = at.ended_run("true\n", timeout=10)
    equal((row["status"], row["error_detail"], row["conversation_id"], row["cost"]), ("COMPLETED", None, None, None), "the run")


@holds()
def a_command_that_fails_without_a_callback_fails_its_run_with_its_output(at):
    _, row = at.ended_run("echo said; echo complained >&2; exit 3\n", timeout=10)
    equal(row["status"], "FAILED", "status")
    lines = [line for line in row["error_detail"].splitlines() if line]
    equal(lines, ["exit_code=3", "stderr: complained", "stdout: said"], "error_detail, by lines")
    detail = row["status_detail"]
    equal({k: detail.get(k) for k in ("kind", "code", "source", "operation")},
          {"kind": "execution_error", "code": "3", "source": "agent_server", "operation": "verify_run"}, "status_detail")


@holds()
def only_the_end_of_much_output_is_kept(at):
    out, err = (f"head -c 5000 /dev/zero | tr '\\0' {character}; echo END-OF-{character}" for character in "oe")
    _, row = at.ended_run(f"{out}\n{{ {err}; }} >&2\nexit 1\n", timeout=10)
    text = row["error_detail"]
    true("END-OF-o" in text and "END-OF-e" in text, "error_detail", text)
    true(text.count("o") <= 520 and text.count("e") <= 1020, "how much is kept", (text.count("o"), text.count("e")))


@holds()
def a_command_that_is_ended_at_its_timeout_fails_its_run(at):
    _, row = at.ended_run("echo began >&2; sleep 600\n", timeout=1)
    equal((row["status"], row["status_detail"]["kind"]), ("FAILED", "timeout"), "status and kind")
    true(row["error_detail"].startswith("Timed out: command timed out or was killed"), "error_detail", row["error_detail"])


@holds()
def a_late_callback_turns_a_timed_out_run_into_a_completed_one(at):
    at.need_agent().misbehave(silent=True)
    automation = at.script(WAITING_SCRIPT, timeout=1)
    running = at.started(automation, at.dispatch(automation))
    row = running.ended(60, "FAILED")
    true(row["error_detail"].startswith("Timed out: "), "error_detail", row["error_detail"])
    late = running.complete(conversation_id="late", key=at.service.key).must_be(200).json
    equal((late["status"], late["error_detail"], late["conversation_id"]), ("COMPLETED", None, "late"), "the run")


@holds()
def a_late_failure_does_not_change_a_timed_out_run(at):
    at.need_agent().misbehave(silent=True)
    automation = at.script(WAITING_SCRIPT, timeout=1)
    running = at.started(automation, at.dispatch(automation))
    before = running.ended(60, "FAILED")
    running.complete("FAILED", error="late", key=at.service.key)
    equal(running.row()["status"], "FAILED", "status")
    true(before["error_detail"].startswith("Timed out: "), "error_detail", before["error_detail"])
