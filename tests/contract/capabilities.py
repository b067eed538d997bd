"""What this deployment can do, and whether a draft would be taken."""

import zoneinfo

from harness import CRON, equal, holds, keys_are, true

SECTION = "1.7"

BUILT_IN = ["bitbucket_data_center", "github", "jira_dc"]
FUNCTIONS = ("abs avg ceil contains ends_with floor glob icontains join keys length lower map max max_by merge min min_by not_null regex reverse sort sort_by "
             "starts_with sum to_array to_number to_string type upper values").split()
TYPES = ["issue_comment.*", "issues.*", "pull_request.*", "pull_request_review.*", "push", "release.*"]
EVENT = {"type": "event", "source": "github", "on": "push"}


def capabilities(at):
    return at.call("GET", "/v1/capabilities", expect=200).json


@holds()
def capabilities_tell_limits_and_kinds(at):
    told = capabilities(at)
    keys_are(told, ["ready", "maxAutomationTimeoutSeconds", "triggerKinds", "eventSources", "triggers", "features"], "the capabilities")
    equal((told["ready"], told["maxAutomationTimeoutSeconds"]), (True, 1800), "ready and the longest timeout")


@holds()
def built_in_sources_are_told_where_their_secret_is_set(at):
    at.secret("webhook")
    told = capabilities(at)
    equal(told["triggerKinds"], ["cron", "event"], "triggerKinds")
    true(set(BUILT_IN) <= set(told["eventSources"]), "eventSources", told["eventSources"])
    equal(told["eventSources"], sorted(told["eventSources"]), "eventSources, sorted")
    equal(told["eventTypes"], TYPES, "eventTypes")


@holds()
def custom_sources_are_told_while_they_are_enabled(at):
    hook = at.webhook()
    true(hook["source"] in capabilities(at)["eventSources"], "the source is not told")
    at.call("PATCH", f"/v1/webhooks/{hook['id']}", {"enabled": False}, expect=200)
    true(hook["source"] not in capabilities(at)["eventSources"], "a disabled source is told")


@holds()
def the_cron_section_has_the_floor_and_all_zones(at):
    cron = capabilities(at)["triggers"]["cron"]
    true(cron["minIntervalSeconds"] >= 60, "minIntervalSeconds", cron["minIntervalSeconds"])
    equal(cron["timezones"], sorted(cron["timezones"]), "timezones, sorted")
    for name in ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"):
        true(name in cron["timezones"], f"{name} is missing")
    lacking = {z for z in zoneinfo.available_timezones() if "/" in z and not z.startswith(("posix", "right",
        "SystemV"))} - set(cron["timezones"])
    true(len(lacking) < 20, "zones of this machine that are missing", sorted(lacking))


@holds()
def the_event_section_has_the_filter_language(at):
    event = capabilities(at)["triggers"]["event"]
    equal(event["filterLanguage"], "jmespath", "filterLanguage")
    true(set(FUNCTIONS) <= set(event["filterFunctions"]), "functions that are missing",
         sorted(set(FUNCTIONS) - set(event["filterFunctions"])))
    equal(event["filterFunctions"], sorted(event["filterFunctions"]), "filterFunctions, sorted")


@holds()
def features_are_told_in_order(at):
    features = capabilities(at)["features"]
    equal(features, sorted(features), "features, sorted")
    wanted = {"conversationDispatch", "customTarball", "mcpTools", "presetPlugin", "presetPrompt", "repoClone"}
    wanted |= {"webhookDelivery"} if at.secrets.get("webhook") else set()
    wanted |= {"kvStore"} if at.secrets.get("kv") else set()
    true(wanted <= set(features), "features that are missing", sorted(wanted - set(features)))


@holds()
def no_member_is_null(at):
    def nulls(value, path):
        if value is None:
            return [path]
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [found for key, item in pairs for found in nulls(item, f"{path}.{key}")]
    equal(nulls(capabilities(at), "$"), [], "members that are null")


def draft(at, endpoint="/v1", sample=None, **change):
    body = at.body() if endpoint == "/v1" else {"name": "n", "prompt": "p", "trigger": dict(CRON)}
    body = {**body, **change}
    answer = at.call("POST", "/v1/validate",
                     {"endpoint": endpoint, "draft": body, **({"sampleEvent": sample} if sample is not None else {})}, expect=200).json
    keys_are(answer, ["valid", "errors", "sampleEventMatched"], "the verdict")
    equal(answer["valid"], not answer["errors"], f"valid beside {answer['errors']}")
    for error in answer["errors"]:
        keys_are(error, ["field", "code", "message"], "an error")
    return answer


def has_error(answer, field, code, message=""):
    found = [e for e in answer["errors"] if e["field"] == field and (code is None or e["code"] == code) and message in e["message"]]
    true(found, f"no error of {field} with {code} and {message!r}", answer["errors"])


@holds(of=[("/v1", {}), ("/v1/preset/prompt", {}), ("/v1/preset/plugin", {"plugins": {"source": "github:o/r"}})])
def a_good_draft_is_valid(at, endpoint, change):
    equal(draft(at, endpoint, **change), {"valid": True, "errors": [], "sampleEventMatched": None}, "the verdict")


