"""What holds for every route: errors, coercions, pages, times, unknown routes, CORS."""

import json

from harness import CRON, NOBODY, UUID, equal, holds, is_moment, keys_are, matches, true

SECTION = "1.0"

LISTS = [("/v1", "automations"), ("/v1/uploads", "uploads"), ("/v1/webhooks", "webhooks")]
PAGED = [("/v1",), ("/v1/uploads",), (f"/v1/{NOBODY}/runs",)]


@holds()
def an_unknown_route_is_404_with_its_detail(at):
    equal(at.call("GET", "/v1/uploads/x/y/z", expect=404).json, {"detail": "Not Found"}, "the body")


@holds(of=[("/v1/capabilities", "POST"), ("/v1/preset/prompt", "GET"), ("/health", "POST"),
           (f"/v1/{NOBODY}/dispatch", "GET"), (f"/v1/runs/{NOBODY}/cancel", "GET"), (f"/v1/webhooks/{NOBODY}/rotate-secret", "PUT")])
def a_wrong_method_is_405(at, path, method):
    equal(at.call(method, path, expect=405).json, {"detail": "Method Not Allowed"}, "the body")


@holds(of=[("GET", "/v1/validate"), ("PATCH", "/v1/uploads"), ("DELETE", "/v1/capabilities")])
def a_wrong_method_on_a_fixed_segment_is_405_or_no_automation_id(at, method, path):
    """The original takes the segment for an id then: 422."""
    true((answer := at.call(method, path)).status in (405, 422), str(answer))


@holds()
def a_trailing_slash_is_redirected_to_the_route_without(at):
    answer = at.call("GET", "/v1/", expect=307)
    true(answer.headers["Location"].partition("?")[0].endswith(f"{at.service.prefix}/v1"), "Location", answer.headers["Location"])


@holds(of=[(f"/v1/{word}",) for word in ("not-a-uuid", "uploadsx", "123", "00000000-0000-0000-0000-00000000000g")])
def an_automation_id_that_is_no_uuid_is_422(at, path):
    at.call("GET", path).has_fault(["path", "automation_id"], "uuid_parsing")


@holds(of=[("GET", "/v1/uploads/x", "upload_id"), ("DELETE", "/v1/uploads/x", "upload_id"), ("GET", "/v1/webhooks/x", "webhook_id"),
           ("POST", "/v1/runs/x/cancel", "run_id"), ("POST", "/v1/x/dispatch", "automation_id"), ("GET", "/v1/x/runs", "automation_id"),
           ("GET", "/v1/x/tarball", "automation_id"), ("DELETE", "/v1/x", "automation_id")])
def an_id_in_a_path_that_is_no_uuid_is_422(at, method, path, name):
    at.call(method, path).has_fault(["path", name], "uuid_parsing")


@holds(of=[("PATCH", "/v1/x", {"name": "n"}, "automation_id"), ("POST", "/v1/runs/x/complete", {"status": "COMPLETED"}, "run_id"),
           ("PATCH", "/v1/webhooks/x", {"name": "n"}, "webhook_id")])
def an_id_beside_a_good_body_that_is_no_uuid_is_422(at, method, path, body, name):
    at.call(method, path, body).has_fault(["path", name], "uuid_parsing")


@holds()
def ids_are_taken_in_upper_case_and_given_in_lower_case(at):
    made = at.automation()
    matches(UUID, made["id"], "the id")
    equal(at.call("GET", f"/v1/{made['id'].upper()}", expect=200).json["id"], made["id"], "the id asked for in upper case")


@holds(of=[(f"{path}?{query}", fault, name) for (path,) in PAGED for query, fault, name in (
    ("limit=0", "greater_than_equal", "limit"), ("limit=101", "less_than_equal", "limit"), ("limit=x", "int_parsing", "limit"),
    ("limit=1.5", "int_parsing", "limit"), ("limit=", "int_parsing", "limit"), ("offset=-1", "greater_than_equal", "offset"),
    ("offset=x", "int_parsing", "offset"))])
def a_page_out_of_range_is_422(at, path, fault, name):
    at.call("GET", path).has_fault(["query", name], fault)


@holds(of=[("1", 1), ("100", 100)])
def the_bounds_of_a_page_are_taken(at, limit, count):
    at.call("GET", f"/v1?limit={limit}", expect=200)
    at.call("GET", f"/v1/uploads?limit={limit}&offset=1000000", expect=200)
    true(len(at.call("GET", f"/v1?limit={limit}").json["automations"]) <= count, "the page is longer than asked for")


@holds(of=LISTS)
def a_list_has_its_rows_and_their_number(at, path, name):
    made = at.call("GET", path, expect=200).json
    keys_are(made, [name, "total"], f"GET {path}")
    true(isinstance(made[name], list) and isinstance(made["total"], int), f"GET {path}", made)


