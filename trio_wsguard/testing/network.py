"""A network in memory, in virtual time: hosts, links with faults, and a trace of it all."""

from __future__ import annotations

import errno
import random
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Self

import trio

import trio_wsguard as wsguard
from trio_wsguard._errors import PolicyError
from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard.testing.connection import Dialing, SimulatedConnection
from trio_wsguard.testing.link import Link
from trio_wsguard.testing.segment import retransmission_after
from trio_wsguard.testing.simulation import seeded_scheduling
from trio_wsguard.testing.timers import Timers
from trio_wsguard.testing.trace import DOWN, UP, Recorder, Trace, describe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

    from trio_wsguard.testing.connection import Handler

BUFFER_SIZE: Final = 2**17  # bytes; what loopback sockets were seen to take before they block
GIVE_UP_AFTER: Final = 924.6  # seconds; Linux with tcp_retries2 = 15
_FIRST_SYN_RETRY: Final = 1.0  # seconds; Linux, doubling
_SYN_GIVE_UP_AFTER: Final = 127.0  # seconds; Linux with tcp_syn_retries = 6
_MAX_EVENTS: Final = 2**16
_SHOWN: Final = 40  # entries of the trace under a failed test


class Listener:
    """A port that is served; `close` it to have dials refused."""

    def __init__(self, network: SimulatedNetwork, host: str, port: int, handler: Handler) -> None:
        self.host, self.port, self.handler = host, port, handler
        self.serving: dict[SimulatedConnection, trio.CancelScope] = {}
        self._network = network

    @property
    def url(self) -> str:
        """Where it is, as a plain ``ws://`` URL."""
        return f"ws://{self.host}:{self.port}/"

    def close(self) -> None:
        """Refuse dials from now on; connections live on."""
        self._network.unlisten(self)

    def crash(self) -> None:
        """Stop as a killed process does: dials are refused, connections reset."""
        self.close()
        for connection, scope in self.serving.items():
            connection.server.abort()
            scope.cancel()


