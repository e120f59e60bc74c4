"""Messages out of bytes, for the adapter over `websockets`.

The library's parser spends two microseconds on a frame, a quarter of what a
short message costs from the socket to the application. Nearly all frames of a
feed are whole messages without extensions, which need no parser: their length
says where they end. Those are cut out of the chunk here; every other frame,
and each that the chunk does not hold to its end, goes through the library, which
alone knows the protocol's state. A frame goes one way or the other by its first
two bytes and by nothing else, so that cutting the stream elsewhere changes no
message.

The library does not check the UTF-8 of messages (RFC 6455, section 8.1); they
are decoded here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from websockets.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from websockets.protocol import Protocol

    from trio_wsguard._shell.transport import Message, OnPong

# First bytes of frames with FIN set and no reserved bit (RFC 6455, section 5.2).
_WHOLE_TEXT: Final = 0x81
_WHOLE_BINARY: Final = 0x82
_FIN_BIT: Final = 0x80
_CONTROL_BIT: Final = 0x08
_OPCODE_BITS: Final = 0x0F
_OPCODES: Final = frozenset({CONT, TEXT, BINARY, CLOSE, PING, PONG})
_MASK_BIT: Final = 0x80


class FrameReader:
    """Makes messages of the bytes of an open connection.

    Args:
        protocol: The library's protocol, open; it is fed by no one else.
        on_pong: Told each pong.

    Attributes:
        invalid: Set once a text message was no UTF-8; what follows it is not looked at.
    """

    def __init__(self, protocol: Protocol, on_pong: OnPong) -> None:
        self.invalid: UnicodeDecodeError | None = None
        self._protocol = protocol
        self._on_pong = on_pong
        self._head = b""  # of a frame whose length has not come yet
        self._owed = 0  # bytes of a frame that the protocol has begun
        # Grown in place and not kept as a list, which empty fragments would fill.
        self._partial = bytearray()
        self._is_text = False
        self._is_fragmented = False

    @property
    def is_over(self) -> bool:
        """Whether no message can come any more."""
        protocol = self._protocol
        return (
            protocol.close_rcvd is not None
            or protocol.parser_exc is not None
            or self.invalid is not None
        )

    def feed(self, chunk: bytes) -> list[Message]:
        """Take bytes in; tell the messages that are whole with them."""
        batch: list[Message] = []
        if self._head:
            chunk, self._head = self._head + chunk, b""
        try:
            self._split(chunk, batch)
        except UnicodeDecodeError as exc:
            self.invalid = exc
        return batch

    def _split(self, chunk: bytes, batch: list[Message]) -> None:
        append, max_size = batch.append, self._protocol.max_message_size or 0
        at = self._pass_on(chunk, 0, self._owed, batch) if self._owed else 0
        end = len(chunk)
        while at + 2 <= end:
            first, second, body = chunk[at], chunk[at + 1], at + 2
            length = second
            if second == 126:
                body = at + 4
                length = int.from_bytes(chunk[at + 2 : body])
            elif second == 127:
                body = at + 10
                length = int.from_bytes(chunk[at + 2 : body])
            if body > end and first & _OPCODE_BITS in _OPCODES:
                break
            stop = body + length
            is_ours = stop <= end and length <= max_size and second < _MASK_BIT
            if is_ours and first == _WHOLE_TEXT and not self._is_fragmented:
                append(chunk[body:stop].decode())
                at = stop
            elif is_ours and first == _WHOLE_BINARY and not self._is_fragmented:
                append(chunk[body:stop])
                at = stop
            else:
                if not first & _CONTROL_BIT:
                    self._is_fragmented = not first & _FIN_BIT
                at = self._pass_on(chunk, at, stop, batch)
        self._head = chunk[at:]

    def _pass_on(self, chunk: bytes, at: int, stop: int, batch: list[Message]) -> int:
        """Feed a frame to the protocol, as far as the chunk has it; tell where to go on."""
        piece = chunk[at:stop]
        self._owed = stop - at - len(piece)
        self._protocol.receive_data(piece)
        self._take(self._protocol.events_received(), batch)
        return len(chunk) if self.is_over else at + len(piece)

    def _take(self, frames: Iterable[Any], batch: list[Message]) -> None:
        for frame in frames:
            opcode = frame.opcode
            if opcode is PONG:
                self._on_pong(bytes(frame.data))
            elif opcode is not PING and opcode is not CLOSE:
                self._take_data(frame, batch)

    def _take_data(self, frame: Any, batch: list[Message]) -> None:
        data = frame.data
        if frame.opcode is not CONT:
            self._is_text = frame.opcode is TEXT
        if frame.opcode is CONT or not frame.fin:
            self._partial += data
            if not frame.fin:
                return
            data, self._partial = self._partial, bytearray()
        batch.append(data.decode() if self._is_text else bytes(data))