@holds(mends="rows of one second came in any order on SQLite")
def pages_follow_each_other_newest_first_without_a_gap(at):
    made = [at.automation(name=f"page {n}")["id"] for n in range(5)]
    total = at.call("GET", "/v1?limit=1").json["total"]
    true(total >= 5, "total", total)
    whole = [a["id"] for a in at.call("GET", "/v1?limit=5").json["automations"]]
    equal(set(whole), set(made), "the newest five")
    pages = [a["id"] for offset in (0, 2, 4) for a in at.call("GET", f"/v1?limit=2&offset={offset}").json["automations"]]
    equal(pages[:5], whole, "three pages of two")
    moments = [a["created_at"] for a in at.call("GET", "/v1?limit=5").json["automations"]]
    equal(moments, sorted(moments, reverse=True), "the order")


@holds()
def a_page_past_the_end_is_empty_and_tells_the_number(at):
    at.automation()
    page = at.call("GET", "/v1?offset=1000000", expect=200).json
    equal(page["automations"], [], "the page")
    true(page["total"] >= 1, "total", page["total"])


@holds()
def times_are_rfc_3339_in_utc(at):
    made = at.automation()
    for name in ("created_at", "updated_at"):
        is_moment(made[name], f"{name} of a new automation")
    patched = at.call("PATCH", f"/v1/{made['id']}", {"name": "other"}, expect=200).json
    true(is_moment(patched["updated_at"], "updated_at") >= is_moment(made["updated_at"], "updated_at"), "updated_at goes back",
         (made, patched))
    equal(is_moment(patched["created_at"], "created_at"), is_moment(made["created_at"], "created_at"), "created_at after a change")


@holds()
def malformed_json_is_json_invalid(at):
    answer = at.call("POST", "/v1", body=b'{"name": ', headers={"Content-Type": "application/json"})
    answer.has_fault(None, "json_invalid")
    equal(answer.detail[0]["loc"][0], "body", "where")


@holds()
def malformed_json_is_422_also_without_a_key(at):
    at.call("POST", "/v1", body=b"{", headers={"Content-Type": "application/json"}, key=None).has_fault(None, "json_invalid")


@holds()
def a_missing_key_wins_over_a_bad_body_and_path(at):
    at.call("POST", "/v1", {"nothing": 1}, key=None, expect=401)
    at.call("GET", "/v1/not-a-uuid", key=None, expect=401)
    at.call("GET", "/v1?limit=0", key=None, expect=401)


@holds(of=[("text/plain",), ("application/x-www-form-urlencoded",), ("multipart/form-data; boundary=x",), (None,)])
def json_without_its_content_type_is_422(at, content_type):
    body = json.dumps(at.body()).encode()
    at.call("POST", "/v1", body=body, headers={"Content-Type": content_type} if content_type else {}, expect=422)


@holds(of=[("application/json",), ("application/json; charset=utf-8",), ("application/problem+json",), ("APPLICATION/JSON",)])
def a_content_type_of_json_is_taken(at, content_type):
    at.made_by(at.call("POST", "/v1", body=json.dumps(at.body()).encode(), headers={"Content-Type": content_type}, expect=201))


@holds(of=[("/v1", "list"), ("/v1", "string"), ("/v1", "number"), ("/v1", "null"), ("/v1/preset/prompt", "list"),
           ("/v1/webhooks", "string"),
           ("/v1/validate", "list")])
def a_body_that_is_no_object_is_422(at, path, kind):
    value = {"list": [], "string": "x", "number": 1, "null": None}[kind]
    at.call("POST", path, body=json.dumps(value).encode(), headers={"Content-Type": "application/json"}, expect=422)


@holds()
def an_absent_body_is_422(at):
    at.call("POST", "/v1").has_fault(["body"], "missing")


@holds()
def a_fault_says_type_place_text_and_input(at):
    answer = at.call("POST", "/v1", at.body(name=""))
    answer.has_fault(["body", "name"], "string_too_short", "at least 1 character")
    keys_are(answer.detail[0], ["type", "loc", "msg", "input"], "a fault")
    equal(answer.detail[0]["input"], "", "input")


@holds()
def a_fault_of_our_own_rule_is_a_value_error(at):
    answer = at.call("POST", "/v1", at.body(timeout=0)).has_fault(["body", "timeout"], "value_error",
                                                                  "Value error, timeout must be a positive number")
    equal([f.get("ctx") for f in answer.detail if f["loc"] == ["body", "timeout"]], [{"error": {}}], "ctx")


@holds()
def all_faults_of_a_body_are_told_at_once(at):
    answer = at.call("POST", "/v1", {"name": "", "extra": 1, "trigger": dict(CRON, schedule="nonsense")})
    answer.has_fault(["body", "name"], "string_too_short").has_fault(["body", "extra"], "extra_forbidden")
    answer.has_fault(["body", "trigger", "cron", "schedule"], "value_error").has_fault(["body", "entrypoint"], "missing")


@holds(of=[("a string of digits", "60", 60), ("true", True, 1), ("a whole float", 60.0, 60), ("a number", 60, 60)])
def an_integer_is_taken_from(at, _, value, wanted):
    equal(at.automation(timeout=value)["timeout"], wanted, "timeout")


@holds(of=[("a fraction", 60.5, "int_from_float"), ("a word", "soon", "int_parsing"), ("a fraction in a string", "60.5", "int_parsing"),
           ("a list", [60], "int_type"), ("an empty string", "", "int_parsing")])
