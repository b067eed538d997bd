"""Event sources of one's own."""

import uuid

from harness import LOCAL_ORG, NOBODY, UUID, equal, holds, is_moment, keys_are, matches, true

SECTION = "8.7"

KEYS = ["id", "org_id", "name", "source", "webhook_url", "event_key_expr", "signature_header", "enabled", "created_at", "updated_at"]
SECRET = r"whsec_[A-Za-z0-9_-]{43}"


def send(at, hook, payload, secret=None, header=None, **more):
    return at.event(hook["source"], payload, secret=secret or hook["webhook_secret"], header=header or hook["signature_header"], **more)


def waiting(at, hook, on="*"):
    return at.automation(trigger={"type": "event", "source": hook["source"], "on": on}, tarball_path="s3://bucket/nothing.tar.gz")


@holds()
def a_webhook_is_201_with_all_keys_and_a_secret(at):
    hook = at.webhook(name="näme")
    keys_are(hook, [*KEYS, "webhook_secret"], "the webhook")
    matches(UUID, hook["id"], "id")
    matches(SECRET, hook["webhook_secret"], "webhook_secret")
    equal((hook["org_id"], hook["name"], hook["event_key_expr"], hook["signature_header"], hook["enabled"]),
          (LOCAL_ORG, "näme", "type", "X-Signature-256", True), "the webhook")
    equal(hook["webhook_url"], f"{at.callback_base}/v1/events/{LOCAL_ORG}/{hook['source']}", "webhook_url")
    for name in ("created_at", "updated_at"):
        is_moment(hook[name], name)


@holds()
def a_secret_that_the_caller_gave_is_not_told(at):
    equal(at.webhook(webhook_secret="12345678")["webhook_secret"], None, "webhook_secret")


@holds()
def the_secret_is_told_once(at):
    hook = at.webhook()
    texts = [at.call("GET", f"/v1/webhooks/{hook['id']}", expect=200), at.call("GET", "/v1/webhooks", expect=200),
             at.call("PATCH", f"/v1/webhooks/{hook['id']}", {"name": "n"}, expect=200)]
    for answer in texts:
        true(hook["webhook_secret"] not in answer.body.decode(), "the secret is told again", str(answer))


@holds(of=[("MiXed-123", "mixed-123"), ("a", "a"), ("9", "9"), ("x" * 50, "x" * 50), ("a-b-c", "a-b-c")])
def a_source_is_lower_case_letters_digits_and_inner_hyphens(at, given, wanted):
    equal(at.webhook(source=given)["source"], wanted, "source")


@holds(of=[("signature_header", "X-My-Header9"), ("signature_header", "h" * 100), ("event_key_expr", "a.b[0].c || 'x'"),
           ("webhook_secret", "s" * 255), ("name", "n" * 255)])
def a_field_of_a_webhook_is_taken(at, name, value):
    hook = at.webhook(**{name: value})
    if name != "webhook_secret":
        equal(hook[name], value, name)


@holds()
def a_source_that_is_there_is_409(at):
    hook = at.webhook()
    for source in (hook["source"], hook["source"].upper()):
        at.call("POST", "/v1/webhooks", {"name": "again", "source": source},
                expect=409).says(f"Webhook source '{hook['source']}' already exists for this org")


@holds()
def webhooks_are_listed_and_read(at):
    hook = at.webhook()
    wanted = {k: hook[k] for k in KEYS}
    listed = at.call("GET", "/v1/webhooks?limit=100", expect=200).json
    found = [w for w in listed["webhooks"] if w["id"] == hook["id"]]
    true(len(found) == 1 and listed["total"] >= 1, "the list", listed)
    equal({k: found[0][k] for k in KEYS}, wanted, "the webhook in the list")
    read = at.call("GET", f"/v1/webhooks/{hook['id']}", expect=200).json
    equal({k: read[k] for k in KEYS}, wanted, "the webhook, read")


@holds(of=[("name", "other"), ("event_key_expr", "kind"), ("signature_header", "X-Other"), ("enabled", False)])
def a_change_of_a_webhook_applies_to_its_key_alone(at, name, value):
    hook = at.webhook()
    changed = at.call("PATCH", f"/v1/webhooks/{hook['id']}", {name: value}, expect=200).json
    equal({k: changed[k] for k in KEYS if k != "updated_at"}, {**{k: hook[k] for k in KEYS if k != "updated_at"}, name: value},
          "the webhook")


@holds(of=[("event_key_expr", "[[["), ("signature_header", "x y"), ("name", ""), ("enabled", "maybe")])
def a_change_of_a_webhook_is_refused(at, name, value):
    hook = at.webhook()
    at.call("PATCH", f"/v1/webhooks/{hook['id']}", {name: value}).has_fault(["body", name])


@holds(of=[("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate-secret")])
def an_absent_webhook_is_404(at, method, rest):
    at.call(method, f"/v1/webhooks/{NOBODY}{rest}", {"name": "n"} if method == "PATCH" else None, expect=404).says("Webhook not found")


