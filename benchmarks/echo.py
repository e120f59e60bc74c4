"""The round trip of one message at a time: what a request and its answer wait."""

from __future__ import annotations

import time
from statistics import quantiles
from typing import TYPE_CHECKING, Final

from benchmarks import peers
from benchmarks.framework import Benchmark, Claim, Context, Sample, take_turns
from benchmarks.throughput import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZES: Final = (64, 65536)
_CONNECTING: Final = 10.0  # seconds within which any number of round trips is done


def round_trips(port: int, peer: str, size: int, *, warm_up: int, count: int) -> list[float]:
    """Have a peer send messages and wait for the answer of each; give the microseconds."""
    message = b"x" * size

    async def work(wire: peers.Wire) -> list[float]:
        for _ in range(warm_up):
            await wire.send(message, 1)
            await wire.take(1)
        waits: list[float] = []
        for _ in range(count):
            began = time.perf_counter_ns()
            await wire.send(message, 1)
            await wire.take(1)
            waits.append((time.perf_counter_ns() - began) / 1000)
        return waits

    return peers.run(peer, f"ws://127.0.0.1:{port}/take/{size}/1/{size}", work, _CONNECTING)


def _run(context: Context) -> Iterator[Sample]:
    rounds, warm_up, count = (3, 20, 100) if context.quick else (5, 100, 1000)
    with context.server() as server:

        def wait(peer: str, size: int) -> dict[str, float]:
            waits = round_trips(server.port, peer, size, warm_up=warm_up, count=count)
            percentiles = quantiles(waits, n=100, method="inclusive")
            return {
                f"{name_of(size)} p50": percentiles[49],
                f"{name_of(size)} p99": percentiles[98],
            }

        yield from take_turns(context, _SIZES, rounds, wait, label=name_of)


BENCHMARKS: Final = (
    Benchmark(
        name="echo",
        claim="A round trip through a guard takes no longer than through bare trio-websocket.",
        unit="µs",
        lower_is_better=True,
        peers=(
            peers.RAW,
            peers.BARE,
            peers.WS_TRIO,
            peers.WS_ASYNCIO,
            peers.AIOHTTP,
            peers.PICOWS,
            peers.GUARD,
            peers.FAST,
        ),
        baseline=peers.BARE,
        floor=peers.RAW,
        claims=(
            Claim(peer=peers.FAST, case="64 B p50", bound=1.0, against=peers.BARE),
            Claim(peer=peers.FAST, case="64 B p99", bound=1.0, against=peers.BARE),
            Claim(peer=peers.GUARD, case="64 B p50", bound=1.2, against=peers.BARE),
        ),
        requires=peers.REQUIRES,
        run=_run,
    ),
)
