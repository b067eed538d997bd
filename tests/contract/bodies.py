"""Bodies that are refused with 422: which field, which kind, which text."""

from harness import CRON, NOBODY, equal, holds

SECTION = "1.2"

LONG_CONFIG = {"text": "x" * 16384}
COMMANDS = [("", "must not be blank"), ("   ", "must not be blank"), ("/bin/sh main.sh", "must be a relative path, not an absolute path"),
            ("../main.sh", "must not contain path traversal (..)"), ("a/../../b", "must not contain path traversal (..)"),
            (".." , "must not contain path traversal (..)")]
COMMANDS += [(f"main.sh {character} x", "must not contain shell metacharacters") for character in ";&|`$(){}<>!\\\r\n"]

NAME = [("", "string_too_short"), ("n" * 501, "string_too_long"), (None, "string_type"), (7, "string_type")]
MODEL = [("", None), ("m" * 65, None), ("-begins-badly", None), ("has space", None), (".dot", None), ("ü", None), (7, "string_type")]
TIMEOUT = [(0, "value_error", "timeout must be a positive number"), (-5, "value_error", "timeout must be a positive number"),
           (1801, "value_error", "timeout must not exceed 1800 seconds (30 minutes)"), ("x", "int_parsing", ""),
           (1.5, "int_from_float", "")]
TRIGGER = [({}, ["body", "trigger"], "union_tag_invalid", "'cron', 'event'"),
           ({"type": "other"}, ["body", "trigger"], "union_tag_invalid", "'cron', 'event'"),
           ({"type": 7}, ["body", "trigger"], "union_tag_invalid", ""),
           ({"type": "cron"}, ["body", "trigger", "cron", "schedule"], "missing", ""),
           ({"type": "cron", "schedule": 5}, ["body", "trigger", "cron", "schedule"], "string_type", ""),
           ({"type": "cron", "schedule": "0 0 * * *", "on": "x"}, ["body", "trigger", "cron", "on"], "extra_forbidden", ""),
           ({"type": "cron", "schedule": "0 0 * * *", "timezone": None}, ["body", "trigger", "cron", "timezone"], "string_type", ""),
           ({"type": "event", "on": "x"}, ["body", "trigger", "event", "source"], "missing", ""),
           ({"type": "event", "source": "s"}, ["body", "trigger", "event", "on"], "missing", ""),
           ({"type": "event", "source": "s", "on": "x", "schedule": "x"}, ["body", "trigger", "event", "schedule"], "extra_forbidden", ""),
           ({"type": "event", "source": "s", "on": "x", "filter": "[[["}, ["body", "trigger", "event", "filter"], "value_error",
            "Invalid filter expression: "),
           ({"type": "event", "source": "s", "on": "x", "filter": "a =="}, ["body", "trigger", "event", "filter"], "value_error",
            "Invalid filter expression: ")]
TEMPLATE = [({}, ["id"], "missing"), ({"id": "x"}, ["version"], "missing"), ({"id": "", "version": "1"}, ["id"], "string_too_short"),
            ({"id": "i" * 101, "version": "1"}, ["id"], "string_too_long"), ({"id": "x", "version": ""}, ["version"], "string_too_short"),
            ({"id": "x", "version": "v" * 51}, ["version"], "string_too_long"),
            ({"id": "x", "version": "1", "extra": 1}, ["extra"], "extra_forbidden"),
            ({"id": "x", "version": "1", "config": []}, ["config"], "dict_type"),
            ({"id": "x", "version": "1", "config": LONG_CONFIG}, ["config"], "value_error")]


def of_both(cases):
    """The same field at creation and at change."""
    return [(method, repr(case[0])[:60], *case) for method in ("POST", "PATCH") for case in cases]


def send(at, method, change):
    return at.call("POST", "/v1", at.body(**change)) if method == "POST" else at.call("PATCH", f"/v1/{NOBODY}", change)


