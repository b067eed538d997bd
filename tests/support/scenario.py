"""What scripts of scenarios share: a report, waiting, and processes that end with the script."""

import contextlib
import ctypes
import os
import pathlib
import signal
import time


class Failed(Exception):
    """What a scenario cannot go on after."""


class Told(Failed):
    """It stands in the report already."""


class Report:
    def __init__(self):
        self.checks = self.failures = 0

    def section(self, title):
        print(f"\n{title}", flush=True)

    def line(self, what, held, figure=""):
        self.checks += 1
        self.failures += not held
        print(f"  {'ok  ' if held else 'FAIL'} {what:<86} {figure}", flush=True)
        return held

    def figure(self, what, value):
        print(f"       {what:<86} {value}", flush=True)

    def need(self, what, held, figure=""):
        if not self.line(what, held, figure):
            raise Told(what)


def wait_for(condition, seconds, pause=0.02):
    """The first true value of `condition()`, or its last one."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(pause)
    return value


def end_with_parent():
    """However the scenarios end, what they started ends with them."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def adopt_orphans():
    """What our children leave behind becomes ours to reap."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)


def children():
    """Of this process; those that lost their parent are among them once orphans are adopted."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                    found.append(int(entry.name))
    return found


def end_what_is_left(seconds=20):
    """Ends every child. Killing one leaves its children to us, tmux servers of agent servers among them."""
    deadline = time.monotonic() + seconds
    while (left := children()) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)
