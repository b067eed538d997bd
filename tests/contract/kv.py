"""The key-value store that scripts keep their state in."""

import time

from harness import equal, holds, is_moment, keys_are, token, true

SECTION = "1.8"
LIMIT = 65_536
ABSENT = object()


class Store:
    """One automation's document, by a token of its own."""

    def __init__(self, at):
        self.at, self.automation = at, at.automation()
        self.key = at.kv_token(self.automation["id"])

    def call(self, method, path="", value=ABSENT, expect=None, **more):
        if value is None:  # a null is a value here
            more = {**more, "body": b"null", "headers": {"Content-Type": "application/json"}}
        return self.at.call(method, f"/v1/kv{path}", None if value is ABSENT else value, key=self.key, expect=expect, **more)

    def get(self, key):
        return self.call("GET", f"/{key}", expect=200).json["value"]

    def set(self, key, value):
        self.call("PUT", f"/{key}", value, expect=(200, 201))


VALUES = [("a number", 5), ("a fraction", 1.5), ("a text", "text – ü"), ("an empty text", ""), ("a flag", False),
          ("a list", [1, "x", None]), ("an object", {"a": {"b": [1]}}), ("zero", 0)]


@holds(of=VALUES)
def a_value_is_put_and_read(at, _, value):
    store = Store(at)
    made = store.call("PUT", "/key", value, expect=201).json
    keys_are(made, ["key", "value", "created", "updated_at"], "the answer")
    equal((made["key"], made["value"], made["created"]), ("key", value, True), "the answer")
    equal(store.call("GET", "/key", expect=200).json, {"key": "key", "value": value}, "the value, read")
    again = store.call("PUT", "/key", value, expect=200).json
    equal(again["created"], False, "created, the second time")


@holds()
def keys_are_listed(at):
    store = Store(at)
    empty = store.call("GET", expect=200).json
    equal((empty["keys"], empty["count"]), ([], 0), "the empty list")
    for key in ("b", "a"):
        store.set(key, 1)
    listed = store.call("GET", expect=200).json
    equal((sorted(listed["keys"]), listed["count"]), (["a", "b"], 2), "the list")


@holds()
def an_absent_key_is_404(at):
    store = Store(at)
    store.call("GET", "/absent", expect=404).says("key_not_found")
    store.call("GET", "/absent?meta=true", expect=404)


@holds()
def a_path_reads_inside_a_value(at):
    store = Store(at)
    store.set("key", {"a": {"b": [10, {"c": "deep"}]}})
    equal(store.call("GET", "/key?path=a.b%5B1%5D.c", expect=200).json, {"key": "key", "path": "a.b[1].c", "value": "deep"}, "the answer")
    store.call("GET", "/key?path=a.x", expect=404).says("invalid_path")


@holds()
def meta_tells_version_and_times(at):
    store = Store(at)
    store.set("key", 1)
    meta = store.call("GET", "/key?meta=true", expect=200).json
    keys_are(meta, ["key", "value", "version", "created_at", "updated_at"], "the answer")
    true(isinstance(meta["version"], int), "version", meta["version"])
    store.set("key", 2)
    true(store.call("GET", "/key?meta=true").json["version"] > meta["version"], "the version does not grow")


@holds()
def put_nx_writes_only_what_is_absent(at):
    store = Store(at)
    store.call("PUT", "/key?nx=true", 1, expect=201)
    answer = store.call("PUT", "/key?nx=true", 2, expect=409)
    body = answer.json.get("detail", answer.json)
    equal({k: body.get(k) for k in ("key", "created", "error")}, {"key": "key", "created": False, "error": "key_exists"}, "the 409")
    equal(store.get("key"), 1, "the value")


@holds()
def put_xx_writes_only_what_is_there(at):
    store = Store(at)
    answer = store.call("PUT", "/key?xx=true", 1, expect=409)
    true("key_not_exists" in answer.body.decode(), "the 409", str(answer))
    store.set("key", 1)
    store.call("PUT", "/key?xx=true", 2, expect=200)
    store.call("PUT", "/key?nx=true&xx=true", 3, expect=400)


