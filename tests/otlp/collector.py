"""A collector of OpenTelemetry traces: one line of JSON for each export, as the libraries of its authors read it.

With an argument it takes only exports whose header `authorization` says that.
"""

import sys
from concurrent import futures

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as services


def unknown(message):
    """Bytes that the definitions do not know, anywhere in it."""
    plain = type(message)()
    plain.CopyFrom(message)
    plain.DiscardUnknownFields()
    return message.ByteSize() - plain.ByteSize()


class Collector(services.TraceServiceServicer):
    def Export(self, request, context):
        assert unknown(request) == 0, "fields that OTLP does not have"
        if dict(context.invocation_metadata()).get("authorization") not in (sys.argv[1:] or [None]):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "another token")
        print(json_format.MessageToJson(request, indent=None), flush=True)
        return service.ExportTraceServiceResponse()


server = grpc.server(futures.ThreadPoolExecutor(2))
services.add_TraceServiceServicer_to_server(Collector(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
