"""Compares a parser's framing with that of llhttp and h11, on llhttp's corpus and on mutations of it.

Usage: suite.py CORPUS FRAME, where FRAME reads `request|response HEX` lines and prints JSON.
"""

import json
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import corpus
import h11
import h11_framing
import outcome

HERE = pathlib.Path(__file__).parent
MUTATIONS_PER_CASE = 100
SEED = 9112
# What attacks on framing are made of.
PIECES = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b";", b",", b"\0", b"\x0b", b"\x7f", b"\xff",
    b"0", b"1", b"5", b"+", b"-", b"0x", b"\r\n ", b"Content-Length: 1\r\n", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Connection: close\r\n",
    b"Transfer-Encoding : chunked\r\n", b"transfer-encoding:\tchunked\r\n", b"Host: other\r\n",
    b"Upgrade: x\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"http://other/", b"*", b"%00", b"/", b"?", b"#",
]


def main():
    folder, frame = pathlib.Path(sys.argv[1]), sys.argv[2]
    command = [sys.executable, frame] if frame.endswith(".py") else [frame]
    cases = list(corpus.read(folder))
    outcome.version(f"Node {node_version()}, h11 {h11.__version__}")
    for case, fault in zip(cases, faults(command, cases, stricter=True)):
        outcome.case(case.name, fault)
    mutations = list(mutate(cases))
    for file, found in by_file(mutations, faults(command, mutations, stricter=False)).items():
        outcome.case(f"mutations of {file}", found)


def faults(command, cases, stricter):
    """For each case what is wrong with our reading of it; "" if nothing is."""
    ours = ask(command, cases)
    node = ask(["node", str(HERE / "node.js")], cases)
    for case, mine, theirs in zip(cases, ours, node, strict=True):
        second = h11_framing.frame(case.kind, case.data)
        yield judge(mine, theirs, second, stricter)


def judge(mine, node, second, stricter):
    whole = [message for message in mine["messages"] if message["complete"]]
    for name, other in (("llhttp", node), ("h11", second)):
        for i, message in enumerate(whole):
            if i >= len(other["messages"]):
                return f"we accept message {i + 1}, {name} does not ({other['code']})"
            fault = differs(message, other["messages"][i])
            if fault:
                return f"message {i + 1}: {fault} in {name} ({other['code']})"
    if stricter and mine["end"] == "refused" and not node["code"]:
        return f"we refuse with {mine['code']}, llhttp accepts"
    return ""


def differs(mine, other):
    if mine["start"] != other["start"]:
        return f"{mine['start']} is {other['start']}"
    if sorted(mine["fields"]) != sorted(other["fields"]):
        return "other fields"
    if mine["body"] != other["body"]:
        return "another body"
    return "" if other["complete"] else "not complete"


def mutate(cases):
    chance = random.Random(SEED)
    for case in cases:
        for _ in range(MUTATIONS_PER_CASE):
            data = case.data
            for _ in range(chance.randint(1, 3)):
                at = chance.randint(0, len(data))
                cut = chance.choice([0, 0, 1, 2, 8])
                data = data[:at] + chance.choice([b""] + PIECES) + data[at + cut :]
            yield corpus.Case(case.name.split(":")[0], case.kind, data)


def by_file(cases, found):
    files = {}
    for case, fault in zip(cases, found):
        files.setdefault(case.name, "")
        if fault and not files[case.name]:
            files[case.name] = f"{fault}: {case.data!r}"
    return files


def ask(command, cases):
    lines = "".join(f"{case.kind} {case.data.hex()}\n" for case in cases)
    ran = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def node_version():
    code = "console.log(process.version + ' with llhttp ' + process.versions.llhttp)"
    ran = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


main()
