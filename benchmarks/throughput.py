"""Receiving and sending at full speed, and the CPU time it takes."""

from __future__ import annotations

import math
import time
from functools import partial
from operator import itemgetter
from statistics import median
from typing import TYPE_CHECKING, Final

import attrs

from benchmarks import peers
from benchmarks.framework import Benchmark, Claim, Context, Sample, Server, take_turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

_SIZES: Final = (16, 64, 1024, 65536, 1048576)
_STEP: Final = 2**22  # bytes between two looks at the clock, at most
_BURST: Final = 64  # messages between two looks at the clock, at most
# Messages for each of which the server answers once it has taken all of them: one
# round trip is then less than a hundredth of what is measured.
_SEND_BURST: Final = 2048
_SEND_STEP: Final = 2**24
_BUSY: Final = 0.9  # of a CPU; above, the server may be what is measured

_ONE_BY_ONE: Final = (
    peers.BARE,
    peers.WS_TRIO,
    peers.WS_ASYNCIO,
    peers.AIOHTTP,
    peers.PICOWS,
    peers.GUARD,
    peers.FAST,
)
_RECEIVERS: Final = (
    peers.RAW,
    *_ONE_BY_ONE[:-1],
    peers.GUARD_BATCHES,
    peers.FAST,
    peers.FAST_BATCHES,
)
_SENDERS: Final = (peers.RAW, *_ONE_BY_ONE)


@attrs.frozen
class Spent:
    """What a number of messages took.

    Attributes:
        messages: How many.
        seconds: On the clock.
        cpu_seconds: Of this process, all its threads.
        server_cpu_seconds: Of the server; NaN where that cannot be told.
    """

    messages: int
    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_per_million(self) -> float:
        """CPU seconds for a million messages."""
        return self.cpu_seconds / self.messages * 1e6


def name_of(size: int) -> str:
    """Write a number of bytes."""
    for unit, power in (("MiB", 2**20), ("KiB", 2**10)):
        if size >= power:
            return f"{size // power} {unit}"
    return f"{size} B"


async def _spend(
    step: Callable[[], Awaitable[int]], server: Server, *, warm_up: float, seconds: float
) -> Spent:
    """Repeat a step, first to warm up and then for the figures."""
    warm_until = time.perf_counter() + warm_up
    while time.perf_counter() < warm_until:
        await step()
    server_cpu = server.cpu_seconds()
    count, cpu, began = 0, time.process_time(), time.perf_counter()
    while True:
        count += await step()
        passed = time.perf_counter() - began
        if passed >= seconds:
            cpu = time.process_time() - cpu
            return Spent(count, passed, cpu, server.cpu_seconds() - server_cpu)