@holds()
def a_deleted_webhook_is_gone_and_its_source_is_free(at):
    hook = at.webhook()
    equal(at.call("DELETE", f"/v1/webhooks/{hook['id']}", expect=204).body, b"", "the body of a 204")
    at.call("GET", f"/v1/webhooks/{hook['id']}", expect=404)
    send(at, hook, {"type": "x"}).must_be(404).says(f"Unknown webhook source: {hook['source']}")
    at.webhook(source=hook["source"])


@holds()
def an_event_of_ones_own_source_makes_a_run(at):
    hook = at.webhook()
    automation = waiting(at, hook, "order.*")
    answer = send(at, hook, {"type": "order.created", "n": 1}).must_be(200).json
    equal((answer["received"], answer["matched"]), (True, 1), "the answer")
    equal(answer["runs_created"], [r["id"] for r in at.runs_of(automation["id"])], "runs_created")


@holds()
def the_script_is_given_the_body_as_payload(at):
    from events import event_of
    hook = at.webhook()
    payload = {"type": "order.created", "deep": {"x": [1, None, "ü", 1.5, True]}}

    def deliver(at, payload, _):
        answer = send(at, hook, payload).must_be(200).json
        at.runs += [(None, run) for run in answer["runs_created"]]
        return answer
    event = event_of(at, payload, "order.*", hook["source"], deliver)
    equal({k: event[k] for k in ("payload", "source_override", "event_key")},
          {"payload": payload, "source_override": hook["source"], "event_key": "order.created"}, "the event")


@holds()
def an_event_is_looked_for_under_the_hooks_own_header(at):
    hook = at.webhook(signature_header="X-Mine")
    send(at, hook, {"type": "x"}).must_be(200)
    send(at, hook, {"type": "x"}, header="X-Signature-256").must_be(401).says("Missing signature header: X-Mine")
    send(at, hook, {"type": "x"}, secret="wrong-secret").must_be(401).says("Invalid signature")


@holds()
def the_shared_secret_of_built_in_sources_opens_no_other(at):
    send(at, at.webhook(), {"type": "x"}, secret=at.secret("webhook")).must_be(401)


@holds()
def a_rotated_secret_is_a_new_one_that_signs(at):
    hook = at.webhook()
    rotated = at.call("POST", f"/v1/webhooks/{hook['id']}/rotate-secret", expect=200).json
    matches(SECRET, rotated["webhook_secret"], "webhook_secret")
    true(rotated["webhook_secret"] != hook["webhook_secret"], "the secret is as before")
    send(at, hook, {"type": "x"}, secret=rotated["webhook_secret"]).must_be(200)


@holds()
def a_disabled_webhook_is_an_unknown_source(at):
    hook = at.webhook()
    at.call("PATCH", f"/v1/webhooks/{hook['id']}", {"enabled": False}, expect=200)
    send(at, hook, {"type": "x"}).must_be(404)
    at.call("PATCH", f"/v1/webhooks/{hook['id']}", {"enabled": True}, expect=200)
    send(at, hook, {"type": "x"}).must_be(200)


@holds(of=[("a text", "type", {"type": "k"}, "k"), ("a path", "a.b", {"a": {"b": "k"}}, "k"), ("an integer", "n", {"n": 5}, "5"),
           ("a fraction", "n", {"n": 1.5}, "1.5"),
           ("true", "n", {"n": True}, "True"), ("false", "n", {"n": False}, "False"),
           ("an expression", "join('.', [a, b])", {"a": "x", "b": "y"}, "x.y")])
def the_key_of_an_event_is(at, _, expression, payload, key):
    hook = at.webhook(event_key_expr=expression)
    automation, other = waiting(at, hook, [key]), waiting(at, hook, [key + "x"])
    send(at, hook, payload).must_be(200)
    equal((len(at.runs_of(automation["id"])), len(at.runs_of(other["id"]))), (1, 0), f"runs of who waits for {key}, and of who does not")


@holds(of=[("missing", {"x": 1}), ("null", {"type": None}), ("a list", {"type": ["k"]}), ("an object", {"type": {"k": 1}})])
def an_event_without_a_key_is_not_recognized(at, _, payload):
    hook = at.webhook()
    waiting(at, hook)
    equal(send(at, hook, payload).must_be(200).json["matched"], 0, "matched")


@holds()
def a_list_as_body_is_400(at):
    hook = at.webhook()
    send(at, hook, ["x"]).must_be(400).says("Failed to parse event")


@holds()
def bad_json_of_ones_own_source_is_400(at):
    hook = at.webhook()
    send(at, hook, None, raw=b"{nope").must_be(400).says("Invalid JSON")


@holds()
def a_source_of_one_organisation_is_unknown_in_another(at):
    hook = at.webhook()
    send(at, hook, {"type": "x"}, org=str(uuid.uuid4())).must_be(404)
