"""One guard's life under test: what it meets, and what is noted of it."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import trio

import trio_wsguard as wsguard
from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard.testing.conformance.property import Arm
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.network import SimulatedNetwork
from trio_wsguard.testing.peer import Accept, Script, ScriptedPeer, open_loopback
from trio_wsguard.testing.stream import SimulatedStream
from trio_wsguard.testing.trace import describe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.faults import Fault

_E = TypeVar("_E")

HOST: Final = "server"
ELSEWHERE: Final = "elsewhere"
URL: Final = f"ws://{HOST}/"
_MAX_EVENTS: Final = 2**16
_TICKS: Final = 3
_LEAVING: Final = 60.0  # seconds; no `close_timeout` that is drawn comes near

# On real sockets nothing may wait for seconds; the ratios are the documented ones.
_BRISK: Final = wsguard.GuardPolicy(
    backoff=wsguard.BackoffPolicy(
        closed=wsguard.LinearBackoff(step=0.003, cap=0.015),
        network=wsguard.LinearBackoff(step=0.01, cap=0.06),
        other=wsguard.LinearBackoff(step=0.005, cap=0.03),
    ),
    max_connection_failures=None,
    close_timeout=0.5,
)


@attrs.frozen(kw_only=True)
class World:
    """What a guard meets.

    Attributes:
        scripts: What its connections meet, one after another; the last one for ever.
        elsewhere: What connections to the host "elsewhere" meet; none on real sockets.
        faults: What happens on the network; nothing on real sockets.
        seed: Where the chance of faults, jitter and message ids comes from.
    """

    scripts: tuple[Script, ...] = (Script(Accept()),)
    elsewhere: tuple[Script, ...] = ()
    faults: tuple[Fault, ...] = ()
    seed: int = 0


@attrs.define(eq=False)
class Life:
    """A guard, and what is noted of it.

    Attributes:
        peer: What it talks to.
        elsewhere: The other host, to which only a redirect leads.
        network: Between both; ``None`` on real sockets.
        ws: The guard.
        events: All that it told.
        dialed_at: When it dialed, in monotonic seconds.
        streams: What the dials gave, in their order.
        received: What `consume` took.
    """

    peer: ScriptedPeer
    elsewhere: ScriptedPeer
    network: SimulatedNetwork | None
    ws: wsguard.GuardedWebSocket = attrs.field(init=False)
    events: list[wsguard.Event] = attrs.field(factory=list)
    dialed_at: list[float] = attrs.field(factory=list)
    streams: list[trio.abc.Stream] = attrs.field(factory=list)
    received: list[Message] = attrs.field(factory=list)

    def told(self, kind: type[_E]) -> list[_E]:
        """Tell the events of one type."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def changes(self) -> list[wsguard.StateChange]:
        """All state changes."""
        return self.told(wsguard.StateChange)

    def entered(self, state: wsguard.ConnectionState) -> list[wsguard.StateChange]:
        """Tell the changes to one state."""
        return [change for change in self.changes if change.state is state]

    @property
    def losses(self) -> list[wsguard.StateChange]:
        """The changes that came of a failure."""
        reconnecting = self.entered(wsguard.ConnectionState.RECONNECTING)
        return [change for change in reconnecting if change.failure is not None]

    @property
    def open_streams(self) -> list[trio.abc.Stream]:
        """The client's ends that are open now."""
        return [stream for stream in self.streams if is_open(stream)]

    async def settle(self) -> None:
        """Let the recorder take what was told in this instant."""
        for _ in range(_TICKS):
            await trio.lowlevel.checkpoint()

    async def consume(self, pause: float = 0) -> None:
        """Take messages until the guard ends, with a pause after each."""
        async for message in self.ws:
            self.received.append(message)
            if pause:
                await trio.sleep(pause)


def is_open(stream: trio.abc.Stream) -> bool:
    """Tell whether a stream of a `Life` is open."""
    if isinstance(stream, SimulatedStream):
        return stream.closed_at is None
    return isinstance(stream, trio.SocketStream) and stream.socket.fileno() != -1


def policy_for(run: Run, **settings: Any) -> wsguard.GuardPolicy:
    """Give the documented policy, without an end; a brisk one on real sockets."""
    if run.arm is Arm.LOOPBACK:
        return attrs.evolve(_BRISK, **settings)
    return wsguard.GuardPolicy(**{"max_connection_failures": None, **settings})


@asynccontextmanager
async def open_life(
    run: Run, world: World, policy: wsguard.GuardPolicy | None = None, **options: Any
) -> AsyncIterator[Life]:
    """Open a guard of the parts under test in a world; leaving the block closes it.

    Args:
        run: The parts, and the arm.
        world: What the guard meets.
        policy: Its settings; ``None`` for `policy_for`.
        **options: As `open_guarded_websocket` has them, `url` too; it does not wait.
    """
    async with AsyncExitStack() as stack:
        life, url = await _make_world(run, world, stack)
        options.setdefault("transport", run.parts.transport)
        options.setdefault("rng", Random(world.seed))  # noqa: S311 - a simulation
        options.setdefault("dial", _noting(life, life.network.dial if life.network else _dial_tcp))
        options.setdefault("wait", False)
        options.setdefault("name", "guard")
        url = options.pop("url", url)
        guard = run.parts.open_guard(url, policy=policy or policy_for(run), **options)
        nursery = await stack.enter_async_context(open_flat_nursery())
        leaving = trio.CancelScope()
        try:
            with leaving:
                async with guard as life.ws, life.ws.events(_MAX_EVENTS) as events:
                    recorded = trio.Event()
                    nursery.start_soon(_record, life, events, recorded)
                    try:
                        yield life
                    finally:
                        # One that cannot be closed would live on through the ages.
                        leaving.deadline = trio.current_time() + _LEAVING
                        await life.ws.aclose()
                        await recorded.wait()
        finally:
            nursery.cancel_scope.cancel()
            if life.network is not None:
                run.count(faults=life.network.faults_injected)
        expect(not leaving.cancelled_caught, f"it was not closed within {_LEAVING:g} s")


async def _make_world(run: Run, world: World, stack: AsyncExitStack) -> tuple[Life, str]:
    peer, elsewhere = ScriptedPeer(*world.scripts), ScriptedPeer(*world.elsewhere)
    if run.arm is Arm.LOOPBACK:
        server = await stack.enter_async_context(open_loopback(peer))
        return Life(peer, elsewhere, None), server.url
    network = await stack.enter_async_context(SimulatedNetwork(world.seed))
    network.listen(f"{HOST}:80", peer)
    network.listen(f"{ELSEWHERE}:80", elsewhere)
    network.link(HOST).add(*world.faults)
    return Life(peer, elsewhere, network), URL


def _noting(
    life: Life, dial: Callable[[wsguard.Target], Awaitable[trio.abc.Stream]]
) -> Callable[[wsguard.Target], Awaitable[trio.abc.Stream]]:
    async def noted(target: wsguard.Target) -> trio.abc.Stream:
        life.dialed_at.append(trio.current_time())
        stream = await dial(target)
        life.streams.append(stream)
        return stream

    return noted


async def _dial_tcp(target: wsguard.Target) -> trio.abc.Stream:
    return await trio.open_tcp_stream(target.host, target.port)


async def _record(life: Life, events: wsguard.EventStream, recorded: trio.Event) -> None:
    async for event in events:
        life.events.append(event)
        if life.network is not None:
            life.network.note("guard", describe(event))
    recorded.set()
