"""Automations: creation, reading, change, deletion, their tarballs."""

import urllib.parse
import uuid

from harness import CRON, NOBODY, UUID, equal, holds, is_moment, keys_are, matches, tar_of, true, untar

SECTION = "1.3"

KEYS = ["id", "user_id", "org_id", "model", "name", "prompt", "preset_metadata", "trigger", "tarball_path", "setup_script_path",
        "entrypoint", "timeout",
        "keep_alive", "enabled", "last_triggered_at", "created_at", "updated_at"]
EVENT = {"type": "event", "source": "github", "on": "push"}
SAME_SECOND = "rows of one second came in any order on SQLite"
NO_UPLOAD = f"oh-internal://uploads/{NOBODY}"


@holds()
def a_creation_is_201_with_all_keys(at):
    made = at.automation(name="made")
    keys_are(made, KEYS, "the automation")
    for name in ("id", "user_id", "org_id"):
        matches(UUID, made[name], name)
    for name in ("model", "prompt", "preset_metadata", "setup_script_path", "keep_alive", "last_triggered_at"):
        equal(made[name], None, name)
    equal((made["name"], made["entrypoint"], made["tarball_path"]), ("made", "sh main.sh", "https://example.org/code.tar.gz"),
          "what was given")
    equal((made["enabled"], made["timeout"]), (True, 600), "what was not given: enabled, timeout")


@holds()
def what_is_given_is_stored_and_returned(at):
    given = {"name": "given", "model": "profile-1.x_y", "setup_script_path": "scripts/set up.sh",
             "entrypoint": "python3 main.py --name='a b' *", "timeout": 1800,
             "keep_alive": True, "tarball_path": "s3://bucket/code.tar.gz"}
    made = at.automation(**given)
    equal({k: made[k] for k in given}, given, "what was given")
    equal(at.call("GET", f"/v1/{made['id']}", expect=200).json, made, "the automation, read")


@holds(of=[("cron without zone", {"type": "cron", "schedule": "0 9 * * 1-5"},
            {"type": "cron", "schedule": "0 9 * * 1-5", "timezone": "UTC"}),
           ("cron with zone", {"type": "cron", "schedule": "@daily", "timezone": "America/New_York"}, None),
           ("event, one pattern", EVENT, {**EVENT, "filter": None}),
           ("event, patterns and filter", {"type": "event", "source": "made-up source", "on": ["a.*", "b"], "filter": "x == `1`"}, None),
           ("event, no patterns", {"type": "event", "source": "s", "on": []}, {"type": "event", "source": "s", "on": [], "filter": None})])
def a_trigger_is_returned_in_full(at, _, trigger, wanted):
    seen = at.automation(trigger=trigger)["trigger"]
    wanted = wanted or trigger
    equal({k: seen.get(k) for k in wanted}, wanted, "the trigger")
    true(wanted.keys() <= seen.keys(), "keys of the trigger", sorted(seen))


@holds(of=[("* * * * *",), ("*/5 * * * *",), ("0 9 * * MON-FRI",), ("0 0 1 JAN *",), ("0 0 * * 7",), ("0 0 L * *",), ("0 0 15W * *",),
           ("0 0 * * 1#2",), ("0 0 * * L5",),
           ("* * * * * 30",), ("0 0 1 1 * 0 2030",), ("0 22-2 * * *",), ("5-1 * * * *",), ("0 0 * * sat-sun",), ("@hourly",), ("@weekly",),
           ("@annually",), ("@midnight",),
           ("@yearly",), ("@monthly",), ("  0   0 * * *  ",), ("0 0 ? * *",), ("*/90 * * * *",), ("1,2,3 0 * * *",), ("0-30/10 * * * *",),
           ("0 0 29 2 *",)])
def a_schedule_is_taken(at, schedule):
    equal(at.automation(trigger={"type": "cron", "schedule": schedule})["trigger"]["schedule"], schedule, "the schedule")


@holds(of=[(schedule, says) for schedule, says in (
    ("nonsense", "Invalid cron expression: "), ("* * * *", "Invalid cron expression: "), ("60 * * * *", "Invalid cron expression: "),
    ("* 24 * * *", "Invalid cron expression: "),
    ("* * 32 * *", "Invalid cron expression: "), ("* * * 13 *", "Invalid cron expression: "), ("* * * * 8", "Invalid cron expression: "),
    ("*/0 * * * *", "Invalid cron expression: "),
    ("@reboot", "Invalid cron expression: "), ("@every 5m", "Invalid cron expression: "), ("H * * * *", "Invalid cron expression: "),
    ("", "Invalid cron expression: "),
    ("0 0 31 2 *", "Cron expression cannot produce any future fire times: "),
    ("0 0 30 2 *", "Cron expression cannot produce any future fire times: "))])
