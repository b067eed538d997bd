"""Holds every include against the module table of ARCHITECTURE.md. What is not in the table is a design change.

    check_layers.py [--root DIR] [--table FILE]
"""

import argparse
import pathlib
import re
import sys

ROW = re.compile(r"^\|\s*([LEFR])\s*\|\s*`(\w+)`\s*\|[^|]*\|([^|]*)\|\s*$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
KINDS = {"L": "leaf", "E": "edge", "F": "feature", "R": "root"}


class Table:
    """The modules in the order of the table, their kind, and what each may include, followed through."""

    def __init__(self, text):
        self.kind, self.allowed, self.faults = {}, {}, []
        for line in text.splitlines():
            row = ROW.match(line)
            if row:
                self._add(*row.groups())
        if not self.kind:
            self.faults.append("no module table: rows look like | L | `base` | one line | nothing of ours |")

    def _add(self, kind, name, may):
        may = may.strip().replace("`", "")
        if may == "nothing of ours":
            named = set()
        elif may in ("all", "all features"):
            named = set(self.kind)
        else:
            named = {word.strip() for word in may.split(",") if word.strip()}
        above = set(self.kind)
        for stranger in sorted(named - above):
            self.faults.append(f"table: `{name}` may include `{stranger}`, which is no row above it (arrows go down only)")
        named &= above
        if kind != "L":
            named |= {other for other in above if self.kind[other] == "L"}
        elif any(self.kind[other] != "L" for other in named):
            self.faults.append(f"table: the leaf `{name}` may include leaves only")
        self.kind[name] = kind
        self.allowed[name] = named.union(*(self.allowed[other] for other in named))


def module_of(path, root):
    """The module that a file belongs to; src/main.cpp is the root's."""
    parts = path.relative_to(root).parts
    if parts[0] == "src":
        return parts[1] if len(parts) > 2 else "app"
    return parts[2] if len(parts) > 3 else None


def check_file(path, root, table):
    module = module_of(path, root)
    where = path.relative_to(root)
    if module not in table.kind:
        yield f"{where}: module `{module}` has no row in the table"
        return
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        bracket, target = match.groups()
        here = f"{where}:{number}"
        if ".." in pathlib.PurePosixPath(target).parts:
            yield f"{here}: no relative path in an include: {target}"
            continue
        if table.kind[module] == "L" and re.match(r"boost/(asio|beast)\b", target):
            yield f"{here}: `{module}` is a leaf: no {target}"
            continue
        parts = target.split("/")
        if parts[0] == "nestgate" and len(parts) > 2:
            other = parts[1]
            if other != module and other not in table.allowed[module]:
                may = ", ".join(sorted(table.allowed[module])) or "nothing of ours"
                yield f"{here}: `{module}` ({KINDS[table.kind[module]]}) may not include `{other}`; it may include: {may}"
        elif bracket == '"' and parts[0] in table.kind and parts[0] != module:
            yield f"{here}: {target} is private to `{parts[0]}`"


def check(root, table_text):
    table = Table(table_text)
    faults = list(table.faults)
    for folder in ("include/nestgate", "src"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".hpp", ".cpp", ".h", ".ipp"):
                faults.extend(check_file(path, root, table))
    return faults


def main():
    here = pathlib.Path(__file__).resolve().parents[2]
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--root", type=pathlib.Path, default=here)
    arguments.add_argument("--table", type=pathlib.Path, help="default: ROOT/ARCHITECTURE.md")
    options = arguments.parse_args()
    table = options.table or options.root / "ARCHITECTURE.md"
    if not table.is_file():
        print(f"{table}: not found; it has the table of modules")
        return 1
    faults = check(options.root, table.read_text())
    print("\n".join(faults) if faults else "layers: as in the table")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
