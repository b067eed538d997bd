"""Holds the table of known faults in tests/README.md against the tests: each that it names must be there.

    known_faults.py [--root DIR]
"""

import argparse
import pathlib
import re
import sys

TABLE = "tests/README.md"
ROW = re.compile(r"^\|\s*(\d+(?:\.\d+)?)\s*\|([^|]*)\|([^|]*)\|\s*$")
NAME = re.compile(r"`([^`]*)`")
TEST = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.M)
# Of the contract's list of tests: each has a row.
WANTED = {f"10.{number}" for number in range(1, 19)} | {"1.5", "1.6", "1.7"}


def tests_below(folder):
    """Suite.Name of every test that the sources define."""
    return {f"{suite}.{name}" for path in folder.rglob("*.cpp")
            for suite, name in TEST.findall(path.read_text(errors="replace"))}


def check(table, tests):
    """The faults of the table, as `path:line: what`."""
    faults, seen = [], set()
    for number, line in enumerate(table.splitlines(), 1):
        row = ROW.match(line)
        if not row:
            continue
        section, _, cell = row.groups()
        seen.add(section)
        names = NAME.findall(cell)
        if not names:
            faults.append(f"{TABLE}:{number}: {section} has no test")
        faults += [f"{TABLE}:{number}: there is no test {name}" for name in names if name not in tests]
    return faults + [f"{TABLE}: {section} has no row" for section in sorted(WANTED - seen)]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    root = arguments.parse_args().root
    table = (root / TABLE).read_text()
    faults = check(table, tests_below(root / "tests"))
    print("\n".join(faults) if faults else f"known_faults: {sum(bool(ROW.match(line)) for line in table.splitlines())} rows")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
