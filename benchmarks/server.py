"""The server of all benchmarks: in a process of its own, the same for every peer.

Asyncio streams and nothing more: the upgrade by hand, then frames encoded
beforehand and written in chunks of a quarter of a megabyte, so that the server
is not what is measured. It answers pings, and drops a peer that says goodbye.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
from typing import Final

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_CHUNK: Final = 2**18
_CLOSE: Final = 0x8
_PING: Final = 0x9


def encode_frame(size: int) -> bytes:
    """Encode one unmasked binary frame of so many bytes (RFC 6455, section 5.2)."""
    if size < 126:
        head = bytes([0x82, size])
    elif size < 2**16:
        head = b"\x82\x7e" + size.to_bytes(2, "big")
    else:
        head = b"\x82\x7f" + size.to_bytes(8, "big")
    return head + b"x" * size


async def _upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    request = await reader.readuntil(b"\r\n\r\n")
    lines = request.split(b"\r\n")
    size = int(lines[0].split()[1].rpartition(b"/")[2])
    headers = dict(line.split(b": ", 1) for line in lines[1:] if line)
    key = next(value for name, value in headers.items() if name.lower() == b"sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return size


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer pings; drop the peer once it closes or leaves.

    Peers send control frames only: masked, and shorter than 126 bytes.
    """
    try:
        while True:
            head = await reader.readexactly(2)
            mask = await reader.readexactly(4)
            masked = await reader.readexactly(head[1] & 0x7F)
            opcode = head[0] & 0x0F
            if opcode == _CLOSE:
                return
            if opcode == _PING:
                payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
                # Whole frames alone are ever written, so it falls between two.
                writer.write(bytes([0x8A, len(payload)]) + payload)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the peer is gone
    finally:
        writer.transport.abort()


async def push(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Push frames of the size that the path names (``/push/SIZE``) until the peer leaves."""
    try:
        frame = encode_frame(await _upgrade(reader, writer))
        chunk = frame * max(1, _CHUNK // len(frame))
        async with asyncio.TaskGroup() as group:
            group.create_task(_answer(reader, writer))
            while not writer.is_closing():
                writer.write(chunk)
                await writer.drain()
    except* (ConnectionError, asyncio.IncompleteReadError):
        pass  # the peer has seen enough
    finally:
        writer.close()


async def main() -> None:
    """Serve on a free port of loopback, and print it, until stdin ends.

    Whoever started it holds its stdin: killed by any signal, it leaves no
    server behind.
    """
    server = await asyncio.start_server(push, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    stdin = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    await stdin.read()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
