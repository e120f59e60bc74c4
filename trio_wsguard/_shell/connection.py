"""One generation: handshake done, on_connect, the nursery with the three tasks.

A connection ends once, by the first `end` that reaches it: the cause is kept
in `ending`, and the scope around all its tasks is cancelled. Nothing is raised
across the nursery but what the user's own tasks raise.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from trio_wsguard._core.failure import classify
from trio_wsguard._core.state import CONNECTED
from trio_wsguard._errors import ConnectionLostError, FatalError, TransportError
from trio_wsguard._shell.ending import NORMAL_CLOSURE, Ending
from trio_wsguard._shell.flag import Flag
from trio_wsguard._shell.nursery import finish_without_waiting, open_flat_nursery
from trio_wsguard._shell.queue import MessageQueue
from trio_wsguard._shell.tasks import heartbeat_task, receive_task, watchdog_task
from trio_wsguard._shell.transport import check_message
from trio_wsguard._shell.vitals import Vitals
from trio_wsguard._shell.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable
    from random import Random

    from trio_wsguard._core.events import Gap
    from trio_wsguard._core.failure import FailureRules
    from trio_wsguard._policy import GuardPolicy
    from trio_wsguard._shell.heartbeats import Heartbeat
    from trio_wsguard._shell.intake import Intake
    from trio_wsguard._shell.journal import Journal
    from trio_wsguard._shell.observer import Observer
    from trio_wsguard._shell.outgoing import Outgoing
    from trio_wsguard._shell.pace import Pace
    from trio_wsguard._shell.transport import Message, Transport
    from trio_wsguard._shell.watched import WatchedStream


# Seconds that an application may take over a burst before it counts as slow: one
# read can fill the queue, and an application that is about to empty it is none.
_BURST: Final = 0.05


@attrs.frozen(kw_only=True)
class Setup:
    """What all connections of a guard share."""

    policy: GuardPolicy
    rules: FailureRules
    heartbeat: Heartbeat
    journal: Journal
    observer: Observer
    queue: MessageQueue
    intake: Intake | None
    rng: Random
    on_connect: Callable[[Connection], Awaitable[object]] | None
    outgoing: Outgoing | None = None
    pace: Pace | None = None


class Connection:
    """One physical connection, as `on_connect` is given it.

    Its public part is `generation`, `subprotocol`, `last_key`, `gap`,
    `get_message`, `send_message` and `start_soon`.

    Attributes:
        generation: Its number within the guard, from 1.
        ending: How it ended; ``None`` while it lives.
        is_ready: Whether `on_connect` is done.
    """

    # What is set late would otherwise make the attributes a dict of 500 bytes.
    __slots__ = (
        "_asked",
        "_nursery",
        "_scope",
        "ending",
        "generation",
        "inbox",
        "is_ready",
        "setup",
        "stream",
        "transport",
        "vitals",
        "writer",
    )

    def __init__(self, setup: Setup, generation: int) -> None:
        self.generation = generation
        self.setup = setup
        self.ending: Ending | None = None
        self.is_ready = False
        # What the application has left unread counts here, too: however many
        # connections come and go, all together hold no more than one would.
        policy, unread = setup.policy, setup.queue
        self.inbox = MessageQueue(
            max(0, policy.max_queue - len(unread)), max(0, policy.max_queue_bytes - unread.size)
        )
        self._asked = Flag()
        self.writer = Writer(self)
        # Set by serve(), before anyone else can reach the connection.
        self.transport: Transport
        self.stream: WatchedStream
        self.vitals: Vitals
        self._nursery: trio.Nursery
        self._scope: trio.CancelScope | None = None

    # --- for on_connect ------------------------------------------------------

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on."""
        return self.transport.subprotocol

    @property
    def last_key(self) -> Hashable:
        """The key of the last message handed on, on this connection or an earlier one.

        What to resume from: of all that came before, every message was taken by
        the application, is in its queue, or was taken by `on_connect`. ``None`` as
        long as there was none, and without `message_key` and `dedup`.
        """
        intake = self.setup.intake
        return None if intake is None else intake.last_key

    @property
    def gap(self) -> Gap | None:
        """During `on_connect`: the time without a connection, up to now.

        ``None`` if there was no connection before.
        """
        return self.setup.journal.gap_until(trio.current_time(), time.time())

    async def get_message(self) -> Message:
        """Receive the next message of this connection, during `on_connect`.

        A repeat is given here, too; it may be an answer that is waited for.

        Raises:
            ConnectionLostError: The connection is lost.
            trio.BusyResourceError: `on_connect` is done, and messages go to the guard.
        """
        await trio.lowlevel.checkpoint()
        while True:
            if self.is_ready:
                raise trio.BusyResourceError("on_connect is done: messages go to the guard")
            if len(self.inbox):
                message = self.inbox.pop()
                if self.setup.intake is not None:
                    self.setup.intake.note(message)
                return message
            if self.ending is not None:
                raise self.lost_error()
            self._asked.set()
            await self.inbox.wait_readable()

    async def send_message(self, message: Message) -> None:
        """Send a message on this connection, and on no other.

        Raises:
            ConnectionLostError: The connection is lost; see `.maybe_sent`.
        """
        if not await self.writer.try_send(check_message(message)):
            raise self.lost_error()

    def start_soon(self, fn: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Start a task that is cancelled exactly when this connection is lost.

        What it raises is the user's own and leaves the guard's block, but for
        the `ConnectionLostError` of this connection, which just ends it, and
        `FatalError`, which fails the guard.
        """
        self._nursery.start_soon(self._run_task, fn, args)

    async def _run_task(self, fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        try:
            await fn(*args)
        except ConnectionLostError as exc:
            if exc.generation != self.generation:
                raise
        except FatalError as exc:
            self.fail(exc)

    # --- its life ------------------------------------------------------------

    def lost_error(self, *, maybe_sent: bool = False) -> ConnectionLostError:
        """Make the error of a call that this connection's end met."""
        failure = None if self.ending is None else self.ending.failure
        return ConnectionLostError(failure, self.generation, maybe_sent)

    def run_in(self, scope: trio.CancelScope) -> None:
        """Name the scope that `end` cancels while there is no nursery yet."""
        self._scope = scope

    async def serve(
        self, transport: Transport, stream: WatchedStream, opening: trio.CancelScope
    ) -> None:
        """Live on an open transport until something ends it.

        Args:
            transport: What speaks the protocol.
            stream: What carries it.
            opening: The scope whose deadline bounds the opening; lifted once
                `on_connect` is done.
        """
        setup = self.setup
        self.transport, self.stream = transport, stream
        self.vitals = Vitals(
            setup.policy, setup.heartbeat, setup.journal, setup.observer, stream, self.end
        )
        try:
            async with open_flat_nursery() as nursery:
                self._nursery, self._scope = nursery, nursery.cancel_scope
                nursery.start_soon(receive_task, self)
                await self._become_ready(opening)
                nursery.start_soon(heartbeat_task, self)
                # In this task, which would only sleep: it ends as the other two do.
                await watchdog_task(self)
        except trio.Cancelled:
            await self._say_goodbye()
            raise
        await self._close_handshake()

    async def _become_ready(self, opening: trio.CancelScope) -> None:
        if self.setup.on_connect is not None:
            try:
                await self.setup.on_connect(self)
            except Exception as exc:  # noqa: BLE001 - not lost: it becomes the attempt's failure
                self.fail(exc)
        # A connection that died meanwhile was cancelled with its ending, and leaves here.
        await trio.lowlevel.checkpoint_if_cancelled()
        opening.deadline = float("inf")
        self.vitals.start()
        self.is_ready = True
        early, self.inbox = self.inbox, self.setup.queue
        if early:
            self.inbox.put(early.pop_all())
        early.wake()
        self._asked.set()
        self.setup.journal.vitals = self.vitals
        self.setup.observer.rest()
        if self.setup.outgoing is not None:
            # Whoever learns that it is ready finds what waited on its way already.
            self.setup.outgoing.begin_flush(self)
        self.setup.journal.move(CONNECTED, "ready")

    async def _say_goodbye(self) -> None:
        """Send a close frame if that needs no waiting; for a guard that is cancelled."""
        handshake = (NORMAL_CLOSURE, "") if self.ending is None else self.ending.handshake
        if self.is_ready and not self.stream.is_cut and handshake is not None:
            await finish_without_waiting(self.transport.aclose, *handshake)

    async def _close_handshake(self) -> None:
        if self.ending is not None and self.ending.handshake is not None:
            with trio.move_on_after(self.setup.policy.close_timeout):
                await self.transport.aclose(*self.ending.handshake)

    def end(self, ending: Ending) -> None:
        """End the connection, or abandon the attempt; the first cause wins."""
        if self.ending is not None:
            return
        self.ending = ending
        if self.is_ready:
            self.setup.journal.monitor.ended(trio.current_time())
            self.setup.observer.watch()
        else:
            self.inbox.wake()  # on_connect may wait for a message
        if self.setup.pace is not None:
            self.setup.pace.wake()
        if self._scope is not None:
            self._scope.cancel()

    def fail(self, exc: BaseException) -> None:
        """End by an exception."""
        failure = classify(exc, self.setup.rules)
        self.end(Ending(reason=str(failure), failure=failure, cause=exc))

    def end_by_peer(self, exc: TransportError) -> None:
        """End because the transport did."""
        code = exc.close_code
        if self.is_ready and code is not None and code in self.setup.policy.final_close_codes:
            reason = f"the peer closed with code {code}"
            self.end(Ending(reason=reason, close=(code, exc.close_reason), is_final=True))
        else:
            self.fail(exc)

    # --- receiving -----------------------------------------------------------

    async def wait_for_room(self) -> None:
        """Wait until there is room for what is read next.

        During `on_connect` that is what it asks for; afterwards the application
        must have taken half of the queue.
        """
        while not self.is_ready:
            if self.inbox.is_asked:
                return
            self._asked = Flag()
            await self._asked.wait()
        if self.writer.broken_by is None and self.inbox.is_full:
            await self._wait_for_consumer()
        # A connection known to be broken is read to its end without waiting: the
        # application may itself be waiting for the next one. But not without end.
        if self.writer.broken_by is not None and self._is_overfull:
            self.end_by_peer(self.writer.broken_by)
            await trio.lowlevel.checkpoint_if_cancelled()

    @property
    def _is_overfull(self) -> bool:
        inbox, policy = self.inbox, self.setup.policy
        return len(inbox) >= 2 * policy.max_queue or inbox.size >= 2 * policy.max_queue_bytes

    async def _wait_for_consumer(self) -> None:
        with trio.move_on_after(_BURST):
            await self.inbox.wait_half_empty()
            return
        self.vitals.paused(len(self.inbox))
        await self.inbox.wait_half_empty()
        self.vitals.resumed()

    def on_pong(self, payload: bytes) -> None:
        """Take a pong in."""
        self.vitals.on_pong(payload)
