"""What came after 1.8.0 and adds to it: taken, stored, returned with its defaults."""

from harness import CRON, NOBODY, WAITING_SCRIPT, equal, holds, keys_are, true

SECTION = "live 4"
LATER = "came after 1.8.0"

AUTOMATION = ["agent_profile_id", "description", "disabled_at", "disabled_detail", "disabled_reason", "observability_associations",
              "plugin_spec", "state"]
RUN = ["current_phase", "observability_associations", "resolved_runtime", "run_metadata", "trigger_source"]


@holds(mends=LATER)
def an_automation_has_the_later_keys(at):
    made = at.automation()
    keys_are(made, AUTOMATION, "the automation")
    equal({k: made[k] for k in ("agent_profile_id", "description", "disabled_at", "disabled_detail", "disabled_reason", "plugin_spec")},
          dict.fromkeys(("agent_profile_id", "description", "disabled_at", "disabled_detail", "disabled_reason", "plugin_spec")),
          "their defaults")


FIELDS = [("description", "what it is for"), ("description", "d" * 2000), ("description", None), ("enabled", False), ("enabled", True),
          ("state", "ACTIVE"),
          ("agent_profile_id", NOBODY), ("agent_profile_id", None), ("observability_associations", {"a": "b"}),
          ("observability_associations", None)]


@holds(mends=LATER, of=FIELDS)
def a_creation_takes_the_later_field(at, name, value):
    made = at.automation(**{name: value})
    equal(made[name], value, name)
    equal(at.call("GET", f"/v1/{made['id']}").json[name], value, f"{name}, read")


@holds(mends=LATER, of=FIELDS)
def a_change_takes_the_later_field(at, name, value):
    made = at.automation(description="first")
    equal(at.call("PATCH", f"/v1/{made['id']}", {name: value}, expect=200).json[name], value, name)


@holds(mends=LATER)
def state_and_enabled_say_the_same(at):
    made = at.automation(enabled=False)
    equal(made["state"], "INACTIVE", "state of a disabled automation")
    changed = at.call("PATCH", f"/v1/{made['id']}", {"state": "ACTIVE"}, expect=200).json
    equal((changed["state"], changed["enabled"]), ("ACTIVE", True), "state and enabled")
    equal(at.call("PATCH", f"/v1/{made['id']}", {"enabled": False}, expect=200).json["state"], "INACTIVE", "state, once disabled")


@holds(mends=LATER, of=[("prompt", {}), ("plugin", {"plugins": {"source": "github:o/r"}})])
def a_preset_takes_a_description(at, path, more):
    body = {"name": "n", "prompt": "p", "trigger": CRON, "description": "what for", **more}
    equal(at.made_by(at.call("POST", f"/v1/preset/{path}", body, expect=201))["description"], "what for", "description")


@holds(mends=LATER, of=[("description", "d" * 2001, "string_too_long"), ("state", "active", "literal_error"),
                        ("observability_associations", "x", "dict_type"),
                        ("agent_profile_id", "x", "uuid_parsing")])
def a_later_field_is_refused(at, name, value, kind):
    at.call("POST", "/v1", at.body(**{name: value})).has_fault(["body", name], kind)


@holds(mends=LATER)
def the_state_of_a_new_automation_is_active(at):
    equal(at.automation()["state"], "ACTIVE", "state")


@holds(mends=LATER)
def a_run_has_the_later_keys(at):
    automation = at.script(WAITING_SCRIPT)
    keys_are(at.dispatch(automation), RUN, "the run")
    listed = at.call("GET", f"/v1/{automation['id']}/runs", expect=200).json
    keys_are(listed, ["status_counts"], "the list of runs")
    equal(sum(listed["status_counts"].values()), 1, f"runs in {listed['status_counts']}")
    equal(listed["runs"][0]["trigger_source"], "manual", "trigger_source")
    keys_are(listed["runs"][0], RUN, "a run in the list")


@holds(mends=LATER, of=[("task_outcome", {"status": "success"}), ("task_outcome", None),
                        ("blocking_factor", {"kind": "none"}), ("blocking_factor", None)])
def a_completion_takes_the_later_field(at, name, value):
    equal(at.running().complete(**{name: value}).must_be(200).json["status"], "COMPLETED", "status")


@holds(mends=LATER)
def an_event_trigger_has_the_later_keys_with_their_defaults(at):
    trigger = at.automation(trigger={"type": "event", "source": "s", "on": "x"})["trigger"]
    equal({k: trigger.get(k, "absent") for k in ("destination", "subject_key_expr", "turn_text_expr", "wake_agent")},
          {"destination": "dispatch_run", "subject_key_expr": None, "turn_text_expr": None, "wake_agent": True}, "the trigger")


@holds(mends=LATER)
def an_event_trigger_takes_the_later_fields(at):
    later = {"destination": "dispatch_run", "subject_key_expr": "a.b", "turn_text_expr": "text", "wake_agent": False}
    trigger = at.automation(trigger={"type": "event", "source": "s", "on": "x", **later})["trigger"]
    equal({k: trigger.get(k) for k in later}, later, "the trigger")


