"""WebSocket frames as a bystander sees them: for the trace, and for checks of what was sent.

It takes whatever comes (RFC 6455, section 5.2), for it watches the ones that
are tested; it judges nothing.
"""

from __future__ import annotations

import zlib
from typing import Final

import attrs
from wsproto.frame_protocol import Opcode

_SHOWN: Final = 48  # characters or bytes of a payload in a trace


@attrs.frozen
class Frame:
    """A frame, unmasked.

    Attributes:
        opcode: What it is: an `Opcode`, or the number of none.
        payload: What it carries; compressed where the connection is.
        is_final: Whether it ends a message.
        reserved: Its three reserved bits.
    """

    opcode: int
    payload: bytes
    is_final: bool = True
    reserved: int = 0

    @property
    def close_code(self) -> int | None:
        """The code of a close frame, where it has one."""
        if self.opcode == Opcode.CLOSE and len(self.payload) >= 2:
            return int.from_bytes(self.payload[:2])
        return None

    def __str__(self) -> str:
        try:
            name = Opcode(self.opcode).name
        except ValueError:
            name = f"opcode {self.opcode}"
        payload, code = self.payload, self.close_code
        if code is not None:
            name, payload = f"{name} {code}", payload[2:]
        if self.reserved:
            name += f" rsv={self.reserved:03b}"
        if not self.is_final:
            name += " (goes on)"
        return f"{name} {show(payload)}" if payload else name


def show(payload: bytes) -> str:
    """Show a payload in a line; a long one by its beginning, size and checksum."""
    try:
        text = repr(payload[:_SHOWN].decode())
    except UnicodeDecodeError:
        text = repr(payload[:_SHOWN])
    if len(payload) <= _SHOWN:
        return text
    return f"{text}... ({len(payload)} B, crc {zlib.crc32(payload):08x})"


class FrameReader:
    """Reads frames from the bytes of one direction, however they are cut."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes in and tell the frames that are complete by now."""
        self._unread += data
        frames: list[Frame] = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    @property
    def rest(self) -> bytes:
        """The beginning of a frame that is not complete."""
        return bytes(self._unread)

    def _next(self) -> Frame | None:
        unread = self._unread
        if len(unread) < 2:
            return None
        head, length = 2, unread[1] & 0x7F
        if length > 125:
            head = 4 if length == 126 else 10
            length = int.from_bytes(unread[2:head]) if len(unread) >= head else 0
        is_masked = unread[1] & 0x80
        head += 4 if is_masked else 0
        end = head + length
        if len(unread) < end:
            return None
        payload = bytes(unread[head:end])
        if is_masked:
            payload = _unmask(payload, bytes(unread[head - 4 : head]))
        frame = Frame(unread[0] & 0x0F, payload, bool(unread[0] & 0x80), unread[0] >> 4 & 7)
        del unread[:end]
        return frame


def _unmask(payload: bytes, mask: bytes) -> bytes:
    # One operation on a long number is far quicker than a loop over bytes.
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(len(payload))
