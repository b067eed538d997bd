"""How a run reaches its script: the calls of the agent server, the chain, and the environment that the script sees."""

import json
import os
import pathlib
import re

from harness import LOCAL_ORG, LOCAL_USER, UUID, WAITING_SCRIPT, equal, holds, tar_of, true

SECTION = "5"

IN_ORDER = ["AGENT_SERVER_URL", "SESSION_API_KEY", "WORKSPACE_BASE", "AUTOMATION_CALLBACK_API_KEY", "AUTOMATION_CALLBACK_URL",
            "AUTOMATION_RUN_ID", "AUTOMATION_USER_ID",
            "AUTOMATION_ORG_ID", "AUTOMATION_API_URL", "AUTOMATION_EVENT_PAYLOAD", "AUTOMATION_MODEL", "AUTOMATION_KV_TOKEN"]


def script_environment(running):
    """As /proc showed it to the script."""
    return dict(line.split("=", 1) for line in running.file("environment").splitlines() if "=" in line)


@holds()
def the_script_runs_in_its_work_dir_with_the_tarballs_files(at):
    files = {"main.sh": "pwd > where; cat data/x.txt > copy\n" + WAITING_SCRIPT, "data/x.txt": "content"}
    running = at.running(files)
    true(str(running.folder).endswith(f"/automation-runs/{running.id}"), "WORKSPACE_BASE", running.folder)
    equal(running.file("where").strip(), str(running.folder.resolve()), "the working directory")
    equal(running.file("copy"), "content", "a file of the tarball")


@holds()
def the_script_sees_its_environment(at):
    running = at.running(model="model-x")
    seen = script_environment(running)
    wanted = {"AGENT_SERVER_URL": at.agent.url, "SESSION_API_KEY": at.agent.key, "WORKSPACE_BASE": str(running.folder),
              "AUTOMATION_CALLBACK_URL": f"{at.callback_base}/v1/runs/{running.id}/complete", "AUTOMATION_RUN_ID": running.id,
              "AUTOMATION_USER_ID": LOCAL_USER,
              "AUTOMATION_ORG_ID": LOCAL_ORG, "AUTOMATION_API_URL": at.callback_base, "AUTOMATION_MODEL": "model-x"}
    equal({k: seen.get(k) for k in wanted}, wanted, "the environment")
    true(seen.get("AUTOMATION_CALLBACK_API_KEY"), "AUTOMATION_CALLBACK_API_KEY is missing")
    equal({k: seen.get(k) for k in running.environment if "\n" not in running.environment[k]},
          {k: v for k, v in running.environment.items() if "\n" not in v},
          "the environment, as the file gives it")


@holds()
def without_a_model_there_is_no_variable_for_it(at):
    true("AUTOMATION_MODEL" not in script_environment(at.running()), "AUTOMATION_MODEL is there")


@holds()
def a_token_for_the_key_value_store_is_there_and_opens_it(at):
    at.secret("kv")
    running = at.running()
    key = running.environment["AUTOMATION_KV_TOKEN"]
    at.call("PUT", "/v1/kv/from-script", "value", key=key, expect=201)
    equal(at.call("GET", "/v1/kv/from-script", key=at.kv_token(running.automation["id"]), expect=200).json["value"], "value",
          "the value, by a token of the same automation")


@holds()
def the_payload_of_a_manual_run_names_the_automation_and_its_trigger(at):
    running = at.running(name="it's a \"name\" – $HOME `x`", model="m")
    text = running.environment["AUTOMATION_EVENT_PAYLOAD"]
    payload = json.loads(text)
    automation = running.automation
    wanted = {"trigger": "cron", "trigger_payload": automation["trigger"], "automation_id": automation["id"],
              "automation_name": automation["name"], "model": "m"}
    equal({k: payload.get(k) for k in wanted}, wanted, "the payload")
    true("event" not in payload, "an event in a manual run's payload", payload)


@holds()
def nothing_secret_stands_in_the_commands_text_or_a_url(at):
    running = at.running()
    secrets = [running.environment[k] for k in ("SESSION_API_KEY", "AUTOMATION_CALLBACK_API_KEY",
                                                "AUTOMATION_KV_TOKEN") if k in running.environment] + [at.service.key]
    texts = [c.text for c in running.seen.starts + running.seen.commands] + [path for _, _, path,
        run in at.agent.journal if run == running.id]
    for text in texts:
        true(not any(s in text for s in secrets), "a secret stands in", text)


