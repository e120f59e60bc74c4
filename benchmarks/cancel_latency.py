"""Claim: whoever cancels a guard in its backoff is rid of it within a millisecond.

Each client is given a port where nobody listens and waits 60 s for its next
attempt. Then it is told to end, and what is measured is the time until all of it
has: its context left, no task of it alive. The moments of the telling are spread
evenly over a second, since the documents' loop looks at its flag once a second;
a task's `cancel` it obeys as fast as asyncio does, which is shown beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final

import trio
import trio_websocket

import trio_wsguard as wsguard
from benchmarks.framework import PATIENCE, Benchmark, Claim, Context, Sample, take_turns
from benchmarks.peers import BARE, FAST, GUARD, REQUIRES, WS_ASYNCIO

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    Client = Callable[[str, float], Awaitable[float]]

CLOSED: Final = "guard-aclose"
FLAGGED: Final = "documented-flag"
CANCELLED: Final = "documented-cancel"
CASE: Final = "60 s backoff"

_BACKOFF: Final = wsguard.LinearBackoff(60, 60)
POLICY: Final = wsguard.GuardPolicy(
    backoff=wsguard.BackoffPolicy(closed=_BACKOFF, network=_BACKOFF, other=_BACKOFF)
)


async def _guard(url: str, after: float, *, transport: str) -> float:
    before = trio.lowlevel.current_statistics().tasks_living
    with trio.CancelScope() as scope:
        async with wsguard.open_guarded_websocket(
            url, policy=POLICY, transport=transport, wait=False
        ) as ws:
            await ws.wait_state(wsguard.ConnectionState.RECONNECTING)
            await trio.sleep(after)
            began = time.perf_counter()
            scope.cancel()
    seconds = time.perf_counter() - began
    assert trio.lowlevel.current_statistics().tasks_living == before
    return seconds


async def _closed(url: str, after: float) -> float:
    async with wsguard.open_guarded_websocket(url, policy=POLICY, wait=False) as ws:
        await ws.wait_state(wsguard.ConnectionState.RECONNECTING)
        await trio.sleep(after)
        began = time.perf_counter()
        await ws.aclose()
    return time.perf_counter() - began


async def _bare(url: str, after: float) -> float:
    waiting = trio.Event()

    async def keep_up() -> None:
        while True:
            with contextlib.suppress(trio_websocket.HandshakeError, OSError):
                async with trio_websocket.open_websocket_url(url):
                    pass
            waiting.set()
            await trio.sleep(60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_up)
        await waiting.wait()
        await trio.sleep(after)
        began = time.perf_counter()
        nursery.cancel_scope.cancel()
    return time.perf_counter() - began


async def _end(task: asyncio.Task[None], tell: Callable[[], object], after: float) -> float:
    """Tell a task to end after a while; tell how long it took until no task is left but ours."""
    await asyncio.sleep(after)
    began = time.perf_counter()
    tell()
    await asyncio.wait([task])
    assert len(asyncio.all_tasks()) == 1
    return time.perf_counter() - began


async def _websockets(url: str, after: float) -> float:
    from websockets.asyncio.client import connect

    waiting = asyncio.Event()

    def delays() -> Iterator[float]:
        while True:
            waiting.set()
            yield 60.0

    async def keep_up() -> None:
        options = {"proxy": None, "reconnect_delays": delays}
        async for _ in connect(url, **options):  # type: ignore[arg-type]
            pass

    task = asyncio.create_task(keep_up())
    await waiting.wait()
    return await _end(task, task.cancel, after)


async def _documented(url: str, after: float, *, by_flag: bool) -> float:
    from benchmarks.baseline import DocumentedClient

    client = DocumentedClient(url, lambda _message: None)
    # Its longest wait: 50 s, after the fifth failure in a row.
    client.connection_failures = 4
    task = asyncio.create_task(client.run())
    while not client.is_waiting:  # noqa: ASYNC110 - it knows no event
        await asyncio.sleep(0.001)
    return await _end(task, client.stop if by_flag else task.cancel, after)


_ON_TRIO: Final[dict[str, Client]] = {
    GUARD: partial(_guard, transport="trio-websocket"),
    FAST: partial(_guard, transport="websockets"),
    CLOSED: _closed,
    BARE: _bare,
}
_ON_ASYNCIO: Final[dict[str, Client]] = {
    WS_ASYNCIO: _websockets,
    CANCELLED: partial(_documented, by_flag=False),
    FLAGGED: partial(_documented, by_flag=True),
}


def measure(peer: str, url: str, moments: Iterable[float]) -> float:
    """Tell how long the end of one client takes, in milliseconds: the median of some.

    Args:
        peer: Which client.
        url: Where nobody listens.
        moments: Seconds in the backoff after which it is told to end.
    """
    return 1000 * median(
        trio.run(_trio_main, _ON_TRIO[peer], url, moment)
        if peer in _ON_TRIO
        else asyncio.run(_asyncio_main(_ON_ASYNCIO[peer], url, moment))
        for moment in moments
    )


async def _trio_main(client: Client, url: str, after: float) -> float:
    with trio.fail_after(PATIENCE):
        return await client(url, after)


async def _asyncio_main(client: Client, url: str, after: float) -> float:
    async with asyncio.timeout(PATIENCE):
        return await client(url, after)


def run(context: Context) -> Iterable[Sample]:
    """Measure all clients."""
    from benchmarks.reconnect_latency import silence

    silence()
    rounds, count = (1, 2) if context.quick else (5, 4)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # and never listens: nobody else gets the port
        url = f"ws://127.0.0.1:{unheard.getsockname()[1]}/"
        # In the middle of equal parts of a second.
        moments = [(part + 0.5) / count for part in range(count)]

        def measure_one(peer: str, case: str) -> dict[str, float]:
            return {case: measure(peer, url, moments)}

        yield from take_turns(context, [CASE], rounds, measure_one)


CANCEL_LATENCY: Final = Benchmark(
    name="cancel_latency",
    claim="A guard that is cancelled in its backoff has ended within a millisecond.",
    unit="ms",
    lower_is_better=True,
    peers=(GUARD, FAST, CLOSED, BARE, WS_ASYNCIO, CANCELLED, FLAGGED),
    baseline=FLAGGED,
    claims=tuple(Claim(peer=peer, case=CASE, bound=1.0) for peer in (GUARD, FAST, CLOSED)),
    requires={**REQUIRES, CANCELLED: "websockets", FLAGGED: "websockets"},
    run=run,
)
BENCHMARKS: Final = (CANCEL_LATENCY,)
