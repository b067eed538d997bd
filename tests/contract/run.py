"""Black-box tests of the automation API's contract, against a running service in local mode.

    run.py --base-url http://127.0.0.1:8000 --api-key-file FILE --agent-port 9001 --agent-key-file FILE [...]

The service's fixed agent server must be http://127.0.0.1:AGENT_PORT: the tests play it. The exit code is 0 only if all held.
"""

import argparse
import contextlib
import importlib
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time
import traceback

import harness
from agent_server import AgentServer
from routes import missing_statuses

MODULES = ["conventions", "access", "automations", "bodies", "uploads", "presets", "capabilities", "service_routes", "kv", "run_routes",
           "dispatching", "scheduling", "completion", "events", "event_matching", "webhooks", "live_faults", "live_notes", "additive"]
TEST_S = 240


def parsed(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", help="the origin, without prefix")
    parser.add_argument("--prefix", default="/api/automation")
    parser.add_argument("--api-key-file", type=pathlib.Path)
    parser.add_argument("--second-key-file", type=pathlib.Path, help="of another user in another organisation")
    parser.add_argument("--agent-port", type=int, help="where the service looks for its agent server; without it nothing is dispatched")
    parser.add_argument("--agent-key-file", type=pathlib.Path)
    parser.add_argument("--webhook-secret-file", type=pathlib.Path)
    parser.add_argument("--kv-secret-file", type=pathlib.Path)
    parser.add_argument("--callback-base", help="what scripts are told to call, without a slash at its end; default: BASE_URL and PREFIX")
    parser.add_argument("--restart-command",
                        help="kills the service with SIGKILL and starts it again on its store; returns when it listens")
    parser.add_argument("--only", metavar="PATTERN", help="tests whose `section name` matches; no check of the statuses that were seen")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--skip-slow", action="store_true")
    parser.add_argument("--as-reference", action="store_true", help="the original service: without the tests of what is mended")
    parser.add_argument("--known-differences", type=pathlib.Path, metavar="FILE", help="lines `section name | reason`: they fail, and must")
    return parser.parse_args(arguments)


def chosen_tests(options):
    for module in MODULES:
        importlib.import_module(module)
    tests = harness.TESTS
    names = [f"{t.section} {t.name}" for t in tests]
    doubled = {n for n in names if names.count(n) > 1}
    if doubled:
        sys.exit(f"contract: two tests have one name: {sorted(doubled)}")
    if options.only:
        tests = [t for t in tests if re.search(options.only, f"{t.section} {t.name}")]
    return tests


def known_differences(path):
    lines = path.read_text().splitlines() if path else []
    pairs = (line.rpartition(" | ") for line in lines if line.strip() and not line.startswith("#"))
    return {name.strip(): reason.strip() for name, _, reason in pairs}


class OutOfTime(Exception):
    pass


def out_of_time(*_):
    raise OutOfTime


class Runner:
    def __init__(self, service, agent, secrets, second, options, restart):
        self.parts = (service, agent, secrets, second, options.callback_base or f"{options.base_url}{options.prefix}", restart)
        self.known, self.options = known_differences(options.known_differences), options
        self.passed, self.failed, self.skipped, self.differing = 0, [], [], []

    def say(self, word, test, more=""):
        print(f"{word:<5} {test.section} {test.name}{more}", flush=True)

    def outcome(self, test, at):
        """None, or what was seen instead."""
        signal.alarm(TEST_S)
        try:
            test.function(at, *test.arguments)
        except harness.Differs as e:
            return str(e)
        except OutOfTime:
            return f"not done after {TEST_S} s"
        except harness.NotHere:
            raise
        except Exception:
            return traceback.format_exc(limit=-4)
        finally:
            signal.alarm(0)

    def run(self, test):
        name = f"{test.section} {test.name}"
        is_mended = test.mends and self.options.as_reference
        if is_mended or (test.slow and self.options.skip_slow):
            self.skipped.append((name, f"mends: {test.mends}" if is_mended else "slow"))
            return
        at = harness.At(*self.parts)
        began = time.monotonic()
        try:
            fault = self.outcome(test, at)
        except harness.NotHere as e:
            self.skipped.append((name, str(e)))
            self.say("skip", test, f"\n        {e}")
            return
        finally:
            with contextlib.suppress(Exception):
                at.clean()
        took = f"  {time.monotonic() - began:.1f} s" if time.monotonic() - began > 1 else ""
        if name in self.known:
            if fault:
                self.differing.append(name)
                self.say("known", test, f"  ({self.known[name]})")
                return
            fault = f"it holds, although it stands among the known differences: {self.known[name]}"
        if fault:
            self.failed.append(name)
            mends = f"\n        mends: {test.mends}" if test.mends else ""
            self.say("FAIL", test, took + mends + "\n        " + fault.replace("\n", "\n        "))
        else:
            self.passed += 1
            self.say("ok", test, took)

    def conclude(self, service, complete):
        unknown = [n for n in self.known if complete and n not in {f"{t.section} {t.name}" for t in harness.TESTS}]
        for name in unknown:
            self.failed.append(name)
            print(f"FAIL  known differences: there is no test {name}")
        if complete:
            self.conclude_statuses(missing_statuses(service.seen))
        reasons = {}
        for name, reason in self.skipped:
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            print(f"skipped ({reason}): {len(names)}")
        if self.differing:
            print(f"known differences: {len(self.differing)}")
        for name in self.failed:
            print(f"failed: {name}")
        print(f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped", flush=True)
        return 0 if not self.failed and self.passed else 1


    def conclude_statuses(self, missing):
        name = "1.1 each status that the contract names was answered once"
        if not missing:
            self.passed += 1
            print(f"ok    {name}")
            return
        left_out = self.options.skip_slow or self.options.as_reference
        print(f"{'note' if left_out else 'FAIL':<5} {name}\n        never seen: {', '.join(missing)}")
        if not left_out:
            self.failed.append(name)


def text_of(path):
    return path.read_text().strip() if path else None


def second_service(options):
    """One who owns nothing of the first one's, if the service takes the key."""
    key = text_of(options.second_key_file)
    if key is None:
        return None
    second = harness.Service(options.base_url, options.prefix, key)
    answer = second.call("GET", "/v1")
    if answer.status != 200:
        print(f"the second key is not taken: {answer}")
        return None
    return second


def run_tests(options, restart=None):
    tests = chosen_tests(options)
    if options.list:
        for test in tests:
            marks = (["slow"] if test.slow else []) + ([f"mends: {test.mends}"] if test.mends else [])
            print(f"{test.section} {test.name}" + (f"  ({'; '.join(marks)})" if marks else ""))
        print(f"{len(tests)} tests")
        return 0
    if not options.base_url or not options.api_key_file:
        sys.exit("contract: --base-url and --api-key-file are wanted")
    options.base_url, options.prefix = options.base_url.rstrip("/"), options.prefix.rstrip("/")
    if restart is None and options.restart_command:
        def restart():
            subprocess.run(shlex.split(options.restart_command), check=True, timeout=120)
    service = harness.Service(options.base_url, options.prefix, text_of(options.api_key_file))
    secrets = {"webhook": text_of(options.webhook_secret_file), "kv": text_of(options.kv_secret_file),
               "agent": text_of(options.agent_key_file) or ""}
    agent = AgentServer(options.agent_port, secrets["agent"]) if options.agent_port else None
    signal.signal(signal.SIGALRM, out_of_time)
    try:
        try:
            service.call("GET", "/health", key=None)
        except harness.Differs as e:
            print(f"FAIL  the service is not there: {e}\n0 passed, 1 failed, 0 skipped")
            return 1
        runner = Runner(service, agent, secrets, second_service(options), options, restart)
        for test in tests:
            runner.run(test)
        return runner.conclude(service, not options.only)
    finally:
        if agent:
            agent.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run_tests(parsed(None)))
