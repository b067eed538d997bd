"""Automations made from a prompt or from plugins: what is stored, and what the tarball holds."""

import json
import re

from harness import CRON, equal, holds, keys_are, true, untar

SECTION = "1.6"

PROMPT = {"name": "prompted", "prompt": "Say «hello» to everybody", "trigger": CRON}
VARIANTS = [{"name": "first", "weight": 1, "plugins": [{"source": "github:o/one", "ref": "main"}]},
            {"name": "second", "weight": 3, "model": "other-model", "plugins": [{"source": "github:o/two", "repo_path": "plugins/x"}]}]


def prompted(at, **more):
    return at.made_by(at.call("POST", "/v1/preset/prompt", {**PROMPT, **more}, expect=201))


def plugged(at, **more):
    return at.made_by(at.call("POST", "/v1/preset/plugin", {**PROMPT, **more}, expect=201))


def tarball_of(at, made):
    return untar(at.call("GET", f"/v1/{made['id']}/tarball", expect=200).body)


@holds()
def a_prompt_becomes_an_automation(at):
    made = prompted(at, model="m", timeout=77, keep_alive=True)
    equal((made["prompt"], made["model"], made["timeout"], made["keep_alive"], made["enabled"]), (PROMPT["prompt"], "m", 77, True, True),
          "the automation")
    equal((made["setup_script_path"], made["entrypoint"]), ("setup.sh", ".venv/bin/python main.py"), "setup script and entrypoint")
    equal({k: made["preset_metadata"].get(k) for k in ("preset_type", "prompt")}, {"preset_type": "prompt", "prompt": PROMPT["prompt"]},
          "preset_metadata")


@holds()
def the_tarball_of_a_prompt_holds_the_prompt_and_what_runs_it(at):
    files = tarball_of(at, prompted(at))
    keys_are(files, ["main.py", "prompt.txt", "setup.sh"], "the tarball")
    true("repos_config.json" not in files, "repos_config.json is there without repos")
    equal(files["prompt.txt"][1].decode(), PROMPT["prompt"], "prompt.txt")
    equal(oct(files["setup.sh"][0] & 0o777), oct(0o755), "mode of setup.sh")
    compile(files["main.py"][1], "main.py", "exec")
    true(b"sdk-version" in files["setup.sh"][1], "setup.sh asks for no sdk-version")
    true(b"openhands-sdk" in files["setup.sh"][1], "setup.sh installs no openhands-sdk")


@holds()
def the_upload_of_a_prompt_is_named_after_the_automation(at):
    name = "ä" * 40
    made = prompted(at, name=name, prompt="p" * 300)
    upload = at.call("GET", f"/v1/uploads/{made['tarball_path'].rsplit('/', 1)[1]}", expect=200).json
    equal(upload["name"], "prompt-automation-" + "ä" * 25, "name, cut to 50 bytes")
    equal(upload["description"], "Auto-generated from prompt: " + "p" * 100 + "...", "description")
    equal(upload["status"], "COMPLETED", "status")


@holds()
def an_automation_may_begin_disabled(at):
    equal(prompted(at, enabled=False)["enabled"], False, "enabled")
    equal(plugged(at, enabled=False, plugins={"source": "github:o/r"})["enabled"], False, "enabled")


@holds(of=[("a list", [{"url": "https://example.org/o/r", "ref": "v1"}, "https://example.org/o/s"]),
           ("one object", {"url": "https://example.org/o/r", "provider": "gitlab"}),
           ("one string", "https://example.org/o/r"), ("a short form", {"url": "owner/repo", "provider": "github"}),
           ("ssh", "git@example.org:o/r.git"), ("a file", "file:///srv/r.git")])
def repos_are_taken_as(at, _, repos):
    made = prompted(at, repos=repos)
    stored = made["preset_metadata"]["repos"]
    wanted = repos if isinstance(repos, list) else [repos]
    equal(len(stored), len(wanted), "how many repos are stored")
    config = json.loads(tarball_of(at, made)["repos_config.json"][1])
    text = json.dumps(config)
    for repo in wanted:
        true((repo if isinstance(repo, str) else repo["url"]) in text, "repos_config.json", text)


@holds()
def a_repo_over_http_is_rewritten_to_https(at):
    made = prompted(at, repos="http://example.org/o/r")
    text = json.dumps(made["preset_metadata"]["repos"]) + tarball_of(at, made)["repos_config.json"][1].decode()
    true("https://example.org/o/r" in text and "http://" not in text, "the repos", text)


@holds()
def plugins_become_an_automation(at):
    made = plugged(at, plugins=[{"source": "github:o/one", "ref": "main"}, {"source": "github:o/two", "repo_path": "p"}])
    metadata = made["preset_metadata"]
    equal((metadata["preset_type"], [p["source"] for p in metadata["plugins"]]), ("plugin", ["github:o/one", "github:o/two"]),
          "preset_metadata")
    files = tarball_of(at, made)
    keys_are(files, ["main.py", "prompt.txt", "setup.sh", "plugins_config.json"], "the tarball")
    text = files["plugins_config.json"][1].decode()
    true("github:o/one" in text and "github:o/two" in text, "plugins_config.json", text)
    true("experiment_config.json" not in files, "experiment_config.json is there without an experiment")


@holds()
def one_plugin_needs_no_list(at):
    equal([p["source"] for p in plugged(at, plugins={"source": "github:o/r", "unknown": "is ignored"})["preset_metadata"]["plugins"]],
          ["github:o/r"], "plugins")


@holds()
def variants_become_an_experiment(at):
    made = plugged(at, variants=VARIANTS, experiment_id="exp-1")
    true("plugins" not in made["preset_metadata"], "plugins stand in preset_metadata of an experiment", made["preset_metadata"])
    files = tarball_of(at, made)
    config = json.loads(files["experiment_config.json"][1])
    equal(config["experiment_id"], "exp-1", "experiment_id")
    equal([(v["name"], v["weight"], v["model"]) for v in config["variants"]], [("first", 1, None), ("second", 3, "other-model")],
          "variants")
    equal([v["plugins"][0]["source"] for v in config["variants"]], ["github:o/one", "github:o/two"], "plugins of the variants")
    true("plugins_config.json" not in files, "plugins_config.json is there with an experiment")


@holds(of=[("2",), ("10",)])
def variants_may_be_as_many_as(at, count):
    plugged(at, variants=[dict(VARIANTS[0], name=f"v{n}") for n in range(int(count))], experiment_id="e")


@holds()
def credentials_in_a_plugins_url_are_shown_to_nobody(at):
    made = plugged(at, plugins={"source": "https://user:s3cretpassword@example.org/o/r"})
    true("s3cretpassword" not in json.dumps(made), "the password is in the answer", made)


@holds()
def the_setup_script_is_one_that_a_shell_reads(at):
    import subprocess
    text = tarball_of(at, prompted(at))["setup.sh"][1]
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True)
    equal(checked.returncode, 0, f"bash -n: {checked.stderr.decode()}")
    true(re.search(rb"AUTOMATION_API_URL", text), "setup.sh does not use AUTOMATION_API_URL")
