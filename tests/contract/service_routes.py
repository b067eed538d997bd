"""Health, versions, the document, telemetry consent, git sync."""

import re

from harness import equal, holds, keys_are, matches, true

SECTION = "1.8"
VERSION = r"\d+\.\d+\.\d+.*"


def probe(at, path, prefixed):
    return at.call("GET", path, key=None) if prefixed else at.service.raw("GET", path)


PLACES = [("under the prefix", True), ("at the root", False)]


@holds(of=PLACES)
def health_is_ok_without_a_key(at, _, prefixed):
    equal(probe(at, "/health", prefixed).must_be(200).json, {"status": "ok"}, "the body")


@holds(of=PLACES)
def ready_is_ready_without_a_key(at, _, prefixed):
    equal(probe(at, "/ready", prefixed).must_be(200).json, {"status": "ready"}, "the body")


@holds(of=PLACES)
def the_sdk_version_is_told_without_a_key(at, _, prefixed):
    body = probe(at, "/sdk-version", prefixed).must_be(200).json
    matches(VERSION, body.get("version"), "version")


@holds(of=PLACES)
def server_info_is_told_without_a_key(at, _, prefixed):
    body = probe(at, "/server_info", prefixed).must_be(200).json
    keys_are(body, ["package_version", "sdk_version"], "server_info")
    equal(body["sdk_version"], at.call("GET", "/sdk-version", key=None).json["version"], "sdk_version, as at /sdk-version")


@holds()
def the_document_names_every_route(at):
    document = at.call("GET", "/openapi.json", key=None, expect=200).json
    matches(r"3\..*", document["openapi"], "openapi")
    paths = document["paths"]
    described = {re.sub(r"\{[^}]*\}", "{}", path).removeprefix(at.service.prefix) for path in paths}
    lacking = [p for p in ("/v1", "/v1/uploads", "/v1/preset/prompt", "/v1/preset/plugin", "/v1/webhooks", "/v1/capabilities",
                           "/v1/validate", "/v1/kv", "/v1/kv/batch",
                           "/v1/{}", "/v1/{}/dispatch", "/v1/{}/runs", "/v1/{}/tarball", "/v1/runs/{}/complete", "/v1/runs/{}/cancel",
                           "/v1/uploads/{}") if p not in described]
    equal(lacking, [], "routes that the document lacks")


@holds(of=[("/docs",), ("/redoc",)])
def the_document_is_shown_as_a_page_or_not_at_all(at, path):
    answer = at.call("GET", path, key=None)
    true(answer.status in (200, 404, 501), f"{answer}, wanted 200, or 404 or 501 from a service without pages")


def done_or_not_implemented(answer, *statuses):
    """Telemetry and git sync may be 501, with a reason."""
    if answer.must_be(*statuses, 501).status == 501:
        true(isinstance(answer.detail, str) and len(answer.detail) > 10, "a 501 without its reason", str(answer))
        return None
    return answer.json


@holds()
def consent_is_stored_or_not_implemented(at):
    for consent in (True, False):
        told = done_or_not_implemented(at.call("POST", "/v1/telemetry/consent",
                                               {"consent_granted": consent, "frontend_distinct_id": "contract"}), 200)
        if told is not None:
            equal(told["consent_granted"], consent, "consent_granted")


@holds()
def the_status_of_git_sync_is_told_or_not_implemented(at):
    told = done_or_not_implemented(at.call("GET", "/v1/git-sync/status"), 200)
    if told is not None:
        keys_are(told, "enabled repo_url branch path encryption_enabled interval_seconds last_synced_commit last_synced_at last_error last_error_at dirty_count "
                       "sync_in_progress sync_started_at".split(), "the status")


@holds()
def git_sync_is_not_enabled_or_not_implemented(at):
    answer = at.call("POST", "/v1/git-sync/sync")
    if done_or_not_implemented(answer, 202, 503) and answer.status == 503:
        answer.says("Git sync is not enabled")


@holds()
def a_path_with_dots_is_refused_for_git_sync_or_it_is_not_implemented(at):
    done_or_not_implemented(at.call("PUT", "/v1/git-sync/config", {"path": "../x"}), 422)


@holds()
def a_check_of_git_sync_tells_what_it_saw_or_is_not_implemented(at):
    told = done_or_not_implemented(at.call("POST", "/v1/git-sync/check", {"repo_url": "file:///nonexistent/repo"}, seconds=40), 200)
    if told is not None:
        keys_are(told, ["ok", "branch_exists", "detail"], "the verdict")
        equal(told["ok"], False, "ok of a repository that is not there")
