"""Runs each fuzzer until it has had its CPU time. Exit code 0 only if none of them found anything.

    fuzz.py --bin build/fuzz/bin --seeds tests/fuzz --work build/fuzz --seconds 600 [--jobs N]

What a fuzzer learns stays in WORK/corpus/NAME, what it finds in WORK/findings/NAME; SEEDS/corpus/NAME is where it
starts and is never written to.
"""

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time


def run_for_cpu_seconds(command, seconds, log):
    """Runs it again until its CPU time adds up: libFuzzer counts the wall clock, which a busy machine eats."""
    used = 0.0
    # A machine too busy to give the time is a reason to stop, and to say how much there was.
    give_up = time.monotonic() + 4 * seconds + 60
    while used < seconds and time.monotonic() < give_up:
        limit = max(1, round(seconds - used))
        child = subprocess.Popen([*command, f"-max_total_time={limit}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        used += usage.ru_utime + usage.ru_stime
        if child.returncode != 0:
            return child.returncode, used
    return 0, used


def run(program, options):
    name = program.name
    learnt, findings = options.work / "corpus" / name, options.work / "findings" / name
    learnt.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    command = [program, learnt, f"-artifact_prefix={findings}/", "-timeout=10", "-rss_limit_mb=2048",
               "-print_final_stats=1", "-verbosity=1"]
    seeds = options.seeds / "corpus" / name
    if seeds.is_dir():
        command.insert(2, seeds)
    words = options.seeds / f"{name}.dict"
    if words.is_file():
        command.append(f"-dict={words}")
    log_path = options.work / f"{name}.log"
    with open(log_path, "wb") as log:
        code, used = run_for_cpu_seconds(command, options.seconds, log)
    runs = sum(int(line.rsplit(":", 1)[1]) for line in log_path.read_text(errors="replace").splitlines()
               if line.startswith("stat::number_of_executed_units:"))
    return name, code, used, runs, log_path


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--bin", "--seeds", "--work"):
        arguments.add_argument(name, type=pathlib.Path, required=True)
    arguments.add_argument("--seconds", type=int, default=600, help="CPU time for each")
    arguments.add_argument("--jobs", type=int, default=os.cpu_count())
    options = arguments.parse_args()

    programs = sorted(options.bin.glob("*_fuzz"))
    if not programs:
        print(f"{options.bin}: no *_fuzz there")
        return 1
    clean = True
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, code, used, runs, log in pool.map(lambda program: run(program, options), programs):
            verdict = "clean" if code == 0 else f"FAILED with exit code {code}, see {log} and {options.work}/findings/{name}"
            if code == 0 and used < 0.9 * options.seconds:
                code, verdict = 1, f"FAILED: the machine gave it {used:.0f} of {options.seconds} CPU seconds"
            clean = clean and code == 0
            print(f"{name:24} {used:6.0f} CPU s {runs:12,} inputs  {verdict}", flush=True)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
