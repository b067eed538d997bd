"""Who is let in: §2.1 and §2.2, and what belongs to somebody else."""

from harness import CRON, LOCAL_ORG, LOCAL_USER, NOBODY, NotHere, equal, holds, true

SECTION = "2"

GUARDED = [("POST", "/v1"), ("GET", "/v1"), ("GET", f"/v1/{NOBODY}"), ("PATCH", f"/v1/{NOBODY}"), ("DELETE", f"/v1/{NOBODY}"),
           ("GET", f"/v1/{NOBODY}/tarball"), ("POST", f"/v1/{NOBODY}/dispatch"), ("GET", f"/v1/{NOBODY}/runs"),
           ("POST", f"/v1/runs/{NOBODY}/complete"), ("POST", f"/v1/runs/{NOBODY}/cancel"), ("POST", "/v1/uploads"), ("GET", "/v1/uploads"),
           ("GET", f"/v1/uploads/{NOBODY}"), ("DELETE", f"/v1/uploads/{NOBODY}"), ("POST", "/v1/preset/prompt"),
           ("POST", "/v1/preset/plugin"),
           ("POST", "/v1/webhooks"), ("GET", "/v1/webhooks"), ("GET", f"/v1/webhooks/{NOBODY}"), ("PATCH", f"/v1/webhooks/{NOBODY}"),
           ("DELETE", f"/v1/webhooks/{NOBODY}"), ("POST", f"/v1/webhooks/{NOBODY}/rotate-secret"), ("GET", "/v1/capabilities"),
           ("POST", "/v1/validate"), ("POST", "/v1/telemetry/consent"), ("GET", "/v1/git-sync/status"), ("PUT", "/v1/git-sync/config"),
           ("POST", "/v1/git-sync/check"), ("POST", "/v1/git-sync/sync")]


@holds(of=[(f"{method} {path}".replace(NOBODY, "{id}"), method, path) for method, path in GUARDED])
def without_a_key_there_is_401(at, _, method, path):
    body = {} if method in ("POST", "PATCH", "PUT") and "uploads" not in path else None
    answer = at.call(method, path, body, key=None, expect=401)
    answer.says("Authentication required: provide Bearer token, X-Session-API-Key header, or keycloak_auth cookie")
    equal(answer.headers["WWW-Authenticate"], None, "WWW-Authenticate")


@holds(of=[(f"{method} {path}".replace(NOBODY, "{id}"), method, path) for method, path in GUARDED])
def with_a_wrong_key_there_is_401(at, _, method, path):
    at.call(method, path, {} if method in ("POST", "PATCH", "PUT") and "uploads" not in path else None, key="wrong",
            expect=401).says("Invalid API key")


@holds(of=[("bearer", {"Authorization": "Bearer {}"}), ("bearer with spaces", {"Authorization": "Bearer   {}  "}),
           ("header", {"X-Session-API-Key": "{}"}),
           ("header with spaces", {"X-Session-API-Key": "  {} "}),
           ("another scheme beside the header", {"Authorization": "Basic eA==", "X-Session-API-Key": "{}"}),
           ("lower-case scheme beside the header", {"Authorization": "bearer other", "X-Session-API-Key": "{}"}),
           ("bearer wins over a wrong header", {"Authorization": "Bearer {}", "X-Session-API-Key": "wrong"}),
           ("empty header beside nothing is no key, so bearer", {"Authorization": "Bearer {}", "X-Session-API-Key": ""})])
def the_key_is_found_in(at, _, headers):
    at.call("GET", "/v1", headers={n: v.format(at.service.key) for n, v in headers.items()}, key=None, expect=200)


@holds(of=[("an empty bearer", {"Authorization": "Bearer "}, "Empty API key"),
           ("a bearer of spaces", {"Authorization": "Bearer    "}, "Empty API key"),
           ("a lower-case scheme", {"Authorization": "bearer {}"}, "Authentication required"),
           ("another scheme", {"Authorization": "Basic {}"}, "Authentication required"),
           ("an empty header", {"X-Session-API-Key": " "}, "Authentication required"),
           ("a wrong bearer beside a good header", {"Authorization": "Bearer wrong", "X-Session-API-Key": "{}"}, "Invalid API key"),
           ("an empty bearer beside a good header", {"Authorization": "Bearer  ", "X-Session-API-Key": "{}"}, ""),
           ("a key with something behind it", {"X-Session-API-Key": "{}x"}, "Invalid API key"),
           ("a beginning of the key", {"X-Session-API-Key": "wrongbegin"}, "Invalid API key")])
def no_key_is_found_in(at, _, headers, says):
    at.call("GET", "/v1", headers={n: v.format(at.service.key) for n, v in headers.items()}, key=None, expect=401).says(says)


@holds()
def a_bearer_of_nothing_hides_no_header_key_when_the_header_field_was_trimmed_to_bearer(at):
    """`Bearer` without a space behind it is another scheme."""
    at.call("GET", "/v1", headers={"Authorization": "Basic", "X-Session-API-Key": at.service.key}, key=None, expect=200)


