"""Services of Envoy's protocols on the published definitions; each case of the suite scripts them."""

import json
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from envoy.config.core.v3 import base_pb2 as core
from envoy.service.auth.v3 import external_auth_pb2 as auth
from envoy.service.auth.v3 import external_auth_pb2_grpc as auth_grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as proc
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as proc_grpc


class Processor(proc_grpc.ExternalProcessorServicer):
    """Asks the script about each message; what it returns are the answers, None ends the stream."""

    def __init__(self):
        self.script = lambda kind, message, context: carry_on(kind)
        self.seen = []
        self.ended = threading.Event()

    def Process(self, requests, context):
        context.add_callback(self.ended.set)
        for request in requests:
            kind = request.WhichOneof("request")
            self.seen.append(request)
            answers = self.script(kind, getattr(request, kind), context)
            if answers is None:
                return
            yield from answers if isinstance(answers, list) else [answers]


class Authorizer(auth_grpc.AuthorizationServicer):
    def __init__(self):
        self.script = lambda request, context: auth.CheckResponse()
        self.seen = []

    def Check(self, request, context):
        self.seen.append(request)
        return self.script(request, context)


def serve(port, processor, authorizer):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=200))
    proc_grpc.add_ExternalProcessorServicer_to_server(processor, server)
    auth_grpc.add_AuthorizationServicer_to_server(authorizer, server)
    if not server.add_insecure_port(f"127.0.0.1:{port}"):
        raise OSError(f"cannot listen on port {port}")
    server.start()
    return server


def carry_on(kind, **common):
    """The answer to a message of this kind, with this in its CommonResponse."""
    common = proc.CommonResponse(**common)
    build = proc.HeadersResponse if kind.endswith("headers") else proc.BodyResponse
    return proc.ProcessingResponse(**{kind: build(response=common)})


def option(name, value, **how):
    header = core.HeaderValue(key=name, raw_value=value.encode())
    return core.HeaderValueOption(header=header, **how)


def plain(name, value, **how):
    """As most services of ext_authz write a field."""
    return core.HeaderValueOption(header=core.HeaderValue(key=name, value=value), **how)


def http(port, answer):
    """An HTTP server; `answer` returns status, fields and body for a handler that has read its request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self):
            try:
                self.body = self.read()
            except ValueError:
                # Cut off, as some cases have it.
                self.close_connection = True
                return
            status, fields, body = answer(self)
            self.send_response(status)
            for name, value in fields:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def read(self):
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_POST = do_PUT = respond

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def echo(handler):
    """What an upstream saw, as JSON."""
    seen = {
        "method": handler.command,
        "target": handler.path,
        "fields": [[name.lower(), value] for name, value in handler.headers.items()],
        "body": handler.body.decode("latin-1"),
    }
    fields = [("Content-Type", "application/json"), ("X-Origin", "yes"), ("X-Private", "1")]
    return 200, fields, json.dumps(seen).encode()
