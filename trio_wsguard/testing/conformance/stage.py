"""A world for a guard that a property opens and leaves by itself, and what must be left of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance.life import HOST, URL, World, is_open, policy_for
from trio_wsguard.testing.conformance.property import Arm
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.network import SimulatedNetwork
from trio_wsguard.testing.peer import ScriptedPeer, open_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.peer.loopback import Handler

GRACE: Final = 0.1  # seconds; an adapter may wait a moment for the peer's FIN
_S: Final = wsguard.ConnectionState
_FINAL: Final = (_S.CLOSED, _S.DISCONNECTED)


@attrs.define(eq=False)
class Stage:
    """A world for a guard that is opened and left by the property itself.

    Attributes:
        run: The parts, and the arm.
        url: Where the peer is.
        dial_below: How it is reached.
        peer: What is there.
        streams: What the dials gave.
        guards: The guards that were entered.
    """

    run: Run
    url: str
    dial_below: Callable[[wsguard.Target], Awaitable[trio.abc.Stream]]
    peer: ScriptedPeer
    streams: list[trio.abc.Stream] = attrs.field(factory=list)
    guards: list[wsguard.GuardedWebSocket] = attrs.field(factory=list)

    async def dial(self, target: wsguard.Target) -> trio.abc.Stream:
        """Dial, and note the stream."""
        stream = await self.dial_below(target)
        self.streams.append(stream)
        return stream

    def open(self, **options: Any) -> AbstractAsyncContextManager[wsguard.GuardedWebSocket]:
        """Make a guard of the parts under test."""
        options.setdefault("policy", policy_for(self.run))
        options.setdefault("dial", self.dial)
        return self.run.parts.open_guard(
            options.pop("url", self.url),
            transport=self.run.parts.transport,
            rng=Random(0),  # noqa: S311 - a simulation
            name="guard",
            **options,
        )

    def expect_clean(self) -> None:
        """State that nothing is open, and that each guard has come to its end."""
        left = sum(map(is_open, self.streams))
        expect(left == 0, f"{left} of {len(self.streams)} streams are open")
        for ws in self.guards:
            expect(ws.state in _FINAL, f"it was left in {ws.state.name}")


@asynccontextmanager
async def open_stage(run: Run, world: World) -> AsyncIterator[Stage]:
    """Set a stage; at its end no task may be left of what ran on it."""
    living = _tasks_living()
    peer = ScriptedPeer(*world.scripts)
    async with _place(run, world, peer) as (url, dial):
        yield Stage(run, url, dial, peer)
    # What is cancelled has ended, but for one that was left behind.
    left = _tasks_living() - living
    expect(left <= 0, f"{left} tasks are left")


def _tasks_living() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def _dial_tcp(target: wsguard.Target) -> trio.abc.Stream:
    return await trio.open_tcp_stream(target.host, target.port)


@asynccontextmanager
async def _place(run: Run, world: World, peer: Handler) -> AsyncIterator[tuple[str, Any]]:
    if run.arm is Arm.LOOPBACK:
        async with open_loopback(peer) as server:
            yield server.url, _dial_tcp
        return
    async with SimulatedNetwork(world.seed) as network:
        network.listen(f"{HOST}:80", peer)
        network.link(HOST).add(*world.faults)
        try:
            yield URL, network.dial
        finally:
            run.count(faults=network.faults_injected)