@holds(of=[("PUT", "", 5), ("PATCH", "", {"path": "a", "value": 1}), ("DELETE", "", ABSENT)])
def a_version_that_is_not_the_stored_one_is_409(at, method, path, value):
    store = Store(at)
    store.set("key", {"a": 0})
    version = store.call("GET", "/key?meta=true").json["version"]
    answer = store.call(method, f"/key{path}?if_version={version + 5}", value, expect=409)
    keys_are(answer.detail, ["error", "message", "expected_version", "actual_version"], "the detail")
    equal((answer.detail["error"], answer.detail["expected_version"], answer.detail["actual_version"]),
          ("version_mismatch", version + 5, version), "the detail")
    equal(answer.headers["Retry-After"], "1", "Retry-After")
    store.call(method, f"/key{path}?if_version={version}", value, expect=200)


@holds()
def patch_sets_a_path_and_makes_its_parents(at):
    store = Store(at)
    store.set("key", {"a": 1})
    store.call("PATCH", "/key", {"path": "b.c.d", "value": [1]}, expect=200)
    store.call("PATCH", "/key", {"path": "b.c.e", "value": None}, expect=200)
    equal(store.get("key"), {"a": 1, "b": {"c": {"d": [1], "e": None}}}, "the value")


@holds()
def patch_through_a_list_is_400(at):
    store = Store(at)
    store.set("key", {"list": [1, 2]})
    store.call("PATCH", "/key", {"path": "list[0].x", "value": 1}, expect=400).says("invalid_path: ")
    equal(store.get("key"), {"list": [1, 2]}, "the value")


@holds()
def patch_of_what_is_no_object_is_400(at):
    store = Store(at)
    store.set("key", 5)
    store.call("PATCH", "/key", {"path": "a", "value": 1}, expect=400).says("type_mismatch: ")


@holds()
def a_path_of_more_than_32_segments_is_refused(at):
    store = Store(at)
    store.set("key", {})
    store.call("PATCH", "/key", {"path": ".".join("a" * 33), "value": 1}, expect=400)
    equal(store.get("key"), {}, "the value")


@holds()
def delete_tells_whether_there_was_something(at):
    store = Store(at)
    store.set("key", 1)
    equal(store.call("DELETE", "/key", expect=200).json, {"key": "key", "deleted": True}, "the first answer")
    equal(store.call("DELETE", "/key", expect=200).json, {"key": "key", "deleted": False}, "the second answer")
    equal(store.call("GET").json["count"], 0, "how many keys are left")


@holds(of=[("incr", None, [1, 2]), ("decr", None, [-1, -2]), ("incr", 5, [5, 10]), ("decr", -3, [3, 6]), ("incr", 0, [0, 0])])
def counting(at, op, by, wanted):
    store = Store(at)
    seen = [store.call("POST", f"/n/{op}", ABSENT if by is None else {"by": by}, expect=200).json for _ in wanted]
    equal(seen, [{"key": "n", "value": v} for v in wanted], "the answers")


@holds(of=[(op, repr(value), value, says) for op in ("incr", "decr") for value, says in (
    ("5", "value is not an integer"), ([1], "value is not an integer"), ({}, "value is not an integer"),
    (1.5, "value is float, not integer"), (True, "value is boolean, not integer"))])
def counting_what_is_no_integer_is_400(at, op, _, value, says):
    store = Store(at)
    store.set("key", value)
    store.call("POST", f"/key/{op}", expect=400).says(f"type_mismatch: {says}")
    equal(store.get("key"), value, "the value")


@holds()
def a_list_is_pushed_and_popped_at_both_ends(at):
    store = Store(at)
    seen = [store.call("POST", f"/list/{op}", {"value": v}, expect=200).json for op,
            v in (("rpush", 1), ("rpush", {"x": 2}), ("lpush", "zero"))]
    equal(seen, [{"key": "list", "length": n} for n in (1, 2, 3)], "the pushes")
    equal(store.get("list"), ["zero", 1, {"x": 2}], "the list")
    equal(store.call("GET", "/list/len", expect=200).json, {"key": "list", "length": 3}, "its length")
    seen = [store.call("POST", f"/list/{op}", expect=200).json["value"] for op in ("lpop", "rpop", "lpop", "lpop", "rpop")]
    equal(seen, ["zero", {"x": 2}, 1, None, None], "the pops")


@holds(of=[("lpop",), ("rpop",)])
def an_absent_list_pops_nothing(at, op):
    equal(Store(at).call("POST", f"/absent/{op}", expect=200).json, {"key": "absent", "value": None}, "the answer")


@holds()
def an_absent_list_has_no_length(at):
    Store(at).call("GET", "/absent/len", expect=404).says("key_not_found")