class SimulatedNetwork:
    """Hosts and ports in memory.

    Bytes go through it as through TCP: in order, bounded by buffers, late or
    held back by the faults of the links. The WebSocket code of both ends is
    the real one. Under a `trio.testing.MockClock` one seed gives one run.

    Use it as an async context manager: servers run inside its block. An error
    that leaves the block carries the end of the trace as a note.

    Args:
        seed: Where all chance comes from: that of faults and, unless it runs in
            `run_simulation`, which has a seed for that, trio's schedule.
        buffer_size: Bytes that one direction of a connection takes before a
            sender blocks.
        give_up_after: Seconds without an acknowledgement after which a kernel
            gives a connection up (ETIMEDOUT).
        record: Whether to keep a trace; it grows with all that is sent.

    Attributes:
        seed: The seed.
        connections: All connections so far; empty without `record`.
        dials: How many dials there were.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        buffer_size: int = BUFFER_SIZE,
        give_up_after: float = GIVE_UP_AFTER,
        record: bool = True,
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise PolicyError("seed", seed, "must be a whole number")
        self.seed = seed
        self.connections: list[SimulatedConnection] = []
        self.dials = 0
        self._buffer_size = buffer_size
        self._give_up_after = give_up_after
        self._opened = 0
        self._recorder = Recorder(is_on=record)
        self._timers = Timers()
        self._hosts: dict[str, dict[int, Listener]] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._stack = AsyncExitStack()
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Self:
        self._stack.enter_context(seeded_scheduling(self.seed))
        self._nursery = await self._stack.enter_async_context(open_flat_nursery())
        self._nursery.start_soon(self._timers.run)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._nursery is not None  # noqa: S101 - entered before
        if isinstance(error, Exception) and self._recorder.is_on:
            trace = self.trace()
            error.add_note(f"seed {self.seed}, the last of {len(trace)} entries of the trace:")
            error.add_note(trace.excerpt(_SHOWN))
        self._nursery.cancel_scope.cancel()
        return await self._stack.__aexit__(kind, error, traceback)

    # --- hosts ---------------------------------------------------------------------

    def listen(self, address: str, handler: Handler) -> Listener:
        """Serve a port of a host; the host exists from then on.

        Args:
            address: ``"host:port"``.
            handler: An async function that is given the server's end of each
                connection; when it returns the connection is closed. What it
                raises leaves the network's block, but for the stream's own
                `trio.BrokenResourceError` and `trio.ClosedResourceError`.

        Raises:
            PolicyError: The address is not one, or is in use.
        """
        host, colon, port = address.rpartition(":")
        if not colon or not host or not port.isdigit():
            raise PolicyError("address", address, 'must be "host:port"')
        ports = self._hosts.setdefault(host, {})
        if int(port) in ports:
            raise PolicyError("address", address, "is in use")
        listener = ports[int(port)] = Listener(self, host, int(port), handler)
        return listener

    def unlisten(self, listener: Listener) -> None:
        """Refuse what `listener` served so far."""
        ports = self._hosts[listener.host]
        if ports.get(listener.port) is listener:
            del ports[listener.port]

    def link(self, host: str, client: str = "client") -> Link:
        """Tell the path between a client and a host; both need not exist yet."""
        key = (client, host)
        if key not in self._links:
            name = f"{client}-{host}"
            self._links[key] = Link(name, f"{self.seed}/{name}", self._timers, self.note)
        return self._links[key]

    @property
    def faults_injected(self) -> int:
        """How many faults have begun so far."""
        return sum(link.injected for link in self._links.values())

    # --- dialing ---------------------------------------------------------------------

    async def dial(self, target: wsguard.Target) -> trio.abc.Stream:
        """Connect from the host ``"client"``; for ``open_guarded_websocket(dial=...)``.

        Raises:
            OSError: As a kernel and a resolver raise it.
        """
        return await self._dial("client", target)

    def dial_from(self, client: str) -> Callable[[wsguard.Target], Awaitable[trio.abc.Stream]]:
        """Make a `dial` of another host."""

        async def dial(target: wsguard.Target) -> trio.abc.Stream:
            return await self._dial(client, target)

        return dial

    async def _dial(self, client: str, target: wsguard.Target) -> trio.abc.Stream:
        if self._nursery is None:
            raise RuntimeError("the network is not entered: async with SimulatedNetwork(...)")
        self.dials += 1
        self.note(client, f"dials {target.host}:{target.port}")
        try:
            return await self._connect(client, target)
        except OSError as exc:
            self.note(client, f"fails to dial {target.host}:{target.port}: {exc}")
            raise

    async def _connect(self, client: str, target: wsguard.Target) -> trio.abc.Stream:
        link = self.link(target.host, client)
        dialing = await self._reach(link, target)
        await trio.sleep(dialing.delay)
        if dialing.error is not None:
            raise dialing.error
        if dialing.handler is not None:
            return self._establish(link, None, dialing.handler)
        if target.host not in self._hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        listener = self._hosts[target.host].get(target.port)
        if listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        return self._establish(link, listener, listener.handler)

    async def _reach(self, link: Link, target: wsguard.Target) -> Dialing:
        """Find a way through; SYN is sent again until then, or until the kernel gives up."""
        began_at = trio.current_time()
        with trio.move_on_at(began_at + _SYN_GIVE_UP_AFTER):
            while True:
                dialing = Dialing(host=target.host, port=target.port)
                link.meet_dial(dialing)
                if not dialing.is_blocked:
                    return dialing
                await link.wait_changed()
                now = trio.current_time()
                await trio.sleep_until(retransmission_after(began_at, now, _FIRST_SYN_RETRY))
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    def _establish(
        self, link: Link, listener: Listener | None, handler: Handler
    ) -> trio.abc.Stream:
        assert self._nursery is not None  # noqa: S101 - asked in _dial
        self._opened += 1
        connection = SimulatedConnection(
            self._opened, self._timers, self._buffer_size, self._give_up_after
        )
        if self._recorder.is_on:
            self.connections.append(connection)
            for stream, arrow in ((connection.client, UP), (connection.server, DOWN)):
                stream.log = self._recorder.log(self._timers, f"{connection.number} {arrow}")
        link.carry(connection)
        self._nursery.start_soon(self._serve, connection, listener, handler)
        return connection.client

    async def _serve(
        self, connection: SimulatedConnection, listener: Listener | None, handler: Handler
    ) -> None:
        stream = connection.server
        with trio.CancelScope() as scope:
            if listener is not None:
                listener.serving[connection] = scope
            try:
                await handler(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the client is gone, which is no error of the server's
            finally:
                if listener is not None:
                    del listener.serving[connection]
                with trio.CancelScope(shield=True):  # never waits
                    await stream.aclose()

    # --- guards and the trace ----------------------------------------------------------

    @asynccontextmanager
    async def open_guard(
        self, url: str, *, wait: bool = True, client: str = "client", **options: Any
    ) -> AsyncIterator[wsguard.GuardedWebSocket]:
        """Open a guard on this network, with its events in the trace.

        Args:
            url: Where to.
            wait: Whether entering waits until CONNECTED.
            client: The host it runs on.
            **options: As `open_guarded_websocket` has them. Jitter and message
                ids are drawn from the network's seed, unless `rng` is given.
        """
        options.setdefault("dial", self.dial_from(client))
        options.setdefault("rng", random.Random(f"{self.seed}/guard"))  # noqa: S311 - a simulation
        assert self._nursery is not None, "enter the network first"  # noqa: S101 - as in `_dial`
        recorded = trio.Event()
        async with (
            wsguard.open_guarded_websocket(url, wait=False, **options) as ws,
            ws.events(max_queue=_MAX_EVENTS) as events,
        ):
            self._nursery.start_soon(self._record, ws.name, events, recorded)
            try:
                if wait:
                    await ws.wait_connected()
                yield ws
            finally:
                await ws.aclose()
                await recorded.wait()

    async def _record(self, name: str, events: wsguard.EventStream, recorded: trio.Event) -> None:
        async for event in events:
            self.note(name, describe(event))
        recorded.set()

    def note(self, where: str, what: str) -> None:
        """Add a line to the trace."""
        self._recorder.note(self._timers.now, where, what)

    def trace(self) -> Trace:
        """Tell what happened so far."""
        return self._recorder.trace()
