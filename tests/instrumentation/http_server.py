"""A little HTTP server on a loopback socket; the protocol is h11's."""

from __future__ import annotations

import json
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import h11
import trio

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    Answer = Callable[[trio.abc.Stream], Awaitable[object]]


@attrs.frozen
class Asked:
    """A request as the server saw it."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@attrs.define(eq=False)
class HttpServer:
    """Each request takes the next answer, the last one for ever.

    Attributes:
        port: Where it listens.
        answers: What is written for each request, or what writes it.
        asked: The requests, oldest first.
        open_count: Connections that are open.
    """

    port: int = 0
    ssl_context: ssl.SSLContext | None = None
    answers: deque[bytes | Answer] = attrs.field(factory=lambda: deque([answer(200)]))
    asked: list[Asked] = attrs.field(factory=list)
    open_count: int = 0
    _changed: trio.Event = attrs.field(factory=trio.Event)

    @property
    def url(self) -> str:
        scheme = "http" if self.ssl_context is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}"

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds; looked at whenever something happened."""
        while not condition():
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def serve(self, raw: trio.SocketStream) -> None:
        """Answer one request, then read to the end."""
        context = self.ssl_context
        stream: trio.abc.Stream = raw
        if context is not None:
            stream = trio.SSLStream(raw, context, server_side=True, https_compatible=True)
        self.open_count += 1
        self._tell()
        try:
            await self._answer(stream)
            while await stream.receive_some(4096):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.open_count -= 1
            self._tell()
            await trio.aclose_forcefully(stream)

    async def _answer(self, stream: trio.abc.Stream) -> None:
        asked = await read_request(stream)
        if asked is None:
            return
        self.asked.append(asked)
        self._tell()
        answered = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answered, bytes):
            await stream.send_all(answered)
        else:
            await answered(stream)


async def read_request(stream: trio.abc.Stream) -> Asked | None:
    """Read one request; ``None`` if the peer ends before."""
    protocol, body = h11.Connection(h11.SERVER), b""
    head: h11.Request | None = None
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(bytes(await stream.receive_some(65536)))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {name.decode(): value.decode() for name, value in head.headers}
            return Asked(head.target.decode(), headers, body)
        else:
            return None


def answer(status: int, text: str = "", **headers: str) -> bytes:
    """Write an answer; an underscore in a header's name is a hyphen."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(text)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + f"\r\n\r\n{text}").encode()


async def nothing(_: trio.abc.Stream) -> None:
    """Never answer."""
    await trio.sleep_forever()


async def reading(stream: trio.abc.Stream) -> None:
    """Never answer, but see the other end go."""
    while await stream.receive_some(4096):
        pass


async def endless(stream: trio.abc.Stream) -> None:
    """Answer with a good status, and a body without end."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await stream.send_all(b"4\r\nmore\r\n")


@asynccontextmanager
async def open_http_server(ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[HttpServer]:
    """Listen on a free port."""
    server = HttpServer(ssl_context=ssl_context)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, server.serve, listeners)
        yield server
        nursery.cancel_scope.cancel()
