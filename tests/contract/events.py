"""Events: who may deliver them, what is refused, which runs they make."""

import json
import uuid

from harness import NOBODY, WAITING_SCRIPT, equal, holds, keys_are, signature, true

SECTION = "8.1"

REPOSITORY = {"id": 1, "name": "r", "full_name": "o/r", "private": False, "html_url": "https://example.org/o/r"}
SENDER = {"id": 2, "login": "someone", "type": "User", "avatar_url": "https://example.org/a.png"}
USER = {"id": 3, "login": "author", "type": "User"}
BASE = {"repository": REPOSITORY, "sender": SENDER, "installation": {"id": 9}}
PULL = {"number": 7, "title": "a pull", "state": "open", "body": "long text", "base": {"ref": "main", "sha": "a" * 40},
        "head": {"ref": "topic", "sha": "b" * 40}, "user": USER,
        "draft": False, "merged": False, "labels": [{"name": "bug", "color": "ff0000", "id": 5}],
        "html_url": "https://example.org/o/r/pull/7"}
ISSUE = {"number": 8, "title": "an issue", "state": "open", "user": USER, "labels": [{"name": "bug", "color": "ff0000"}],
         "body": "long text"}
COMMENT = {"id": 11, "body": "a comment", "user": USER}

GITHUB = {
    "pull_request.opened": {**BASE, "action": "opened", "number": 7, "pull_request": PULL},
    "pull_request_review.submitted": {**BASE, "action": "submitted", "review": {"id": 1, "state": "approved", "user": USER, "body": "ok"},
                                      "pull_request": PULL},
    "issues.opened": {**BASE, "action": "opened", "issue": ISSUE},
    "issue_comment.created": {**BASE, "action": "created", "issue": ISSUE, "comment": COMMENT},
    "push": {**BASE, "ref": "refs/heads/main", "before": "0" * 40, "after": "1" * 40,
             "commits": [{"id": "c1", "message": "m", "author": {"name": "n"}, "url": "https://x"}]},
    "release.published": {**BASE, "action": "published",
                          "release": {"tag_name": "v1", "name": "one", "draft": False, "prerelease": False, "body": "notes"}},
}


def waiting_for(at, on, source="github", script=WAITING_SCRIPT, **more):
    """An automation that events start."""
    trigger = {"type": "event", "source": source, "on": on, **more}
    return at.script(script, trigger=trigger) if script else at.automation(trigger=trigger)


def delivered(at, payload, source="github", **more):
    """The answer to a delivery of a built-in source; runs that it made are the test's to end."""
    answer = at.event(source, {"payload": payload, "event_type": "ignored", "organization": "ignored"}, **more).must_be(200).json
    at.runs += [(None, run) for run in answer["runs_created"]]
    return answer


def nobody_waits(answer):
    equal({k: answer[k] for k in ("received", "matched", "runs_created")}, {"received": True, "matched": 0, "runs_created": []},
          "the answer")


@holds()
def an_event_makes_a_run_of_each_automation_that_waits_for_it(at):
    made = [waiting_for(at, "push", script=None) for _ in range(2)]
    answer = delivered(at, GITHUB["push"])
    true(answer["received"] is True and answer["matched"] >= 2 and len(answer["runs_created"]) == answer["matched"], "the answer", answer)
    for automation in made:
        runs = [r["id"] for r in at.runs_of(automation["id"])]
        equal(len(runs), 1, "runs of the automation")
        true(runs[0] in answer["runs_created"], "the run is not in the answer", answer)


@holds(of=[("with its prefix", "sha256="), ("without", "")])
def a_signature_is_taken(at, _, prefix):
    nobody_waits(at.event("github", {"payload": {"nothing": 1}}, prefix=prefix).must_be(200).json)


@holds()
def a_missing_signature_is_401(at):
    at.event("github", {"payload": {}}, signed=None).must_be(401).says("Missing signature header: X-Hub-Signature-256")


@holds(of=[("of another secret", lambda s, d: "sha256=" + signature("other", d)),
           ("of another body", lambda s, d: "sha256=" + signature(s, d + b" ")),
           ("nonsense", lambda s, d: "nonsense"), ("cut", lambda s, d: "sha256=" + signature(s, d)[:-2]),
           ("doubled prefix", lambda s, d: "sha256=sha256=" + signature(s, d)),
           ("sha1", lambda s, d: "sha1=" + signature(s, d))])
def a_wrong_signature_is_401(at, _, make):
    data = json.dumps({"payload": GITHUB["push"]}).encode()
    at.event("github", None, raw=data, signed=make(at.secret("webhook"), data)).must_be(401).says("Invalid signature")


@holds()
def the_key_of_a_user_is_no_signature(at):
    at.event("github", {"payload": {}}, signed=None, headers={"Authorization": f"Bearer {at.service.key}"}).must_be(401)


@holds()
def the_signature_is_of_the_raw_body(at):
    nobody_waits(at.event("github", None, raw=b'{ "payload" :\n {"x":1.0,"\\u00e9":"\xc3\xa9"} }').must_be(200).json)