@holds(of=[("GET", "len", ABSENT), ("POST", "lpush", {"value": 1}), ("POST", "rpush", {"value": 1}), ("POST", "lpop", ABSENT),
           ("POST", "rpop", ABSENT)])
def what_is_no_list_is_400(at, method, op, body):
    store = Store(at)
    store.set("key", "text")
    store.call(method, f"/key/{op}", body, expect=400).says("type_mismatch: ")


@holds(of=[("blank", "%20"), ("control", "a%01b"), ("dollar", "$version"), ("long", "k" * 256)])
def a_key_is_refused(at, _, key):
    store = Store(at)
    store.call("PUT", f"/{key}", 1, expect=400).says("invalid_key: ")
    store.call("GET", f"/{key}", expect=400).says("invalid_key: ")


@holds(of=[("longest", "k" * 255), ("with blanks", "a%20b"), ("unicode", "%C3%BC"), ("dots", "a.b[0]"), ("dollar inside", "a$b")])
def a_key_is_taken(at, _, key):
    store = Store(at)
    store.call("PUT", f"/{key}", "v", expect=201)
    equal(store.get(key), "v", "the value")


@holds()
def a_document_beyond_64_kib_is_413(at):
    store = Store(at)
    store.set("small", 1)
    answer = store.call("PUT", "/big", "x" * LIMIT, expect=413)
    true("State size (" in answer.body.decode() and f"exceeds limit ({LIMIT} bytes)" in answer.body.decode(), "the 413", str(answer))
    equal(store.call("GET").json["keys"], ["small"], "the keys")
    store.call("PUT", "/big", "x" * (LIMIT - 1000), expect=201)


@holds()
def a_value_nested_more_than_32_deep_is_refused(at):
    value = 1
    for _ in range(40):
        value = [value]
    true(400 <= (answer := Store(at).call("PUT", "/deep", value)).status < 500, str(answer))


@holds()
def a_batch_is_applied_in_order_with_its_results(at):
    store = Store(at)
    operations = [{"op": "set", "key": "n", "value": 1}, {"op": "incr", "key": "n", "by": 4}, {"op": "decr", "key": "n"},
                  {"op": "rpush", "key": "l", "value": "a"},
                  {"op": "lpush", "key": "l", "value": "b"}, {"op": "rpop", "key": "l"}, {"op": "lpop", "key": "l"},
                  {"op": "set", "key": "o", "value": {}},
                  {"op": "patch", "key": "o", "path": "x.y", "value": 1}, {"op": "delete", "key": "l"}]
    answer = store.call("POST", "/batch", {"operations": operations}, expect=200).json
    keys_are(answer, ["version", "results"], "the answer")
    equal([(r["op"], r["key"], r["success"]) for r in answer["results"]], [(o["op"], o["key"], True) for o in operations], "the results")
    equal((store.get("n"), store.get("o"), sorted(store.call("GET").json["keys"])), (4, {"x": {"y": 1}}, ["n", "o"]), "the document")


@holds()
def a_batch_that_fails_applies_nothing(at):
    store = Store(at)
    store.set("k", [1])
    operations = [{"op": "set", "key": "new", "value": 1}, {"op": "incr", "key": "k"}]
    answer = store.call("POST", "/batch", {"operations": operations}, expect=400)
    detail = answer.detail
    keys_are(detail, ["error", "message", "operation_index", "operation"], "the detail")
    equal((detail["error"], detail["operation_index"]), ("operation_failed", 1), "the detail")
    true("key 'k' is not an integer" in detail["message"], "the message", detail["message"])
    equal(store.call("GET").json["keys"], ["k"], "the keys")


@holds()
def a_batch_asks_for_its_version(at):
    store = Store(at)
    version = store.call("POST", "/batch", {"operations": [{"op": "set", "key": "a", "value": 1}]}, expect=200).json["version"]
    answer = store.call("POST", "/batch", {"if_version": version + 1, "operations": [{"op": "set", "key": "a", "value": 2}]}, expect=409)
    equal((answer.detail["error"], answer.headers["Retry-After"]), ("version_mismatch", "1"), "the 409")
    store.call("POST", "/batch", {"if_version": version, "operations": [{"op": "set", "key": "a", "value": 2}]}, expect=200)


