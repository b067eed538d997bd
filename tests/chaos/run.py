"""nestgate under violence: killed, raced, without its engine, with figures. Ends what it started.

    run.py --bin build/release/bin [--smoke] [--figures] [--keep] [--cycles N] [NAME...]

NAME: process, docker-points, docker, live-restore, two-gateways, automation, automation-postgresql, acknowledged, figures.
--smoke: a short form, without the figures. --figures: the bounds are checks, too. --cycles: of each of the automation's
scenarios, in place of their own number. Where no Docker engine can be started it says so in one line and goes on.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback

import acknowledged
import automation_points
import crash_points
import docker_scenarios
import figures
import two_gateways
from engine import Engine, NoEngine
from parts import Failed, Report, adopt_orphans, end_what_is_left

HERE = pathlib.Path(__file__).resolve().parent
SMOKE_S, FULL_S, CLEAN_UP_S = 300, 1500, 90
CYCLES = {"automation": (3, 1000), "automation-postgresql": (2, 300), "acknowledged": (6, 150)}  # in the short form, else
CYCLE_S, AUTOMATION_S = 4, 240  # beyond the other scenarios' time: on two busy cores; what all of them have besides


class Chaos:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.report = Report()
        self.engine = self.no_engine = None
        self.programs = [options.bin / "nestlet"]

    def folder(self, name):
        made = self.work / name
        made.mkdir()
        return made

    def need_engine(self):
        if self.no_engine:
            raise NoEngine(self.no_engine)
        if not self.engine:
            try:
                self.engine = Engine(self.work / "engine")
            except NoEngine as why:
                self.no_engine = str(why)
                print(f"\nchaos: the docker part is left out: {why}", flush=True)
                raise
            self.engine.import_image(self.programs)
        return self.engine

    def process(self):
        folder = self.folder("p")
        crash_points.run(self.report, self.options.bin, folder, crash_points.ProcessPlace(folder, HERE), self.options.smoke)

    def docker_points(self):
        folder = self.folder("q")
        engine = self.need_engine()
        crash_points.run(self.report, self.options.bin, folder, crash_points.DockerPlace(folder, HERE, engine), self.options.smoke)
        engine.remove_containers()

    def docker(self):
        docker_scenarios.run(self.report, self.options.bin, self.folder("d"), self.need_engine(), self.options.smoke)

    def live_restore(self):
        self.need_engine()
        docker_scenarios.run_live_restore(self.report, self.options.bin, self.folder("l"), self.programs)

    def two_gateways(self):
        two_gateways.run(self.report, self.options.bin, self.folder("t"), self.options.smoke)

    def cycles(self, name):
        return self.options.cycles or CYCLES[name][not self.options.smoke]

    def automation(self):
        automation_points.run_sqlite(self.report, self.options.bin, self.folder("s"), self.cycles("automation"))

    def automation_postgresql(self):
        automation_points.run_postgresql(self.report, self.options.bin, self.folder("g"), self.cycles("automation-postgresql"))

    def acknowledged(self):
        acknowledged.run(self.report, self.options.bin, self.folder("a"), self.cycles("acknowledged"))

    def figures(self):
        with contextlib.suppress(NoEngine):
            self.need_engine()
        figures.run(self.report, self.options.bin, self.folder("f"), self.engine, self.options.figures)

    def run(self, names):
        for name in names:
            began = time.monotonic()
            try:
                getattr(self, name.replace("-", "_"))()
            except NoEngine:
                continue
            except Exception as problem:  # one scenario's failure is not the next one's
                self.report.line(f"{name} is done to its end", False, problem if isinstance(problem, Failed) else "")
                if not isinstance(problem, Failed):
                    traceback.print_exc()
            print(f"  ({name}: {time.monotonic() - began:.0f} s)", flush=True)

    def close(self):
        if self.engine:
            self.engine.close()


def bound_time(seconds):
    """A scenario that hangs ends all, and the exit code says so."""

    def after(pause, work):
        timer = threading.Timer(pause, work)
        timer.daemon = True
        timer.start()

    def give_up():
        print(f"chaos: not done after {seconds} s", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        after(CLEAN_UP_S, lambda: os._exit(1))

    after(seconds, give_up)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=lambda path: pathlib.Path(path).resolve(), required=True)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--figures", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--cycles", type=int, metavar="N")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    names = options.names or ["process", "docker-points", "docker", "two-gateways", *CYCLES,
                              *([] if options.smoke else ["live-restore", "figures"])]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    adopt_orphans()
    chaos_s = SMOKE_S if options.smoke else FULL_S
    work = pathlib.Path(tempfile.mkdtemp(prefix="ngc-"))  # short: sockets are below it
    work.chmod(0o755)
    chaos = Chaos(options, work)
    cycling = [name for name in names if name in CYCLES]
    bound_time(chaos_s + AUTOMATION_S * bool(cycling) + CYCLE_S * sum(chaos.cycles(name) for name in cycling))
    began = time.monotonic()
    try:
        chaos.run(names)
    finally:
        chaos.close()
        end_what_is_left()
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    report = chaos.report
    print(f"\n{report.checks} checks, {report.failures} failed, {time.monotonic() - began:.0f} s{f', logs in {work}' if options.keep else ''}")
    return 1 if report.failures or not report.checks else 0


if __name__ == "__main__":
    sys.exit(main())
