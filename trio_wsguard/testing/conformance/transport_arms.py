"""Where transports are tried: on a byte stream to a scripted peer, on either arm."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio
import trio.testing
from hypothesis import strategies as st

from trio_wsguard._errors import TransportError
from trio_wsguard._shell.dial import Target, parse_url
from trio_wsguard._shell.transport import Handshake
from trio_wsguard.testing.conformance.property import Arm
from trio_wsguard.testing.conformance.transport_client import (
    Client,
    check_at_once,
    check_ended,
    ends,
    limit_of,
    no_task_left,
    only_transport_errors,
)
from trio_wsguard.testing.network import BUFFER_SIZE, SimulatedNetwork
from trio_wsguard.testing.peer import Wait, open_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from trio_wsguard.testing.conformance.parts import TransportPart
    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.peer import ScriptedPeer, Step

_SEEDS: Final = st.integers(0, 2**16)


def examples(run: Run, **more: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    """Draw a transport, a seed of the network's, and what is given."""
    is_simulated = run.arm is Arm.SIMULATED
    return {
        "transport": st.sampled_from(run.parts.transports),
        "seed": _SEEDS if is_simulated else st.just(0),
        **more,
    }


def for_each(run: Run, check: Callable[..., Any], **cases: Iterable[Any]) -> None:
    """Try a check on each transport with each of some cases, none of them left to chance.

    Args:
        run: What is tried.
        check: The check.
        cases: The values of one argument, by its name.
    """
    __tracebackhide__ = True
    ((name, values),) = cases.items()
    for value in values:
        for part in run.parts.transports:
            drawn = examples(run, **{name: st.just(value)})
            run.for_all({**drawn, "transport": st.just(part)}, check, share=0.01)


def pause(run: Run) -> Step:
    """Let the client come to rest; on a real socket nothing is waited for."""
    return Wait(1 if run.arm is Arm.SIMULATED else 0)


@asynccontextmanager
async def connected(
    run: Run,
    part: TransportPart,
    seed: int,
    peer: ScriptedPeer,
    *,
    resource: str = "/",
    wrap: Callable[[trio.abc.Stream], trio.abc.Stream] = lambda stream: stream,
    buffer_size: int = BUFFER_SIZE,
    **handshake: Any,
) -> AsyncIterator[Client]:
    """Open a transport to a peer; leave it, and let the peer come to its end.

    Args:
        run: What is tried.
        part: Which transport.
        seed: The simulated network's.
        peer: The peer.
        resource: What is asked for.
        wrap: Puts something between the stream and the transport.
        buffer_size: The simulated network's.
        handshake: What else a `Handshake` has.
    """
    async with dialed(run, seed, peer, resource=resource, buffer_size=buffer_size) as (raw, target):
        client = Client(run, peer, wrap(raw))
        async with opened(run, part, client, Handshake(target=target, **handshake)):
            yield client


@asynccontextmanager
async def dialed(
    run: Run,
    seed: int,
    peer: ScriptedPeer,
    *,
    resource: str = "/",
    buffer_size: int = BUFFER_SIZE,
) -> AsyncIterator[tuple[trio.abc.Stream, Target]]:
    """Open a byte stream to a peer; close it, and let the peer come to its end."""
    async with AsyncExitStack() as stack:
        if run.arm is Arm.LOOPBACK:
            server = await stack.enter_async_context(open_loopback(peer))
            target = parse_url(server.url.rstrip("/") + resource)
            raw: trio.abc.Stream = await trio.open_tcp_stream(target.host, target.port)
        else:
            network = SimulatedNetwork(seed, record=False, buffer_size=buffer_size)
            await stack.enter_async_context(network)
            network.listen("peer.example:80", peer)
            target = parse_url("ws://peer.example" + resource)
            raw = await network.dial(target)
        try:
            yield raw, target
        finally:
            # The owner of the stream closes it, not the transport.
            await trio.aclose_forcefully(raw)
        with ends(run, "the peer's part"):
            await peer.wait_ended(1)


@asynccontextmanager
async def opened(
    run: Run, part: TransportPart, client: Client, handshake: Handshake
) -> AsyncIterator[None]:
    """Open a transport, and leave it at once when the block is over."""
    with no_task_left(), only_transport_errors("opening or leaving"):
        began_at, limit = trio.current_time(), limit_of(run)
        scope = trio.CancelScope(deadline=began_at + limit)
        with scope:
            async with part.open(client.stream, handshake, client.pongs.append) as transport:
                client.transport = transport
                scope.deadline = float("inf")
                yield
                began_at = trio.current_time()
                scope.deadline = began_at + limit
        check_ended(run, "opening or leaving", scope, limit)
        check_at_once(run, "leaving", began_at)


async def refusal(
    run: Run, part: TransportPart, seed: int, peer: ScriptedPeer, **options: Any
) -> TransportError:
    """Open a transport where that must fail, and at once.

    Args:
        run: What is tried.
        part: Which transport.
        seed: The simulated network's.
        peer: The peer.
        options: As `connected` has them.

    Returns:
        How it failed.
    """
    began_at = trio.current_time()
    try:
        async with connected(run, part, seed, peer, **options):
            raise AssertionError("the transport opens")
    except TransportError as exc:
        check_at_once(run, "telling it", began_at)
        return exc


@attrs.define(eq=False)
class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope before the n-th step of any task, and counts the steps.

    Args:
        scope: The scope.
        step: The n.
    """

    scope: trio.CancelScope
    step: int
    seen: int = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - of any task
        """Count, and cancel."""
        self.seen += 1
        if self.seen == self.step:
            self.scope.cancel()


@contextmanager
def cancelled_at(step: int) -> Iterator[CancelAtStep]:
    """Cancel the block at a step of any task; at 0, before it begins."""
    with trio.CancelScope() as scope:
        instrument = CancelAtStep(scope, step)
        if not step:
            scope.cancel()
        trio.lowlevel.add_instrument(instrument)
        try:
            yield instrument
        finally:
            trio.lowlevel.remove_instrument(instrument)


class Chopped(trio.abc.Stream):
    """A stream that is read in pieces of given sizes, each cut from all that has come.

    Args:
        stream: The stream beneath.
        sizes: Of the pieces, over and over.
    """

    def __init__(self, stream: trio.abc.Stream, sizes: Iterable[int]) -> None:
        self._stream = stream
        self._sizes = cycle(sizes)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Wait until nothing is under way, and take a piece."""
        await trio.testing.wait_all_tasks_blocked()
        size = next(self._sizes)
        return await self._stream.receive_some(size if max_bytes is None else min(size, max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send as the stream beneath does."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream beneath does."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream beneath."""
        await self._stream.aclose()