@holds()
def a_cookie_is_not_the_local_key(at):
    answer = at.call("GET", "/v1", headers={"Cookie": f"keycloak_auth={at.service.key}"}, key=None)
    true(answer.status in (401, 502), f"{answer}, wanted 401, or 502 where a Cloud is asked and not there")


@holds()
def the_local_key_is_the_local_user_of_the_local_organisation(at):
    made = at.automation()
    equal((made["user_id"], made["org_id"]), (LOCAL_USER, LOCAL_ORG), "user and organisation")
    upload = at.upload()
    equal((upload["user_id"], upload["org_id"]), (LOCAL_USER, LOCAL_ORG), "user and organisation of an upload")
    equal(at.webhook()["org_id"], LOCAL_ORG, "organisation of a webhook")


def foreign_automation(at):
    other = at.other()
    made = other.call("POST", "/v1", at.body(trigger=dict(CRON)), expect=201).json
    return other, made


@holds(of=[("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/tarball"), ("POST", "/dispatch"), ("GET", "/runs")])
def a_foreign_automation_is_404(at, method, rest):
    other, made = foreign_automation(at)
    at.call(method, f"/v1/{made['id']}{rest}", {"name": "mine"} if method == "PATCH" else None, expect=404).says("Automation not found")
    equal(other.call("GET", f"/v1/{made['id']}", expect=200).json, made, "the automation afterwards")
    other.call("DELETE", f"/v1/{made['id']}", expect=204)


@holds()
def a_list_has_no_foreign_rows(at):
    other, made = foreign_automation(at)
    true(made["id"] not in [a["id"] for a in at.call("GET", "/v1?limit=100").json["automations"]], "a foreign automation is listed")
    mine = at.automation()
    listed = other.call("GET", "/v1?limit=100", expect=200).json
    true(mine["id"] not in [a["id"] for a in listed["automations"]], "my automation is listed for somebody else")
    other.call("DELETE", f"/v1/{made['id']}")


@holds()
def a_foreign_run_is_not_mine_to_cancel_or_complete(at):
    other, made = foreign_automation(at)
    run = other.call("POST", f"/v1/{made['id']}/dispatch", expect=201).json
    for path, body in ((f"/v1/runs/{run['id']}/cancel", None), (f"/v1/runs/{run['id']}/complete", {"status": "COMPLETED"})):
        answer = at.call("POST", path, body)
        true(answer.status in (403, 404), f"{answer}, wanted 403 or 404")
        answer.says("Not your automation" if answer.status == 403 else "Run not found")
    other.call("POST", f"/v1/runs/{run['id']}/cancel")
    other.call("DELETE", f"/v1/{made['id']}")


@holds()
def a_foreign_upload_is_404(at):
    other = at.other()
    upload = other.call("POST", "/v1/uploads?name=theirs", body=b"x", headers={"Content-Type": "application/gzip"}, expect=201).json
    at.call("GET", f"/v1/uploads/{upload['id']}", expect=404).says("Upload not found")
    at.call("DELETE", f"/v1/uploads/{upload['id']}", expect=404)
    refused = at.call("POST", "/v1", at.body(tarball_path=upload["tarball_path"]))
    true(refused.status in (403, 404), f"{refused}, wanted 403 or 404")
    other.call("GET", f"/v1/uploads/{upload['id']}", expect=200)
    other.call("DELETE", f"/v1/uploads/{upload['id']}", expect=204)


@holds(mends="W-12: a change of tarball_path took anybody's upload")
def an_automation_cannot_be_pointed_at_a_foreign_upload(at):
    other = at.other()
    upload = other.call("POST", "/v1/uploads?name=theirs", body=b"x", headers={"Content-Type": "application/gzip"}, expect=201).json
    mine = at.automation()
    answer = at.call("PATCH", f"/v1/{mine['id']}", {"tarball_path": upload["tarball_path"]})
    true(answer.status in (403, 404), f"{answer}, wanted 403 or 404")
    equal(at.call("GET", f"/v1/{mine['id']}").json["tarball_path"], mine["tarball_path"], "tarball_path afterwards")
    other.call("DELETE", f"/v1/uploads/{upload['id']}")


@holds()
def a_foreign_webhook_is_404(at):
    other = at.other()
    hook = other.call("POST", "/v1/webhooks", {"name": "theirs", "source": "theirs"}, expect=201).json
    try:
        if hook["org_id"] == LOCAL_ORG:
            raise NotHere("the second key's user is in the first one's organisation")
        for method, path, body in (("GET", "", None), ("PATCH", "", {"name": "mine"}), ("DELETE", "", None),
                                   ("POST", "/rotate-secret", None)):
            at.call(method, f"/v1/webhooks/{hook['id']}{path}", body, expect=404).says("Webhook not found")
        true(hook["id"] not in [w["id"] for w in at.call("GET", "/v1/webhooks").json["webhooks"]], "a foreign webhook is listed")
    finally:
        other.call("DELETE", f"/v1/webhooks/{hook['id']}")