def a_schedule_is_refused(at, schedule, says):
    at.call("POST", "/v1", at.body(trigger={"type": "cron", "schedule": schedule})).has_fault(["body", "trigger", "cron", "schedule"],
        "value_error", says + schedule)


@holds(of=[("Mars/Olympus",), ("UTC+1x",), ("europe/nowhere",)])
def a_zone_that_does_not_exist_is_refused(at, zone):
    answer = at.call("POST", "/v1", at.body(trigger=dict(CRON, timezone=zone)))
    answer.has_fault(["body", "trigger", "cron", "timezone"], "value_error", f"Invalid timezone: {zone}")


@holds(of=[("UTC",), ("Europe/Berlin",), ("Asia/Kathmandu",), ("America/Argentina/Buenos_Aires",), ("Etc/GMT+5",)])
def a_zone_is_taken(at, zone):
    equal(at.automation(trigger=dict(CRON, timezone=zone))["trigger"]["timezone"], zone, "timezone")


@holds(of=[("https://example.org/a.tar.gz",), ("s3://b/a",), ("gs://b/a",)])
def a_public_tarball_is_taken_unseen(at, path):
    equal(at.automation(tarball_path=path)["tarball_path"], path, "tarball_path")


@holds(of=[("ftp://x/a", "tarball_path must start with s3://, gs://, http://, or https://"), ("a.tar.gz", "tarball_path must start with"),
           ("file:///etc/passwd", "tarball_path must start with"), ("", "tarball_path must start with")])
def a_tarball_of_another_scheme_is_a_fault_of_the_field(at, path, says):
    at.call("POST", "/v1", at.body(tarball_path=path)).has_fault(["body", "tarball_path"], "value_error", says)


@holds()
def a_tarball_over_http_is_refused_at_creation(at):
    at.call("POST", "/v1", at.body(tarball_path="http://example.org/a.tar.gz"),
            expect=422).says("Invalid tarball_path. Must be oh-internal://uploads/{uuid} or a public URL (https://, s3://, gs://)")


@holds(of=[("oh-internal://uploads/not-a-uuid",), ("oh-internal://other/" + NOBODY,), ("oh-internal://uploads/",), (NO_UPLOAD + "/x",)])
def a_malformed_internal_tarball_is_422(at, path):
    at.call("POST", "/v1", at.body(tarball_path=path),
            expect=422).says("Invalid internal upload URL format. Expected: oh-internal://uploads/{uuid}")


@holds()
def an_upload_that_does_not_exist_is_404(at):
    at.call("POST", "/v1", at.body(tarball_path=NO_UPLOAD), expect=404).says("Upload not found")


@holds()
def an_upload_that_was_deleted_is_400(at):
    upload = at.upload()
    at.call("DELETE", f"/v1/uploads/{upload['id']}", expect=204)
    at.call("POST", "/v1", at.body(tarball_path=upload["tarball_path"]), expect=400).says("Upload has been deleted")


@holds()
def the_id_of_an_upload_is_taken_in_upper_case(at):
    path = at.upload()["tarball_path"]
    at.automation(tarball_path=f"oh-internal://uploads/{path.rsplit('/', 1)[1].upper()}")


@holds()
def a_template_makes_one_automation_and_then_returns_it(at):
    template = {"id": f"template-{uuid.uuid4()}", "version": "1.0", "config": {"a": [1, None]}}
    first = at.automation(template=template, name="first")
    equal(first["preset_metadata"], {"template": template}, "preset_metadata")
    again = at.call("POST", "/v1", at.body(template={"id": template["id"], "version": "2"}, name="second", tarball_path=NO_UPLOAD),
                    expect=200).json
    equal(again, first, "the answer to the second creation")
    prompt = at.call("POST", "/v1/preset/prompt",
                     {"name": "p", "prompt": "p", "trigger": CRON, "template": {"id": template["id"], "version": "2"}}, expect=200).json
    equal(prompt["id"], first["id"], "the answer of the preset")
    plugin = {"name": "p", "prompt": "p", "trigger": CRON, "plugins": {"source": "github:o/r"},
              "template": {"id": template["id"], "version": "2"}}
    equal(at.call("POST", "/v1/preset/plugin", plugin, expect=200).json["id"], first["id"], "the answer of the plugin preset")


@holds()
def a_template_without_config_is_stored_without_it(at):
    equal(at.automation(template={"id": f"t-{uuid.uuid4()}", "version": "1"})["preset_metadata"]["template"].keys(), {"id", "version"},
          "keys of the template")


