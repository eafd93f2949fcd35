"""A WebSocket client that does what a case tells it, right or wrong, and notes what comes back.

Its names are those of the protocol class that the cases of autobahntestsuite drive.
"""

import asyncio
import os
import struct
import types

HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
# A case gives a peer a second; a loaded machine takes longer and is not wrong.
KILL_FACTOR = 5
DROP_SECONDS = 5


class Peer:
    CLOSE_STATUS_CODE_NORMAL = 1000
    CLOSE_STATUS_CODE_PROTOCOL_ERROR = 1002
    CLOSE_STATUS_CODE_INVALID_PAYLOAD = 1007
    STATE_CLOSED, STATE_OPEN, STATE_CLOSING = range(3)

    def __init__(self, case_class):
        self.factory = types.SimpleNamespace(isServer=False)
        self.state = self.STATE_CLOSED
        self.connectionWasOpen = self.closedByMe = self.failedByMe = False
        self.droppedByMe = self.wasClean = False
        self.remoteCloseCode = self.localCloseReason = None
        self.autoFragmentSize = 0
        self.txFrameStats = {}
        self.outgoing = asyncio.Queue()
        self.message = None
        self.case = case_class(self)

    async def run(self, port):
        """Runs the case to the end of its connection and returns it."""
        reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.writer.write(HANDSHAKE.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        sending = asyncio.create_task(self.send())
        if head.startswith(b"HTTP/1.1 101"):
            self.state = self.STATE_OPEN
            self.connectionWasOpen = True
            self.case.onOpen()
            try:
                await self.receive(reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass  # the other side is done
        self.state = self.STATE_CLOSED
        sending.cancel()
        self.writer.close()
        self.case.onConnectionLost(self.failedByMe)
        return self.case

    async def send(self):
        """Writes what is queued, chop by chop."""
        try:
            while True:
                data, chop = await self.outgoing.get()
                for at in range(0, len(data), chop or len(data)):
                    self.writer.write(data[at : at + chop] if chop else data)
                    await self.writer.drain()
                    await asyncio.sleep(0)
        except ConnectionError:
            pass  # `receive` sees it too

    async def receive(self, reader):
        while True:
            first, second = await reader.readexactly(2)
            length = second & 0x7F
            if length > 125:
                size = 2 if length == 126 else 8
                length = int.from_bytes(await reader.readexactly(size), "big")
            payload = (await reader.readexactly(length)).decode("latin-1")
            self.on_frame(first & 0x0F, bool(first & 0x80), payload)

    def on_frame(self, opcode, fin, payload):
        if opcode == CLOSE:
            self.on_close(payload.encode("latin-1"))
        elif self.state != self.STATE_OPEN:
            return
        elif opcode == PING:
            self.sendFrame(PONG, payload)
            self.case.onPing(payload)
        elif opcode == PONG:
            self.case.onPong(payload)
        else:
            self.on_data(opcode, fin, payload)

    def on_data(self, opcode, fin, payload):
        if opcode != CONTINUATION:
            self.message = (opcode, [])
        kind, parts = self.message
        parts.append(payload)
        if fin:
            self.case.onMessage("".join(parts), kind == BINARY)

    def on_close(self, payload):
        self.remoteCloseCode = int.from_bytes(payload[:2], "big") if payload else None
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(self.remoteCloseCode, isReply=True)
        self.wasClean = True
        self.case.onClose(True, self.remoteCloseCode, payload[2:])
        asyncio.get_running_loop().call_later(DROP_SECONDS, self.drop)

    def drop(self):
        if self.state != self.STATE_CLOSED:
            self.droppedByMe = True
            self.writer.close()

    # What cases call.

    def sendFrame(self, opcode, payload="", fin=True, rsv=0, mask=None, payload_len=None, chopsize=None, sync=False):
        data = payload.encode("latin-1")
        if payload_len is not None:
            data = (data * (payload_len // len(data) + 1))[:payload_len] if data else b""
        self.txFrameStats[opcode] = self.txFrameStats.get(opcode, 0) + 1
        first = (0x80 if fin else 0) | rsv << 4 | opcode
        key = os.urandom(4)
        self.outgoing.put_nowait((header(first, len(data)) + key + masked(data, key), chopsize))

    def sendMessage(self, payload, isBinary=False, fragmentSize=None):
        size = fragmentSize or self.autoFragmentSize or max(len(payload), 1)
        starts = range(0, max(len(payload), 1), size)
        for at in starts:
            opcode = CONTINUATION if at else BINARY if isBinary else TEXT
            self.sendFrame(opcode, payload[at : at + size], fin=at == starts[-1])

    def beginMessage(self):
        self.opening = TEXT

    def beginMessageFrame(self, length):
        self.key, self.sent = os.urandom(4), 0
        self.outgoing.put_nowait((header(self.opening, length) + self.key, None))
        self.opening = CONTINUATION

    def sendMessageFrameData(self, payload):
        shift = self.sent % 4
        key = self.key[shift:] + self.key[:shift]
        self.sent += len(payload)
        self.outgoing.put_nowait((masked(payload.encode("latin-1"), key), None))

    def endMessage(self):
        self.sendFrame(CONTINUATION)

    def sendClose(self, code=None, reason=None):
        self.sendCloseFrame(code, reason or "")

    def sendCloseFrame(self, code=None, reasonUtf8="", isReply=False):
        if self.state != self.STATE_OPEN:
            return
        self.localCloseReason = reasonUtf8
        number = "" if code is None else struct.pack(">H", code).decode("latin-1")
        self.sendFrame(CLOSE, number + reasonUtf8)
        self.state = self.STATE_CLOSING
        self.closedByMe = not isReply

    def killAfter(self, delay):
        self.later(delay * KILL_FACTOR, self.fail)

    def closeAfter(self, delay):
        self.later(delay, self.sendClose)

    def continueLater(self, delay, function, tag=None):
        self.later(delay, function)

    def later(self, delay, function):
        unless_gone = lambda: self.state != self.STATE_CLOSED and function()
        asyncio.get_running_loop().call_later(delay, unless_gone)

    def fail(self):
        self.failedByMe = self.droppedByMe = True
        self.writer.close()

    def enableWirelog(self, enable):
        """The cases switch a log that is not kept here."""


def header(first, length):
    if length < 126:
        return struct.pack(">BB", first, 0x80 | length)
    if length < 1 << 16:
        return struct.pack(">BBH", first, 0x80 | 126, length)
    return struct.pack(">BBQ", first, 0x80 | 127, length)


def masked(data, key):
    repeated = key * (len(data) // 4 + 1)
    number = int.from_bytes(data, "big") ^ int.from_bytes(repeated[: len(data)], "big")
    return number.to_bytes(len(data), "big")
