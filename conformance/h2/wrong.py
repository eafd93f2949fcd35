"""An HTTP/2 server that is wrong on purpose: it greets, acknowledges and answers, but checks nothing.

Usage: wrong.py PORT
"""

import socketserver
import struct
import sys

PREFACE = 24
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
ACK, END_STREAM, END_HEADERS = 1, 1, 4
STATUS_200 = b"\x88"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Careless(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.read(PREFACE)
        self.wfile.write(frame(SETTINGS, 0, 0))
        while len(head := self.rfile.read(9)) == 9:
            length = int.from_bytes(head[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            payload = self.rfile.read(length)
            if kind == SETTINGS and not flags & ACK:
                self.wfile.write(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.wfile.write(frame(PING, ACK, 0, payload))
            elif kind == HEADERS:
                self.wfile.write(frame(HEADERS, END_HEADERS, stream, STATUS_200))
                self.wfile.write(frame(DATA, END_STREAM, stream, b"hello"))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients of this server leave early; that is what they are for."""


Server(("127.0.0.1", int(sys.argv[1])), Careless).serve_forever()
