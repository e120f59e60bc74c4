"""Claim: receiving through the guard costs little at 64 B and wins at 64 KiB.

Bare trio-websocket with its defaults, the guard message by message and the
guard in batches take turns in one run, each time on a new connection to the
same server. What counts is the ratio to the bare rate of the same round:
machines are noisy, and a round's peers share its noise.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Final

import attrs
import trio
import trio_websocket

import trio_wsguard as wsguard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BARE: Final = "bare trio-websocket"
GUARD: Final = "guard"
BATCHES: Final = "guard, get_messages()"

# The least ratio to the bare rate, for a message size in bytes, that is claimed.
CLAIMS: Final = {64: 0.8, 1024: 0.9, 65536: 1.0}
_BURST: Final = 64  # messages between two looks at the clock


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


async def _measure(take: Callable[[], Awaitable[int]], warm_up: float, seconds: float) -> float:
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


async def _bare(url: str, warm_up: float, seconds: float) -> float:
    rate = 0.0
    with trio.CancelScope() as scope:
        async with trio_websocket.open_websocket_url(url) as ws:

            async def take() -> int:
                for _ in range(_BURST):
                    await ws.get_message()
                return _BURST

            rate = await _measure(take, warm_up, seconds)
            # A server that pushes without end never gets to our close frame.
            scope.cancel()
    return rate


def _policy() -> wsguard.GuardPolicy:
    return wsguard.GuardPolicy(close_timeout=0)


async def _guard(url: str, warm_up: float, seconds: float) -> float:
    async with wsguard.open_guarded_websocket(url, policy=_policy()) as ws:

        async def take() -> int:
            count = 0
            async for _ in ws:
                count += 1
                if count == _BURST:
                    break
            return count

        return await _measure(take, warm_up, seconds)


async def _batches(url: str, warm_up: float, seconds: float) -> float:
    async with wsguard.open_guarded_websocket(url, policy=_policy()) as ws:

        async def take() -> int:
            return len(await ws.get_messages())

        return await _measure(take, warm_up, seconds)


PEERS: Final = {BARE: _bare, GUARD: _guard, BATCHES: _batches}


def run(port: int, *, quick: bool, progress: Callable[[float, str], None]) -> list[Rate]:
    """Measure all sizes and peers.

    Args:
        port: The server's, on loopback.
        quick: Whether a smoke test will do, instead of figures to rely on.
        progress: Told the share that is done, and what comes next.
    """
    rounds, warm_up, seconds = (3, 0.1, 0.3) if quick else (9, 0.3, 1.0)
    turns = [(size, turn) for size in CLAIMS for turn in range(rounds)]
    rates: list[Rate] = []
    for done, (size, turn) in enumerate(turns):
        # Each round begins with another peer: none is always first.
        names = list(PEERS)
        order = names[turn % len(names) :] + names[: turn % len(names)]
        for peer in order:
            progress(done / len(turns), f"{size} B, round {turn + 1} of {rounds}, {peer}")
            url = f"ws://127.0.0.1:{port}/push/{size}"
            rate = trio.run(PEERS[peer], url, warm_up, seconds)
            rates.append(Rate(peer=peer, size=size, round=turn, messages_per_second=rate))
    progress(1.0, "done")
    return rates


@attrs.frozen(kw_only=True)
class Row:
    """The figures of one peer at one size.

    Attributes:
        peer: What received.
        size: Bytes a message.
        median: Messages a second.
        lowest: Of all rounds.
        highest: Of all rounds.
        ratio: Median of the ratios to the bare rate of the same round.
        claim: The least ratio that is claimed; ``None`` for none.
    """

    peer: str
    size: int
    median: float
    lowest: float
    highest: float
    ratio: float
    claim: float | None

    @property
    def is_kept(self) -> bool:
        """Whether the claim holds; a peer without one keeps it."""
        return self.claim is None or self.ratio >= self.claim


def summarise(rates: list[Rate]) -> list[Row]:
    """Put the measurements into rows."""
    bare = {(r.size, r.round): r.messages_per_second for r in rates if r.peer == BARE}
    rows: list[Row] = []
    for size, claim in CLAIMS.items():
        for peer in PEERS:
            own = [r for r in rates if (r.peer, r.size) == (peer, size)]
            figures = [r.messages_per_second for r in own]
            rows.append(
                Row(
                    peer=peer,
                    size=size,
                    median=median(figures),
                    lowest=min(figures),
                    highest=max(figures),
                    ratio=median(r.messages_per_second / bare[size, r.round] for r in own),
                    claim=claim if peer == GUARD else None,
                )
            )
    return rows
