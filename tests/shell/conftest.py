"""A network in memory for tests in virtual time."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
import trio_websocket

import trio_wsguard as wsguard

from ..clocks import in_virtual_time, run_by
from ..talks import close_with as close_with
from ..talks import converse
from ..talks import drop as drop
from ..talks import echo as echo
from ..talks import idle as idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ..talks import Talk

    Handler = Callable[[trio.abc.Stream], Awaitable[object]]


@attrs.define(eq=False)
class Net:
    """One server in memory: each dial takes the next handler, the last one for ever.

    Attributes:
        nursery: Where handlers run.
        transport: What a guard uses where a test does not say.
        handlers: Async functions of the server's end of the stream, or
            exceptions that the dial raises.
        dialed_at: When each dial came, in virtual seconds.
        streams: The client's end of each stream.
    """

    nursery: trio.Nursery
    transport: str = "trio-websocket"
    handlers: deque[Handler | BaseException] = attrs.field(factory=deque)
    dialed_at: list[float] = attrs.field(factory=list)
    streams: list[trio.StapledStream[Any, Any]] = attrs.field(factory=list)

    def script(self, *handlers: Handler | BaseException) -> None:
        """Say what the coming dials meet."""
        self.handlers = deque(handlers)

    async def dial(self, target: wsguard.Target) -> trio.abc.Stream:
        """Connect, as `open_guarded_websocket(dial=...)` wants it."""
        await trio.lowlevel.checkpoint()
        self.dialed_at.append(trio.current_time())
        handler = self.handlers.popleft() if len(self.handlers) > 1 else self.handlers[0]
        if isinstance(handler, BaseException):
            raise handler
        client, server = trio.testing.memory_stream_pair()
        self.streams.append(client)
        self.nursery.start_soon(self._serve, handler, server)
        return client

    async def _serve(self, handler: Handler, server: trio.abc.Stream) -> None:
        try:
            await handler(server)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await trio.aclose_forcefully(server)

    def open(self, **options: Any) -> Any:
        """Open a guard on this network."""
        options.setdefault("dial", self.dial)
        options.setdefault("name", "test")
        options.setdefault("transport", self.transport)
        return wsguard.open_guarded_websocket(options.pop("url", "ws://sim/"), **options)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run every test of this folder in virtual time."""
    run_by(items, Path(__file__).parent, lambda _: in_virtual_time)


# What runs over both transports; the rest depends on none.
OVER_BOTH = {"test_attempt", "test_cancellation", "test_connection", "test_failures", "test_guard"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what depends on the transport over both."""
    name = metafunc.definition.path.stem
    if name in OVER_BOTH and "transport" in metafunc.fixturenames:
        metafunc.parametrize("transport", ["trio-websocket", "websockets"], indirect=True)


@pytest.fixture
def transport(request: pytest.FixtureRequest) -> str:
    """The transport of every guard that a test opens on the network."""
    name: str = getattr(request, "param", "trio-websocket")
    if name == "websockets":
        pytest.importorskip("websockets")
    return name


@pytest.fixture
async def net(transport: str) -> AsyncIterator[Net]:
    """A network in memory."""
    async with trio.open_nursery() as nursery:
        yield Net(nursery, transport)
        nursery.cancel_scope.cancel()


def accept(talk: Talk, subprotocol: str | None = None) -> Handler:
    """A handler that shakes hands with the real trio-websocket and then talks."""

    async def handler(stream: trio.abc.Stream) -> None:
        await converse(stream, talk, subprotocol)

    return handler


async def mute(stream: trio.abc.Stream) -> None:
    """Take bytes, and never answer."""
    while await stream.receive_some(65536):
        pass


def deaf_after_handshake(
    talk: Callable[[trio_websocket.WebSocketConnection], Awaitable[object]] | None = None,
) -> Handler:
    """Shake hands, then read the raw stream and answer nothing, pings included."""

    async def handler(stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            request = await trio_websocket.wrap_server_stream(nursery, stream)
            ws = await request.accept()
            if talk is not None:
                await talk(ws)
            nursery.cancel_scope.cancel()
        await mute(stream)

    return handler


async def stop_reading(stream: trio.abc.Stream) -> None:
    """Shake hands, and never read again."""
    async with trio.open_nursery() as nursery:
        request = await trio_websocket.wrap_server_stream(nursery, stream)
        await request.accept()
        nursery.cancel_scope.cancel()
    await trio.sleep_forever()


def dial_stalled_first(net: Net) -> Callable[[wsguard.Target], Awaitable[trio.abc.Stream]]:
    """A dial whose first stream has no buffers and a peer that stops reading."""
    dialed: list[trio.abc.Stream] = []

    async def dial(target: wsguard.Target) -> trio.abc.Stream:
        if dialed:
            return await net.dial(target)
        client, server = trio.testing.lockstep_stream_pair()
        dialed.append(client)
        net.nursery.start_soon(stop_reading, server)
        return client

    return dial


def answer(raw: bytes, *, hold: bool = False) -> Handler:
    """Read the request and answer with raw bytes; then end, or hold the stream open."""

    async def handler(stream: trio.abc.Stream) -> None:
        await stream.receive_some(65536)
        await stream.send_all(raw)
        if hold:
            await trio.sleep_forever()

    return handler


QUICK = wsguard.BackoffPolicy(
    closed=wsguard.LinearBackoff(step=1, cap=1),
    network=wsguard.LinearBackoff(step=1, cap=1),
    other=wsguard.LinearBackoff(step=1, cap=1),
)


def quick(**settings: Any) -> wsguard.GuardPolicy:
    """A policy that waits one second after any failure."""
    settings.setdefault("backoff", QUICK)
    return wsguard.GuardPolicy(**settings)
