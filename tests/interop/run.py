"""The real agent server and SDK through nestgate: sets up what is needed, runs scenarios.py in it, ends what is left.

    run.py --bin build/release/bin [--work build/interop] [--version 1.43.1] [--smoke] [--optional] [--keep] [NAME...]

Needs a Python of 3.12 or 3.13 (INTEROP_PYTHON, PATH, pyenv) and a package registry that has the packages; the environment
is kept under --work for the next time. INTEROP_VENV names one that is ready. Where they are not to be had it says so in one
line and ends with 1, with --optional with 0. Otherwise the exit code is 0 only if every check held.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from parts import adopt_orphans, end_what_is_left

PACKAGES = ["openhands-sdk", "openhands-agent-server", "openhands-workspace", "openhands-tools"]
HERE = pathlib.Path(__file__).resolve().parent
INSTALL_S = 600
SMOKE_S, FULL_S = 900, 2700


class NotToBeHad(Exception):
    pass


def find_python():
    tried = [os.environ.get("INTEROP_PYTHON"), "python3.12", "python3.13"]
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    tried += sorted(str(path) for version in ("3.12", "3.13") for path in pyenv.glob(f"versions/{version}*/bin/python"))
    tried += ["python3"]
    for name in filter(None, tried):
        # A shim of pyenv is in PATH also for a version that is not chosen: only asking tells.
        ask = "import sys, venv, ensurepip; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 13))"
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if subprocess.run([name, "-c", ask], capture_output=True, timeout=30).returncode == 0:
                return name
    raise NotToBeHad("no Python 3.12 or 3.13 with venv in PATH or pyenv (INTEROP_PYTHON names one)")


def environment_with_packages(work, version):
    """The interpreter of a virtual environment that holds the packages; made where it is missing."""
    if ready := os.environ.get("INTEROP_VENV"):
        return pathlib.Path(ready).absolute() / "bin/python"
    constraints = HERE / f"constraints-{version}.txt"
    if not constraints.exists():
        known = ", ".join(sorted(path.stem.removeprefix("constraints-") for path in HERE.glob("constraints-*.txt")))
        sys.exit(f"interop: there are no constraints for version {version}; there are {known}")
    folder = work / f"venv-{version}"
    stamp, content = folder / "complete", hashlib.sha256(constraints.read_bytes()).hexdigest()
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == content):
            install(folder, constraints, version, work / f"install-{version}.log")
            stamp.write_text(content)
    return folder.absolute() / "bin/python"


def install(folder, constraints, version, log_path):
    python = find_python()
    print(f"interop: installing the agent server and SDK {version} (some 150 MB, once)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    steps = [[python, "-m", "venv", folder],
             [folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--timeout", "30",
              "--retries", "2", "-c", constraints, *(f"{package}=={version}" for package in PACKAGES)]]
    for step in steps:
        with open(log_path, "w") as log:
            try:
                code = subprocess.run(step, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=INSTALL_S).returncode
            except subprocess.TimeoutExpired:
                raise NotToBeHad(f"the packages did not install within {INSTALL_S} s, see {log_path}") from None
        if code:
            said = log_path.read_text().strip().splitlines() or ["nothing"]
            raise NotToBeHad(f"the packages do not install ({said[-1][:200]}), see {log_path}")


def run_scenarios(python, options, folder):
    command = [python, "-B", HERE / "scenarios.py", "--bin", options.bin, "--folder", folder, *(["--smoke"] if options.smoke else []), *options.names]
    limit = SMOKE_S if options.smoke else FULL_S
    with open(folder / "sdk.log", "w") as log:
        try:
            return subprocess.run(command, stdin=subprocess.DEVNULL, stderr=log, timeout=limit).returncode
        except subprocess.TimeoutExpired:
            print(f"interop: not done after {limit} s")
            return 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/interop"))
    parser.add_argument("--version", default="1.43.1")
    parser.add_argument("--smoke", action="store_true", help="the short form, under 4 minutes")
    parser.add_argument("--optional", action="store_true", help="exit code 0 where the packages cannot be had")
    parser.add_argument("--keep", action="store_true", help="leave the folder with logs also if all held")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these scenarios")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        python = environment_with_packages(options.work, options.version)
    except NotToBeHad as e:
        print(f"interop: {'skipped' if options.optional else 'cannot run'}: {e}")
        return 0 if options.optional else 1
    adopt_orphans()
    # Short and outside of the tree: tmux's sockets live below it, and a socket's path has 108 characters at most.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="interop-"))
    code = 1
    try:
        code = run_scenarios(python, options, folder)
    finally:
        end_what_is_left()
        if code == 0 and not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"interop: logs are in {folder}")
    return code


if __name__ == "__main__":
    sys.exit(main())
