"""Runs the scenarios, in the environment that holds the SDK (run.py makes it and calls this).

    scenarios.py --bin build/release/bin --folder FOLDER [--smoke] [NAME...]
"""

import argparse
import os
import pathlib
import signal
import sys
import traceback

import automation_scenarios
import conformance_scenarios
import gateway_scenarios
import sandbox_scenarios
from mock_model import MockModel
from parts import Failed, Report, Stopwatch, Told

# Name, function, seconds, whether the short form has it.
SCENARIOS = [
    ("key", gateway_scenarios.key_routing, 900, "smoke only"),
    ("routes", gateway_scenarios.all_routes, 900, "full"),
    ("same", conformance_scenarios.same_answers, 900, "full"),
    ("restarts", gateway_scenarios.restarts, 900, "full"),
    ("stalled", gateway_scenarios.stalled_reader, 900, "full"),
    ("drain", gateway_scenarios.drain, 900, "full"),
    ("cloud", sandbox_scenarios.cloud, 900, "both"),
    ("cloud-by-host", sandbox_scenarios.cloud_by_host, 900, "full"),
    ("runtime-api", sandbox_scenarios.runtime_api, 900, "both"),
    ("runtime-api-by-host", sandbox_scenarios.runtime_api_by_host, 900, "full"),
    ("warm", sandbox_scenarios.warm_pool, 900, "full"),
    ("presets", automation_scenarios.presets, 900, "both"),
]


class Surroundings:
    def __init__(self, bins, folder, report, model):
        self.bins, self.folder, self.report, self.model = bins, folder, report, model
        self.scratch = folder / "scratch"
        self.scratch.mkdir()


def out_of_time(*_):
    raise TimeoutError("out of time")


def tell(name, scenario, seconds, at, report):
    watch = Stopwatch()
    signal.alarm(seconds)
    try:
        scenario(at, report)
    except Told as e:
        print(f"  {name} does not go on after: {e}")
    except Failed as e:
        report.line(f"{name} goes through", False, str(e))
    except Exception:
        report.line(f"{name} goes through", False)
        traceback.print_exc(file=sys.stdout)
    finally:
        signal.alarm(0)
    print(f"  {name}: {watch}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    if unknown := set(options.names) - {name for name, *_ in SCENARIOS}:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(name for name, *_ in SCENARIOS)}")
    signal.signal(signal.SIGALRM, out_of_time)
    unwanted = "full" if options.smoke else "smoke only"
    report, model, watch = Report(), MockModel(), Stopwatch()
    at = Surroundings(options.bin.resolve(), options.folder, report, model)
    for name, scenario, seconds, form in SCENARIOS:
        if name in options.names if options.names else form != unwanted:
            report.section(f"{name}: {(scenario.__doc__ or scenario.__name__).strip()}")
            tell(name, scenario, seconds, at, report)
    model.close()
    print(f"\n{report.checks - report.failures} of {report.checks} held, {watch}", flush=True)
    return 1 if report.failures or not report.checks else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Not through the interpreter's shutdown: the SDK's own threads and destructors may hang in it.
    os._exit(code)
