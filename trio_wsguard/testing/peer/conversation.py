"""One connection of a `ScriptedPeer`: the script's task beside a reader.

Whatever ends the connection goes through `Conversation.end`: it notes how, and
cancels both. So no step and no user's function ever sees an error of the
stream; it is cancelled where it waits.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NoReturn

import trio
from wsproto.frame_protocol import CloseReason, Opcode, ParseFailed

from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard.testing.peer.beats import Beats
from trio_wsguard.testing.peer.frames import (
    ClientDecoder,
    close_frame,
    message_frame,
    parse_close,
)
from trio_wsguard.testing.peer.handshake import BadRequestError, RequestReader, http_head
from trio_wsguard.testing.peer.record import End, Received
from trio_wsguard.testing.peer.streams import reset_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.peer.beats import BeatAnswer
    from trio_wsguard.testing.peer.record import ConnectionRecord
    from trio_wsguard.testing.peer.script import Script

_CHUNK: Final = 2**16
_STREAM_ERRORS: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
# The stream is in order and is ended by FIN; after any other end it is not.
_BY_FIN: Final = (End.CLOSED, End.LEFT, End.DROPPED, End.REFUSED, End.VIOLATION)


class Conversation:
    """One connection, as steps and functions of `Call` see it.

    Args:
        stream: The byte stream to the client.
        record: What is noted of it.
        answer: How message beats are answered.
        on_change: Called whenever the record changed.

    Attributes:
        record: What is noted of it.
        beats: How beats are answered.
        is_mute: Whether nothing is answered: no beat, no close frame.
        answers_close: Whether a client's close frame is answered.
        ends_on_close: Whether the stream is ended once both sides closed.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        record: ConnectionRecord,
        answer: BeatAnswer,
        on_change: Callable[[], object],
    ) -> None:
        self.record = record
        self.beats = Beats(answer)
        self.is_mute = False
        self.answers_close = self.ends_on_close = True
        self._stream = stream
        self._on_change = on_change
        self._decoder = ClientDecoder()
        self._nursery: trio.Nursery
        self._lock = trio.Lock()
        self._waiting_replies: deque[bytes] = deque()
        self._has_written = self._close_sent = False
        self._taken = 0
        self._news = trio.lowlevel.ParkingLot()
        self._reading = trio.CancelScope()
        self._is_paused = False
        self._resumed = trio.lowlevel.ParkingLot()

    # --- what a user's function needs ---------------------------------------------

    @property
    def number(self) -> int:
        """Which connection of the peer it is, from 1."""
        return self.record.number

    @property
    def path(self) -> str:
        """What was asked for, the query included."""
        return self.record.path

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers, names in lower case."""
        return self.record.headers

    async def send(self, message: Message) -> None:
        """Send a message.

        Cancelled while the client takes no bytes, it ends the connection: the
        frame may be half-written.
        """
        await self.send_if_open(message)
        if self._close_sent or self.record.end is not None:
            await self._over()

    async def receive(self) -> Message:
        """Take the next message that is no beat. Cancelled, it takes none."""
        received = self.record.received
        if self._taken < len(received):
            await trio.lowlevel.checkpoint()
        while self._taken == len(received):
            await self._news.park()
        self._taken += 1
        return received[self._taken - 1].message

    async def close(self, code: int = 1000, reason: str = "", *, wait: bool = True) -> NoReturn:
        """Send a close frame and end; nothing after it is run.

        Args:
            code: The close code.
            reason: At most 123 bytes.
            wait: Whether the client's close frame is awaited before the end.
        """
        if not self._close_sent:
            self._close_sent = True
            await self.write(close_frame(code, reason))
        if not wait or (self.record.close_code is not None and self.ends_on_close):
            self.end(End.CLOSED)
        await self._over()

    # --- what steps need besides --------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self.record.is_accepted and not self._close_sent and self.record.end is None

    async def respond(
        self, status: int, headers: Mapping[str, str | None], body: bytes = b""
    ) -> None:
        """Answer the handshake's request."""
        self.record.status = status
        self._on_change()
        await self.write(http_head(status, headers) + body)

    async def send_if_open(self, message: Message) -> None:
        """Send a message, or nothing if the connection is closing or over."""
        await self.write(message_frame(message), unless_closed=True)

    async def write(self, data: bytes, *, unless_closed: bool = False) -> None:
        """Write bytes as they are, once what is being written is out.

        Args:
            data: The bytes.
            unless_closed: Whether to write nothing after our close frame.
        """
        lock = self._lock
        try:
            lock.acquire_nowait()  # spares a pass of the scheduler
        except trio.WouldBlock:
            await lock.acquire()
        try:
            if unless_closed and self._close_sent:
                return
            self._has_written = True
            await self._stream.send_all(data)
            while self._waiting_replies and not self._close_sent:
                await self._stream.send_all(self._waiting_replies.popleft())
        except _STREAM_ERRORS:
            self.end(End.LOST)
        except trio.Cancelled:
            self.end(End.ABANDONED)
            raise
        finally:
            lock.release()

    def end(self, how: End) -> None:
        """End the connection; the first to say how is right."""
        if self.record.end is None:
            self.record.end = how
            self._nursery.cancel_scope.cancel()

    def pause(self) -> None:
        """Take no more bytes."""
        self._is_paused = True
        self._reading.cancel()

    def resume(self) -> None:
        """Take bytes again."""
        self._is_paused = False
        self._resumed.unpark_all()

    async def answer_close(self) -> None:
        """Do our part of a close handshake, if the client has done its part."""
        code = self.record.close_code
        if code is None or self.is_mute or not self.answers_close:
            return
        if not self._close_sent:
            self._close_sent = True
            await self.write(close_frame(code))
        if self.ends_on_close:
            self.end(End.CLOSED)

    async def _over(self) -> NoReturn:
        """Wait to be cancelled: nothing more can be done."""
        while True:
            await trio.sleep_forever()

    # --- the two tasks ------------------------------------------------------------

    async def run(self, script: Script) -> None:
        """Serve the connection to its end."""
        try:
            async with open_flat_nursery() as self._nursery:
                await self._read_request()
                self._nursery.start_soon(self._read)
                for step in script.steps:
                    await step.play(self)
                if not self.record.is_accepted:
                    self.end(End.DROPPED if self.record.status is None else End.REFUSED)
                await self._over()
        finally:
            await self._finish()

    async def _finish(self) -> None:
        record = self.record
        record.end = record.end or End.ABANDONED
        record.is_cut = self._decoder.is_midway
        record.ended_at = trio.current_time()
        self._on_change()
        if record.end is End.RESET:
            await reset_stream(self._stream)
        elif record.end in _BY_FIN:
            try:
                await self._stream.aclose()
            except _STREAM_ERRORS:
                await trio.aclose_forcefully(self._stream)
        else:
            await trio.aclose_forcefully(self._stream)

    async def _read_request(self) -> None:
        reader = RequestReader()
        try:
            while (request := reader.feed(await self._receive())) is None:
                pass
        except BadRequestError as exc:
            self.record.violation = str(exc)
            await self.respond(exc.status, {**exc.headers, "Content-Length": "0"})
            self.end(End.VIOLATION)
            await self._over()
        self.record.path = request.path
        self.record.headers = request.headers
        self.record.subprotocols = request.subprotocols
        self._on_change()

    async def _receive(self) -> bytes:
        while True:
            while self._is_paused:
                await self._resumed.park()
            with trio.CancelScope() as self._reading:
                try:
                    data = await self._stream.receive_some(_CHUNK)
                except _STREAM_ERRORS:
                    self.end(End.LOST)
                    await self._over()
                if data:
                    return bytes(data)
                self.end(End.LEFT)
                await self._over()

    async def _read(self) -> None:
        while True:
            data = await self._receive()
            try:
                await self._decode(data)
            except ParseFailed as exc:
                await self._refuse(str(exc), exc.code)

    async def _decode(self, data: bytes) -> None:
        if not self._has_written:
            raise ParseFailed("bytes before the handshake was answered")
        if self.record.is_accepted:
            for opcode, payload in self._decoder.feed(data):
                await self._take(opcode, payload)

    async def _refuse(self, violation: str, code: CloseReason) -> None:
        self.record.violation = violation
        self._on_change()
        if self.is_open and not self.is_mute:
            self._close_sent = True
            await self.write(close_frame(code))
        self.end(End.VIOLATION)
        await self._over()

    async def _take(self, opcode: Opcode, payload: Any) -> None:
        record = self.record
        received = Received(trio.current_time(), payload)
        if opcode is Opcode.CLOSE:
            record.close_code, record.close_reason = parse_close(payload)
            self._on_change()
            await self.answer_close()
        elif opcode is Opcode.PONG:
            record.pongs.append(received)
            self._on_change()
        elif opcode is Opcode.PING or self.beats.is_beat(payload):
            record.beats.append(received)
            self._on_change()
            await self._answer_beat(opcode, payload)
        else:
            record.received.append(received)
            self._news.unpark_all()
            self._on_change()

    async def _answer_beat(self, opcode: Opcode, beat: Message) -> None:
        if self.is_mute:
            return
        reply = self.beats.reply(opcode, beat)
        if reply is None:
            return
        data, delay = reply
        if delay:
            self._nursery.start_soon(self._reply_later, data, delay)
        else:
            await self._reply(data)

    async def _reply_later(self, reply: bytes, delay: float) -> None:
        await trio.sleep(delay)
        await self._reply(reply)

    async def _reply(self, reply: bytes) -> None:
        if self.is_mute:
            return
        if self._lock.locked():
            # Another task is in a send that may block: the reader goes on
            # reading, and that task sends the reply after its own.
            self._waiting_replies.append(reply)
        else:
            await self.write(reply, unless_closed=True)
