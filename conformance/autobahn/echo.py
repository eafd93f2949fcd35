"""A strict WebSocket echo server. Usage: echo.py PORT"""

import asyncio
import logging
import os
import sys

# 4 MiB in fragments of 64 bytes are 65,536 fragments.
os.environ["WEBSOCKETS_MAX_FRAGMENTS"] = str(1 << 17)

from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def main():
    # Peers of this server break the rules for a living.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), compression=None, max_size=None) as server:
        await server.serve_forever()


asyncio.run(main())
