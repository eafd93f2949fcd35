"""Prints the regression tests under a folder as JSON, a line for each stage; every leaf is a text, as it is written."""

import json
import pathlib
import sys

import yaml


def stages(path):
    test_file = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CBaseLoader)
    # A file may hold nothing but comments.
    for test in test_file["tests"] if test_file else []:
        for number, stage in enumerate(test["stages"], start=1):
            name = f"{test_file['rule_id']}-{test['test_id']}"
            yield name if number == 1 else f"{name}/{number}", stage["input"], stage["output"]


def main():
    root = pathlib.Path(sys.argv[1])
    for path in sorted([*root.glob("*/*.yaml"), *root.glob("*/*.yml")]):
        for name, given, expected in stages(path):
            # Fields of a head have an order.
            given["headers"] = list((given.get("headers") or {}).items())
            print(json.dumps({"file": path.parent.name, "name": name, "input": given, "output": expected}))


main()
