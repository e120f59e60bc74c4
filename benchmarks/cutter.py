"""A server whose connections end by themselves, for the benchmark of reconnecting.

Each connection is sent one text frame at once. It carries the moment at which
the connection before was cut, on the clock that all processes of a machine
share, so that a client needs no help to tell how long it was away. The client
then says anything at all, and a few milliseconds later its connection is cut, in
the way of the port. (A connection cut by RST before its client has read the first
frame would lose it: what is unread is thrown away.)


- ``reset``: by RST.
- ``close``: by a close frame with code 1012; the client's answer ends it.
- ``restart``: the port is closed and the connection reset; `DOWN` later the port
  is open again, and that is the moment that counts.
- ``tls`` and ``tls-fresh``: by RST, over TLS 1.3; the latter hands out no
  tickets, so that no client can resume a session.

It takes one client after another. It prints the ports as JSON, and serves until
its stdin ends.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
REST: Final = 0.004  # seconds before the cut: for a client to come to rest
DOWN: Final = 0.02  # seconds that a restart takes

PLAIN: Final = ("reset", "close", "restart")
SECURE: Final = ("tls", "tls-fresh")
_CLOSE_HEAD: Final = 0x88
_CLOSE_FRAME: Final = b"\x88\x02" + (1012).to_bytes(2, "big")
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class Place:
    """One port, and the way in which its connections end."""

    def __init__(self, way: str, context: ssl.SSLContext | None = None) -> None:
        self.way = way
        self.port = 0
        self.cut_at = 0.0  # monotonic seconds; 0 for never
        self._context = context
        self._listener: asyncio.Server | None = None
        self._restarting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen: on a free port, or again on the same."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        if self._listener is not None:
            self.cut_at = time.monotonic()
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: Visit(self), sock=listening, ssl=self._context
        )

    def restart(self) -> None:
        """Stop listening, and begin again after a while."""
        assert self._listener is not None
        self._listener.close()
        self._restarting = asyncio.get_running_loop().create_task(self._reopen())

    async def _reopen(self) -> None:
        await asyncio.sleep(DOWN)
        await self.open()


class Visit(asyncio.Protocol):
    """One connection."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._request = bytearray()
        self._is_open = self._is_ending = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer the request; take what then comes for the word, or for a close frame."""
        if self._is_open:
            if data[0] == _CLOSE_HEAD:  # the answer to ours, or a client that leaves
                self._transport.close()
            elif not self._is_ending:
                self._is_ending = True
                asyncio.get_running_loop().call_later(REST, self._cut)
            return
        self._request += data
        if self._request.endswith(b"\r\n\r\n"):
            self._is_open = True
            stamp = repr(self._place.cut_at).encode()
            first = bytes([0x81, len(stamp)]) + stamp
            self._transport.write(answer_to(bytes(self._request)) + first)

    def _cut(self) -> None:
        if self._transport.is_closing():
            return  # a client that left
        self._place.cut_at = time.monotonic()
        if self._place.way == "close":
            self._transport.write(_CLOSE_FRAME)
            return
        if self._place.way == "restart":
            self._place.restart()
        with contextlib.suppress(OSError):  # closed meanwhile
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT
            )
        self._transport.abort()


def answer_to(request: bytes) -> bytes:
    """Agree to speak WebSocket (RFC 6455, section 4.2.2)."""
    lines = (line.split(b": ", 1) for line in request.split(b"\r\n")[1:] if line)
    key = next(value for name, value in lines if name.lower() == b"sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def _secure(certificate: str, *, tickets: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate)
    if not tickets:
        context.num_tickets = 0
    return context


@contextlib.contextmanager
def cutter(certificate: Path | None = None) -> Iterator[dict[str, int]]:
    """Run the server in a process of its own; gives its ports, by what it does to a client."""
    command = [sys.executable, "-m", "benchmarks.cutter"]
    if certificate is not None:
        command += ["--certificate", str(certificate)]
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())
        finally:
            server.kill()


@attrs.frozen
class Certificate:
    """One for 127.0.0.1, of an authority of its own.

    Attributes:
        path: The file of it and its key.
        trusting: Makes a client's context that trusts it.
    """

    path: Path
    trusting: Callable[[], ssl.SSLContext]


@contextlib.contextmanager
def certified() -> Iterator[Certificate]:
    """Make a certificate, for the time of the block."""
    import trustme

    authority = trustme.CA()

    def trusting() -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(path))
        yield Certificate(path, trusting)


async def main() -> None:
    """Serve all ports."""
    parser = argparse.ArgumentParser(description="A server whose connections end by themselves.")
    parser.add_argument("--certificate", metavar="FILE", help="serve TLS too, with it and its key")
    options = parser.parse_args()
    places = [Place(way) for way in PLAIN]
    if options.certificate is not None:
        places += [Place(way, _secure(options.certificate, tickets=way == "tls")) for way in SECURE]
    for place in places:
        await place.open()
    sys.stdout.write(json.dumps({place.way: place.port for place in places}) + "\n")
    sys.stdout.flush()
    stdin = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    await stdin.read()


if __name__ == "__main__":
    asyncio.run(main())
