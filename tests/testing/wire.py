"""A client, a server and faults between them, in virtual time; everything is run twice."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

import trio_wsguard as wsguard
from trio_wsguard._shell.dial import parse_url
from trio_wsguard.testing import SimulatedNetwork, SimulatedStream, run_simulation
from trio_wsguard.testing.peer import Accept, Echo, Script, ScriptedPeer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from trio_wsguard.testing import Fault, Link, SimulatedConnection, Trace

_T = TypeVar("_T")
TARGET = parse_url("ws://server/")


@attrs.define
class Wire:
    """One connection, as both of its ends see it."""

    network: SimulatedNetwork
    link: Link
    client: SimulatedStream
    server: SimulatedStream

    @property
    def connection(self) -> SimulatedConnection:
        return self.network.connections[-1]


@asynccontextmanager
async def open_wire(*faults: Fault, seed: int = 7, **options: Any) -> AsyncIterator[Wire]:
    """Connect a client with a server that does what the test does with its end."""
    accepted: list[SimulatedStream] = []

    async def serve(stream: SimulatedStream) -> None:
        accepted.append(stream)
        await trio.sleep_forever()

    async with SimulatedNetwork(seed, **options) as network:
        network.listen("server:80", serve)
        link = network.link("server")
        link.add(*faults)
        client = await network.dial(TARGET)
        assert isinstance(client, SimulatedStream)
        while not accepted:
            await trio.lowlevel.checkpoint()
        yield Wire(network, link, client, accepted[0])


def _twice(main: Callable[[], Awaitable[tuple[_T, Trace]]]) -> _T:
    result, trace = run_simulation(main)
    again, same = run_simulation(main)
    assert trace.difference(same) == ""
    assert result == again
    return result


def on_a_wire(body: Callable[[Wire], Awaitable[_T]], *faults: Fault, **options: Any) -> _T:
    """Run a body on a connection under faults, twice; both runs have one trace."""

    async def main() -> tuple[_T, Trace]:
        async with open_wire(*faults, **options) as wire:
            result = await body(wire)
            return result, wire.network.trace()

    return _twice(main)


Dial = tuple[float, str]


def dial(*faults: Fault, url: str = "ws://server/", **options: Any) -> Dial:
    """Dial once, twice; tell when it ended and how: as errno's name, or "open"."""

    async def main() -> tuple[Dial, Trace]:
        async with SimulatedNetwork(7, **options) as network:
            target = parse_url(url)
            network.listen(f"{target.host}:{target.port}", SimulatedStream.wait_over)
            network.link(target.host).add(*faults)
            try:
                await network.dial(target)
            except OSError as exc:
                how = type(exc).__name__
                if exc.errno is not None:
                    how += f" {exc.errno}"
            else:
                how = "open"
            return (trio.current_time(), how), network.trace()

    return _twice(main)


async def read_all(stream: SimulatedStream, max_bytes: int = 65536) -> list[tuple[float, Any]]:
    """Read until the end; tell each piece with its time, and the end: "EOF" or errno's name."""
    pieces: list[tuple[float, Any]] = []
    while True:
        try:
            data = await stream.receive_some(max_bytes)
        except trio.BrokenResourceError as exc:
            pieces.append((trio.current_time(), type(exc.__cause__).__name__))
            return pieces
        pieces.append((trio.current_time(), data or "EOF"))
        if not data:
            return pieces


async def send(stream: SimulatedStream, data: bytes) -> str:
    """Send; tell how it ended: "sent", "blocked" after a day, or the error's name."""
    with trio.move_on_after(86400):
        try:
            await stream.send_all(data)
        except trio.BrokenResourceError as exc:
            return type(exc.__cause__).__name__
        return "sent"
    return "blocked"


async def read_for(stream: SimulatedStream, seconds: float) -> bytes:
    """Read for a while."""
    data = b""
    with trio.move_on_after(seconds):
        async for piece in stream:
            data += piece
    return data


# --- with a guard -----------------------------------------------------------------


@attrs.define
class World:
    """A guard, its peer, and what lies between them."""

    network: SimulatedNetwork
    link: Link
    peer: ScriptedPeer
    ws: wsguard.GuardedWebSocket
    changes: list[wsguard.StateChange] = attrs.field(factory=list)

    @property
    def losses(self) -> list[tuple[float, str]]:
        """When failures came, and of what kind."""
        return [
            (round(change.at, 3), change.failure.kind.name)
            for change in self.changes
            if change.failure is not None and change.retry_in is not None
        ]

    async def watch(self, events: wsguard.EventStream) -> None:
        """Collect state changes."""
        async for event in events:
            if isinstance(event, wsguard.StateChange):
                self.changes.append(event)

    async def echo(self, message: str, within: float = 3600) -> float:
        """Send a message, take its echo; tell when it came."""
        with trio.fail_after(within):
            await self.ws.send_message(message)
            while await self.ws.get_message() != message:
                pass
            return trio.current_time()


def with_a_guard(
    body: Callable[[World], Awaitable[_T]],
    *faults: Fault,
    scripts: tuple[Script, ...] = (Script(Accept(), Echo()),),
    url: str = "ws://feed/",
    wait: bool = True,
    **options: Any,
) -> _T:
    """Run a body with a guard under faults, twice; both runs have one trace."""

    async def main() -> tuple[_T, Trace]:
        async with SimulatedNetwork(7) as network:
            peer = ScriptedPeer(*scripts)
            network.listen("feed:80", peer)
            link = network.link("feed")
            link.add(*faults)
            async with (
                network.open_guard(url, wait=wait, **options) as ws,
                ws.events() as events,
                trio.open_nursery() as nursery,
            ):
                world = World(network, link, peer, ws)
                nursery.start_soon(world.watch, events)
                result = await body(world)
                nursery.cancel_scope.cancel()
            return result, network.trace()

    return _twice(main)
