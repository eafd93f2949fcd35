"""Asks a running edge whose routes have agents that speak Envoy's protocols and forward-auth.

Usage: suite.py EDGE_PORT ORIGIN_PORT GRPC_PORT AUTH_PORT EXAMPLE_PORT; all but the edge is this program.
"""

import http.client
import json
import pathlib
import sys
import time
from concurrent import futures

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "examples/agents/python-grpc")]

import agent as example
import grpc
import outcome
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.auth.v3 import external_auth_pb2 as auth
from envoy.service.ext_proc.v3 import external_processor_pb2 as proc
from envoy.type.v3.http_status_pb2 import HttpStatus
from google.protobuf import duration_pb2, struct_pb2
from google.rpc.status_pb2 import Status
from service import Authorizer, Processor, carry_on, echo, option, plain, serve
from service import http as http_server

PATIENCE_S = 20
EDGE, ORIGIN, GRPC, AUTH, EXAMPLE = map(int, sys.argv[1:6])

processor, authorizer = Processor(), Authorizer()
asked = []
forward = lambda handler: (200, [], b"")


def main():
    servers = [
        serve(GRPC, processor, authorizer),
        http_server(ORIGIN, echo),
        http_server(AUTH, lambda handler: (asked.append(handler), forward(handler))[1]),
        example.serve(EXAMPLE),
    ]
    outcome.version(f"grpcio {grpc.__version__}, xds-protos 1.85.0")
    await_agents()
    for case in CASES:
        processor.seen.clear(), authorizer.seen.clear(), asked.clear()
        processor.ended.clear()
        try:
            fault = case()
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        kind, _, name = case.__name__.partition("_")
        outcome.case(f"{KINDS[kind]}: {case.__doc__ or name}", fault)
    del servers


def await_agents():
    """Agents are started beside the edge; until then their routes refuse."""
    authorizer.script = lambda request, context: allowed()
    deadline = time.monotonic() + PATIENCE_S
    for path in ["/proc", "/stream", "/authz", "/web", "/example"]:
        while call(path, fields={"X-Tenant": "acme"})[0] == 503 and time.monotonic() < deadline:
            time.sleep(0.05)


def call(path, method="GET", fields=None, body=None, chunked=False):
    """Status, fields and body of an answer of the edge's."""
    connection = http.client.HTTPConnection("127.0.0.1", EDGE, timeout=PATIENCE_S)
    connection.request(method, path, body, fields or {}, encode_chunked=chunked)
    response = connection.getresponse()
    answer = response.status, response.getheaders(), response.read()
    connection.close()
    return answer


def seen_by_origin(path, **how):
    """What the upstream saw of a request that passes."""
    status, _, body = call(path, **how)
    if status != 200:
        raise AssertionError(f"status {status}: {body!r:.200}")
    return json.loads(body)


def values(pairs, name):
    return [value for own, value in pairs if own.lower() == name]


def same(found, expected):
    return "" if found == expected else f"{found!r:.300} is not {expected!r:.300}"


def script(**by_kind):
    """Answers messages of these kinds with these, and lets the rest go on."""
    processor.script = lambda kind, message, context: by_kind.get(kind) or carry_on(kind)


# ext_proc


def proc_sees_request():
    "the service sees pseudo-headers, fields and attributes"
    script()
    seen_by_origin("/proc?a=1", fields={"X-Mine": "grün".encode().decode("latin-1")})
    request = processor.seen[0]
    headers = {header.key: header.raw_value for header in request.request_headers.headers.headers}
    attributes = request.attributes["envoy.filters.http.ext_proc"]
    found = (
        [headers.get(name) for name in (":method", ":path", ":scheme", ":authority", "x-mine")],
        request.request_headers.end_of_stream,
        attributes["xds.route_name"],
        attributes["request.path"],
        attributes["source.address"].rpartition(":")[0],
    )
    authority = f"127.0.0.1:{EDGE}".encode()
    values = [b"GET", b"/proc?a=1", b"http", authority, "grün".encode()]
    return same(found, (values, True, "proc", "/proc?a=1", "127.0.0.1"))