@holds(of=[(name,) for name in ("name", "trigger", "tarball_path", "entrypoint")])
def a_creation_lacks(at, name):
    body = at.body()
    del body[name]
    at.call("POST", "/v1", body).has_fault(["body", name], "missing", "Field required")


@holds(of=[("enabled_at", True), ("prompt", "x"), ("repos", []), ("id", NOBODY), ("user_id", NOBODY)])
def a_creation_does_not_take(at, name, value):
    at.call("POST", "/v1", at.body(**{name: value})).has_fault(["body", name], "extra_forbidden")


@holds(of=of_both([c for c in NAME if c[0] is not None]))
def a_name_is_refused(at, method, _, value, kind):
    send(at, method, {"name": value}).has_fault(["body", "name"], kind)


@holds()
def a_name_of_null_is_refused_at_creation(at):
    send(at, "POST", {"name": None}).has_fault(["body", "name"], "string_type")


@holds(of=of_both(MODEL))
def a_model_is_refused(at, method, _, value, kind):
    send(at, method, {"model": value}).has_fault(["body", "model"], kind)


@holds(of=[("a",), ("A.b_c-9",), ("m" * 64,)])
def a_model_is_taken(at, value):
    equal(at.automation(model=value)["model"], value, "model")


@holds(of=of_both(TIMEOUT))
def a_timeout_is_refused(at, method, _, value, kind, says):
    send(at, method, {"timeout": value}).has_fault(["body", "timeout"], kind, says)


@holds(of=[(1,), (1800,), (None,)])
def a_timeout_is_taken(at, value):
    equal(at.automation(timeout=value)["timeout"], value or 600, "timeout")


@holds(of=[(method, name, repr(text), text, says) for method in ("POST", "PATCH") for name in ("entrypoint", "setup_script_path") for text,
           says in COMMANDS])
def a_command_is_refused(at, method, name, _, text, says):
    send(at, method, {name: text}).has_fault(["body", name], "value_error", f"{name} {says}")


@holds(of=[("python3 main.py 'a b' \"c\" * ~ # x=1",), ("x" * 5000,), ("a..b/c",), ("./main",), ("dir/...",)])
def a_command_is_taken(at, text):
    equal(at.automation(entrypoint=text)["entrypoint"], text, "entrypoint")


@holds(of=of_both(TRIGGER))
def a_trigger_is_refused(at, method, _, value, loc, kind, says):
    send(at, method, {"trigger": value}).has_fault(loc, kind, says)


@holds(of=of_both([(5,), (None,)]))
def what_is_no_list_of_patterns_is_refused(at, method, _, value):
    answer = send(at, method, {"trigger": {"type": "event", "source": "s", "on": value}}).must_be(422)
    equal(answer.detail[0]["loc"][:4], ["body", "trigger", "event", "on"], "where")


@holds(of=[(repr(value)[:60], value, loc, kind) for value, loc, kind in TEMPLATE])
def a_template_is_refused(at, _, value, loc, kind):
    at.call("POST", "/v1", at.body(template=value)).has_fault(["body", "template", *loc], kind)


@holds()
def the_config_of_a_template_is_measured_as_escaped_ascii(at):
    config = {"text": "é" * 3000}
    at.call("POST", "/v1", at.body(template={"id": "x", "version": "1", "config": config})).has_fault(["body", "template", "config"],
        "value_error")
    at.automation(template={"id": f"limit-{id(at)}", "version": "1", "config": {"t": "x" * (16384 - len('{"t": ""}'))}})


@holds()
def a_prompt_beyond_50000_is_refused(at):
    at.call("PATCH", f"/v1/{NOBODY}", {"prompt": "p" * 50001}).has_fault(["body", "prompt"], "string_too_long")


@holds(of=[("ftp://x",), ("x",)])
def a_tarball_path_is_refused_at_a_change(at, value):
    at.call("PATCH", f"/v1/{NOBODY}", {"tarball_path": value}).has_fault(["body", "tarball_path"], "value_error",
        "tarball_path must start with")


