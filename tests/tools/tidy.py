"""House rules that a compiler cannot see. Each fault says where, which rule, and what to do instead.

    tidy.py [--root DIR]

A line for which a rule is wrong says so and why:  // tidy-ok(rule): the reason
"""

import argparse
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

FILE_LINES_MAX = 900

# Who may open a secret: the derivation itself and the writers of what goes over a wire or into a private file.
REVEAL = r"^(src|include/nestgate)/(base|identity|codec|upstream|store|proxy|nested|conversation|runtime|automation|nestlet)/|^src/app/(settings|cli|identity_commands)|^(tests|bench)/"


class Rule(NamedTuple):
    name: str
    pattern: str
    instead: str
    files: str = r""           # where the rule holds: a pattern on the path, found anywhere
    allowed_in: str = r"(?!)"  # where what it forbids is at home


# On C++ with comments blanked out, and string contents too.
CODE = [
    Rule("executor", r"\bany_io_executor\b", "name the executor through nestgate/net"),
    Rule("detached", r"\basio::detached\b|\.detach\(\)", "spawn through a TaskGroup, join threads: what is detached fails in silence"),
    Rule("reveal", r"(\.|->)reveal\(\)", "a secret is opened only in identity and where it is written out", allowed_in=REVEAL),
    Rule("awaitable-operators", r"\bawaitable_operators\b", "use with_deadline: || waits past a failure"),
    Rule("sleep", r"\b(sleep_for|sleep_until|usleep|nanosleep)\b", "wait for the event, or move a virtual clock"),
    Rule("lambda-coroutine", r"\[[^\]\[;]*[\w&=][^\]\[;]*\]\s*(\([^()]*(\([^()]*\)[^()]*)*\))?\s*(mutable\s*)?->\s*[\w:]*\b(Task|awaitable)\s*<",
         "captures die before the coroutine does: pass parameters", files=r"^(src|include|bench)/"),
]

# On one statement that has a co_await, at a time: g++ 12 destroys such temporaries twice.
GCC12 = [
    Rule("co-await-conditional", r"\?", "g++ 12: no ?: in a statement with co_await"),
    Rule("co-await-aggregate", r"co_await\b.*(\(|,)\s*\{(?!\s*\})|co_await\b.*[(,]\s*[\w:]*\b[A-Z]\w*\{[^}]", "g++ 12: name the aggregate on the line before"),
    Rule("co-await-lambda", r"co_await\b.*\[(?!(this|&\w*)(\s*,\s*(this|&\w+))*\])[^\]]*\w[^\]]*\]\s*\(", "g++ 12: name the capturing lambda on the line before"),
]

# On any text of ours, comments included.
TEXT = [
    Rule("later", r"\b(TODO|FIXME|XXX|HACK)\b", "do it, or leave it out"),
    Rule("banner", r"^\s*(//|#|/\*|--)\s*[-=*#/_~+]{4,}", "no banner comments: a file this long wants splitting", files=r"\.(hpp|cpp|py|sh|cmake)$|CMakeLists|Makefile"),
    Rule("path", r"/work/|\.\./shared\b|/home/\w+/", "no path of one machine"),
]

# Enumerators have no destructor: g++ 12 gets ?: between two of them right.
ENUMERATORS = re.compile(r"\?\s*\w+::\w+\s*:\s*\w+::\w+")

COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)


def blank(match):
    """The same number of lines, without what they say."""
    return '""' + "\n" * match.group().count("\n") if match.group()[0] in "\"'R" else "\n" * match.group().count("\n")


def statements(code):
    """Line number and text of each statement: up to a semicolon, or to the brace that opens a block."""
    start = 0
    for end in re.finditer(r";|(?<=[)\w>])\s*\{\s*\n|(?<!\{)\}", code):
        text = code[start:end.start()]
        yield code.count("\n", 0, start + len(text) - len(text.lstrip())) + 1, " ".join(text.split())
        start = end.end()


def excused(rule, lines, number):
    """A reason on the line itself or on the one above."""
    near = lines[max(0, number - 2):number]
    return any(re.search(rf"tidy-ok\({rule.name}\): \w", line) for line in near)


def applies(rule, name):
    return re.search(rule.files, name) and not re.search(rule.allowed_in, name)


def check_text(name, text):
    """The faults of one file, as `path:line: rule: what to do`."""
    lines = text.splitlines()
    found = []

    def report(rule, number):
        if applies(rule, name) and not excused(rule, lines, number):
            found.append((number, f"{name}:{number}: {rule.name}: {rule.instead}"))

    for rule in TEXT:
        for number, line in enumerate(lines, 1):
            if re.search(rule.pattern, line):
                report(rule, number)
    if name.endswith((".hpp", ".cpp")):
        code = COMMENT_OR_STRING.sub(blank, text)
        for rule in CODE:
            for match in re.finditer(rule.pattern, code):
                report(rule, code.count("\n", 0, match.start()) + 1)
        for number, statement in statements(code):
            if "co_await" in statement:
                for rule in GCC12:
                    if re.search(rule.pattern, ENUMERATORS.sub("", statement)):
                        report(rule, number)
        if len(lines) > FILE_LINES_MAX:
            found.append((len(lines), f"{name}:{len(lines)}: length: {len(lines)} lines, the limit is {FILE_LINES_MAX}: split it"))
    return [fault for _, fault in sorted(found)]


def files_of(root):
    """What is ours: what git tracks or would; without git (a source archive), everything outside build/."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    wanted = re.compile(r"\.(hpp|cpp|py|sh|md|toml|json|cmake|service|1)$|(^|/)(CMakeLists\.txt|Makefile|run)$")
    skipped = re.compile(r"^build/|^tests/tools/|/corpus/|^tests/data/")
    return sorted(name for name in names if wanted.search(name) and not skipped.search(name) and (root / name).is_file())


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    root = arguments.parse_args().root
    names = files_of(root)
    faults = [fault for name in names for fault in check_text(name, (root / name).read_text(errors="replace"))]
    print("\n".join(faults) if faults else f"tidy: {len(names)} files")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
