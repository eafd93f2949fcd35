"""Sends the cases of the W3C trace-context suite through a proxy and looks at what arrives upstream.

Usage: suite.py PROXY_PORT ORIGIN_PORT; this program is the origin.
"""

import json
import pathlib
import re
import socket
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import outcome
from cases import CASES, NEW, PARENT, SAME, TRACE

FORMAT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def main():
    proxy, origin = int(sys.argv[1]), int(sys.argv[2])
    listener = socket.create_server(("127.0.0.1", origin))
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    outcome.version("level 2, 41 cases, 2026-06")
    for name, steps in CASES.items():
        outcome.case(name, next(filter(None, faults(proxy, steps)), ""))


def faults(proxy, steps):
    """What is wrong at each step; span ids must differ from step to step."""
    spans = {PARENT}
    for step in steps:
        seen = ask(proxy, step.headers)
        names = [name.lower() for name, _ in seen]
        found = [value for name, value in seen if name.lower() == "traceparent"]
        if len(found) != 1 or not FORMAT.fullmatch(found[0]):
            yield f"traceparent upstream: {found}"
            return
        _, trace, span, flags = FORMAT.fullmatch(found[0]).groups()
        yield judge(step, trace, int(flags, 16), state(seen))
        if span in spans or not int(span, 16) or not int(trace, 16):
            yield f"not a new span: {found[0]}"
        spans.add(span)
        if names.count("tracestate") > 1:
            yield "several tracestate headers upstream"


def judge(step, trace, flags, members):
    if step.trace == SAME and trace != TRACE:
        return f"{step.headers}: a new trace"
    if step.trace == NEW and (trace == TRACE or trace[:-1] == TRACE[:-1]):
        return f"{step.headers}: the same trace"
    if flags & step.flags != step.flags:
        return f"{step.headers}: flags are {flags}"
    at = [members.index(member) if member in members else -1 for member in step.members]
    if -1 in at or at != sorted(at):
        return f"{step.headers}: tracestate is {members}"
    if any(member in members for member in step.absent):
        return f"{step.headers}: tracestate is {members}"
    return ""


def state(headers):
    values = [value for name, value in headers if name.lower() == "tracestate"]
    members = [member for value in values for member in re.split(r"[ \t]*,[ \t]*", value)]
    first = {}
    for member in filter(None, members):
        first.setdefault(member.partition("=")[0], member)
    return list(first.values())


def ask(port, headers):
    """Sends one request with these headers, byte for byte; returns those that the origin saw."""
    lines = ["GET / HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return []
    return json.loads(body[body.index(b"[[") : body.rindex(b"]]") + 2])


def serve(listener):
    """Answers every request with its headers as JSON."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection):
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = connection.recv(65536)
            if not chunk:
                return
            head += chunk
        lines = head.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")[1:]
        pairs = [[name, value.strip(" \t")] for name, _, value in (line.partition(":") for line in lines)]
        body = json.dumps(pairs).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)


main()