PROMPT = {"name": "p", "prompt": "text", "trigger": CRON}
REPOS = [("owner/repo", "provider"), ({"url": "owner/repo"}, ""), ({"ref": "main"}, ""), ({"url": "https://x/y", "extra": 1}, ""),
         ({"url": "https://x/y", "provider": "svn"}, ""),
         ("ssh://git@x/y", ""), ("ftp://x/y", ""), (["https://x/y", "nonsense"], ""), (7, "")]


@holds(of=[(path, name) for path in ("prompt", "plugin") for name in ("name", "prompt", "trigger")])
def a_preset_lacks(at, path, name):
    body = {**PROMPT, **({"plugins": {"source": "s"}} if path == "plugin" else {})}
    del body[name]
    at.call("POST", f"/v1/preset/{path}", body).has_fault(["body", name], "missing")


@holds(of=[("name", "", "string_too_short"), ("name", "n" * 501, "string_too_long"), ("prompt", "", "string_too_short"),
           ("prompt", "p" * 50001, "string_too_long"),
           ("timeout", 1801, "value_error"), ("timeout", 0, "value_error"), ("model", "bad model", None),
           ("enabled", "maybe", "bool_parsing"), ("extra", 1, "extra_forbidden"),
           ("tarball_path", "https://x/y", "extra_forbidden"), ("entrypoint", "x", "extra_forbidden")])
def a_preset_field_is_refused(at, name, value, kind):
    at.call("POST", "/v1/preset/prompt", {**PROMPT, name: value}).has_fault(["body", name], kind)


@holds(of=[(repr(value), value, says) for value, says in REPOS])
def repos_are_refused(at, _, value, says):
    answer = at.call("POST", "/v1/preset/prompt", {**PROMPT, "repos": value}).must_be(422)
    equal(answer.detail[0]["loc"][:2], ["body", "repos"], "where")


VARIANTS = [{"name": "a", "weight": 1, "plugins": [{"source": "s"}]}, {"name": "b", "weight": 3, "plugins": [{"source": "t"}]}]
PLUGIN = [("neither plugins nor variants", {}), ("both", {"plugins": {"source": "s"}, "variants": VARIANTS, "experiment_id": "e"}),
          ("variants without experiment", {"variants": VARIANTS}),
          ("experiment without variants", {"plugins": {"source": "s"}, "experiment_id": "e"}),
          ("one variant", {"variants": VARIANTS[:1], "experiment_id": "e"}),
          ("eleven variants", {"variants": [dict(VARIANTS[0], name=str(n)) for n in range(11)], "experiment_id": "e"}),
          ("doubled names", {"variants": [VARIANTS[0], VARIANTS[0]], "experiment_id": "e"}),
          ("weight 0", {"variants": [dict(VARIANTS[0], weight=0), VARIANTS[1]], "experiment_id": "e"}),
          ("weight of a fraction", {"variants": [dict(VARIANTS[0], weight=2.5), VARIANTS[1]], "experiment_id": "e"}),
          ("negative weight", {"variants": [dict(VARIANTS[0], weight=-1), VARIANTS[1]], "experiment_id": "e"}),
          ("variant without plugins", {"variants": [dict(VARIANTS[0], plugins=[]), VARIANTS[1]], "experiment_id": "e"}),
          ("variant without name", {"variants": [dict(VARIANTS[0], name=""), VARIANTS[1]], "experiment_id": "e"}),
          ("long name", {"variants": [dict(VARIANTS[0], name="n" * 101), VARIANTS[1]], "experiment_id": "e"}),
          ("empty experiment", {"variants": VARIANTS, "experiment_id": ""}),
          ("long experiment", {"variants": VARIANTS, "experiment_id": "e" * 201}),
          ("no plugins in the list", {"plugins": []}), ("a plugin without source", {"plugins": [{"ref": "main"}]}),
          ("a variant's bad model", {"variants": [dict(VARIANTS[0], model="bad model"), VARIANTS[1]], "experiment_id": "e"})]


