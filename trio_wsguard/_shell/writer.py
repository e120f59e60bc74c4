"""One writer at a time, and never a half-written frame on a connection that lives on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from trio_wsguard._core.failure import classify
from trio_wsguard._errors import ConnectionLostError, TransportError
from trio_wsguard._shell.ending import Ending
from trio_wsguard._shell.heartbeats import PingHeartbeat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_wsguard._shell.connection import Connection
    from trio_wsguard._shell.transport import Message


class Writer:
    """The sending side of a connection.

    Args:
        connection: The connection.

    Attributes:
        broken_by: How a write failed, if one did: what was received before is
            still read, and then the connection ends.
    """

    __slots__ = ("_connection", "_cut_by", "_lock", "broken_by")

    def __init__(self, connection: Connection) -> None:
        self.broken_by: TransportError | None = None
        self._connection = connection
        self._lock = trio.Lock()
        self._cut_by: trio.lowlevel.Task | None = None

    @property
    def is_cut_by_me(self) -> bool:
        """Whether a write of this task was cancelled after its first byte."""
        return self._cut_by is trio.lowlevel.current_task()

    async def try_send(self, message: Message) -> bool:
        """Send a message.

        Returns:
            False if the connection ended before the send was begun.

        Raises:
            ConnectionLostError: It ended under the send.
        """
        connection = self._connection
        pace = connection.setup.pace
        if pace is None:
            await self.acquire()
        else:
            await pace.acquire_turn(self)
        try:
            if connection.ending is not None or self.broken_by is not None:
                await trio.lowlevel.checkpoint()
                return False
            try:
                await self._write(connection.transport.send, message)
            except TransportError as exc:
                raise self._broken_by(exc) from exc
            except trio.Cancelled:
                if pace is not None and not self.is_cut_by_me:
                    pace.give_back(self)
                raise
        finally:
            self._lock.release()
        connection.setup.journal.monitor.counters.messages_sent += 1
        return True

    async def send_beat(self) -> None:
        """Send the beat that is due."""
        connection, transport = self._connection, self._connection.transport
        is_ping = isinstance(connection.setup.heartbeat, PingHeartbeat)
        write = transport.ping if is_ping else transport.send
        await self.acquire()
        try:
            beat, what = connection.vitals.begin_beat(connection.generation, connection.setup.rng)
            try:
                await self._write(write, what)
            except TransportError as exc:
                self._broken_by(exc)
                return
        finally:
            self._lock.release()
        connection.vitals.beat_sent(beat)

    @property
    def is_over(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._connection.ending is not None or self.broken_by is not None

    async def acquire(self) -> None:
        """Be the one who writes."""
        # The uncontended lock costs no trip through the scheduler: the write has its own.
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()

    async def _write(self, write: Callable[[Any], Awaitable[None]], what: object) -> None:
        connection = self._connection
        connection.vitals.write_begun()
        try:
            await write(what)
        except trio.Cancelled:
            # Not begun, it leaves no trace. Half-written, nothing may follow it.
            if connection.stream.is_cut:
                self._cut_by = trio.lowlevel.current_task()
                connection.end(Ending(reason="a send was cancelled midway"))
            raise
        finally:
            connection.vitals.write_ended()

    def _broken_by(self, exc: TransportError) -> ConnectionLostError:
        connection = self._connection
        self.broken_by = exc
        connection.inbox.release()
        failure = classify(exc, connection.setup.rules)
        if connection.ending is not None and connection.ending.failure is not None:
            failure = connection.ending.failure
        return ConnectionLostError(failure, connection.generation, maybe_sent=True)
