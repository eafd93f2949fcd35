"""Compares what a program detects with what libinjection detects, as libmodsecurity carries it.

`suite.py [--count N] PROGRAM…`: the program reads lines of hexadecimal bytes and prints for each, as JSON,
`[fingerprint or null, is XSS, may be SQL, may be XSS]`.
"""

import ctypes
import json
import random
import subprocess
import sys
from pathlib import Path

import inputs

sys.path.insert(0, str(Path(__file__).parent.parent))
import outcome  # noqa: E402

LIBRARY = "libmodsecurity.so.3"
SEED = 20121107
SHOWN_MAX = 3


def main():
    arguments = sys.argv[1:]
    count = 100_000
    if arguments[0] == "--count":
        count, arguments = int(arguments[1]), arguments[2:]
    oracle = Oracle()
    outcome.version(f"libinjection {oracle.version()} in {LIBRARY}")
    for name, texts in inputs.groups(random.Random(SEED), count):
        judge(name, texts, [oracle.ask(text) for text in texts], ask(arguments, texts))


class Oracle:
    """libinjection itself."""

    def __init__(self):
        self.library = ctypes.CDLL(LIBRARY)
        self.library.libinjection_version.restype = ctypes.c_char_p
        self.library.libinjection_sqli.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p]
        self.library.libinjection_xss.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        self.fingerprint = ctypes.create_string_buffer(8)

    def version(self):
        return self.library.libinjection_version().decode()

    def ask(self, text):
        found = self.library.libinjection_sqli(text, len(text), self.fingerprint)
        xss = self.library.libinjection_xss(text, len(text))
        return self.fingerprint.value.decode() if found else None, bool(xss)


def ask(program, texts):
    lines = "".join(text.hex() + "\n" for text in texts)
    ran = subprocess.run(program, input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def judge(name, texts, expected, answers):
    """Reports equality of both detections, and that no gate hides what is detected."""
    if len(answers) != len(texts):
        raise SystemExit(f"{len(texts)} questions, {len(answers)} answers")
    faults = {"SQL": [], "XSS": [], "gates": []}
    found = {"SQL": 0, "XSS": 0}
    for text, (sql, xss), (our_sql, our_xss, may_sql, may_xss) in zip(texts, expected, answers):
        found["SQL"] += sql is not None
        found["XSS"] += xss
        if sql != our_sql:
            faults["SQL"].append(f"{text!r}: {sql}, not {our_sql}")
        if xss != our_xss:
            faults["XSS"].append(f"{text!r}: {xss}, not {our_xss}")
        if sql is not None and not may_sql or xss and not may_xss:
            faults["gates"].append(f"{text!r} is kept out")
    print(f"{name}: {len(texts)} texts, {found['SQL']} are SQL, {found['XSS']} XSS")
    for what, differing in faults.items():
        shown = "; ".join(differing[:SHOWN_MAX])
        outcome.case(f"{name}: {what}", f"{len(differing)} differ: {shown}" if differing else "")


main()