def proc_changes_request():
    "fields of a request are set, appended and removed"
    overwrite = "OVERWRITE_IF_EXISTS_OR_ADD"
    mutation = proc.HeaderMutation(
        set_headers=[
            option("x-set", "1"),
            option("x-mine", "2", append={"value": True}),
            option("x-mine", "no", append_action="ADD_IF_ABSENT"),
            option("x-new", "3", append_action="ADD_IF_ABSENT"),
            option("x-new", "4", append_action=overwrite),
            option("x-none", "5", append_action="OVERWRITE_IF_EXISTS"),
        ],
        remove_headers=["x-secret"],
    )
    script(request_headers=carry_on("request_headers", header_mutation=mutation))
    fields = seen_by_origin("/proc", fields={"X-Mine": "1", "X-Secret": "1", "X-Set": "0"})["fields"]
    names = ["x-set", "x-mine", "x-new", "x-none", "x-secret"]
    return same([values(fields, name) for name in names], [["1"], ["1", "2"], ["4"], [], []])


def proc_replaces_request_body():
    "a request's body is seen and replaced, with its type"
    mutation = proc.HeaderMutation(set_headers=[option("content-type", "text/new")])
    body = proc.BodyMutation(body=b"new and longer")
    script(
        request_body=carry_on("request_body", header_mutation=mutation, body_mutation=body)
    )
    seen = seen_by_origin("/proc", method="POST", body=b"old", fields={"Content-Type": "text/old"})
    bodies = [request.request_body for request in processor.seen if request.HasField("request_body")]
    found = (
        [(body.body, body.end_of_stream) for body in bodies],
        seen["body"],
        values(seen["fields"], "content-type"),
    )
    return same(found, ([(b"old", True)], "new and longer", ["text/new"]))


def proc_clears_request_body():
    "a request's body is cleared"
    body = proc.BodyMutation(clear_body=True)
    script(request_body=carry_on("request_body", body_mutation=body))
    return same(seen_by_origin("/proc", method="POST", body=b"old")["body"], "")


def proc_replaces_by_head():
    "CONTINUE_AND_REPLACE gives a body when the head is seen"
    body = proc.BodyMutation(body=b"whole")
    replace = carry_on("request_headers", status="CONTINUE_AND_REPLACE", body_mutation=body)
    script(request_headers=replace)
    seen = seen_by_origin("/proc", method="POST", body=b"old")
    asked = [request.WhichOneof("request") for request in processor.seen]
    return same((seen["body"], "request_body" in asked), ("whole", False))


def proc_changes_response():
    "fields of a response are set and removed, and its body replaced"
    mutation = proc.HeaderMutation(
        set_headers=[option("x-origin", "no"), option("content-type", "text/plain")],
        remove_headers=["x-private"],
    )
    body = proc.BodyMutation(body=b"another body")
    script(
        response_headers=carry_on("response_headers", header_mutation=mutation),
        response_body=carry_on("response_body", body_mutation=body),
    )
    status, fields, body = call("/proc")
    head = processor.seen[1].response_headers.headers.headers
    found = (
        status,
        [values(fields, name) for name in ("x-origin", "content-type", "x-private")],
        body,
        [header.raw_value for header in head if header.key == ":status"],
    )
    return same(found, (200, [["no"], ["text/plain"], []], b"another body", [b"200"]))


def proc_answers_at_once():
    "an immediate response is the client's answer"
    answer = proc.ImmediateResponse(
        status=HttpStatus(code=429),
        headers=proc.HeaderMutation(set_headers=[option("retry-after", "7")]),
        body=b"slow down",
        details="quota",
    )
    script(request_headers=proc.ProcessingResponse(immediate_response=answer))
    status, fields, body = call("/proc")
    found = (status, values(fields, "retry-after"), body, values(fields, "x-origin"))
    return same(found, (429, ["7"], b"slow down", []))


def proc_answers_body_at_once():
    "an immediate response to a body is the client's answer, and the upstream sees nothing"
    answer = proc.ImmediateResponse(status=HttpStatus(code=400), body=b"bad body")
    script(request_body=proc.ProcessingResponse(immediate_response=answer))
    status, fields, body = call("/proc", method="POST", body=b"x")
    return same((status, body, values(fields, "x-origin")), (400, b"bad body", []))


