"""A gRPC service without schema: messages are bytes, methods are what a proxy could spoil."""

import threading
from concurrent import futures

import grpc

NAME = "selvedge.Conformance"
OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
MESSAGE_BYTES = 1000


class Service(grpc.GenericRpcHandler):
    def __init__(self):
        self.cancelled = threading.Event()
        self.methods = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Sleep": grpc.unary_unary_rpc_method_handler(self.sleep),
            "Remaining": grpc.unary_unary_rpc_method_handler(self.remaining),
            "Count": grpc.stream_unary_rpc_method_handler(self.count),
            "Repeat": grpc.unary_stream_rpc_method_handler(self.repeat),
            "RepeatThenFail": grpc.unary_stream_rpc_method_handler(self.repeat_then_fail),
            "Converse": grpc.stream_stream_rpc_method_handler(self.converse),
            "Endless": grpc.unary_stream_rpc_method_handler(self.endless),
        }

    def service(self, details):
        prefix = f"/{NAME}/"
        return self.methods.get(details.method.removeprefix(prefix))

    def echo(self, request, context):
        seen = dict(context.invocation_metadata())
        context.send_initial_metadata((("initial", seen.get("token", "")),))
        context.set_trailing_metadata((("trailing-bin", seen.get("token-bin", b"")),))
        return request

    def fail(self, request, context):
        context.set_trailing_metadata((("reason-bin", b"\x00\xff"),))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "grün: 100 % wrong")

    def sleep(self, request, context):
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(20)
        return request

    def remaining(self, request, context):
        return str(context.time_remaining()).encode()

    def count(self, requests, context):
        return str(sum(len(request) for request in requests)).encode()

    def repeat(self, request, context):
        for _ in range(int(request)):
            yield b"x" * MESSAGE_BYTES

    def repeat_then_fail(self, request, context):
        yield from self.repeat(request, context)
        context.abort(grpc.StatusCode.DATA_LOSS, "after the messages")

    def converse(self, requests, context):
        for request in requests:
            yield request[::-1]

    def endless(self, request, context):
        context.add_callback(self.cancelled.set)
        while context.is_active():
            yield b"x" * MESSAGE_BYTES


def start(port):
    """Starts the service and returns it, with the server that must be kept."""
    service = Service()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), options=OPTIONS)
    server.add_generic_rpc_handlers((service,))
    if not server.add_insecure_port(f"127.0.0.1:{port}"):
        raise SystemExit(f"port {port} is taken")
    server.start()
    return service, server
