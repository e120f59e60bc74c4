"""What `send_message` does in each mode but "wait", which needs nothing of its own.

An `Outgoing` lives as long as its guard, through all connections. A connection
that becomes ready is given to it before anyone learns that it is: what waited is
then known to be on its way first, and newer messages queue behind it.

The cores tell which messages have ended only when they are asked: `settle`
follows every call of theirs, so that no end is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal, Protocol, get_args

import trio

from trio_wsguard._core.buffer import BufferPolicy, SendBuffer
from trio_wsguard._core.delivery import (
    ACKNOWLEDGED,
    EXPIRED,
    FAILED,
    SENT,
    Delivery,
    DeliveryState,
)
from trio_wsguard._errors import ConnectionLostError, NotConnectedError, PolicyError
from trio_wsguard._shell.alarm import Alarm
from trio_wsguard._shell.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_wsguard._core.buffer import BufferStatistics
    from trio_wsguard._core.delivery import Message
    from trio_wsguard._core.outbox import OutboxStatistics
    from trio_wsguard._core.state import ConnectionState
    from trio_wsguard._shell.connection import Connection
    from trio_wsguard._shell.flag import Flag

    Received = Callable[[list[Message]], list[Message]]

SendMode = Literal["wait", "fail", "buffer"]


class Gate(Protocol):
    """What a send asks the guard.

    Attributes:
        is_over: Set once nothing will happen any more.
    """

    is_over: Flag

    @property
    def state(self) -> ConnectionState:
        """Where the guard stands."""
        ...

    @property
    def live(self) -> Connection | None:
        """The connection, if the guard is CONNECTED."""
        ...

    def check_open(self) -> None:
        """Refuse what comes after `aclose`."""
        ...

    def check_alive(self) -> None:
        """Refuse what can no longer happen."""
        ...


class Receipt:
    """Tells what becomes of one message that was accepted for sending.

    It keeps the message; whoever does not ask for it does not keep it.
    """

    __slots__ = ("_delivery", "_outgoing")

    def __init__(self, delivery: Delivery, outgoing: Outgoing) -> None:
        self._delivery = delivery
        self._outgoing = outgoing

    @property
    def state(self) -> DeliveryState:
        """Where the message stands."""
        return self._delivery.state

    @property
    def error(self) -> Exception | None:
        """Why it failed; ``None`` unless it did."""
        return self._delivery.error

    @property
    def sends(self) -> int:
        """How often the message was handed to a connection, as far as is known."""
        return self._delivery.sends

    def __repr__(self) -> str:
        return f"<Receipt {self.state.name}>"

    async def wait(self) -> DeliveryState:
        """Wait for the message's end, and tell it.

        That is SENT, FAILED (`error` says why) or EXPIRED in buffer mode, and
        ACKNOWLEDGED or FAILED with an outbox.

        Raises:
            GuardFailedError: With an outbox, which keeps the message: the guard is FAILED.
            ConnectionClosedError: Likewise: the peer closed for good.
            trio.ClosedResourceError: Likewise: this side closed the guard.
        """
        await trio.lowlevel.checkpoint()
        await self._outgoing.wait_ended(self._delivery)
        return self._delivery.state


class Outgoing:
    """One way to send, and what it keeps for it. A subclass is a mode.

    Attributes:
        gate: The guard; set before anything is sent.
    """

    ends: ClassVar[frozenset[DeliveryState]] = frozenset()

    def __init__(self) -> None:
        self.gate: Gate
        self._awaited: dict[Delivery, trio.Event] = {}

    async def send(self, message: Message) -> Receipt | None:
        """Send a message, or accept it."""
        raise NotImplementedError

    def start(self, nursery: trio.Nursery) -> None:
        """Begin what goes on through all connections."""

    def begin_flush(self, connection: Connection) -> None:
        """Send on a connection what waited for it, if anything did."""

    def received_by(self, received: Received) -> Received:
        """Have a look at what is received; at nothing, unless there is an outbox."""
        return received

    def wake(self) -> None:
        """Have all who wait look at the guard again."""

    def give_up(self, error: Exception) -> None:
        """Note that nothing goes out any more, unless the guard is reset."""

    def leave(self, error: Exception) -> None:
        """Note that the guard is over."""
        self.give_up(error)

    def statistics(self) -> BufferStatistics | OutboxStatistics | None:
        """Freeze all figures; ``None`` where nothing is kept."""

    def _check(self) -> None:
        self.gate.check_open()
        self.gate.check_alive()

    # --- receipts ----------------------------------------------------------------

    async def wait_ended(self, delivery: Delivery) -> None:
        """Wait for the end of a message; for `Receipt`."""
        while delivery.state not in self.ends:
            if self.gate.is_over.is_set():
                self.gate.check_open()
            self.gate.check_alive()
            await self._awaited.setdefault(delivery, trio.Event()).wait()

    def _tell(self, ended: Iterable[Delivery]) -> None:
        if self._awaited:
            for delivery in ended:
                event = self._awaited.pop(delivery, None)
                if event is not None:
                    event.set()


class FailingOutgoing(Outgoing):
    """Sends at once or not at all."""

    async def send(self, message: Message) -> None:
        """Send on the present connection.

        Raises:
            NotConnectedError: There is none.
        """
        self._check()
        connection = self.gate.live
        if connection is None:
            await trio.lowlevel.checkpoint()
            raise NotConnectedError(self.gate.state)
        if not await connection.writer.try_send(message):
            raise NotConnectedError(self.gate.state)


class BufferedOutgoing(Outgoing):
    """Keeps what cannot be sent at once; each message is sent at most once.

    Args:
        policy: How much, and how long.
    """

    ends = frozenset({SENT, FAILED, EXPIRED})

    def __init__(self, policy: BufferPolicy) -> None:
        super().__init__()
        self._buffer = SendBuffer(policy)
        self._alarm: Final = None if policy.max_age is None else Alarm()
        self._line = trio.StrictFIFOLock()  # of senders that do not go the direct way
        self._room = trio.lowlevel.ParkingLot()
        self._turn = trio.Lock()  # of flushes: the last connection's may not have landed yet

    @property
    def _is_idle(self) -> bool:
        """Whether a message sent now would pass none that waits."""
        return self._buffer.is_idle and not self._line.locked()

    async def send(self, message: Message) -> Receipt:
        """Send directly if nothing waits, else put it behind the others."""
        self._check()
        if self._is_idle and await self._send_directly(message):
            return self._sent(message)
        async with self._line:
            while True:
                self._check()
                if self._buffer.is_idle and await self._send_directly(message):
                    return self._sent(message)
                # A connection that is ending took nothing: the next one will.
                self._check()
                delivery = self._accept(message)
                if delivery is not None:
                    return Receipt(delivery, self)
                await self._room.park()

    async def _send_directly(self, message: Message) -> bool:
        connection = self.gate.live
        return connection is not None and await connection.writer.try_send(message)

    def _sent(self, message: Message) -> Receipt:
        return Receipt(Delivery(message, trio.current_time(), state=SENT, sends=1), self)

    def _accept(self, message: Message) -> Delivery | None:
        try:
            return self._buffer.put(message, trio.current_time())
        finally:
            self._settle()

    def _settle(self) -> None:
        """Tell who ended, let in who waits for room, and mind what expires next."""
        self._tell(self._buffer.take_ended())
        self._room.unpark_all()
        if self._alarm is not None:
            self._alarm.move_up(self._buffer.next_deadline())

    # --- going out -----------------------------------------------------------------

    def begin_flush(self, connection: Connection) -> None:
        """Start a task that ends once nothing waits; an idle connection has none more."""
        if not self._buffer.is_idle:
            connection.start_soon(self._flush, connection)

    async def _flush(self, connection: Connection) -> None:
        async with self._turn:
            while (delivery := self._buffer.begin(trio.current_time())) is not None:
                self._settle()  # its place is free
                if not await self._send_next(connection, delivery):
                    return
            self._settle()  # of those found expired

    async def _send_next(self, connection: Connection, delivery: Delivery) -> bool:
        buffer, writer = self._buffer, connection.writer
        is_sent = False
        try:
            is_sent = await writer.try_send(delivery.message)
        except ConnectionLostError as exc:
            buffer.lost(exc)
        except trio.Cancelled:
            if writer.is_cut_by_me:
                buffer.lost(connection.lost_error(maybe_sent=True))
            else:
                buffer.not_begun()
            raise
        else:
            buffer.sent() if is_sent else buffer.not_begun()
        finally:
            self._settle()
        return is_sent

    # --- time, and the end -----------------------------------------------------------

    def start(self, nursery: trio.Nursery) -> None:
        """Start the task that lets messages expire, if they do."""
        if self._alarm is not None:
            nursery.start_soon(self._expire, self._alarm)

    async def _expire(self, alarm: Alarm) -> None:
        while True:
            await alarm.wait_until(self._buffer.next_deadline())
            self._buffer.tick(trio.current_time())
            self._settle()

    def wake(self) -> None:
        """Have the sender that waits for room look at the guard again."""
        self._room.unpark_all()

    def give_up(self, error: Exception) -> None:
        """Fail all that waits."""
        self._buffer.fail_all(error)
        self._settle()

    def statistics(self) -> BufferStatistics:
        """Freeze all figures; what was sent directly is not among them."""
        return self._buffer.statistics(trio.current_time())


class OutboxOutgoing(Outgoing):
    """Sends through an outbox.

    Args:
        outbox: The outbox.
    """

    ends = frozenset({ACKNOWLEDGED, FAILED})

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox
        self._turn = trio.Lock()  # of flushes: the last connection's may not have landed yet

    async def send(self, message: Message) -> Receipt:
        """Put it into the outbox."""
        return Receipt(await self._outbox.put(message, check=self._check), self)

    def start(self, nursery: trio.Nursery) -> None:  # noqa: ARG002 - it needs no task
        """Be the one who is told what ends in the outbox."""
        self._outbox.attach(self._tell)

    def begin_flush(self, connection: Connection) -> None:
        """Start a task that sends as long as the connection lives."""
        connection.start_soon(self._flush, connection)

    async def _flush(self, connection: Connection) -> None:
        async with self._turn:
            await self._outbox.flush(connection.writer.try_send)

    def received_by(self, received: Received) -> Received:
        """Look for acknowledgements in what is received, and hand it on."""
        incoming = self._outbox.incoming

        def acknowledged(batch: list[Message]) -> list[Message]:
            batch = received(batch)
            for message in batch:
                incoming(message)
            return batch

        return acknowledged

    def wake(self) -> None:
        """Have the sender that waits for room look at the guard again."""
        self._outbox.wake()

    def give_up(self, error: Exception) -> None:  # noqa: ARG002 - nothing fails
        """Keep all; whoever waits for an end is told that it will not come now."""
        self._outbox.wake()
        self._tell(tuple(self._awaited))

    def leave(self, error: Exception) -> None:
        """Let go of the outbox: the next guard may have it."""
        self.give_up(error)
        self._outbox.detach(self._tell)

    def statistics(self) -> OutboxStatistics:
        """Freeze all figures."""
        return self._outbox.statistics()


def make_outgoing(
    mode: SendMode, buffer: BufferPolicy | None, outbox: Outbox | None
) -> Outgoing | None:
    """Make what a mode needs; ``None`` for "wait", which needs nothing.

    Raises:
        PolicyError: The settings are wrong, or do not go together.
    """
    if mode not in get_args(SendMode):
        raise PolicyError("send_mode", mode, f"must be one of {', '.join(get_args(SendMode))}")
    if buffer is not None and not isinstance(buffer, BufferPolicy):
        raise PolicyError("buffer", buffer, "must be a BufferPolicy")
    if buffer is not None and mode != "buffer":
        raise PolicyError("buffer", buffer, 'is for send_mode="buffer"')
    if outbox is not None and not isinstance(outbox, Outbox):
        raise PolicyError("outbox", outbox, "must be an Outbox")
    if outbox is not None and mode != "wait":
        raise PolicyError("send_mode", mode, "is not for an outbox, which keeps what it is given")
    if outbox is not None:
        return OutboxOutgoing(outbox)
    if mode == "buffer":
        return BufferedOutgoing(BufferPolicy() if buffer is None else buffer)
    return FailingOutgoing() if mode == "fail" else None