@holds(of=[("set nx", [{"op": "set", "key": "there", "value": 2, "nx": True}]),
           ("set xx", [{"op": "set", "key": "absent", "value": 2, "xx": True}]),
           ("patch a number", [{"op": "patch", "key": "there", "path": "a", "value": 2}]),
           ("push to a number", [{"op": "lpush", "key": "there", "value": 2}])])
def an_operation_of_a_batch_fails(at, _, operations):
    store = Store(at)
    store.set("there", 1)
    answer = store.call("POST", "/batch", {"operations": operations})
    if answer.status == 200:  # an unmet nx or xx is told in its result
        equal([r["success"] for r in answer.json["results"]], [False], "success")
    else:
        equal(answer.must_be(400, 409).detail["error"], "operation_failed", "error")
    equal(store.call("GET").json["keys"], ["there"], "the keys")
    equal(store.get("there"), 1, "the value")


@holds(of=[("none", {}), ("an empty list", {"operations": []}), ("101", {"operations": [{"op": "incr", "key": "n"}] * 101}),
           ("unknown op", {"operations": [{"op": "x", "key": "n"}]}),
           ("no key", {"operations": [{"op": "incr"}]})])
def the_operations_of_a_batch_are_refused(at, _, body):
    Store(at).call("POST", "/batch", body, expect=422)


@holds()
def a_hundred_operations_are_taken(at):
    store = Store(at)
    store.call("POST", "/batch", {"operations": [{"op": "incr", "key": "n"}] * 100}, expect=200)
    equal(store.get("n"), 100, "the counter")


@holds()
def a_body_of_a_batch_may_hold_unknown_keys(at):
    Store(at).call("POST", "/batch", {"operations": [{"op": "incr", "key": "n", "unknown": 1}], "unknown": 1}, expect=200)


@holds()
def two_automations_share_nothing(at):
    one, other = Store(at), Store(at)
    one.set("key", 1)
    other.call("GET", "/key", expect=404)


@holds()
def a_missing_header_is_422(at):
    at.secret("kv")
    at.call("GET", "/v1/kv", key=None).has_fault(["header", "authorization"], "missing")


@holds(of=[("no token", "Bearer ", ""), ("another scheme", "Basic x", "Invalid authorization header format"),
           ("no jwt", "Bearer nonsense", "Invalid token: ")])
def a_header_without_a_token_is_401(at, _, header, says):
    at.secret("kv")
    at.call("GET", "/v1/kv", headers={"Authorization": header}, key=None, expect=401).says(says)


@holds(of=[("expired", lambda at, c: token(at.secret("kv"), {**c, "exp": int(time.time()) - 60}), "Token has expired"),
           ("of another secret", lambda at, c: token("another", c), "Invalid token: "),
           ("unsigned", lambda at, c: token("", c, "none").rsplit(".", 1)[0] + ".", "Invalid token: "),
           ("cut", lambda at, c: token(at.secret("kv"), c)[:-3], "Invalid token: ")])
def a_token_is_refused(at, _, make, says):
    claims = {"automation_id": at.automation()["id"], "run_id": at.automation()["id"], "iat": int(time.time()),
              "exp": int(time.time()) + 60}
    at.call("GET", "/v1/kv", key=make(at, claims), expect=401).says(says)


KV_CALLS = [("GET", ""), ("GET", "/k"), ("PUT", "/k"), ("PATCH", "/k"), ("DELETE", "/k"), ("GET", "/k/len"), ("POST", "/batch")]
KV_CALLS += [("POST", f"/k/{op}") for op in ("incr", "decr", "lpush", "rpush", "lpop", "rpop")]


@holds(of=KV_CALLS)
def a_wrong_token_is_401_on_every_route(at, method, path):
    at.secret("kv")
    bodies = {"/batch": {"operations": [{"op": "incr", "key": "n"}]}, "/k/lpush": {"value": 1}, "/k/rpush": {"value": 1}}
    body = {"path": "a", "value": 1} if method == "PATCH" else 1 if method == "PUT" else bodies.get(path)
    at.call(method, f"/v1/kv{path}", body, key="a.b.c", expect=401)


@holds(mends="KV times had no zone on SQLite")
def times_are_rfc_3339_with_their_zone(at):
    store = Store(at)
    is_moment(store.call("PUT", "/key", 1).json["updated_at"].replace("+00:00", "Z"), "updated_at")
    meta = store.call("GET", "/key?meta=true", expect=200).json
    is_moment(meta["created_at"].replace("+00:00", "Z"), "created_at")