@holds()
def a_template_of_a_deleted_automation_makes_a_new_one(at):
    template = {"id": f"template-{uuid.uuid4()}", "version": "1"}
    first = at.automation(template=template)
    at.call("DELETE", f"/v1/{first['id']}", expect=204)
    true(at.automation(template=template)["id"] != first["id"], "the deleted automation is returned")


@holds(mends=SAME_SECOND)
def a_list_has_the_newest_first_and_counts(at):
    before = at.call("GET", "/v1", expect=200).json["total"]
    made = at.automation()
    listed = at.call("GET", "/v1?limit=1", expect=200).json
    equal((listed["total"], listed["automations"]), (before + 1, [made]), "total and first")


@holds(of=[("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/tarball"), ("POST", "/dispatch"), ("GET", "/runs")])
def an_absent_automation_is_404(at, method, rest):
    at.call(method, f"/v1/{NOBODY}{rest}", {"name": "n"} if method == "PATCH" else None, expect=404).says("Automation not found")


@holds(of=[("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/tarball"), ("POST", "/dispatch"), ("GET", "/runs")])
def a_deleted_automation_is_404(at, method, rest):
    made = at.automation()
    answer = at.call("DELETE", f"/v1/{made['id']}", expect=204)
    equal(answer.body, b"", "the body of a 204")
    at.call(method, f"/v1/{made['id']}{rest}", {"name": "n"} if method == "PATCH" else None, expect=404).says("Automation not found")
    true(made["id"] not in [a["id"] for a in at.call("GET", "/v1?limit=100").json["automations"]], "it is listed still")


CHANGES = [("name", "n" * 500), ("model", "other-model"), ("prompt", "p" * 50000),
           ("trigger", {"type": "cron", "schedule": "5 4 * * *", "timezone": "Asia/Tokyo"}),
           ("tarball_path", "https://example.org/other.tar.gz"), ("setup_script_path", "other.sh"), ("entrypoint", "bash other.sh"),
           ("timeout", 30), ("keep_alive", True),
           ("keep_alive", False), ("enabled", False)]


@holds(of=CHANGES)
def a_change_applies_to_its_key_alone(at, name, value):
    made = at.automation()
    changed = at.call("PATCH", f"/v1/{made['id']}", {name: value}, expect=200).json
    equal(changed[name], value, name)
    others = [k for k in KEYS if k not in (name, "updated_at")]
    equal({k: changed[k] for k in others}, {k: made[k] for k in others}, "the others")
    true(is_moment(changed["updated_at"], "updated_at") >= is_moment(made["updated_at"], "updated_at"), "updated_at goes back")
    equal(at.call("GET", f"/v1/{made['id']}").json[name], value, f"{name}, read")


@holds()
def an_empty_change_changes_nothing(at):
    made = at.automation()
    changed = at.call("PATCH", f"/v1/{made['id']}", {}, expect=200).json
    equal({k: changed[k] for k in KEYS if k != "updated_at"}, {k: made[k] for k in KEYS if k != "updated_at"}, "the automation")


@holds(of=[("prompt", "text"), ("setup_script_path", "x.sh"), ("timeout", 60), ("keep_alive", True), ("model", "m")])
def a_change_to_null_is_taken(at, name, value):
    made = at.automation(**({name: value} if name != "prompt" else {}))
    at.call("PATCH", f"/v1/{made['id']}", {name: value}, expect=200)
    equal(at.call("PATCH", f"/v1/{made['id']}", {name: None}, expect=200).json[name], None, name)


@holds()
def a_trigger_may_change_its_type(at):
    made = at.automation()
    changed = at.call("PATCH", f"/v1/{made['id']}", {"trigger": EVENT}, expect=200).json["trigger"]
    equal({k: changed[k] for k in ("type", "source", "on", "filter")}, {**EVENT, "filter": None}, "trigger")


PROMPT = {"name": "Prüfung", "prompt": "Say hello", "trigger": CRON}


