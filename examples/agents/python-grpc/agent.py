"""An agent in Python: a service of Envoy's ext_proc that knows tenants and hides card numbers.

Usage: agent.py [PORT]; it needs grpcio and xds-protos, which carries Envoy's published definitions.
"""

import re
import sys
from concurrent import futures

import grpc
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as ext_proc_grpc
from envoy.type.v3.http_status_pb2 import HttpStatus

REGIONS = {"acme": "eu", "globex": "us"}
CARD = re.compile(rb"\b\d{12}(\d{4})\b")


class Agent(ext_proc_grpc.ExternalProcessorServicer):
    def Process(self, requests, context):
        """Answers each part of one exchange; the edge waits for each answer."""
        for request in requests:
            if request.HasField("request_headers"):
                yield self.headers(request.request_headers)
            elif request.HasField("request_body"):
                yield self.body(request.request_body)

    def headers(self, message):
        fields = {field.key: field.raw_value.decode() for field in message.headers.headers}
        region = REGIONS.get(fields.get("x-tenant"))
        if region is None:
            answer = ext_proc.ImmediateResponse(
                status=HttpStatus(code=403), body=b"unknown tenant\n", details="unknown tenant"
            )
            return ext_proc.ProcessingResponse(immediate_response=answer)
        header = HeaderValue(key="x-region", raw_value=region.encode())
        mutation = ext_proc.HeaderMutation(set_headers=[HeaderValueOption(header=header)])
        common = ext_proc.CommonResponse(header_mutation=mutation)
        answer = ext_proc.HeadersResponse(response=common)
        return ext_proc.ProcessingResponse(request_headers=answer)

    def body(self, message):
        common = ext_proc.CommonResponse()
        masked = CARD.sub(rb"************\1", message.body)
        if masked != message.body:
            common.body_mutation.body = masked
        return ext_proc.ProcessingResponse(request_body=ext_proc.BodyResponse(response=common))


def serve(port):
    # Each exchange holds a thread for as long as it lasts.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=100))
    ext_proc_grpc.add_ExternalProcessorServicer_to_server(Agent(), server)
    if not server.add_insecure_port(f"127.0.0.1:{port}"):
        raise OSError(f"cannot listen on port {port}")
    server.start()
    return server


if __name__ == "__main__":
    serve(int(sys.argv[1]) if len(sys.argv) > 1 else 50051).wait_for_termination()