def proc_answers_response_at_once():
    "an immediate response takes the place of the upstream's"
    answer = proc.ImmediateResponse(status=HttpStatus(code=451), body=b"not here")
    script(response_headers=proc.ProcessingResponse(immediate_response=answer))
    status, fields, body = call("/proc")
    return same((status, body, values(fields, "x-origin")), (451, b"not here", []))


def proc_redirects():
    "an immediate response redirects"
    answer = proc.ImmediateResponse(
        status=HttpStatus(code=302),
        headers=proc.HeaderMutation(set_headers=[option("location", "https://id.example/")]),
    )
    script(request_headers=proc.ProcessingResponse(immediate_response=answer))
    status, fields, _ = call("/proc")
    return same((status, values(fields, "location")), (302, ["https://id.example/"]))


def proc_overrides_mode():
    "mode_override leaves out what the service does not want to see"
    answer = carry_on("request_headers")
    answer.mode_override.CopyFrom(
        ProcessingMode(request_body_mode="NONE", response_header_mode="SKIP", response_body_mode="NONE")
    )
    script(request_headers=answer)
    seen = seen_by_origin("/proc", method="POST", body=b"unseen")
    asked = [request.WhichOneof("request") for request in processor.seen]
    return same((seen["body"], asked), ("unseen", ["request_headers"]))


def proc_tells_values():
    "dynamic_metadata are taken, and the request passes"
    answer = carry_on("request_headers")
    answer.dynamic_metadata.update({"com.example": {"user": "ada", "score": 0.5}})
    script(request_headers=answer)
    return same(seen_by_origin("/proc")["method"], "GET")


def proc_waits_for_override():
    "override_message_timeout is not taken for an answer"
    wish = proc.ProcessingResponse(override_message_timeout=duration_pb2.Duration(seconds=1))
    mutation = proc.HeaderMutation(set_headers=[option("x-late", "1")])
    answer = carry_on("request_headers", header_mutation=mutation)
    processor.script = lambda kind, message, context: [wish, answer]
    return same(values(seen_by_origin("/late")["fields"], "x-late"), ["1"])


def proc_releases():
    "a stream that the service ends in order lets the exchange go on"
    processor.script = lambda kind, message, context: None
    return same(seen_by_origin("/proc", method="POST", body=b"x")["body"], "x")


def proc_fails():
    "a stream that fails refuses the request"
    processor.script = lambda kind, message, context: context.abort(grpc.StatusCode.INTERNAL, "no")
    status, fields, _ = call("/proc")
    return same((status, values(fields, "x-origin")), (503, []))


def proc_is_late():
    "a service that does not answer in time refuses the request, and its stream ends"
    processor.script = lambda kind, message, context: time.sleep(2)
    status, fields, _ = call("/late")
    ended = processor.ended.wait(PATIENCE_S)
    return same((status, values(fields, "x-origin"), ended), (504, [], True))


def proc_refuses_large_body():
    "a body above body-max is refused as Envoy does"
    script()
    status, fields, _ = call("/proc", method="POST", body=b"x" * (65 << 10))
    return same((status, values(fields, "x-origin")), (413, []))


def proc_is_asked_side_by_side():
    "a hundred exchanges at once"
    processor.script = lambda kind, message, context: (time.sleep(0.02), carry_on(kind))[1]
    with futures.ThreadPoolExecutor(100) as pool:
        calls = [pool.submit(call, f"/proc?{number}") for number in range(100)]
        return same({call.result()[0] for call in calls}, {200})


# ext_proc, streamed


def stream_goes_through():
    "a body of 1 MiB goes through the service piece by piece, both ways"

    def upper(kind, message, context):
        if kind.endswith("headers"):
            return carry_on(kind)
        return carry_on(kind, body_mutation=proc.BodyMutation(body=message.body.upper()))

    processor.script = upper
    status, _, body = call("/stream", method="POST", body=b"abcd" * (256 << 10))
    pieces = [request.request_body for request in processor.seen if request.HasField("request_body")]
    answer = json.loads(body.lower()) if status == 200 else {}
    found = (
        status,
        len(answer.get("body", "")),
        body == body.upper(),
        len(pieces) > 1,
        sum(len(piece.body) for piece in pieces),
        [piece.end_of_stream for piece in pieces].index(True) == len(pieces) - 1,
    )
    return same(found, (200, 1 << 20, True, True, 1 << 20, True))