def an_integer_is_not_taken_from(at, _, value, kind):
    at.call("POST", "/v1", at.body(timeout=value)).has_fault(["body", "timeout"], kind)


@holds(of=[(repr(value), value, wanted) for value, wanted in (
    ("yes", True), ("no", False), ("on", True), ("off", False), ("1", True), ("0", False), (1, True), (0, False), ("true", True),
    ("False", False),
    ("t", True), ("n", False), (1.0, True))])
def a_flag_is_taken_from(at, _, value, wanted):
    made = at.automation()
    equal(at.call("PATCH", f"/v1/{made['id']}", {"enabled": value}, expect=200).json["enabled"], wanted, "enabled")


@holds(of=[(repr(value), value, kind) for value,
           kind in ((2, "bool_parsing"), ("maybe", "bool_parsing"), ([], "bool_type"), (0.5, "bool_parsing"))])
def a_flag_is_not_taken_from(at, _, value, kind):
    made = at.automation()
    at.call("PATCH", f"/v1/{made['id']}", {"enabled": value}).has_fault(["body", "enabled"], (kind, "bool_type"))


@holds(of=[(repr(value), value) for value in (1, True, 1.5, ["x"], {"a": 1})])
def a_string_is_not_taken_from(at, _, value):
    at.call("POST", "/v1", at.body(name=value)).has_fault(["body", "name"], "string_type")


@holds(of=[("PATCH", "/v1/{id}"), ("POST", "/v1/webhooks"), ("POST", "/v1/validate"), ("POST", "/v1/preset/prompt"),
           ("POST", "/v1/preset/plugin"),
           ("POST", "/v1/runs/{id}/complete")])
def an_unknown_key_is_forbidden(at, method, path):
    at.call(method, path.replace("{id}", NOBODY), {"no_such_key": 1}).has_fault(["body", "no_such_key"], "extra_forbidden")


@holds()
def client_headers_of_any_length_are_taken(at):
    fields = {"X-OpenHands-Telemetry-Distinct-Id": " x " * 300, "X-OpenHands-Client": "c" * 400, "X-OpenHands-Client-Version": "1" * 300}
    at.call("GET", "/v1", headers=fields, expect=200)


@holds()
def head_is_not_provided_or_has_no_body(at):
    """405 in the original; the gateway answers HEAD as GET, which a client of the contract cannot mind."""
    answer = at.call("HEAD", "/health")
    true(answer.status in (200, 405) and not answer.body, str(answer))


def cors(answer):
    return answer.headers["Access-Control-Allow-Origin"], answer.headers["Access-Control-Allow-Credentials"]


@holds(of=[("Authorization", "Bearer {}"), ("Authorization", "bearer {}"), ("Authorization", "BEARER {}"), ("X-Session-API-Key", "{}")])
def a_request_with_a_key_may_come_from_any_origin(at, name, form):
    answer = at.call("GET", "/v1/capabilities", headers={name: form.format(at.service.key), "Origin": "https://anywhere.example"}, key=None)
    equal(cors(answer), ("*", None), f"CORS headers of {answer.status}")


@holds()
def a_refused_key_has_the_headers_of_cors_too(at):
    answer = at.call("GET", "/v1", headers={"Origin": "https://anywhere.example"}, key="wrong", expect=401)
    equal(cors(answer), ("*", None), "CORS headers")


@holds()
def a_request_without_a_key_has_the_strict_policy(at):
    answer = at.call("GET", "/health", headers={"Origin": "https://anywhere.example"}, key=None, expect=200)
    equal(answer.headers["Access-Control-Allow-Origin"], None, "Access-Control-Allow-Origin for a foreign origin")


def preflight(at, wanted_headers, origin="https://anywhere.example", method="POST"):
    fields = {"Origin": origin, "Access-Control-Request-Method": method}
    if wanted_headers is not None:
        fields["Access-Control-Request-Headers"] = wanted_headers
    return at.call("OPTIONS", "/v1", headers=fields, key=None)


@holds(of=[("authorization",), ("Authorization",), ("content-type, authorization",), ("x-session-api-key",),
           ("X-Session-API-Key,content-type",)])
def a_preflight_that_asks_for_a_key_header_is_permitted(at, wanted_headers):
    answer = preflight(at, wanted_headers).must_be(200, 204)
    equal(cors(answer), ("*", None), "CORS headers")
    allowed = answer.headers["Access-Control-Allow-Headers"] or ""
    for name in wanted_headers.lower().split(","):
        true("*" == allowed or name.strip() in allowed.lower(), f"{name} is not allowed", allowed)
    methods = answer.headers["Access-Control-Allow-Methods"] or ""
    for name in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        true("*" == methods or name in methods, f"{name} is not allowed", methods)


@holds(of=[("content-type",), ("x-authorization",), ("authorization-extra",), ("x-session-api-key-2",), (None,)])
def a_preflight_without_a_key_header_from_a_foreign_origin_is_refused(at, wanted_headers):
    answer = preflight(at, wanted_headers).must_be(400)
    equal(answer.headers["Access-Control-Allow-Origin"], None, "Access-Control-Allow-Origin")