@holds()
def a_changed_prompt_makes_a_new_tarball_that_differs_in_the_prompt_alone(at):
    made = at.made_by(at.call("POST", "/v1/preset/prompt", {**PROMPT, "repos": ["https://example.org/o/r"]}, expect=201))
    before = untar(at.call("GET", f"/v1/{made['id']}/tarball", expect=200).body)
    changed = at.call("PATCH", f"/v1/{made['id']}", {"prompt": "Sag «hallo»"}, expect=200).json
    true(changed["tarball_path"] != made["tarball_path"], "tarball_path is as before")
    equal((changed["prompt"], changed["preset_metadata"]["prompt"]), ("Sag «hallo»", "Sag «hallo»"), "prompt, also in preset_metadata")
    after = untar(at.call("GET", f"/v1/{made['id']}/tarball", expect=200).body)
    equal(after["prompt.txt"][1].decode(), "Sag «hallo»", "prompt.txt")
    equal({k: v for k, v in after.items() if k != "prompt.txt"}, {k: v for k, v in before.items() if k != "prompt.txt"},
          "the other members")
    upload = at.call("GET", f"/v1/uploads/{changed['tarball_path'].rsplit('/', 1)[1]}", expect=200).json
    equal(upload["name"], f"prompt-automation-{PROMPT['name']}-edit", "the new upload's name")
    true(upload["description"].startswith("Prompt updated for: "), "the new upload's description", upload["description"])
    at.call("GET", f"/v1/uploads/{made['tarball_path'].rsplit('/', 1)[1]}", expect=404)


@holds()
def an_unchanged_prompt_keeps_its_tarball(at):
    made = at.made_by(at.call("POST", "/v1/preset/prompt", PROMPT, expect=201))
    equal(at.call("PATCH", f"/v1/{made['id']}", {"prompt": PROMPT["prompt"]}, expect=200).json["tarball_path"], made["tarball_path"],
          "tarball_path")


@holds()
def a_prompt_of_a_tarball_without_one_changes_the_column_alone(at):
    made = at.script("true\n")
    changed = at.call("PATCH", f"/v1/{made['id']}", {"prompt": "text"}, expect=200).json
    equal((changed["prompt"], changed["tarball_path"], changed["preset_metadata"]), ("text", made["tarball_path"], None),
          "prompt, tarball_path, preset_metadata")


@holds()
def a_prompt_of_an_external_tarball_changes_the_column_alone(at):
    made = at.automation()
    changed = at.call("PATCH", f"/v1/{made['id']}", {"prompt": "text"}, expect=200).json
    equal((changed["prompt"], changed["tarball_path"]), ("text", made["tarball_path"]), "prompt, tarball_path")


@holds()
def a_tarball_is_downloaded_as_it_was_uploaded(at):
    data = tar_of({"main.sh": "echo hello\n", "data.bin": bytes(range(256))})
    made = at.automation(name='a "quoted"/\\name', tarball_path=at.upload(data)["tarball_path"])
    answer = at.call("GET", f"/v1/{made['id']}/tarball", expect=200)
    equal(answer.body, data, "the bytes")
    equal(answer.headers["Content-Type"], "application/x-tar", "Content-Type")
    equal(answer.headers["Content-Disposition"], 'attachment; filename="a quotedname.tar"', "Content-Disposition")


@holds()
def a_name_that_is_nothing_but_what_is_stripped_is_downloaded_as_automation(at):
    made = at.automation(name='"/\\', tarball_path=at.upload()["tarball_path"])
    equal(at.call("GET", f"/v1/{made['id']}/tarball", expect=200).headers["Content-Disposition"], 'attachment; filename="automation.tar"',
          "Content-Disposition")


def downloaded_under(at, name):
    made = at.automation(name="x", tarball_path=at.upload()["tarball_path"])
    at.call("PATCH", f"/v1/{made['id']}", {"name": name}, expect=200)
    answer = at.call("GET", f"/v1/{made['id']}/tarball", expect=200)
    equal(answer.headers["X-Evil"], None, "a header out of the name")
    true(".tar" in urllib.parse.unquote(answer.headers["Content-Disposition"]), "Content-Disposition",
         answer.headers["Content-Disposition"])


@holds(of=[("Ünïcode in Latin-1",), ("two lines\r\nX-Evil: 1",), ("tab\tand bell\a",)])
def a_tarball_is_downloaded_under_the_name(at, name):
    downloaded_under(at, name)


@holds()
def an_external_tarball_is_a_redirect(at):
    made = at.automation()
    equal(at.call("GET", f"/v1/{made['id']}/tarball", expect=302).headers["Location"], made["tarball_path"], "Location")


@holds(of=[("s3",), ("gs",)])
def a_tarball_in_a_bucket_is_not_proxied(at, scheme):
    made = at.automation(tarball_path=f"{scheme}://bucket/code.tar.gz")
    at.call("GET", f"/v1/{made['id']}/tarball", expect=422).says(f"Cannot proxy {scheme}:// tarball URLs.")


@holds()
def a_tarball_whose_upload_was_deleted_is_404(at):
    upload = at.upload()
    made = at.automation(tarball_path=upload["tarball_path"])
    at.call("DELETE", f"/v1/uploads/{upload['id']}", expect=204)
    at.call("GET", f"/v1/{made['id']}/tarball", expect=404).says("Tarball not found (underlying upload may have been deleted)")
