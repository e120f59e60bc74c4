"""Claim: receiving through the guard costs at most 20 % at 64 B and is faster at 64 KiB.

Over the transport "websockets" it is more than twice as fast at every size.

Bare trio-websocket with its defaults, the guard message by message and the
guard in batches, over either transport, take turns in one run, each time on a
new connection to the same server. What counts is the ratio to the bare rate of the same round:
machines are noisy, and a round's peers share its noise.
"""

from __future__ import annotations

import gc
import math
import time
from contextlib import asynccontextmanager
from functools import partial
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

import attrs
import trio
import trio_websocket

import trio_wsguard as wsguard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    Take = Callable[[], Awaitable[int]]

BARE: Final = "bare trio-websocket"
GUARD: Final = "guard"
BATCHES: Final = "guard get_messages()"
FAST: Final = "fast guard"
FAST_BATCHES: Final = "fast get_messages()"

SIZES: Final = (64, 1024, 65536)
# The least ratio to the bare rate, for a message size in bytes, that is claimed.
CLAIMS: Final = {
    GUARD: {64: 0.8, 1024: 0.9, 65536: 1.0},
    FAST: {64: 2.3, 1024: 2.8, 65536: 6.0},
}
_BURST: Final = 64  # messages between two looks at the clock
_PATIENCE: Final = 15.0  # seconds beyond the measurement, after which a peer counts as hung


@attrs.frozen(kw_only=True)
class Rate:
    """One measurement.

    Attributes:
        peer: What received.
        size: Bytes a message.
        round: Which turn of the run it was, from 0.
        messages_per_second: The rate.
    """

    peer: str
    size: int
    round: int
    messages_per_second: float


@asynccontextmanager
async def _bare(url: str) -> AsyncIterator[Take]:
    async with trio_websocket.open_websocket_url(url) as ws:

        async def take() -> int:
            for _ in range(_BURST):
                await ws.get_message()
            return _BURST

        yield take


@asynccontextmanager
async def _guard(url: str, transport: str = "trio-websocket") -> AsyncIterator[Take]:
    async with wsguard.open_guarded_websocket(url, transport=transport) as ws:

        async def take() -> int:
            count = 0
            async for _ in ws:
                count += 1
                if count == _BURST:
                    break
            return count

        yield take


@asynccontextmanager
async def _batches(url: str, transport: str = "trio-websocket") -> AsyncIterator[Take]:
    async with wsguard.open_guarded_websocket(url, transport=transport) as ws:

        async def take() -> int:
            return len(await ws.get_messages())

        yield take


PEERS: Final[dict[str, Callable[[str], AbstractAsyncContextManager[Take]]]] = {
    BARE: _bare,
    GUARD: _guard,
    BATCHES: _batches,
    FAST: partial(_guard, transport="websockets"),
    FAST_BATCHES: partial(_batches, transport="websockets"),
}


async def _count(take: Take, warm_up: float, seconds: float) -> float:
    """Take messages for a while; tell how many a second came."""
    warm_until = time.perf_counter() + warm_up
    while time.perf_counter() < warm_until:
        await take()
    count, began = 0, time.perf_counter()
    while True:
        count += await take()
        passed = time.perf_counter() - began
        if passed >= seconds:
            return count / passed


async def measure(peer: str, url: str, warm_up: float, seconds: float) -> float:
    """Tell how many messages a second one peer receives, on a connection of its own.

    Raises:
        trio.TooSlowError: It hung.
    """
    rate = math.nan
    with trio.fail_after(warm_up + seconds + _PATIENCE), trio.CancelScope() as scope:
        async with PEERS[peer](url) as take:
            rate = await _count(take, warm_up, seconds)
            # Megabytes are on their way, and a close handshake would read them all.
            scope.cancel()
    return rate


def run(
    port: int, *, quick: bool, progress: Callable[[float, str], None]
) -> tuple[list[Row], list[Rate]]:
    """Measure all sizes and peers.

    Args:
        port: The server's, on loopback.
        quick: Whether a smoke test will do, instead of figures to rely on.
        progress: Told the share that is done, and what comes next.
    """
    rounds, warm_up, seconds = (3, 0.1, 0.3) if quick else (9, 0.3, 1.0)
    names = list(PEERS)
    rates: list[Rate] = []
    for size in SIZES:
        for turn in range(rounds):
            # Each round begins with another peer: none is always first.
            first = turn % len(names)
            for peer in names[first:] + names[:first]:
                done = len(rates) / (len(SIZES) * rounds * len(names))
                progress(done, f"receive, {size} B, round {turn + 1} of {rounds}, {peer}")
                gc.collect()  # the last peer's garbage is not this one's to clear
                url = f"ws://127.0.0.1:{port}/push/{size}"
                rate = trio.run(measure, peer, url, warm_up, seconds)
                rates.append(Rate(peer=peer, size=size, round=turn, messages_per_second=rate))
    return summarise(rates), rates


@attrs.frozen(kw_only=True)
class Row:
    """The figures of one peer at one size.

    Attributes:
        peer: What received.
        size: Bytes a message.
        median: Messages a second.
        quartiles: The first and the third, of all rounds.
        ratio: Median of the ratios to the bare rate of the same round.
        ratio_range: The least and the greatest of those.
        claim: The least ratio that is claimed; ``None`` for none.
    """

    peer: str
    size: int
    median: float
    quartiles: tuple[float, float]
    ratio: float
    ratio_range: tuple[float, float]
    claim: float | None

    @property
    def verdict(self) -> str | None:
        """``kept`` or ``behind``; ``None`` where nothing is claimed."""
        if self.claim is None:
            return None
        return "kept" if self.ratio >= self.claim else "behind"


def summarise(rates: list[Rate]) -> list[Row]:
    """Put the measurements into rows."""
    bare = {(r.size, r.round): r.messages_per_second for r in rates if r.peer == BARE}
    rows: list[Row] = []
    for size in SIZES:
        for peer in PEERS:
            own = [r for r in rates if (r.peer, r.size) == (peer, size)]
            figures = [r.messages_per_second for r in own]
            ratios = [r.messages_per_second / bare[size, r.round] for r in own]
            low, middle, high = quantiles(figures, n=4, method="inclusive")
            rows.append(
                Row(
                    peer=peer,
                    size=size,
                    median=middle,
                    quartiles=(low, high),
                    ratio=median(ratios),
                    ratio_range=(min(ratios), max(ratios)),
                    claim=CLAIMS.get(peer, {}).get(size),
                )
            )
    return rows
