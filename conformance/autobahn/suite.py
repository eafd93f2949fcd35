"""Runs autobahntestsuite's cases against an echo server, directly and through a proxy.

Usage: suite.py PROXY_PORT ECHO_PORT. What the echo server itself gets wrong is skipped.
"""

import asyncio
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import cases
import outcome
from peer import Peer

AT_ONCE = 16
CASE_SECONDS_MAX = 120


async def main():
    proxy, echo = int(sys.argv[1]), int(sys.argv[2])
    version, classes = cases.read()
    outcome.version(f"autobahntestsuite {version}")
    directly = await perform(classes, echo)
    through = await perform(classes, proxy)
    for case_class, one, other in zip(classes, directly, through):
        if not is_accepted(one):
            outcome.skip(name(case_class), f"the echo server gets it wrong by itself: {one}")
        else:
            outcome.case(name(case_class), "" if is_accepted(other) else other)
    outcome.skip("12.*, 13.*", "compression is between the peers; to the proxy it is bytes, as in 1 to 10")


async def perform(classes, port):
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(case_class):
        async with slots:
            try:
                case = await asyncio.wait_for(Peer(case_class).run(port), CASE_SECONDS_MAX)
            except (OSError, TimeoutError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
                return f"no connection: {error!r}"
            return f"{case.behavior}, closed {case.behaviorClose}"

    return await asyncio.gather(*map(one, classes))


def is_accepted(verdict):
    """Autobahn passes these; whether an echo overtakes a failure (NON-STRICT) is left to chance."""
    behavior, _, closing = verdict.partition(", closed ")
    return behavior in ("OK", "NON-STRICT", "INFORMATIONAL") and closing in ("OK", "INFORMATIONAL")


def name(case_class):
    return case_class.__name__.removeprefix("Case").replace("_", ".")


asyncio.run(main())