def receive(server: Server, peer: str, size: int, *, warm_up: float, seconds: float) -> Spent:
    """Have a peer receive messages of a size for a while."""
    burst = max(1, min(_BURST, _STEP // size))

    async def work(wire: peers.Wire) -> Spent:
        return await _spend(partial(wire.take, burst), server, warm_up=warm_up, seconds=seconds)

    return peers.run(peer, f"ws://127.0.0.1:{server.port}/push/{size}", work, warm_up + seconds)


def send(server: Server, peer: str, size: int, *, warm_up: float, seconds: float) -> Spent:
    """Have a peer send messages of a size for a while; those count that the server has taken."""
    message, burst = b"x" * size, max(1, min(_SEND_BURST, _SEND_STEP // size))

    async def work(wire: peers.Wire) -> Spent:
        async def step() -> int:
            await wire.send(message, burst)
            await wire.take(1)
            return burst

        return await _spend(step, server, warm_up=warm_up, seconds=seconds)

    url = f"ws://127.0.0.1:{server.port}/take/{size}/{burst}/1"
    return peers.run(peer, url, work, warm_up + seconds)


def _run_rates(measure: Callable[..., Spent], context: Context) -> Iterator[Sample]:
    rounds, warm_up, seconds = (3, 0.03, 0.07) if context.quick else (5, 0.1, 0.3)
    sizes = _SIZES[1:4] if context.quick else _SIZES
    samples: list[Sample] = []
    shares: dict[tuple[str, str], list[float]] = {}
    with context.server() as server:

        def rate(peer: str, size: int) -> dict[str, float]:
            spent = measure(server, peer, size, warm_up=warm_up, seconds=seconds)
            share = spent.server_cpu_seconds / spent.seconds
            shares.setdefault((peer, name_of(size)), []).append(share)
            return {name_of(size): spent.rate}

        for sample in take_turns(context, sizes, rounds, rate, label=name_of):
            samples.append(sample)
            yield sample
    context.notes.extend(
        (
            *room_of_server(samples, [name_of(size) for size in sizes]),
            *business_of_server({key: median(found) for key, found in shares.items()}),
        )
    )


def room_of_server(samples: Sequence[Sample], cases: Sequence[str]) -> Iterator[str]:
    """Tell how much more than the fastest peer a raw socket gets out of the same server.

    It looks at nothing: that is what the server and the kernel can do.
    """
    rooms: list[str] = []
    for case in cases:
        medians = {
            peer: median(s.value for s in samples if (s.peer, s.case) == (peer, case))
            for peer in dict.fromkeys(s.peer for s in samples if s.case == case)
        }
        limit = medians.pop(peers.RAW, None)
        if limit is not None and medians:
            fastest = max(medians, key=medians.__getitem__)
            rooms.append(f"{case} {limit / medians[fastest]:,.1f} x {fastest}")
    if rooms:
        yield f"a raw socket against the fastest peer: {', '.join(rooms)}"


def business_of_server(shares: Mapping[tuple[str, str], float]) -> Iterator[str]:
    """Tell whom the server kept waiting, if anyone: the proof that it is not what is measured.

    Args:
        shares: The part of a CPU that the server used, by peer and case.
    """
    known = {key: share for key, share in shares.items() if not math.isnan(share)}
    if not known:
        yield "how busy the server was cannot be told on this system"
        return
    slowed = [f"{peer} at {case}" for (peer, case), share in known.items() if share > _BUSY]
    (peer, case), most = max(known.items(), key=itemgetter(1))
    yield f"the server used at most {most:.0%} of a CPU, for {peer} at {case}" + (
        f"; it may have been the limit of {', '.join(slowed)}" if slowed else ""
    )


def _run_cpu(context: Context) -> Iterator[Sample]:
    rounds, warm_up, seconds = (3, 0.03, 0.07) if context.quick else (5, 0.1, 0.3)
    actions: dict[str, Callable[..., Spent]] = {"receive": receive, "send": send}
    with context.server() as server:

        def cpu(peer: str, action: str) -> dict[str, float]:
            if action == "send" and peer not in _ONE_BY_ONE:
                return {}  # there is only one way to send
            spent = actions[action](server, peer, 64, warm_up=warm_up, seconds=seconds)
            return {f"{action} 64 B": spent.cpu_per_million}

        yield from take_turns(context, tuple(actions), rounds, cpu)


def _over_bare(peer: str, bounds: dict[int, float]) -> list[Claim]:
    return [
        Claim(peer=peer, case=name_of(size), bound=bound, against=peers.BARE)
        for size, bound in bounds.items()
    ]


BENCHMARKS: Final = (
    Benchmark(
        name="receive",
        claim="The fast guard receives at least 2.3 to 6 times what bare trio-websocket does, and "
        "no less than asyncio's clients; the guard over trio-websocket hardly less than bare.",
        unit="messages/s",
        lower_is_better=False,
        peers=_RECEIVERS,
        baseline=peers.BARE,
        floor=peers.RAW,
        claims=(
            *_over_bare(peers.FAST, {64: 2.3, 1024: 2.8, 65536: 6.0}),
            Claim(peer=peers.FAST, case="64 B", bound=1.0, against=peers.WS_ASYNCIO),
            Claim(peer=peers.FAST, case="64 B", bound=1.0, against=peers.AIOHTTP),
            *_over_bare(peers.GUARD, {64: 0.9, 1024: 1.1, 65536: 3.0}),
            Claim(peer=peers.FAST_BATCHES, case="64 B", bound=1.3, against=peers.FAST),
        ),
        requires=peers.REQUIRES,
        run=partial(_run_rates, receive),
    ),
    Benchmark(
        name="send",
        claim="To send through a guard is no slower than bare trio-websocket.",
        unit="messages/s",
        lower_is_better=False,
        peers=_SENDERS,
        baseline=peers.BARE,
        floor=peers.RAW,
        claims=(
            *_over_bare(peers.FAST, {64: 1.0, 1024: 1.0, 65536: 1.0}),
            *_over_bare(peers.GUARD, {64: 0.9, 1024: 0.9, 65536: 0.9}),
        ),
        requires=peers.REQUIRES,
        run=partial(_run_rates, send),
    ),
    Benchmark(
        name="cpu",
        claim="The fast guard receives a message in half the CPU time of bare trio-websocket.",
        unit="CPU s per million messages",
        lower_is_better=True,
        peers=_RECEIVERS[1:],
        baseline=peers.BARE,
        claims=(
            Claim(peer=peers.FAST, case="receive 64 B", bound=0.5, against=peers.BARE),
            Claim(peer=peers.FAST, case="send 64 B", bound=1.0, against=peers.BARE),
        ),
        requires=peers.REQUIRES,
        run=_run_cpu,
    ),
)
