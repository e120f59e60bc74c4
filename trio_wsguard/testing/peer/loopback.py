"""The same peers on real sockets of this machine."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import trio

from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard.testing.peer.streams import reset_stream

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[trio.abc.Stream], Awaitable[object]]


class LoopbackServer:
    """A listening socket and its connections; made by `open_loopback`.

    Attributes:
        port: Its port; the same after `stop` and `start`.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        handler: Handler,
        ssl_context: ssl.SSLContext | None,
        host: str,
        port: int,
    ) -> None:
        self.port = port
        self._nursery = nursery
        self._handler = handler
        self._ssl_context = ssl_context
        self._host = host
        self._streams: list[trio.abc.Stream] = []
        self._scope = trio.CancelScope()
        self._stopped: trio.Event | None = None

    @property
    def url(self) -> str:
        """Where to connect."""
        scheme = "ws" if self._ssl_context is None else "wss"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self.port}/"

    async def start(self) -> None:
        """Listen; does nothing where it does already.

        Raises:
            OSError: The port cannot be had.
        """
        if self._stopped is not None:
            await trio.lowlevel.checkpoint()
            return
        listeners = await trio.open_tcp_listeners(self.port, host=self._host)
        self._scope, self._stopped = trio.CancelScope(), trio.Event()
        self._nursery.start_soon(self._listen, listeners, self._stopped)
        # A name may have several addresses, each then with a port of its own.
        self.port = listeners[0].socket.getsockname()[1]

    async def stop(self) -> None:
        """Refuse new connections and end those that are, as if the process had been killed."""
        await trio.lowlevel.checkpoint()
        if self._stopped is not None:
            self._scope.cancel()
            await self._stopped.wait()
            self._stopped = None

    async def reset_all(self) -> None:
        """Reset (RST) all connections."""
        await trio.lowlevel.checkpoint()
        for stream in list(self._streams):
            await reset_stream(stream)

    async def _listen(self, listeners: list[trio.SocketListener], stopped: trio.Event) -> None:
        try:
            with self._scope:
                async with open_flat_nursery() as nursery:
                    await trio.serve_listeners(self._serve, listeners, handler_nursery=nursery)
        finally:
            stopped.set()

    async def _serve(self, socket: trio.SocketStream) -> None:
        stream: trio.abc.Stream = socket
        if self._ssl_context is not None:
            stream = trio.SSLStream(
                socket, self._ssl_context, server_side=True, https_compatible=True
            )
        self._streams.append(stream)
        try:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                if isinstance(stream, trio.SSLStream):
                    await stream.do_handshake()
                await self._handler(stream)
        finally:
            self._streams.remove(stream)
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def open_loopback(
    handler: Handler,
    *,
    ssl_context: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[LoopbackServer]:
    """Serve a `ScriptedPeer` on a socket of this machine; leaving ends it at once.

    Args:
        handler: The peer, or any async function of a stream.
        ssl_context: For TLS; a client that fails the TLS handshake does not
            reach the peer.
        host: The address or name to listen on, and to connect to.
        port: The port; 0 for one that is free.

    Raises:
        OSError: The port cannot be had.
    """
    async with open_flat_nursery() as nursery:
        server = LoopbackServer(nursery, handler, ssl_context, host, port)
        await server.start()
        yield server
        nursery.cancel_scope.cancel()
