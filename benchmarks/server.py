"""The server of all benchmarks: in a process of its own, the same for every peer.

Asyncio streams and nothing more: the upgrade by hand, then frames encoded
beforehand, so that the server is not what is measured. Each benchmark that
counts messages checks that, by a bare socket that is served in the same run.

What a connection is for, its path says:

- ``/push/SIZE``: frames of SIZE bytes as fast as they are taken, written in
  chunks of a quarter of a megabyte. Pings are answered, a close frame ends it.
- ``/take/SIZE/EVERY/ANSWER``: reads, and answers one frame of ANSWER bytes for
  every EVERY frames of SIZE bytes: an echo with ``/take/64/1/64``. It counts
  bytes and does not look into them: for runs too short for a beat.
- ``/first/SIZE``: one frame at once, then quiet. Pings are answered, and a
  close frame by a close frame.
- ``/deaf``: accepts, and never reads again.

Commands come on stdin, a line each: see `Server.order` of the framework.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import os
import socket
import ssl
import struct
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, list[int]], Awaitable[None]]

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_CHUNK: Final = 2**18
_BINARY: Final = 0x2
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


def head_of(size: int, opcode: int = _BINARY, mask: int = 0) -> bytes:
    """Encode the head of an unfragmented frame (RFC 6455, section 5.2), without a mask's key."""
    if size < 126:
        return bytes([0x80 | opcode, mask | size])
    if size < 2**16:
        return bytes([0x80 | opcode, mask | 126]) + size.to_bytes(2, "big")
    return bytes([0x80 | opcode, mask | 127]) + size.to_bytes(8, "big")


def encode_frame(size: int) -> bytes:
    """Encode one unmasked binary frame of so many bytes."""
    return head_of(size) + b"x" * size


def encode_masked_frame(size: int) -> bytes:
    """Encode one binary frame as a client must: masked, if only by zeros."""
    return head_of(size, mask=0x80) + bytes(4) + b"x" * size


async def _upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[str]:
    """Answer the request; tell its path, in parts."""
    request = await reader.readuntil(b"\r\n\r\n")
    lines = request.split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines[1:] if line)
    key = next(value for name, value in headers.items() if name.lower() == b"sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return lines[0].split()[1].decode("ascii").strip("/").split("/")


async def _attend(reader: asyncio.StreamReader, write: Callable[[bytes], object]) -> bytes:
    """Answer pings, until the peer closes: then give its close code and reason.

    For peers that send control frames only: masked, and shorter than 126 bytes.

    Args:
        reader: Where they come from.
        write: Writes an answer where no other frame has been begun.
    """
    while True:
        head = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        masked = await reader.readexactly(head[1] & 0x7F)
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
        opcode = head[0] & 0x0F
        if opcode == _CLOSE:
            return payload
        if opcode == _PING:
            write(head_of(len(payload), _PONG) + payload)


async def _push(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, numbers: list[int]
) -> None:
    frame = encode_frame(numbers[0])
    chunk = frame * max(1, _CHUNK // len(frame))
    pongs: list[bytes] = []
    await writer.drain()
    async with asyncio.TaskGroup() as group:
        pushing = group.create_task(_push_past(writer, chunk, pongs))
        try:
            await _attend(reader, pongs.append)
        finally:
            pushing.cancel()
            writer.transport.abort()  # megabytes are on their way: no close handshake


async def _push_past(writer: asyncio.StreamWriter, chunk: bytes, pongs: list[bytes]) -> None:
    """Write a chunk again and again, and between two of them what else is to be written.

    Past the transport, which copies what the kernel does not take at once: with
    large frames, that was most of the server's time.
    """
    loop = asyncio.get_running_loop()
    plain: socket.socket = writer.get_extra_info("socket")
    with socket.socket(fileno=os.dup(plain.fileno())) as direct:
        direct.setblocking(False)
        while True:
            answers = b"".join(pongs)
            pongs.clear()
            await loop.sock_sendall(direct, answers + chunk if answers else chunk)


async def _take(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, numbers: list[int]
) -> None:
    size, every, answer_size = numbers
    due = len(encode_masked_frame(size)) * every
    answer = encode_frame(answer_size)
    taken = 0
    while data := await reader.read(_CHUNK):
        taken += len(data)
        while taken >= due:
            taken -= due
            writer.write(answer)
    writer.transport.abort()


async def _first(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, numbers: list[int]
) -> None:
    writer.write(encode_frame(numbers[0]))
    payload = await _attend(reader, writer.write)
    writer.write(head_of(len(payload), _CLOSE) + payload)


async def _deaf(
    _reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _numbers: list[int]
) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined, unused-ignore]
    await asyncio.Event().wait()


_HANDLERS: Final[dict[str, Handler]] = {
    "push": _push,
    "take": _take,
    "first": _first,
    "deaf": _deaf,
}


class Host:
    """The listener and its connections.

    Args:
        context: For TLS; ``None`` for plain text.
    """

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.port = 0
        self._context = context
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def up(self) -> None:
        """Listen: on a free port, or again on the same."""
        self._listener = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._context, backlog=4096
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    def down(self) -> None:
        """Stop listening, and reset all connections."""
        if self._listener is not None:
            self._listener.close()
        self.reset()

    def reset(self) -> None:
        """End all connections by RST: nothing of them comes out any more."""
        for writer in self._writers:
            plain: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # closed meanwhile
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            writer.transport.abort()

    def close(self, code: int) -> None:
        """Send a close frame on all connections; their answers end them."""
        for writer in self._writers:
            writer.write(head_of(2, _CLOSE) + code.to_bytes(2, "big"))

    async def obey(self, command: str) -> str:
        """Do what a line of stdin says; give the answer."""
        match command.split():
            case ["reset"]:
                self.reset()
            case ["close", code]:
                self.close(int(code))
            case ["down"]:
                self.down()
            case ["up"]:
                await self.up()
            case ["count"]:
                return str(len(self._writers))
            case _:
                return f"error: no such command: {command}"
        return "ok"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            name, *rest = await _upgrade(reader, writer)
            await _HANDLERS[name](reader, writer, [int(number) for number in rest])
        except* (OSError, asyncio.IncompleteReadError):
            pass  # the peer has seen enough
        finally:
            self._writers.discard(writer)
            writer.close()


async def main() -> None:
    """Serve on a free port of loopback, and print it; obey stdin until it ends.

    Whoever started it holds its stdin: killed by any signal, it leaves no
    server behind.
    """
    parser = argparse.ArgumentParser(description="The server of all benchmarks.")
    parser.add_argument("--certificate", metavar="FILE", help="serve TLS with it and its key")
    options = parser.parse_args()
    context: ssl.SSLContext | None = None
    if options.certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)
    host = Host(context)
    await host.up()
    stdin = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    answer = str(host.port)
    while True:
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
        line = await stdin.readline()
        if not line:
            break
        answer = await host.obey(line.decode().strip())
    host.down()


if __name__ == "__main__":
    asyncio.run(main())
