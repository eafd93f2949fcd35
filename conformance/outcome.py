"""How a driver speaks: one JSON object per line on standard output."""

import json


def version(text):
    print(json.dumps({"version": text}), flush=True)


def case(name, fault):
    """A case that passed if `fault` is empty, and otherwise failed for that reason."""
    outcome = "fail" if fault else "pass"
    print(json.dumps({"case": name, "outcome": outcome, "detail": fault or ""}), flush=True)


def skip(name, reason):
    print(json.dumps({"case": name, "outcome": "skip", "detail": reason}), flush=True)
