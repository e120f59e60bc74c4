"""Claim: a dead peer is found in time, also by a program that is blocked in a send.

All clients have the same heartbeat: a ping every `INTERVAL`, an answer within
`TIMEOUT`, one missed answer is enough (the guard is also shown with the three of
its defaults). aiohttp takes one number, and waits half of it for the answer. They
run at once, each in a thread with an event loop of its own, on connections
through one relay (`benchmarks.relay`), which at a random moment lets nothing more
through: no FIN, no RST. What is measured is the time until the program is told: a
call of its raises, or the guard's state changes. `CAP` stands for "not within it".

- ``idle``: the program waits for a message.
- ``blocked sender``: another task of it sends messages of 1 MiB into the hole.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

import trio_wsguard as wsguard
from benchmarks.framework import Benchmark, Claim, Context, Sample, serve
from benchmarks.heartbeats import INTERVAL, TIMEOUT, policy
from benchmarks.peers import AIOHTTP, FAST, GUARD, PICOWS, REQUIRES, WS_ASYNCIO, WS_TRIO
from benchmarks.reconnect_latency import silence
from benchmarks.relay import relay_to
from benchmarks.slow_consumer import SLOW_CONSUMER

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    Watch = Callable[["Watching"], Coroutine[Any, Any, None]]

PATIENT: Final = "guard-3-missed"
PEERS: Final = (GUARD, FAST, PATIENT, WS_TRIO, WS_ASYNCIO, AIOHTTP, PICOWS)

IDLE: Final = "idle"
BLOCKED: Final = "blocked sender"

CAP: Final = 12.0  # seconds; 4 in a smoke test
BOUND: Final = INTERVAL + TIMEOUT + 0.05  # the last for the machine
_LARGE: Final = bytes(2**20)


@attrs.define
class Watching:
    """What one client and the measurement tell each other.

    Attributes:
        url: Where to connect.
        is_sending: Whether the client sends into the hole.
        ready: Set by the client once it is connected.
        holed: Set once there is a hole.
        over: Set once nothing is of interest any more.
        told_at: When the program was told, in monotonic seconds; infinite for never.
    """

    url: str
    is_sending: bool = False
    ready: threading.Event = attrs.field(factory=threading.Event)
    holed: threading.Event = attrs.field(factory=threading.Event)
    over: threading.Event = attrs.field(factory=threading.Event)
    told_at: float = math.inf

    def tell(self) -> None:
        """Note that the program was told; the first time counts."""
        self.told_at = min(self.told_at, time.monotonic())

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Note when a block is over or fails; not when it is cancelled."""
        with contextlib.suppress(Exception):
            yield
        self.tell()


# --- clients on trio: each is watched until it was told --------------------------


async def _until_told(watching: Watching, receive: Any, send: Any) -> None:
    """Run what a program does, until one part of it is told."""
    async with trio.open_nursery() as nursery:

        async def until_over(fn: Any) -> None:
            with watching.telling():
                await fn()
            nursery.cancel_scope.cancel()

        async def send_on() -> None:
            while not watching.holed.is_set():  # noqa: ASYNC110 - of another thread
                await trio.sleep(0.002)
            while True:
                await send(_LARGE)

        async def give_up() -> None:
            while not watching.over.is_set():  # noqa: ASYNC110 - of another thread
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

        nursery.start_soon(until_over, receive)
        nursery.start_soon(give_up)
        if watching.is_sending:
            nursery.start_soon(until_over, send_on)
        watching.ready.set()


async def _guard(watching: Watching, *, transport: str = "trio-websocket", missed: int = 1) -> None:
    with trio.CancelScope() as scope:
        async with wsguard.open_guarded_websocket(
            watching.url, policy=policy(missed), transport=transport
        ) as ws:

            async def wait_lost() -> None:
                await ws.wait_state(wsguard.ConnectionState.RECONNECTING)

            await _until_told(watching, wait_lost, ws.send_message)
            scope.cancel()


async def _websockets_trio(watching: Watching) -> None:
    from websockets.trio.client import connect

    async with connect(
        watching.url, ping_interval=INTERVAL, ping_timeout=TIMEOUT, compression=None, proxy=None
    ) as ws:
        await _until_told(watching, partial(_receive_all, ws.recv), ws.send)
        # Leaving would wait for a close handshake with a peer that is not there.
        await trio.aclose_forcefully(ws.stream)


async def _receive_all(receive: Any) -> None:
    while True:
        await receive()


# --- clients on asyncio ----------------------------------------------------------


async def _until_told_asyncio(watching: Watching, receive: Any, send: Any) -> None:
    async def until_over(fn: Any) -> None:
        with watching.telling():
            await fn()

    async def send_on() -> None:
        while not watching.holed.is_set():  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.002)
        while True:
            await send(_LARGE)

    async def give_up() -> None:
        while not watching.over.is_set():  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.01)

    parts = [until_over(receive), give_up()]
    if watching.is_sending:
        parts.append(until_over(send_on))
    tasks = [asyncio.create_task(part) for part in parts]
    watching.ready.set()
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _websockets(watching: Watching) -> None:
    from websockets.asyncio.client import connect

    async with connect(
        watching.url, ping_interval=INTERVAL, ping_timeout=TIMEOUT, compression=None, proxy=None
    ) as ws:
        await _until_told_asyncio(watching, partial(_receive_all, ws.recv), ws.send)
        ws.transport.abort()