@holds(mends=LATER)
def an_answer_to_an_event_counts_continued_conversations(at):
    hook = at.webhook()
    answer = at.event(hook["source"], {"type": "x"}, secret=hook["webhook_secret"], header="X-Signature-256").must_be(200).json
    keys_are(answer, ["received", "matched", "runs_created", "conversations_continued"], "the answer")


@holds(mends=LATER)
def a_webhook_has_the_later_keys(at):
    hook = at.webhook()
    keys_are(hook, ["event_id_header", "signature_scheme"], "the webhook")
    equal((hook["event_id_header"], hook["signature_scheme"]), (None, "hmac_sha256_hex"), "their defaults")


@holds(mends=LATER)
def a_webhook_takes_a_header_of_delivery_ids(at):
    hook = at.webhook(event_id_header="X-Delivery")
    equal(hook["event_id_header"], "X-Delivery", "event_id_header")
    at.automation(trigger={"type": "event", "source": hook["source"], "on": "*"}, tarball_path="s3://bucket/nothing.tar.gz")
    matched = [at.event(hook["source"], {"type": "x"}, secret=hook["webhook_secret"], header="X-Signature-256",
                        headers={"X-Delivery": "one"}).must_be(200).json for _ in range(2)]
    equal(len({run for answer in matched for run in answer["runs_created"]}), 1, "runs of one delivery that came twice")


@holds(mends=LATER)
def capabilities_tell_providers_of_repositories(at):
    keys_are(at.call("GET", "/v1/capabilities", expect=200).json, ["repoProviders"], "the capabilities")


@holds(mends=LATER)
def the_list_of_keys_is_paged(at):
    key = at.kv_token(at.automation()["id"])
    keys_are(at.call("GET", "/v1/kv", key=key, expect=200).json, ["keys", "count", "limit", "offset", "total"], "the list")


@holds(mends=LATER)
def a_users_key_opens_the_store_of_an_automation_that_it_names(at):
    at.secret("kv")
    automation = at.automation()
    at.call("GET", "/v1/kv", expect=400)
    at.call("PUT", f"/v1/kv/k?automation_id={automation['id']}", 1, expect=201)
    equal(at.call("GET", "/v1/kv/k", key=at.kv_token(automation["id"]), expect=200).json["value"], 1,
          "the value, by the automation's token")
    at.call("GET", f"/v1/kv?automation_id={NOBODY}", expect=404)


@holds(mends=LATER)
def a_list_may_be_of_mine_or_of_others(at):
    made = at.automation()
    mine = at.call("GET", "/v1?created_by=me&limit=100", expect=200).json["automations"]
    true(made["id"] in [a["id"] for a in mine], "the automation is not listed as mine")
    others = at.call("GET", "/v1?created_by=others&limit=100", expect=200).json["automations"]
    true(made["id"] not in [a["id"] for a in others], "the automation is listed as another's")
    at.call("GET", "/v1?created_by=nonsense").has_fault(["query", "created_by"], "literal_error")


@holds(mends=LATER, of=[("task_outcome", "success"), ("blocking_factor", ["none"])])
def a_later_field_of_a_completion_that_is_no_object_is_422(at, name, value):
    at.call("POST", f"/v1/runs/{NOBODY}/complete", {"status": "COMPLETED", name: value}).has_fault(["body", name], "dict_type")


@holds(mends=LATER)
def the_script_sees_the_later_variables(at):
    running = at.running(name="named")
    environment = running.environment
    wanted = {"AUTOMATION_ID": running.automation["id"], "AUTOMATION_NAME": "named",
              "AUTOMATION_PHASE_URL": f"{at.callback_base}/v1/runs/{running.id}/phase"}
    equal({k: environment.get(k) for k in wanted}, wanted, "the environment")
    keys_are(environment, ["AUTOMATION_TRIGGER_SOURCE", "AUTOMATION_TRIGGER_TYPE", "AUTOMATION_RUN_TRIGGER_SOURCE"], "the environment")


@holds(mends=LATER, of=[("GET", "/v1/drafts", None), ("POST", "/v1/drafts", {}), ("GET", f"/v1/drafts/{NOBODY}", None),
                        ("PATCH", f"/v1/drafts/{NOBODY}", {}),
                        ("DELETE", f"/v1/drafts/{NOBODY}", None), ("POST", f"/v1/drafts/{NOBODY}/dispatch", None),
                        ("POST", "/v1/plugin-spec", {}),
                        ("POST", f"/v1/runs/{NOBODY}/phase", {})])
def a_later_route_is_there_or_says_why_not(at, method, path, body):
    answer = at.call(method, path, body)
    true(answer.status in (200, 201, 204, 404, 422, 501), str(answer))
    if answer.status == 501:
        true(isinstance(answer.detail, str) and len(answer.detail) > 10, "a 501 without its reason", str(answer))
    if answer.status == 404:
        true(answer.detail != "Not Found", "the route is unknown", str(answer))
    if answer.status == 422:
        true(["path", "automation_id"] not in [f["loc"] for f in answer.detail], "the route is taken for an automation's id", str(answer))
    at.call(method, path, body, key=None, expect=401)