@holds(of=[("github-not",), ("nowhere",), ("GitHub",), ("%2e%2e",)])
def an_unknown_source_is_404(at, source):
    at.event(source, {"payload": {}}).must_be(404)
    if "%" not in source:
        at.event(source, {"payload": {}}).says(f"Unknown webhook source: {source}")


@holds()
def an_unknown_source_is_told_before_the_signature_is_looked_at(at):
    at.event("nowhere", {}, signed=None).must_be(404)


@holds(of=[("a beginning", b'{"payload":'), ("text", b"hello"), ("nothing", b""), ("bytes", b"\xff\xfe")])
def bad_json_is_400(at, _, data):
    at.event("github", None, raw=data).must_be(400).says("Invalid JSON")


@holds()
def the_signature_is_looked_at_before_the_json(at):
    at.event("github", None, raw=b"{", signed="sha256=" + "0" * 64).must_be(401)


@holds(of=[("an empty object", {}), ("another key", {"data": {}}), ("a list", []), ("a text", "x")])
def a_body_without_payload_is_400(at, _, value):
    at.event("github", value).must_be(400).says("Missing payload in builtin source request")


@holds()
def a_number_as_body_is_400(at):
    at.event("github", 5).must_be(400)


@holds(of=[("no known keys", {"zen": "Keep it simple"}), ("an empty payload", {}),
           ("workflow_run", {**BASE, "action": "completed", "workflow_run": {"id": 1}}),
           ("check_run", {**BASE, "action": "created", "check_run": {"id": 1}}),
           ("a pull request without its fields", {**BASE, "action": "opened", "pull_request": {"number": 1}}),
           ("a push without repository", {k: v for k, v in GITHUB["push"].items() if k != "repository"}),
           ("an issue without action", {**BASE, "issue": ISSUE}),
           ("an issue without sender", {k: v for k, v in GITHUB["issues.opened"].items() if k != "sender"})])
def an_event_that_is_not_recognized_is_200_and_makes_nothing(at, _, payload):
    waiting_for(at, "*", script=None)
    nobody_waits(delivered(at, payload))


@holds(of=[(key, payload) for key, payload in GITHUB.items()])
def an_event_of_github_has_the_key(at, key, payload):
    automation = waiting_for(at, key, script=None)
    waits_for_others = waiting_for(at, [f"{key}x", key[:-1], "other.*"], script=None)
    delivered(at, payload)
    equal((len(at.runs_of(automation["id"])), len(at.runs_of(waits_for_others["id"]))), (1, 0),
          "runs of who waits for it, and of who waits for others")


def event_of(at, payload, on, source="github", deliver=delivered):
    """The event as the started script is given it."""
    at.need_agent()
    automation = waiting_for(at, on, source)
    answer = deliver(at, payload) if deliver is delivered and source == "github" else deliver(at, payload, source)
    runs = [r for r in at.runs_of(automation["id"]) if r["id"] in answer["runs_created"]]
    equal(len(runs), 1, "runs of the automation")
    running = at.started(automation, runs[0])
    told = json.loads(running.environment["AUTOMATION_EVENT_PAYLOAD"])
    equal((told["trigger"], told["trigger_payload"]["source"], told["automation_id"]), ("event", source, automation["id"]), "the payload")
    return told["event"]


@holds()
def the_script_is_given_the_modelled_fields_of_a_pull_request(at):
    event = event_of(at, GITHUB["pull_request.opened"], "pull_request.*")
    equal((event["event_key"], event["action"], event["number"]), ("pull_request.opened", "opened", 7), "the event")
    equal(event["repository"], {"id": 1, "name": "r", "full_name": "o/r", "private": False, "default_branch": "main"}, "repository")
    equal(event["sender"], {"id": 2, "login": "someone", "type": "User"}, "sender")
    pull = event["pull_request"]
    equal((pull["number"], pull["title"], pull["state"], pull["draft"], pull["merged"]), (7, "a pull", "open", False, False),
          "pull_request")
    equal((pull["base"]["ref"], pull["head"]["sha"], pull["labels"]), ("main", "b" * 40, [{"name": "bug", "color": "ff0000"}]),
          "base, head, labels")
    text = json.dumps(event)
    true("long text" not in text and "html_url" not in text and "installation" not in text, "body, URLs or installation are passed on",
         text)


@holds()
def the_script_is_given_the_modelled_fields_of_a_comment(at):
    event = event_of(at, GITHUB["issue_comment.created"], "issue_comment.created")
    equal((event["issue"]["number"], event["issue"]["labels"][0]["name"], event["comment"]["id"], event["comment"]["body"]),
          (8, "bug", 11, "a comment"), "the event")


@holds()
def the_script_is_given_the_modelled_fields_of_a_push(at):
    event = event_of(at, GITHUB["push"], "push")
    equal((event["event_key"], event["ref"], event["after"]), ("push", "refs/heads/main", "1" * 40), "the event")
    equal(event["commits"][0].get("message"), "m", "a commit")
    true("url" not in event["commits"][0], "a commit's URL is passed on", event["commits"])