def stream_shrinks():
    "pieces are dropped"

    def drop(kind, message, context):
        if kind != "request_body":
            return carry_on(kind)
        return carry_on(kind, body_mutation=proc.BodyMutation(clear_body=True))

    processor.script = drop
    return same(seen_by_origin("/stream", method="POST", body=b"x" * 100_000)["body"], "")


def stream_is_cut_off():
    "an immediate response in the middle of a body lets nothing pass as whole"
    answer = proc.ImmediateResponse(status=HttpStatus(code=403))
    script(request_body=proc.ProcessingResponse(immediate_response=answer))
    try:
        status, _, _ = call("/stream", method="POST", body=b"x" * 100_000)
    except (http.client.HTTPException, ConnectionError):
        return ""
    return "" if status >= 400 else f"status {status}"


# ext_authz


def allowed(**ok):
    return auth.CheckResponse(status=Status(code=0), ok_response=auth.OkHttpResponse(**ok))


def authz_sees_request():
    "the service sees the request as Envoy writes it"
    authorizer.script = lambda request, context: allowed()
    seen_by_origin("/authz/a?b=1", fields={"X-Mine": "1", "Cookie": "a=1"})
    attributes = authorizer.seen[0].attributes
    request = attributes.request.http
    found = (
        (request.method, request.path, request.host, request.scheme, request.protocol),
        (request.headers.get("x-mine"), request.headers.get("cookie"), request.headers.get(":path")),
        attributes.source.address.socket_address.address,
        attributes.source.address.socket_address.port_value > 0,
        dict(attributes.context_extensions),
    )
    line = ("GET", "/authz/a?b=1", f"127.0.0.1:{EDGE}", "http", "HTTP/1.1")
    fields = ("1", "a=1", "/authz/a?b=1")
    return same(found, (line, fields, "127.0.0.1", True, {"realm": "conformance"}))


def authz_sees_body():
    "the service sees a body, as text and as bytes"
    authorizer.script = lambda request, context: allowed()
    seen_by_origin("/authz", method="POST", body=b"text")
    seen_by_origin("/authz", method="POST", body=b"\xff\x00")
    bodies = [request.attributes.request.http for request in authorizer.seen]
    found = [(request.body, request.raw_body, request.size) for request in bodies]
    return same(found, [("text", b"", 4), ("", b"\xff\x00", 2)])


def authz_has_deadline():
    "the service is told how long it has"
    times = []
    authorizer.script = lambda request, context: (times.append(context.time_remaining()), allowed())[1]
    seen_by_origin("/authz")
    return "" if times and times[0] is not None and 0 < times[0] <= 5 else f"{times}"


def authz_allows():
    "fields of the request and the response are set, appended and removed"
    authorizer.script = lambda request, context: allowed(
        headers=[plain("x-user", "ada"), plain("x-mine", "2", append={"value": True})],
        headers_to_remove=["authorization"],
        response_headers_to_add=[plain("set-cookie", "s=1", append={"value": True})],
    )
    fields = {"X-User": "mallory", "X-Mine": "1", "Authorization": "Bearer x"}
    _, answered, body = call("/authz", fields=fields)
    fields = json.loads(body)["fields"]
    found = [values(fields, name) for name in ("x-user", "x-mine", "authorization")]
    return same((found, values(answered, "set-cookie")), ([["ada"], ["1", "2"], []], ["s=1"]))


def authz_denies():
    "a denied request gets the service's answer"
    denied = auth.DeniedHttpResponse(
        status=HttpStatus(code=401), headers=[plain("www-authenticate", "Bearer")], body="who?"
    )
    answer = auth.CheckResponse(status=Status(code=16), denied_response=denied)
    authorizer.script = lambda request, context: answer
    status, fields, body = call("/authz")
    found = (status, values(fields, "www-authenticate"), body, values(fields, "x-origin"))
    return same(found, (401, ["Bearer"], b"who?", []))