@holds()
def tarball_environment_and_start_come_in_this_order(at):
    running = at.running()
    paths = [(u.path, u.at) for u in running.seen.uploads]
    equal([p for p, _ in paths], [f"/tmp/automation-{running.id}.tar.gz", f"/tmp/nestgate-private-{os.getuid()}/automation-{running.id}.env"], "the uploads")
    equal(len(running.seen.starts), 1, "how many starts")
    true(paths[0][1] <= paths[1][1] <= running.seen.starts[0].at, "their order", (paths, running.seen.starts[0].at))


@holds()
def an_upload_is_one_part_named_file(at):
    running = at.running()
    for upload in running.seen.uploads:
        head = {k.lower(): v for k, v in upload.headers.items()}
        equal(head.get("x-session-api-key"), at.agent.key, "X-Session-API-Key")
        part = {k.lower(): v for k, v in upload.part_headers.items()}
        equal(part.get("content-disposition"), 'form-data; name="file"; filename="upload"', "Content-Disposition")
        equal(part.get("content-type"), "application/octet-stream", "Content-Type")
        true("content-length" in head and "transfer-encoding" not in head, "an upload without a length", head)


@holds()
def the_tarball_arrives_as_it_was_uploaded(at):
    at.need_agent()
    data = tar_of({"main.sh": WAITING_SCRIPT, "data": bytes(range(256)) * 1000})
    automation = at.automation(tarball_path=at.upload(data)["tarball_path"])
    true(at.started(automation, at.dispatch(automation)).seen.upload(".tar.gz").data == data, "the bytes differ")


@holds()
def the_environment_is_lines_of_export_in_order(at):
    running = at.running(model="m")
    names = re.findall(r"^export (\w+)='", running.seen.environment_text, re.M)
    equal([n for n in names if n in IN_ORDER], [n for n in IN_ORDER if n in names], "the order of the names")
    lacking = [n for n in IN_ORDER if n not in names and not (n == "AUTOMATION_KV_TOKEN" and not at.secrets.get("kv"))]
    equal(lacking, [], "names that are missing")


@holds()
def the_start_names_its_timeout(at):
    running = at.running(timeout=321)
    start = json.loads(running.seen.starts[0].request)
    equal(start["timeout"], 321, "timeout")
    true(not start.get("cwd"), "cwd", start.get("cwd"))


@holds()
def an_automation_without_a_timeout_has_ten_minutes(at):
    equal(at.running().seen.starts[0].timeout, 600, "timeout")


@holds()
def the_chain_has_its_links_in_order(at):
    running = at.running({"main.sh": WAITING_SCRIPT, "setup.sh": "echo setup > order\n"}, entrypoint="sh main.sh 'a b'")
    text = running.seen.starts[0].text
    links = [r"\btrap\b", r"chmod 0?600", r"mkdir -p", r"tar -?xz?f", r"setup\.sh", r"sh main\.sh 'a b'"]
    places = [found.start() if (found := re.search(link, text)) else None for link in links]
    true(None not in places, "a link is missing", [link for link, place in zip(links, places) if place is None])
    equal(places, sorted(places), f"the places of {links}")


@holds()
def neither_environment_file_nor_tarball_is_left_once_the_script_runs(at):
    running = at.running()
    folders = pathlib.Path("/tmp"), pathlib.Path(f"/tmp/nestgate-private-{os.getuid()}")
    left = [str(p) for folder in folders for p in folder.glob(f"automation-{running.id}*") if p.suffix in (".gz", ".env")]
    equal(left, [], "files that are left")


@holds()
def a_setup_script_at_the_top_runs_before_the_entrypoint(at):
    running = at.running({"main.sh": "echo main >> order\n" + WAITING_SCRIPT, "setup.sh": "echo setup >> order\n"})
    equal(running.file("order").split(), ["setup", "main"], "the order")


@holds()
def a_setup_script_that_fails_keeps_the_entrypoint_from_running(at):
    _, row = at.ended_run({"main.sh": "echo main\n", "setup.sh": "echo nothing works >&2; exit 9\n"}, timeout=10)
    equal(row["status"], "FAILED", "status")
    true("exit_code=9" in row["error_detail"] and "nothing works" in row["error_detail"], "error_detail", row["error_detail"])


@holds()
def the_stored_path_of_a_setup_script_is_not_used(at):
    running = at.running({"main.sh": WAITING_SCRIPT, "other.sh": "echo other > other-ran\n"}, setup_script_path="other.sh")
    true(not (running.folder / "other-ran").exists(), "other.sh ran")


