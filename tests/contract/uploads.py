"""Uploads of tarballs."""

import urllib.parse

from harness import NOBODY, UUID, equal, holds, keys_are, matches, tar_of, true

SECTION = "1.5"
LIMIT = 1_048_576
SAME_SECOND = "rows of one second came in any order on SQLite"
GZIP = {"Content-Type": "application/gzip"}
TYPES = ["application/gzip", "application/octet-stream", "application/x-compressed-tar", "application/x-gzip", "application/x-tar"]


@holds()
def an_upload_is_201_with_all_keys(at):
    data = tar_of({"a": "b"})
    row = at.upload(data, name="näme", description="what it is")
    keys_are(row, ["id", "user_id", "org_id", "name", "description", "status", "error_message", "size_bytes", "tarball_path", "created_at",
                   "updated_at"], "the upload")
    matches(UUID, row["id"], "id")
    equal((row["name"], row["description"], row["status"], row["error_message"], row["size_bytes"]),
          ("näme", "what it is", "COMPLETED", None, len(data)), "the upload")
    equal(row["tarball_path"], f"oh-internal://uploads/{row['id']}", "tarball_path")
    equal(at.call("GET", f"/v1/uploads/{row['id']}", expect=200).json, row, "the upload, read")


@holds()
def a_description_may_be_left_out(at):
    equal(at.upload()["description"], None, "description")


@holds(of=[(t,) for t in TYPES] + [("application/gzip; charset=binary",)])
def a_type_of_content_is_taken(at, content_type):
    at.call("POST", "/v1/uploads?name=n", body=b"x", headers={"Content-Type": content_type}, expect=201)


@holds(of=[("application/json",), ("text/plain",), ("multipart/form-data; boundary=x",), ("application/zip",), (None,), ("",)])
def another_type_of_content_is_415(at, content_type):
    answer = at.call("POST", "/v1/uploads?name=n", body=b"x", headers={"Content-Type": content_type} if content_type is not None else {},
                     expect=415)
    answer.says("Content-Type must be one of: " + ", ".join(TYPES))


@holds(of=[("no name", "", "missing"), ("empty name", "name=", "string_too_short"), ("long name", "name=" + "n" * 256, "string_too_long"),
           ("long description", "name=n&description=" + "d" * 2001, "string_too_long")])
def the_query_of_an_upload_is_refused(at, _, query, kind):
    at.call("POST", f"/v1/uploads?{query}", body=b"x",
            headers=GZIP).has_fault(["query", "description" if "description" in query else "name"], kind)


@holds()
def the_bounds_of_name_and_description_are_taken(at):
    query = urllib.parse.urlencode({"name": "ü" * 255, "description": "d" * 2000})
    row = at.call("POST", f"/v1/uploads?{query}", body=b"x", headers=GZIP, expect=201).json
    equal((len(row["name"]), len(row["description"])), (255, 2000), "lengths")


@holds()
def one_mebibyte_is_taken_to_the_byte(at):
    equal(at.upload(b"\0" * LIMIT)["size_bytes"], LIMIT, "size_bytes")


@holds()
def one_byte_more_is_413(at):
    at.call("POST", "/v1/uploads?name=n", body=b"\0" * (LIMIT + 1), headers=GZIP,
            expect=413).says(f"File too large. Maximum size is {LIMIT} bytes")


@holds()
def a_length_beyond_the_limit_is_413_before_the_body_is_sent(at):
    answer = at.service.raw("POST", f"{at.service.prefix}/v1/uploads?name=n",
                            [("Authorization", f"Bearer {at.service.key}"), ("Content-Type", "application/gzip"),
                            ("Content-Length", str(10 * LIMIT)), ("Connection", "close")], b"\0" * 1000, seconds=10)
    answer.must_be(413)


@holds()
def a_chunked_body_is_taken(at):
    data = bytes(range(256)) * 2000
    pieces = [data[i:i + 60_000] for i in range(0, len(data), 60_000)]
    row = at.call("POST", "/v1/uploads?name=n", body=pieces, headers=GZIP, expect=201).json
    equal((row["status"], row["size_bytes"]), ("COMPLETED", len(data)), "status and size")
    made = at.automation(tarball_path=row["tarball_path"])
    equal(at.call("GET", f"/v1/{made['id']}/tarball", expect=200).body, data, "the bytes")


@holds()
def bytes_are_not_inspected(at):
    equal(at.upload(b"no tarball at all")["status"], "COMPLETED", "status")


@holds()
def an_empty_body_is_stored(at):
    equal(at.upload(b"")["size_bytes"], 0, "size_bytes")


@holds(mends=SAME_SECOND)
def a_list_has_the_newest_first_and_pages(at):
    rows = [at.upload(name=f"listed {n}") for n in range(3)]
    listed = at.call("GET", "/v1/uploads?limit=3", expect=200).json
    true(listed["total"] >= 3, "total", listed["total"])
    equal({u["id"] for u in listed["uploads"]}, {r["id"] for r in rows}, "the newest three")
    page = at.call("GET", "/v1/uploads?limit=1&offset=2").json["uploads"]
    equal(page, listed["uploads"][2:], "the third page of one")


@holds()
def a_list_may_be_of_one_status(at):
    row = at.upload()
    completed = at.call("GET", "/v1/uploads?status=COMPLETED&limit=100", expect=200).json["uploads"]
    equal({u["status"] for u in completed}, {"COMPLETED"}, "statuses")
    true(row["id"] in [u["id"] for u in completed], "it is not among the COMPLETED")
    true(row["id"] not in [u["id"] for u in at.call("GET", "/v1/uploads?status=FAILED", expect=200).json["uploads"]],
         "it is among the FAILED")
    at.call("GET", "/v1/uploads?status=nonsense", expect=422)


@holds(of=[("GET",), ("DELETE",)])
def an_absent_upload_is_404(at, method):
    at.call(method, f"/v1/uploads/{NOBODY}", expect=404).says("Upload not found")


@holds()
def a_deleted_upload_is_gone(at):
    row = at.upload()
    equal(at.call("DELETE", f"/v1/uploads/{row['id']}", expect=204).body, b"", "the body of a 204")
    at.call("GET", f"/v1/uploads/{row['id']}", expect=404).says("Upload not found")
    at.call("DELETE", f"/v1/uploads/{row['id']}", expect=404)
    true(row["id"] not in [u["id"] for u in at.call("GET", "/v1/uploads?limit=100").json["uploads"]], "it is listed still")
