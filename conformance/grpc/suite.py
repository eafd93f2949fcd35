"""Calls a gRPC service through a proxy, in cleartext and over TLS.

Usage: suite.py PLAIN_PORT TLS_PORT ORIGIN_PORT CERT PATIENCE_S; this program is the service at ORIGIN_PORT.
Calls below /down/ must lead to an upstream that is not there.
"""

import pathlib
import queue
import sys
from concurrent import futures

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import grpc
import outcome
from service import MESSAGE_BYTES, NAME, OPTIONS, start

PATIENCE_S = float(sys.argv[5])


def main():
    plain, tls, origin, certificate = sys.argv[1:5]
    service, server = start(int(origin))
    outcome.version(f"grpcio {grpc.__version__}")
    roots = grpc.ssl_channel_credentials(pathlib.Path(certificate).read_bytes())
    with grpc.insecure_channel(f"127.0.0.1:{plain}", OPTIONS) as channel:
        run("h2c", channel, service)
    with grpc.secure_channel(f"localhost:{tls}", roots, OPTIONS) as channel:
        run("tls", channel, service)
    server.stop(0)


def run(kind, channel, service):
    for case in CASES:
        service.cancelled.clear()
        try:
            fault = case(channel, service)
        except grpc.RpcError as error:
            fault = f"{error.code()}: {error.details()}"
        outcome.case(f"{kind}: {case.__doc__}", fault)


def path(method):
    return f"/{NAME}/{method}"


def same(found, expected):
    return "" if found == expected else f"{found!r:.200} is not {expected!r:.200}"


def unary(channel, service):
    "unary, with metadata of both kinds both ways"
    metadata = (("token", "a b;c"), ("token-bin", bytes(range(256))))
    call = channel.unary_unary(path("Echo"))
    reply, info = call.with_call(b"hello", metadata=metadata, timeout=PATIENCE_S)
    initial, trailing = dict(info.initial_metadata()), dict(info.trailing_metadata())
    found = (reply, initial.get("initial"), trailing.get("trailing-bin"))
    return same(found, (b"hello", "a b;c", bytes(range(256))))


def empty(channel, service):
    "an empty message"
    return same(channel.unary_unary(path("Echo"))(b"", timeout=PATIENCE_S), b"")


def large(channel, service):
    "a message of 8 MiB both ways"
    message = bytes(range(256)) * (8 << 12)
    reply = channel.unary_unary(path("Echo"))(message, timeout=PATIENCE_S)
    return "" if reply == message else f"{len(reply)} bytes came back"


def compressed(channel, service):
    "a compressed message"
    call = channel.unary_unary(path("Echo"))
    message = b"again " * 10_000
    return same(call(message, compression=grpc.Compression.Gzip, timeout=PATIENCE_S), message)


def client_streaming(channel, service):
    "client streaming, 5,000 messages"
    requests = (b"x" * MESSAGE_BYTES for _ in range(5000))
    reply = channel.stream_unary(path("Count"))(requests, timeout=PATIENCE_S)
    return same(int(reply), 5000 * MESSAGE_BYTES)


def server_streaming(channel, service):
    "server streaming, 5,000 messages"
    replies = channel.unary_stream(path("Repeat"))(b"5000", timeout=PATIENCE_S)
    return same(sum(len(reply) for reply in replies), 5000 * MESSAGE_BYTES)


def bidirectional(channel, service):
    "bidirectional streaming: each message waits for the answer to the one before"
    requests = queue.SimpleQueue()
    replies = channel.stream_stream(path("Converse"))(iter(requests.get, None), timeout=PATIENCE_S)
    for number in range(300):
        message = f"message {number}".encode()
        requests.put(message)
        if next(replies) != message[::-1]:
            return f"message {number} came back wrong"
    requests.put(None)
    return same(list(replies), [])


def half_close(channel, service):
    "a stream that the client ends before it begins"
    replies = channel.stream_stream(path("Converse"))(iter([]), timeout=PATIENCE_S)
    return same(list(replies), [])


def status(channel, service):
    "a status in trailers alone, with message and metadata"
    try:
        channel.unary_unary(path("Fail"))(b"", timeout=PATIENCE_S)
    except grpc.RpcError as error:
        found = (error.code(), error.details(), dict(error.trailing_metadata()).get("reason-bin"))
        return same(found, (grpc.StatusCode.INVALID_ARGUMENT, "grün: 100 % wrong", b"\x00\xff"))
    return "it did not fail"


def late_status(channel, service):
    "a status after messages"
    replies = channel.unary_stream(path("RepeatThenFail"))(b"3", timeout=PATIENCE_S)
    count = 0
    try:
        for _ in replies:
            count += 1
    except grpc.RpcError as error:
        return same((count, error.code()), (3, grpc.StatusCode.DATA_LOSS))
    return "it did not fail"


def unimplemented(channel, service):
    "a method that is not there"
    return fails(channel, path("Nothing"), grpc.StatusCode.UNIMPLEMENTED)


def unavailable(channel, service):
    "an upstream that is not there"
    return fails(channel, f"/down{path('Echo')}", grpc.StatusCode.UNAVAILABLE)


def fails(channel, method, code):
    try:
        channel.unary_unary(method)(b"", timeout=PATIENCE_S)
    except grpc.RpcError as error:
        return same(error.code(), code)
    return "it did not fail"


def deadline(channel, service):
    "a deadline reaches client and server"
    try:
        channel.unary_unary(path("Sleep"))(b"", timeout=0.5)
    except grpc.RpcError as error:
        heard = service.cancelled.wait(PATIENCE_S)
        return same((error.code(), heard), (grpc.StatusCode.DEADLINE_EXCEEDED, True))
    return "it did not fail"


def remaining(channel, service):
    "the server knows the time that is left"
    left = float(channel.unary_unary(path("Remaining"))(b"", timeout=PATIENCE_S))
    return "" if 0 < left < PATIENCE_S + 1 else f"{left} s"


def cancel(channel, service):
    "a client that cancels a stream stops the server"
    replies = channel.unary_stream(path("Endless"))(b"", timeout=PATIENCE_S)
    next(replies)
    replies.cancel()
    return same(service.cancelled.wait(PATIENCE_S), True)


def slow_reader(channel, service):
    "a client that does not read does not stop others"
    stalled = channel.unary_stream(path("Endless"))(b"", timeout=PATIENCE_S)
    next(stalled)
    fault = unary(channel, service)
    stalled.cancel()
    return fault


def concurrent(channel, service):
    "200 calls, 32 at once"
    call = channel.unary_unary(path("Echo"))
    with futures.ThreadPoolExecutor(max_workers=32) as pool:
        messages = [str(number).encode() for number in range(200)]
        return same(list(pool.map(lambda m: call(m, timeout=PATIENCE_S), messages)), messages)


CASES = [
    unary, empty, large, compressed, client_streaming, server_streaming, bidirectional, half_close,
    status, late_status, unimplemented, unavailable, deadline, remaining, cancel, slow_reader, concurrent,
]

main()
