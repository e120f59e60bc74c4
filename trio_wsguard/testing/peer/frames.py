"""WebSocket frames as bytes: good ones, bad ones, and a strict reading of a client's.

Reading is wsproto's, which is what trio-websocket speaks. Writing is ours: a
library writes no bad frame, and most of what is written here is meant to be.
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs
from wsproto.frame_protocol import (
    CloseReason,
    FrameDecoder,
    MessageDecoder,
    Opcode,
    ParseFailed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NO_STATUS: Final = 1005  # what an empty close frame means; never on the wire (RFC 6455, 7.4.1)
_WIRE_CODES: Final = frozenset({*range(1000, 1004), *range(1007, 1015)})


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = False,
    length: int | None = None,
) -> bytes:
    """Build one frame of a server's, good or bad (RFC 6455, section 5.2).

    Args:
        opcode: What it is; 1 text, 2 binary, 8 close, 9 ping, 10 pong.
        payload: What it carries.
        fin: Whether it is the last of its message.
        rsv: The three reserved bits, 0 to 7.
        masked: Whether to mask it (with zeros), which a server must not.
        length: Bytes it claims to carry; ``None`` for the truth.
    """
    claimed = len(payload) if length is None else length
    first, bit = fin << 7 | rsv << 4 | opcode, masked << 7
    if claimed <= 125:
        head = bytes((first, bit | claimed))
    elif claimed < 2**16:
        head = struct.pack("!BBH", first, bit | 126, claimed)
    else:
        head = struct.pack("!BBQ", first, bit | 127, claimed)
    return head + bytes(4 * masked) + payload


def message_frame(message: str | bytes) -> bytes:
    """Build the frame of a whole message."""
    if isinstance(message, str):
        return frame(Opcode.TEXT, message.encode())
    return frame(Opcode.BINARY, message)


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    """Build a close frame; ``None`` (or 1005) for one without a code."""
    if code is None or code == _NO_STATUS:
        return frame(Opcode.CLOSE)
    return frame(Opcode.CLOSE, struct.pack("!H", code) + reason.encode())


@attrs.frozen
class Violation:
    """Bytes that a server must not send.

    Attributes:
        raw: The bytes.
        code: What a strict client closes with.
    """

    raw: bytes
    code: int


_ERROR: Final = CloseReason.PROTOCOL_ERROR.value
_BAD_DATA: Final = CloseReason.INVALID_FRAME_PAYLOAD_DATA.value

VIOLATIONS: Final[Mapping[str, Violation]] = MappingProxyType(
    {
        "reserved bit": Violation(frame(Opcode.TEXT, b"x", rsv=4), _ERROR),
        "unknown opcode": Violation(frame(3, b"x"), _ERROR),
        "unknown control opcode": Violation(frame(11), _ERROR),
        "masked frame": Violation(frame(Opcode.TEXT, b"x", masked=True), _ERROR),
        "long control frame": Violation(frame(Opcode.PING, bytes(126)), _ERROR),
        "fragmented control frame": Violation(frame(Opcode.PING, fin=False), _ERROR),
        "impossible length": Violation(frame(Opcode.BINARY, length=2**63), _ERROR),
        "continuation of nothing": Violation(frame(Opcode.CONTINUATION, b"x"), _ERROR),
        "message within a message": Violation(
            frame(Opcode.TEXT, b"x", fin=False) + frame(Opcode.TEXT, b"y"), _ERROR
        ),
        "invalid UTF-8": Violation(frame(Opcode.TEXT, b"\xff\xfe"), _BAD_DATA),
        "close of one byte": Violation(frame(Opcode.CLOSE, b"\x03"), _ERROR),
        "close code 999": Violation(close_frame(999), _ERROR),
        "close code 1006": Violation(close_frame(1006), _ERROR),
        "close reason not UTF-8": Violation(frame(Opcode.CLOSE, b"\x03\xe8\xff"), _BAD_DATA),
    }
)
"""What `Violate` knows by name."""


class ClientDecoder:
    """Reads what a client sends, strictly: whatever the RFC forbids is told."""

    def __init__(self) -> None:
        self._frames = FrameDecoder(client=False)
        self._messages = MessageDecoder()
        self._parts: list[Any] = []
        self._is_closed = False

    @property
    def is_midway(self) -> bool:
        """Whether a frame or a message was begun and not finished."""
        frames = self._frames
        return bool(frames.header is not None or len(frames.buffer) or self._parts)

    def feed(self, data: bytes) -> Iterator[tuple[Opcode, Any]]:
        """Take bytes and give whole messages and control frames' payloads, in their order.

        Raises:
            ParseFailed: The client broke the protocol; `code` is what to close with.
        """
        self._frames.receive_bytes(data)
        while (found := self._frames.process_buffer()) is not None:
            if found.opcode.iscontrol():
                # A pong may still follow: RFC 6455, section 5.5.1, forbids data alone.
                self._is_closed = self._is_closed or found.opcode is Opcode.CLOSE
                yield found.opcode, found.payload
                continue
            if self._is_closed:
                raise ParseFailed("data after the close frame")
            part = self._messages.process_frame(found)
            self._parts.append(part.payload)
            if part.message_finished:
                parts, self._parts = self._parts, []
                yield part.opcode, parts[0] if len(parts) == 1 else parts[0][:0].join(parts)


def parse_close(payload: bytes) -> tuple[int, str]:
    """Read a close frame's code and reason; 1005 where it has none.

    Raises:
        ParseFailed: It is not a legal one (RFC 6455, section 7.4).
    """
    if not payload:
        return _NO_STATUS, ""
    if len(payload) == 1:
        raise ParseFailed("a close frame of one byte")
    code = int.from_bytes(payload[:2])
    if code not in _WIRE_CODES and not 3000 <= code <= 4999:
        raise ParseFailed(f"close code {code}, which must not be sent")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ParseFailed(
            "a close reason that is not UTF-8", CloseReason.INVALID_FRAME_PAYLOAD_DATA
        ) from None
