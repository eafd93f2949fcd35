"""A TLS server that is wrong on purpose: old versions, RSA key exchange, CBC.

Usage: wrong.py PORT CERT KEY
"""

import socket
import ssl
import sys
import threading
import warnings

warnings.simplefilter("ignore", DeprecationWarning)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = ssl.TLSVersion.TLSv1
context.set_ciphers("ALL:@SECLEVEL=0")
context.load_cert_chain(sys.argv[2], sys.argv[3])


def answer(connection):
    try:
        with context.wrap_socket(connection, server_side=True) as stream:
            if stream.recv(65536):
                stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    except OSError:
        pass  # a scanner breaks off most of its handshakes


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