@holds()
def the_script_is_given_the_modelled_fields_of_a_release(at):
    event = event_of(at, GITHUB["release.published"], "release.*")
    equal({k: event["release"][k] for k in ("tag_name", "name", "draft", "prerelease")},
          {"tag_name": "v1", "name": "one", "draft": False, "prerelease": False}, "release")
    true("notes" not in json.dumps(event), "the release's body is passed on", event)


@holds()
def the_script_is_given_a_whole_review(at):
    event = event_of(at, GITHUB["pull_request_review.submitted"], "pull_request_review.submitted")
    equal(event["review"], GITHUB["pull_request_review.submitted"]["review"], "review")


@holds(of=[("jira_dc", "webhookEvent", "webhook_event", "jira:issue_created"),
           ("bitbucket_data_center", "eventKey", "event_key_value", "pr:opened")])
def the_script_is_given_the_whole_payload_of(at, source, key_name, stored_name, key):
    payload = {key_name: key, "deep": {"x": [1, None, "ü"]}}
    event = event_of(at, payload, [key], source, deliver=lambda at, p, s: delivered(at, p, s))
    equal({k: event[k] for k in (stored_name, "payload", "event_key")}, {stored_name: key, "payload": payload, "event_key": key},
          "the event")


@holds(of=[("jira_dc", {"webhookEvent": ""}), ("jira_dc", {"webhookEvent": 5}), ("bitbucket_data_center", {}),
           ("bitbucket_data_center", {"eventKey": None})])
def an_event_without_its_key_is_not_recognized(at, source, payload):
    waiting_for(at, "*", source, script=None)
    nobody_waits(delivered(at, payload, source))


@holds()
def disabled_and_deleted_automations_wait_for_nothing(at):
    disabled, deleted = (waiting_for(at, "push", script=None) for _ in range(2))
    at.call("PATCH", f"/v1/{disabled['id']}", {"enabled": False}, expect=200)
    at.call("DELETE", f"/v1/{deleted['id']}", expect=204)
    delivered(at, GITHUB["push"])
    equal(at.runs_of(disabled["id"]), [], "runs of the disabled automation")


@holds()
def another_organisation_is_told_nothing(at):
    waiting_for(at, "push", script=None)
    answer = at.event("github", {"payload": GITHUB["push"]}, org=str(uuid.uuid4())).must_be(200).json
    nobody_waits(answer)


@holds()
def an_organisation_that_is_no_uuid_is_422(at):
    at.event("github", {"payload": {}}, org="not-a-uuid").has_fault(["path", "org_id"], "uuid_parsing")


@holds()
def an_events_run_leaves_the_last_trigger_alone(at):
    automation = waiting_for(at, "push", script=None)
    delivered(at, GITHUB["push"])
    equal(at.call("GET", f"/v1/{automation['id']}").json["last_triggered_at"], None, "last_triggered_at")


def requested(at, source, signed=None):
    secret = at.secret("webhook")
    return at.call("GET", f"/v1/events/{source}/requested-types",
                   headers={"X-Hub-Signature-256": signed or "sha256=" + signature(secret, source.encode())}, key=None)


@holds()
def the_types_that_github_should_send_are_told(at):
    told = requested(at, "github").must_be(200).json
    equal((told["source"], told["event_types"]),
          ("github", ["pull_request", "pull_request_review", "issues", "issue_comment", "push", "release"]), "source and types")
    rules = told["event_detection_rules"]
    equal(rules[0], {"event_type": "pull_request_review", "jmespath": "contains(keys(@), 'pull_request') && contains(keys(@), 'review')"},
          "the first rule")
    equal([r["event_type"] for r in rules],
          ["pull_request_review", "pull_request", "issue_comment", "issues", "push", "release", "workflow_run", "check_run"], "the rules")
    equal(rules[7]["jmespath"], "contains(keys(@), 'check_run')", "the last rule")


@holds(of=[("jira_dc",), ("bitbucket_data_center",)])
def the_types_of_other_sources_are_those_that_are_waited_for(at, source):
    before = requested(at, source).must_be(200).json
    keys_are(before, ["source", "event_types", "event_detection_rules"], "the answer")
    equal(before["event_detection_rules"], [], "rules")
    waiting_for(at, ["zebra.created", "zebra.deleted", "ant"], source, script=None)
    after = requested(at, source).json["event_types"]
    equal(after, sorted(after), "types, sorted")
    true({"zebra", "ant"} <= set(after), "types", after)


@holds(of=[("nowhere",), ("custom",)])
def types_of_an_unknown_source_are_404(at, source):
    requested(at, source).must_be(404).says(f"Unknown builtin webhook source: {source}")


@holds()
def types_are_told_only_to_who_signs(at):
    requested(at, "github", "sha256=" + "0" * 64).must_be(401)
    at.call("GET", "/v1/events/github/requested-types", key=None, expect=401)
    at.call("GET", "/v1/events/github/requested-types", expect=401)


@holds()
def an_unknown_organisation_is_no_fault(at):
    nobody_waits(at.event("github", {"payload": GITHUB["push"]}, org=NOBODY).must_be(200).json)
