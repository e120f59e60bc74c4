"""Ending a stream less gently than `aclose` does."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any, Final

import trio

# l_onoff = 1, l_linger = 0: closing sends a reset. Winsock's fields are shorts.
_RESET_ON_CLOSE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


async def reset_stream(stream: trio.abc.Stream) -> None:
    """End a stream by RST, the one below TLS likewise.

    A stream that knows no RST (neither a socket nor one with an `abort()`) is
    closed forcefully.
    """
    below: Any = stream
    while isinstance(below, trio.SSLStream):
        below = below.transport_stream
    if hasattr(below, "abort"):
        below.abort()
    elif isinstance(below, trio.SocketStream) and below.socket.fileno() >= 0:
        below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    await trio.aclose_forcefully(stream)