@holds()
def both_spellings_of_the_envelope_are_taken(at):
    for names in (("automationId", "sampleEvent"), ("automation_id", "sample_event")):
        body = {"endpoint": "/v1", "draft": at.body(), names[0]: "a" * 255, names[1]: {}}
        at.call("POST", "/v1/validate", body, expect=200)


@holds(of=[("no endpoint", {"draft": {}}, ["body", "endpoint"], "missing"),
           ("another endpoint", {"endpoint": "/v2", "draft": {}}, ["body", "endpoint"], "literal_error"),
           ("no draft", {"endpoint": "/v1"}, ["body", "draft"], "missing"),
           ("a draft of text", {"endpoint": "/v1", "draft": "x"}, ["body", "draft"], "dict_type"),
           ("a sample of text", {"endpoint": "/v1", "draft": {}, "sampleEvent": "x"}, ["body", "sampleEvent"], "dict_type"),
           ("a long id", {"endpoint": "/v1", "draft": {}, "automationId": "a" * 256}, ["body", "automationId"], "string_too_long")])
def an_envelope_is_refused(at, _, body, loc, kind):
    at.call("POST", "/v1/validate", body).has_fault(loc, kind)


@holds(of=[("no name", {"name": ""}, "name", "string_too_short"), ("unknown key", {"extra": 1}, "extra", "extra_forbidden"),
           ("schedule", {"trigger": {"type": "cron", "schedule": "x"}}, "trigger.schedule", "value_error"),
           ("filter", {"trigger": {**EVENT, "filter": "[[["}}, "trigger.filter", "value_error"),
           ("trigger type", {"trigger": {"type": "x"}}, "trigger", "union_tag_invalid"),
           ("timeout", {"timeout": 9999}, "timeout", "value_error"),
           ("entrypoint", {"entrypoint": "/bin/sh"}, "entrypoint", "value_error")])
def a_fault_of_a_draft_is_told_by_its_field(at, _, change, field, code):
    has_error(draft(at, **change), field, code)


@holds()
def a_fault_in_a_list_is_told_by_its_index(at):
    answer = draft(at, "/v1/preset/prompt", repos=["https://example.org/o/r", "nonsense"])
    true(any((e["field"] or "").startswith("repos") for e in answer["errors"]), "no error of repos", answer["errors"])
    has_error(draft(at, "/v1/preset/prompt", repos=[{"url": "https://example.org/o/r", "provider": "svn"}]), "repos[0].provider",
              "literal_error")


@holds(of=[("* * * * * */10",), ("0 0 * * * 0,1",)])
def an_interval_under_the_floor_is_told(at, schedule):
    has_error(draft(at, trigger={"type": "cron", "schedule": schedule}), "trigger.schedule", "interval_too_short")


@holds()
def creation_does_not_ask_for_the_floor(at):
    at.automation(trigger={"type": "cron", "schedule": "0 0 1 1 * */10"})


@holds()
def a_source_that_is_not_configured_is_told(at):
    has_error(draft(at, trigger={"type": "event", "source": "never-made", "on": "x"}), "trigger.source", "event_source_not_configured")


@holds(of=[("workflow_run.completed", 1), ("push", 0), ("pull_request.opened", 0), ("pull*", 0), ("issues.*", 0), ("*", 0),
           ("nonsense.*", 1)])
def a_type_that_is_not_delivered_is_told(at, pattern, errors):
    at.secret("webhook")
    answer = draft(at, trigger={**EVENT, "on": [pattern]})
    equal([e["code"] for e in answer["errors"]], ["event_type_not_delivered"] * errors, f"codes for {pattern}")
    if errors:
        has_error(answer, "trigger.on", "event_type_not_delivered")


@holds()
def each_type_that_is_not_delivered_is_told(at):
    at.secret("webhook")
    equal(len(draft(at, trigger={**EVENT, "on": ["bad.one", "push", "bad.two"]})["errors"]), 2, "how many errors")


PUSH = {"ref": "refs/heads/main", "before": "0" * 40, "after": "1" * 40, "commits": [],
        "repository": {"id": 1, "name": "r", "full_name": "o/r", "private": False},
        "sender": {"id": 1, "login": "u"}}


@holds(of=[("matches", {}, PUSH, True), ("filter matches", {"filter": "ref == 'refs/heads/main'"}, PUSH, True),
           ("filter does not", {"filter": "ref == 'x'"}, PUSH, False),
           ("another type", {"on": "release.*"}, PUSH, False)])
def a_sample_event_is_matched(at, _, change, sample, wanted):
    at.secret("webhook")
    equal(draft(at, sample=sample, trigger={**EVENT, **change})["sampleEventMatched"], wanted, "sampleEventMatched")


@holds()
def a_sample_event_of_no_known_type_is_told(at):
    at.secret("webhook")
    has_error(draft(at, sample={"nothing": 1}, trigger=EVENT), "sampleEvent", "unparseable_sample_event")


@holds()
def validation_writes_nothing(at):
    before = [at.call("GET", path).json["total"] for path in ("/v1", "/v1/uploads")]
    draft(at, "/v1/preset/prompt")
    draft(at)
    equal([at.call("GET", path).json["total"] for path in ("/v1", "/v1/uploads")], before, "how many automations and uploads")