@holds(of=PLUGIN)
def a_plugin_preset_is_refused(at, _, change):
    at.call("POST", "/v1/preset/plugin", {**PROMPT, **change}).has_fault(None)


WEBHOOK = [("name", "", "string_too_short"), ("name", "n" * 256, "string_too_long"), ("source", "", None), ("source", "s" * 51, None),
           ("source", "-x", None), ("source", "x-", None),
           ("source", "a_b", None), ("source", "a b", None), ("event_key_expr", "e" * 501, None), ("event_key_expr", "[[[", "value_error"),
           ("signature_header", "1-x", None),
           ("signature_header", "x y", None), ("signature_header", "h" * 101, None), ("signature_header", "x_y", None),
           ("webhook_secret", "short", "string_too_short"),
           ("webhook_secret", "s" * 256, "string_too_long"), ("extra", 1, "extra_forbidden"), ("name", None, "string_type"),
           ("source", 5, None)]


@holds(of=[(name, repr(value)[:40], value, kind) for name, value, kind in WEBHOOK])
def a_webhook_is_refused(at, name, _, value, kind):
    at.call("POST", "/v1/webhooks", {"name": "n", "source": "s-1", name: value}).has_fault(["body", name], kind)


@holds(of=[("name",), ("source",)])
def a_webhook_lacks(at, name):
    at.call("POST", "/v1/webhooks", {k: "n" for k in ("name", "source") if k != name}).has_fault(["body", name], "missing")


@holds(of=[("github",), ("GitHub",), ("jira-dc", "allowed"), ("bitbucket-data-center", "allowed")])
def a_built_in_source_is_reserved(at, source, allowed=""):
    """jira_dc and bitbucket_data_center hold underscores, which no source of one's own may; with hyphens they are free."""
    answer = at.call("POST", "/v1/webhooks", {"name": "n", "source": source})
    if allowed:
        at.made.append(("DELETE", f"/v1/webhooks/{answer.must_be(201).json['id']}"))
    else:
        answer.has_fault(["body", "source"], "value_error", "is a reserved source name.")


@holds(of=[("source", "x"), ("webhook_secret", "long-enough-secret"), ("org_id", NOBODY)])
def a_change_of_a_webhook_does_not_take(at, name, value):
    at.call("PATCH", f"/v1/webhooks/{NOBODY}", {name: value}).has_fault(["body", name], "extra_forbidden")


COMPLETE = [("no status", {}, ["body", "status"], "missing"), ("lower case", {"status": "completed"}, ["body", "status"], "literal_error"),
            ("running", {"status": "RUNNING"}, ["body", "status"], "literal_error"),
            ("cancelled", {"status": "CANCELLED"}, ["body", "status"], "literal_error"),
            ("null", {"status": None}, ["body", "status"], "literal_error"),
            ("unknown key", {"status": "COMPLETED", "x": 1}, ["body", "x"], "extra_forbidden"),
            ("cost in words", {"status": "COMPLETED", "cost": "much"}, ["body", "cost"], "float_parsing"),
            ("conversation of a number", {"status": "COMPLETED", "conversation_id": 5}, ["body", "conversation_id"], "string_type"),
            ("run of a number", {"status": "COMPLETED", "run_id": 5}, ["body", "run_id"], "string_type")]


@holds(of=COMPLETE)
def a_completion_is_refused(at, _, body, loc, kind):
    at.call("POST", f"/v1/runs/{NOBODY}/complete", body).has_fault(loc, kind)


@holds(of=[("a number", 5), ("a list", ["x"]), ("a flag", True)])
def an_error_of_a_completion_that_is_no_text_or_object_is_refused(at, _, error):
    answer = at.call("POST", f"/v1/runs/{NOBODY}/complete", {"status": "FAILED", "error": error}).must_be(422)
    equal(answer.detail[0]["loc"][:2], ["body", "error"], "where")