async def _aiohttp(watching: Watching) -> None:
    aiohttp: Any = importlib.import_module("aiohttp")

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(watching.url, heartbeat=INTERVAL, max_msg_size=0) as ws,
    ):
        connection = ws.get_extra_info("socket")

        async def receive() -> None:
            async for _ in ws:
                pass

        await _until_told_asyncio(watching, receive, ws.send_bytes)
        # It has no abort, and would keep its socket until the hole takes what is unsent.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await ws.close()


async def _picows(watching: Watching) -> None:
    picows: Any = importlib.import_module("picows")

    transport, _ = await picows.ws_connect(
        picows.WSListener,
        watching.url,
        enable_auto_ping=True,
        auto_ping_idle_timeout=INTERVAL,
        auto_ping_reply_timeout=TIMEOUT,
    )

    async def send(data: bytes) -> None:
        # It never waits: what the kernel does not take is kept in memory, without end.
        transport.send(picows.WSMsgType.BINARY, data)
        await asyncio.sleep(0.05)

    await _until_told_asyncio(watching, transport.wait_disconnected, send)
    transport.disconnect(graceful=False)


_ON_TRIO: Final[dict[str, Watch]] = {
    GUARD: _guard,
    FAST: partial(_guard, transport="websockets"),
    PATIENT: partial(_guard, missed=3),
    WS_TRIO: _websockets_trio,
}
_ON_ASYNCIO: Final[dict[str, Watch]] = {
    WS_ASYNCIO: _websockets,
    AIOHTTP: _aiohttp,
    PICOWS: _picows,
}


def live(peer: str, watching: Watching) -> None:
    """Be one client, until it is told or nothing is of interest any more."""
    try:
        if peer in _ON_TRIO:
            trio.run(_ON_TRIO[peer], watching)
        else:
            asyncio.run(_ON_ASYNCIO[peer](watching))
    finally:
        watching.ready.set()


def measure(
    peers: Iterable[str], *, is_sending: bool, delay: float, cap: float
) -> dict[str, float]:
    """Tell, for each client, how many seconds after the hole it was told.

    Args:
        peers: The clients.
        is_sending: Whether they send into the hole.
        delay: Seconds that all are connected before there is one.
        cap: Seconds after which nothing more is waited for.
    """
    with serve() as server, contextlib.ExitStack() as stack:
        relay = stack.enter_context(relay_to(server.port))
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=len(PEERS)))
        watchings = {peer: Watching(url_of(relay.port), is_sending=is_sending) for peer in peers}
        living = [pool.submit(live, peer, one) for peer, one in watchings.items()]
        try:
            for one in watchings.values():
                one.ready.wait(cap)
            time.sleep(delay)
            holed_at = relay.hole()
            for one in watchings.values():
                one.holed.set()
            until = holed_at + cap
            while time.monotonic() < until and any(
                math.isinf(one.told_at) and not living[at].done()
                for at, one in enumerate(watchings.values())
            ):
                time.sleep(0.01)
        finally:
            for one in watchings.values():
                one.over.set()
            relay.end()
        for future in living:
            with contextlib.suppress(Exception):  # of leaving, with the relay gone
                future.result()
    return {peer: min(one.told_at - holed_at, cap) for peer, one in watchings.items()}


def url_of(port: int) -> str:
    """Tell where to connect: the server sends a word, answers pings, and is quiet."""
    return f"ws://127.0.0.1:{port}/first/16"


def run(context: Context) -> Iterable[Sample]:
    """Measure all clients at once, in both cases."""
    silence()
    rounds, cap = (1, 4.0) if context.quick else (5, CAP)
    rng = random.Random(1)  # noqa: S311 - when the hole comes, in a beat's time
    capped: set[tuple[str, str]] = set()
    for case in (IDLE, BLOCKED):
        for turn in range(rounds):
            share = (turn + rounds * (case == BLOCKED)) / (2 * rounds)
            context.progress(share, f"{case}, {turn + 1}/{rounds}")
            delay = 2 * INTERVAL + rng.uniform(0, INTERVAL)
            values = measure(context.wanted, is_sending=case == BLOCKED, delay=delay, cap=cap)
            for peer, value in values.items():
                if value >= cap:
                    capped.add((peer, case))
                yield Sample(peer=peer, case=case, round=turn, value=value)
    for peer, case in sorted(capped):
        context.notes.append(f"{peer}, {case}: {cap:g} s stand for not within {cap:g} s")


DETECTION: Final = Benchmark(
    name="detection",
    claim="A dead peer is found within an interval and a timeout, whatever the program does.",
    unit="s",
    lower_is_better=True,
    peers=PEERS,
    baseline=WS_ASYNCIO,
    claims=tuple(
        Claim(peer=peer, case=case, bound=BOUND)
        for peer in (GUARD, FAST)
        for case in (IDLE, BLOCKED)
    ),
    requires=REQUIRES,
    run=run,
)
BENCHMARKS: Final = (DETECTION, SLOW_CONSUMER)
