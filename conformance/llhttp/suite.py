"""Compares a parser's framing with that of llhttp and h11, on llhttp's corpus and on mutations of it.

Usage: suite.py CORPUS SEEDS FRAME, where FRAME reads `request|response HEX` lines and prints JSON. The
corpus is no part of the repository; where it is not there, our seeds and their mutations are compared.
"""

import json
import pathlib
import random
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import corpus
import h11
import h11_framing
import outcome

HERE = pathlib.Path(__file__).parent
MUTATIONS_PER_CASE = 300
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

# Where an oracle has no opinion, the other one decides.
SILENT = [
    "HPE_INVALID_METHOD",  # llhttp knows a closed list of methods; RFC 9110 allows any token
    "no request line received",  # RFC 9112, 2.2: an empty line before a request is skipped
    "without a pending proposal",  # h11 was not told of the request that a 101 answers
    "closed",  # h11 does not keep HTTP/1.0 connections
]
# Methods that llhttp takes with RTSP or ICE alone.
FOREIGN_METHODS = {
    "ANNOUNCE", "DESCRIBE", "FLUSH", "GET_PARAMETER", "PAUSE", "PLAY", "RECORD", "REDIRECT",
    "SETUP", "SET_PARAMETER", "SOURCE", "TEARDOWN",
}
# Fields of one hop: those that `Connection` names go at the parser's door, these at the proxy's.
HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te",
    "trailer", "transfer-encoding", "upgrade", "close", "content-length",
}


def main():
    folder, seeds, frame = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    command = [sys.executable, frame] if frame.endswith(".py") else [frame]
    cases = list(corpus.read(folder)) if folder.is_dir() else []
    if not cases:
        skip_corpus()
    outcome.version(f"Node {node_version()}, h11 {h11.__version__}")
    for case, fault in zip(cases, faults(command, cases, stricter=True)):
        outcome.case(case.name, fault)
    seeds = list(corpus.read_seeds(seeds))
    for case, fault in zip(seeds, faults(command, seeds, stricter=False)):
        outcome.case(case.name, fault)
    mutations = list(mutate(cases + seeds))
    for name, fault in group(mutations, faults(command, mutations, stricter=False)).items():
        outcome.case(name, fault)


def skip_corpus():
    """Says that the corpus is not there, also of each of its cases that a deviation explains."""
    reason = "llhttp's corpus is not there; SELVEDGE_VECTORS names the folder that llhttp/test lies in"
    outcome.skip("request and response corpus", reason)
    for line in (HERE / "deviations.txt").read_text().splitlines():
        if line.startswith("  "):
            outcome.skip(line.strip().removeprefix("~ "), reason)


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
                if is_silent(message["start"][0], other["code"]):
                    break
                return f"we accept message {i + 1}, {name} does not ({other['code']})"
            fault = differs(message, other["messages"][i])
            if fault:
                return f"message {i + 1}: {fault} in {name} ({other['code']})"
    if stricter and mine["end"] == "refused" and not node["code"]:
        return f"we refuse with {mine['code']}, llhttp accepts"
    return ""


def is_silent(method, code):
    if code == "HPE_INVALID_CONSTANT":
        return method in FOREIGN_METHODS
    return any(known in code for known in SILENT)


def differs(mine, other):
    method, target = other["start"]
    if mine["start"] != [method, origin_form(target)]:
        return f"{mine['start']} is {other['start']}"
    if comparable(mine["fields"]) != comparable(passed_on(other["fields"])):
        return "other fields"
    if mine["body"] != other["body"]:
        return "another body"
    return "" if other["complete"] else "not complete"


def passed_on(fields):
    """Without the fields that `Connection` names (RFC 9110, 7.6.1): Selvedge's parser drops them."""
    options = b",".join(bytes.fromhex(v) for n, v in fields if n == "connection").lower()
    named = {option.strip(b" \t").decode("latin-1") for option in options.split(b",")} - HOP_BY_HOP
    return [[n, v] for n, v in fields if n not in named]


def comparable(fields):
    """Fields in any order; h11 writes transfer codings in lower case."""
    coding = "transfer-encoding"
    return sorted([n, bytes.fromhex(v).lower().hex() if n == coding else v] for n, v in fields)


def origin_form(target):
    """The path and query of a target in absolute form, as a request to an origin has them."""
    absolute = re.match(r"\w+://[^/?#]*(.*)", target)
    if not absolute:
        return target
    return absolute[1] if absolute[1].startswith("/") else "/" + absolute[1]


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


def group(cases, found):
    """For each file the first fault, or none."""
    groups = {f"mutations of {case.name}": "" for case in cases}
    for case, fault in zip(cases, found):
        name = f"mutations of {case.name}"
        if fault and not groups[name]:
            groups[name] = f"{fault}: {case.data!r}"
    return groups


def ask(command, cases):
    lines = "".join(f"{case.kind} {case.data.hex()}\n" for case in cases)
    ran = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def node_version():
    code = "console.log(process.version + ' with llhttp ' + process.versions.llhttp)"
    ran = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


main()
