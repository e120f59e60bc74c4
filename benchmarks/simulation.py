"""Claim: a guarded life is simulated half as fast as a bare one, or faster.

One guarded connection with the documented beats (a ping every 15 s, answered)
lives on the simulated network of the test kit, both ends with the real WebSocket
code. What is measured is how many hours of its life fit into one of ours; beside
it a bare trio-websocket connection on the same network with the same pings, and
the guard with every frame in the trace.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs
import trio
import trio_websocket

import trio_wsguard as wsguard
from benchmarks.framework import Benchmark, Claim, Context, Sample, take_turns
from benchmarks.peers import BARE, FAST, GUARD, REQUIRES
from trio_wsguard.testing import SimulatedNetwork, run_simulation
from trio_wsguard.testing.peer import ScriptedPeer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Life = Callable[[float], Awaitable[int]]

TRACED: Final = "guard-traced"
CASE: Final = "15 s beats"
INTERVAL: Final = 15.0  # seconds
HOUR: Final = 3600.0
_HOST: Final = "feed.example"


async def _guard(
    seconds: float, *, transport: str = "trio-websocket", is_traced: bool = False
) -> int:
    async with SimulatedNetwork(record=is_traced) as network:
        listener = network.listen(f"{_HOST}:80", ScriptedPeer())
        # The feed is silent, and would be reported so once.
        policy = wsguard.GuardPolicy(
            heartbeat=wsguard.HeartbeatPolicy(interval=INTERVAL),
            watchdog=wsguard.WatchdogPolicy(silence_timeout=2 * seconds),
        )
        async with network.open_guard(listener.url, policy=policy, transport=transport) as ws:
            await trio.sleep(seconds)
            return ws.snapshot().beats_answered


async def _bare(seconds: float) -> int:
    beats = 0
    async with SimulatedNetwork(record=False) as network, trio.open_nursery() as nursery:
        network.listen(f"{_HOST}:80", ScriptedPeer())
        stream = await network.dial(
            wsguard.Target(host=_HOST, port=80, is_secure=False, resource="/")
        )
        ws = await trio_websocket.wrap_client_stream(nursery, stream, _HOST, "/")  # type: ignore[arg-type]  # any Stream will do
        with trio.move_on_after(seconds):
            while True:
                await trio.sleep(INTERVAL)
                with trio.fail_after(10):
                    await ws.ping()
                beats += 1
        nursery.cancel_scope.cancel()
    return beats


_LIVES: Final[dict[str, Life]] = {
    BARE: _bare,
    GUARD: _guard,
    FAST: partial(_guard, transport="websockets"),
    TRACED: partial(_guard, is_traced=True),
}


@attrs.frozen
class Lived:
    """What came of one simulated life.

    Attributes:
        beats: How many were answered.
        hours_per_second: Of its time in ours.
    """

    beats: int
    hours_per_second: float


def measure(peer: str, hours: float) -> Lived:
    """Simulate so many hours of one connection."""
    began = time.perf_counter()
    beats = run_simulation(_LIVES[peer], hours * HOUR)
    return Lived(beats, hours / (time.perf_counter() - began))


def run(context: Context) -> Iterable[Sample]:
    """Simulate all connections."""
    hours, rounds = (2.0, 2) if context.quick else (24.0, 5)

    def measure_one(peer: str, case: str) -> dict[str, float]:
        lived = measure(peer, hours)
        due = hours * HOUR / INTERVAL
        if abs(lived.beats - due) > 0.01 * due + 1:
            raise ValueError(f"{lived.beats} beats were answered, and not {due:.0f}")
        return {case: lived.hours_per_second}

    yield from take_turns(context, [CASE], rounds, measure_one)


SIMULATION: Final = Benchmark(
    name="simulation",
    claim="Simulating a guarded connection takes at most twice as long as a bare one.",
    unit="hours/s",
    lower_is_better=False,
    peers=tuple(_LIVES),
    baseline=BARE,
    claims=tuple(Claim(peer=peer, case=CASE, bound=0.5, against=BARE) for peer in (GUARD, FAST)),
    requires=REQUIRES,
    run=run,
)
BENCHMARKS: Final = (SIMULATION,)