def authz_denies_plainly():
    "a denial without more is 403"
    authorizer.script = lambda request, context: auth.CheckResponse(status=Status(code=7))
    return same(call("/authz")[0], 403)


def authz_tells_values():
    "dynamic_metadata are taken, and the request passes"
    metadata = struct_pb2.Struct()
    metadata.update({"user": "ada", "groups": ["a"]})
    answer = auth.CheckResponse(status=Status(code=0), dynamic_metadata=metadata)
    authorizer.script = lambda request, context: answer
    return same(seen_by_origin("/authz")["method"], "GET")


def authz_fails():
    "a service that fails refuses the request"
    authorizer.script = lambda request, context: context.abort(grpc.StatusCode.UNAVAILABLE, "no")
    return same(call("/authz")[0], 503)


# Forward-auth


def web_sees_request():
    "the service is told of the request, and not what the client says of itself"
    lies = {"X-Forwarded-Uri": "/public", "X-Original-URL": "http://x/", "X-Forwarded-For": "1.2.3.4"}
    seen_by_origin("/web/a?b=1", method="POST", body=b"x", fields={"Cookie": "a=1", **lies})
    handler = asked[0]
    names = ["Method", "Proto", "Host", "Uri", "For"]
    found = (
        (handler.command, handler.path, handler.body, handler.headers.get("Cookie")),
        [handler.headers.get_all(f"X-Forwarded-{name}") for name in names],
        handler.headers.get_all("X-Original-URL"),
    )
    host = f"127.0.0.1:{EDGE}"
    told = [["POST"], ["http"], [host], ["/web/a?b=1"], ["127.0.0.1"]]
    line = ("GET", "/verify?x=1", b"", "a=1")
    return same(found, (line, told, [f"http://{host}/web/a?b=1"]))


def web_allows():
    "the upstream gets the service's fields, and none of the client's under their names"
    global forward
    forward = lambda handler: (200, [("Remote-User", "ada"), ("Set-Cookie", "s=1")], b"unseen")
    lies = {"Remote-User": "mallory", "Remote-Groups": "admin", "Remote_User": "mallory"}
    _, answered, body = call("/web", fields=lies)
    fields = json.loads(body)["fields"]
    names = ["remote-user", "remote-groups", "remote_user"]
    found = [values(fields, name) for name in names], values(answered, "set-cookie")
    return same(found, ([["ada"], [], []], ["s=1"]))


def web_sends_to_login():
    "a redirect of the service is the client's answer, with its cookie"
    global forward
    location = "https://id.example/?rd=%2Fweb"
    forward = lambda handler: (302, [("Location", location), ("Set-Cookie", "state=1")], b"")
    status, fields, _ = call("/web")
    found = status, values(fields, "location"), values(fields, "set-cookie")
    return same(found, (302, [location], ["state=1"]))


def web_asks_who():
    "a refusal of the service is the client's answer, with its body"
    global forward
    forward = lambda handler: (401, [("WWW-Authenticate", 'Basic realm="x"')], b"who?")
    status, fields, body = call("/web")
    found = status, values(fields, "www-authenticate"), body
    return same(found, (401, ['Basic realm="x"'], b"who?"))


# The example


def example_refuses():
    "the example in Python refuses unknown tenants"
    return same(call("/example")[::2], (403, b"unknown tenant\n"))


def example_masks():
    "the example in Python tells the region and masks card numbers"
    fields = {"X-Tenant": "acme"}
    seen = seen_by_origin("/example", method="POST", body=b"card 4111111111111111", fields=fields)
    found = values(seen["fields"], "x-region"), seen["body"]
    return same(found, (["eu"], "card ************1111"))


KINDS = {
    "proc": "ext_proc",
    "stream": "ext_proc, streamed",
    "authz": "ext_authz",
    "web": "forward-auth",
    "example": "example",
}
CASES = [
    case
    for name, case in list(globals().items())
    if name.partition("_")[0] in KINDS and callable(case) and "_" in name
]

if __name__ == "__main__":
    main()
