"""Claim: a healthy connection is kept, however slow the application is.

The peer is well and sends as fast as it is let; the application takes one message,
does nothing for 30 heartbeats, and then reads on. 1 is a connection that was
dropped, 0 one that was kept. All clients have the same heartbeat as in
`benchmarks.detection`, and run at once, each in a thread with a loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

import trio_wsguard as wsguard
from benchmarks.framework import PATIENCE, Benchmark, Claim, Context, Sample
from benchmarks.heartbeats import INTERVAL, TIMEOUT, policy
from benchmarks.peers import AIOHTTP, FAST, GUARD, PICOWS, REQUIRES, WS_ASYNCIO, WS_TRIO
from benchmarks.reconnect_latency import silence

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    IsDropped = Callable[[str, float], Awaitable[bool]]

PEERS: Final = (GUARD, FAST, WS_TRIO, WS_ASYNCIO, AIOHTTP, PICOWS)
CASE: Final = "asleep 30 beats"
SIZE: Final = 1024  # bytes a message
BEATS_ASLEEP: Final = 30
# Messages read when it is awake again: more than all buffers together hold.
READ_AFTER: Final = 20_000


def _asleep(scale: float) -> float:
    return BEATS_ASLEEP * INTERVAL * scale


async def _is_dropped_by_guard(
    url: str, scale: float, *, transport: str = "trio-websocket"
) -> bool:
    with trio.CancelScope() as scope:
        async with wsguard.open_guarded_websocket(
            url, policy=policy(scale=scale), transport=transport
        ) as ws:
            await ws.get_message()
            await trio.sleep(_asleep(scale))
            for _ in range(READ_AFTER):
                await ws.get_message()
            dropped = ws.generation > 1
            scope.cancel()
    return dropped


async def _is_dropped_by_websockets_trio(url: str, scale: float) -> bool:
    from websockets.exceptions import ConnectionClosed
    from websockets.trio.client import connect

    beats = {"ping_interval": INTERVAL * scale, "ping_timeout": TIMEOUT * scale}
    async with connect(url, compression=None, proxy=None, **beats) as ws:  # type: ignore[arg-type]
        try:
            await ws.recv()
            await trio.sleep(_asleep(scale))
            for _ in range(READ_AFTER):
                await ws.recv()
        except ConnectionClosed:
            return True
        finally:
            await trio.aclose_forcefully(ws.stream)
    return False


async def _is_dropped_by_websockets(url: str, scale: float) -> bool:
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    beats = {"ping_interval": INTERVAL * scale, "ping_timeout": TIMEOUT * scale}
    async with connect(url, compression=None, proxy=None, **beats) as ws:  # type: ignore[arg-type]
        try:
            await ws.recv()
            await asyncio.sleep(_asleep(scale))
            for _ in range(READ_AFTER):
                await ws.recv()
        except ConnectionClosed:
            return True
        finally:
            ws.transport.abort()
    return False


async def _is_dropped_by_aiohttp(url: str, scale: float) -> bool:
    aiohttp: Any = importlib.import_module("aiohttp")

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, heartbeat=INTERVAL * scale) as ws,
    ):
        await ws.receive()
        await asyncio.sleep(_asleep(scale))
        for _ in range(READ_AFTER):
            message = await ws.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return True
    return False


async def _is_dropped_by_picows(url: str, scale: float) -> bool:
    picows: Any = importlib.import_module("picows")

    first = asyncio.Event()

    class Listener(picows.WSListener):  # type: ignore[misc]
        def on_ws_frame(self, transport: Any, _frame: Any) -> None:
            if not first.is_set():
                first.set()
                # It has no queue: an application that is slow can but stop reading.
                transport.underlying_transport.pause_reading()

    transport, _ = await picows.ws_connect(
        Listener,
        url,
        enable_auto_ping=True,
        auto_ping_idle_timeout=INTERVAL * scale,
        auto_ping_reply_timeout=TIMEOUT * scale,
    )
    await first.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_asleep(scale)):
            await transport.wait_disconnected()
            return True
    transport.disconnect(graceful=False)
    return False


_ON_TRIO: Final[dict[str, IsDropped]] = {
    GUARD: _is_dropped_by_guard,
    FAST: partial(_is_dropped_by_guard, transport="websockets"),
    WS_TRIO: _is_dropped_by_websockets_trio,
}
_ON_ASYNCIO: Final[dict[str, IsDropped]] = {
    WS_ASYNCIO: _is_dropped_by_websockets,
    AIOHTTP: _is_dropped_by_aiohttp,
    PICOWS: _is_dropped_by_picows,
}


def measure(peer: str, url: str, scale: float) -> float:
    """Tell whether one client dropped the connection: 1 or 0."""
    patience = _asleep(scale) + PATIENCE

    async def on_trio() -> bool:
        with trio.fail_after(patience):
            return await _ON_TRIO[peer](url, scale)

    async def on_asyncio() -> bool:
        async with asyncio.timeout(patience):
            return await _ON_ASYNCIO[peer](url, scale)

    return float(trio.run(on_trio) if peer in _ON_TRIO else asyncio.run(on_asyncio()))


def run(context: Context) -> Iterable[Sample]:
    """Measure all clients at once."""
    silence()
    rounds, scale = (1, 0.4) if context.quick else (2, 1.0)
    with context.server() as server, ThreadPoolExecutor(len(PEERS)) as pool:
        url = f"ws://127.0.0.1:{server.port}/push/{SIZE}"
        for turn in range(rounds):
            context.progress(turn / rounds, f"{CASE}, {turn + 1}/{rounds}")
            futures = {peer: pool.submit(measure, peer, url, scale) for peer in context.wanted}
            for peer, future in futures.items():
                try:
                    yield Sample(peer=peer, case=CASE, round=turn, value=future.result())
                except Exception as exc:  # noqa: BLE001 - reported, and its claims are lost
                    context.fail(peer, CASE, exc)


SLOW_CONSUMER: Final = Benchmark(
    name="slow_consumer",
    claim="A healthy connection is kept, however slow the application is.",
    unit="dropped",
    lower_is_better=True,
    peers=PEERS,
    baseline=WS_ASYNCIO,
    claims=tuple(Claim(peer=peer, case=CASE, bound=0.0) for peer in (GUARD, FAST)),
    requires=REQUIRES,
    run=run,
)