@holds()
def an_external_tarball_is_fetched_inside_the_runtime(at):
    at.need_agent()
    url = "https://127.0.0.1:9/it's-not-there.tar.gz"
    automation = at.automation(tarball_path=url)
    run = at.dispatch(automation)
    seen = at.agent.run(run["id"])
    at.until(lambda: seen.commands, 30, "no command fetches the tarball", lambda: seen.calls)
    command = seen.commands[0]
    for part in ("curl", "--max-filesize 104857600", "--max-time 120", f"/tmp/automation-{run['id']}.tar.gz", "'https://127.0.0.1:9/it'"):
        true(part in command.text, f"{part} is not in the command", command.text)
    equal(json.loads(command.request)["timeout"], 150, "timeout")
    row = at.until(lambda: (r := at.run_of(automation["id"], run["id"]))["status"] == "FAILED" and r, 120, "the run does not fail",
                   lambda: at.run_of(automation["id"], run["id"]))
    true("Failed to download tarball (exit=" in row["error_detail"], "error_detail", row["error_detail"])


@holds()
def a_bucket_as_tarball_fails_the_run_and_disables_nothing(at):
    automation = at.automation(tarball_path="s3://bucket/x.tar.gz")
    run = at.dispatch(automation)
    row = at.until(lambda: (r := at.run_of(automation["id"], run["id"]))["status"] == "FAILED" and r, 30, "the run does not fail",
                   lambda: at.run_of(automation["id"], run["id"]))
    true("Unsupported tarball_path: 's3://bucket/x.tar.gz'" in row["error_detail"], "error_detail", row["error_detail"])
    equal(at.call("GET", f"/v1/{automation['id']}").json["enabled"], True, "enabled")


@holds()
def a_tarball_that_was_deleted_fails_the_run_and_disables_the_automation(at):
    upload = at.upload({"main.sh": WAITING_SCRIPT})
    automation = at.automation(tarball_path=upload["tarball_path"])
    at.call("DELETE", f"/v1/uploads/{upload['id']}", expect=204)
    run = at.dispatch(automation)
    row = at.until(lambda: (r := at.run_of(automation["id"], run["id"]))["status"] == "FAILED" and r, 30, "the run does not fail",
                   lambda: at.run_of(automation["id"], run["id"]))
    true(row["error_detail"], "the run failed without a reason")
    at.until(lambda: at.call("GET", f"/v1/{automation['id']}").json["enabled"] is False, 10, "the automation is enabled still")


@holds()
def a_tarball_that_is_none_fails_the_run_with_the_commands_words(at):
    automation = at.automation(tarball_path=at.upload(b"no tarball")["tarball_path"], timeout=10)
    row = at.started(automation, at.dispatch(automation)).ended()
    equal(row["status"], "FAILED", "status")
    true("exit_code=" in row["error_detail"] and "stderr: " in row["error_detail"], "error_detail", row["error_detail"])


@holds()
def an_uncompressed_tarball_fails_the_run(at):
    automation = at.automation(tarball_path=at.upload(tar_of({"main.sh": WAITING_SCRIPT}, "w"))["tarball_path"], timeout=10)
    equal(at.started(automation, at.dispatch(automation)).ended()["status"], "FAILED", "status")


@holds()
def a_start_that_is_refused_for_good_fails_the_run_and_its_environment_file_goes(at):
    at.need_agent().misbehave(starts_refused=1000, start_status=400)
    automation = at.script(WAITING_SCRIPT, timeout=5)
    run = at.dispatch(automation)
    row = at.until(lambda: (r := at.run_of(automation["id"], run["id"]))["status"] == "FAILED" and r, 60, "the run does not fail",
                   lambda: at.run_of(automation["id"], run["id"]))
    true(row["error_detail"], "the run failed without a reason")
    true(row["status_detail"]["phase"] in ("dispatch", "execution"), "phase", row["status_detail"])
    at.until(lambda: not pathlib.Path(f"/tmp/nestgate-private-{os.getuid()}/automation-{run['id']}.env").exists(), 10, "the environment file is there still")


@holds()
def ids_in_the_environment_are_uuids(at):
    environment = at.running().environment
    for name in ("AUTOMATION_RUN_ID", "AUTOMATION_USER_ID", "AUTOMATION_ORG_ID"):
        true(re.fullmatch(UUID, environment[name]), name, environment[name])


@holds()
def twenty_runs_at_once_are_each_started_once(at):
    automation = at.script("echo x >> starts\n" + WAITING_SCRIPT)
    runs = [at.dispatch(automation) for _ in range(20)]
    running = [at.started(automation, run) for run in runs]
    for one in running:
        one.file("started")
    equal([one.file("starts").split() for one in running], [["x"]] * 20, "how often each script began")
