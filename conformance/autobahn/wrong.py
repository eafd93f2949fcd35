"""A proxy that is wrong on purpose: once a connection is a WebSocket, it swaps the case of letters.

Usage: wrong.py PORT ORIGIN_PORT
"""

import asyncio
import sys


async def relay(reader, writer, change):
    try:
        writer.write(await reader.readuntil(b"\r\n\r\n"))
        while data := await reader.read(65536):
            writer.write(change(data))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # one side left
    writer.close()


async def accept(reader, writer):
    up_reader, up_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(
        relay(reader, up_writer, bytes), relay(up_reader, writer, bytes.swapcase)
    )


async def main():
    server = await asyncio.start_server(accept, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
