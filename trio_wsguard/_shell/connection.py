"""One generation: dial, handshake, on_connect, the nursery with the three tasks.

A connection ends once, by the first `end` that reaches it: the cause is kept
in `ending`, and the scope around all its tasks is cancelled. Nothing is raised
across the nursery but what the user's own tasks raise.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from trio_wsguard._core.events import AnomalyKind
from trio_wsguard._core.failure import Failure, FailureKind, classify
from trio_wsguard._core.liveness import (
    Liveness,
    PeerDead,
    Raise,
    Recover,
    RenewalDue,
    SendBeat,
    Verdict,
)
from trio_wsguard._core.state import CONNECTED
from trio_wsguard._errors import ConnectionLostError, FatalError, InternalError, TransportError
from trio_wsguard._shell.alarm import Alarm
from trio_wsguard._shell.heartbeats import PingHeartbeat
from trio_wsguard._shell.nursery import finish_without_waiting, open_flat_nursery
from trio_wsguard._shell.queue import MessageQueue
from trio_wsguard._shell.tasks import heartbeat_task, receive_task, watchdog_task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from trio_wsguard._policy import GuardPolicy
    from trio_wsguard._shell.heartbeats import Heartbeat
    from trio_wsguard._shell.journal import Journal
    from trio_wsguard._shell.transport import Message, Transport
    from trio_wsguard._shell.watched import WatchedStream

NORMAL_CLOSURE: Final = 1000


@attrs.frozen(kw_only=True)
class Ending:
    """How a connection ended, or why an attempt did not become one.

    Attributes:
        reason: One line.
        failure: What failed; ``None`` where it was an act of ours or final.
        cause: The exception behind the failure.
        close: Code and reason of the close handshake, ours to do or the peer's.
        is_ours: Whether this side does the close handshake.
        is_final: Whether the guard ends with it.
    """

    reason: str
    failure: Failure | None = None
    cause: BaseException | None = None
    close: tuple[int, str] | None = None
    is_ours: bool = False
    is_final: bool = False


@attrs.frozen(kw_only=True)
class Setup:
    """What all connections of a guard share."""

    policy: GuardPolicy
    heartbeat: Heartbeat
    journal: Journal
    queue: MessageQueue
    rng: Random
    on_connect: Callable[[Connection], Awaitable[object]] | None


class Connection:
    """One physical connection, as `on_connect` is given it.

    Attributes:
        generation: Its number within the guard, from 1.
    """

    def __init__(self, setup: Setup, generation: int) -> None:
        self.generation = generation
        self.transport: Transport
        self.inbox = MessageQueue(setup.policy.max_queue)
        self.liveness: Liveness
        self.alarm = Alarm()
        self.beat_due = trio.Event()
        self.ending: Ending | None = None
        self.is_ready = False
        self.is_broken = False
        self._setup = setup
        self._stream: WatchedStream | None = None
        self._counted = 0, 0
        self._scope: trio.CancelScope | None = None
        self._nursery: trio.Nursery
        self._lock = trio.Lock()
        self._beat_key: str | None = None
        self._reads_answers = not isinstance(setup.heartbeat, PingHeartbeat)

    # --- for on_connect ------------------------------------------------------

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on."""
        return self.transport.subprotocol

    async def get_message(self) -> Message:
        """Receive the next message of this connection, during `on_connect`.

        Raises:
            ConnectionLostError: The connection is lost.
            trio.BusyResourceError: `on_connect` is done, and messages go to the guard.
        """
        await trio.lowlevel.checkpoint()
        while True:
            if self.is_ready:
                raise trio.BusyResourceError("on_connect is done: messages go to the guard")
            if len(self.inbox):
                return self.inbox.pop()
            if self.ending is not None:
                raise ConnectionLostError(self.ending.failure, self.generation)
            await self.inbox.wait_readable()

    async def send_message(self, message: Message) -> None:
        """Send a message on this connection, and on no other.

        Raises:
            ConnectionLostError: The connection is lost; see `.maybe_sent`.
        """
        if not await self.try_send(check_message(message)):
            raise self._lost(maybe_sent=False)

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

    async def serve(self, transport: Transport, stream: WatchedStream) -> None:
        """Live on an open transport until something ends it.

        The caller's opening scope is in force until `on_connect` is done; the
        scope that `end` cancels is the nursery's from here on.
        """
        self.transport, self._stream = transport, stream
        self.liveness = Liveness(
            self._setup.policy.heartbeat, self._setup.policy.watchdog, trio.current_time()
        )
        outer = self._scope
        try:
            async with open_flat_nursery() as nursery:
                self._nursery, self._scope = nursery, nursery.cancel_scope
                nursery.start_soon(receive_task, self)
                await self._become_ready(outer)
                nursery.start_soon(heartbeat_task, self)
                nursery.start_soon(watchdog_task, self)
                await trio.sleep_forever()
        except trio.Cancelled:
            await self._say_goodbye()
            raise
        finally:
            self._scope = outer
        await self._close_handshake()

    async def _become_ready(self, opening: trio.CancelScope | None) -> None:
        if self._setup.on_connect is not None:
            try:
                await self._setup.on_connect(self)
            except Exception as exc:  # noqa: BLE001 - not lost: it becomes the attempt's failure
                self.fail(exc)
        # A connection that died meanwhile was cancelled with its ending, and leaves here.
        await trio.lowlevel.checkpoint_if_cancelled()
        if opening is None:
            raise InternalError("a connection without an opening scope")
        opening.deadline = float("inf")
        policy = self._setup.policy
        self.liveness = Liveness(
            policy.heartbeat, policy.watchdog, trio.current_time(), policy.max_age
        )
        # Silence outlives a connection: the first message of any ends it.
        self.liveness.is_silent = self._setup.journal.is_open(AnomalyKind.SILENCE)
        self.is_ready = True
        early, self.inbox = self.inbox, self._setup.queue
        self.inbox.put(early.pop_all())
        early.wake()
        self._setup.journal.move(CONNECTED, "ready")

    async def _say_goodbye(self) -> None:
        """Send a close frame if that needs no waiting; for a guard that is cancelled."""
        ending = self.ending or Ending(reason="left", close=(NORMAL_CLOSURE, ""), is_ours=True)
        is_whole = self._stream is not None and not self._stream.is_cut
        if self.is_ready and is_whole and ending.is_ours and ending.close is not None:
            await finish_without_waiting(self.transport.aclose, *ending.close)

    async def _close_handshake(self) -> None:
        ending = self.ending
        if ending is not None and ending.is_ours and ending.close is not None:
            with trio.move_on_after(self._setup.policy.close_timeout):
                await self.transport.aclose(*ending.close)

    def run_in(self, scope: trio.CancelScope) -> None:
        """Name the scope that `end` cancels while there is no nursery yet."""
        self._scope = scope

    def end(self, ending: Ending) -> None:
        """End the connection, or abandon the attempt; the first cause wins."""
        if self.ending is not None:
            return
        self.ending = ending
        self.inbox.wake()
        if self._scope is not None:
            self._scope.cancel()

    def fail(self, exc: BaseException) -> None:
        """End by an exception."""
        failure = classify(exc, self._setup.policy.rules)
        self.end(Ending(reason=str(failure), failure=failure, cause=exc))

    def end_by_peer(self, exc: TransportError) -> None:
        """End because the transport did."""
        code = exc.close_code
        if self.is_ready and code in self._setup.policy.rules.final_close_codes:
            reason = f"the peer closed with code {code}"
            said = exc.message.partition(": ")[2]
            self.end(Ending(reason=reason, close=(code or 0, said), is_final=True))
        else:
            self.fail(exc)

    def _lost(self, *, maybe_sent: bool) -> ConnectionLostError:
        failure = self.ending.failure if self.ending is not None else None
        return ConnectionLostError(failure, self.generation, maybe_sent)

    # --- receiving -----------------------------------------------------------

    def deliver(self, batch: list[Message]) -> None:
        """Take the heartbeat's answers out and hand the rest to the application."""
        now = trio.current_time()
        if self._reads_answers:
            batch = [message for message in batch if not self._take_answer(message, now)]
            if not batch:
                return
        monitor = self._setup.journal.monitor
        monitor.counters.messages_received += len(batch)
        monitor.last_message_received_time = time.time()
        for verdict in self.liveness.message(now):
            self._obey(verdict)
        self.inbox.put(batch)

    def _take_answer(self, message: Message, now: float) -> bool:
        heartbeat = self._setup.heartbeat
        if isinstance(heartbeat, PingHeartbeat):
            return False
        answer = heartbeat.read(message)
        if answer is None:
            return False
        if answer.key is None or answer.key == self._beat_key:
            self._answered(now, answer.code)
        return True

    def on_pong(self, payload: bytes) -> None:
        """Take a pong in."""
        if payload.decode("ascii", "replace") == self._beat_key:
            self._answered(trio.current_time(), None)

    def _answered(self, now: float, code: object) -> None:
        beat = self.liveness.beats.open
        if beat is None:
            return
        if code is None:
            monitor = self._setup.journal.monitor
            monitor.counters.beats_answered += 1
            monitor.last_heartbeat_response = time.time()
            sent_at = beat.begun_at if beat.sent_at is None else beat.sent_at
            monitor.response_times.add(now - sent_at)
        for verdict in self.liveness.beats.answer(beat.number, now, code):
            self._obey(verdict)
        self._rearm()

    async def wait_for_consumer(self) -> None:
        """Wait until the application has taken half of the queue.

        A connection known to be broken is read to its end without waiting:
        the application may itself be waiting for the next one.
        """
        if self.is_broken:
            return
        policy = self._setup.policy
        self.liveness.pause()
        message = f"the application has left {policy.max_queue} messages unread"
        self._obey(Raise(AnomalyKind.SLOW_CONSUMER, message, len(self.inbox)))
        self._rearm()
        await self.inbox.wait_half_empty()
        self.liveness.resume(trio.current_time())
        self._obey(Recover(AnomalyKind.SLOW_CONSUMER))
        self._rearm()

    # --- sending -------------------------------------------------------------

    async def try_send(self, message: Message) -> bool:
        """Send a message.

        Returns:
            False if the connection ended before the send was begun.

        Raises:
            ConnectionLostError: It ended under the send.
        """
        await self._acquire()
        try:
            if self.ending is not None or self.is_broken:
                await trio.lowlevel.checkpoint()
                return False
            try:
                await self._write(self.transport.send, message)
            except TransportError as exc:
                raise self._broken_by(exc) from exc
        finally:
            self._lock.release()
        self._setup.journal.monitor.counters.messages_sent += 1
        return True

    async def _acquire(self) -> None:
        # The uncontended lock costs no trip through the scheduler: the write has its own.
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()

    async def _write(self, write: Callable[[Any], Awaitable[None]], what: object) -> None:
        now = trio.current_time()
        self.liveness.send_begun_at = now
        self.alarm.move_up(now + self._setup.policy.watchdog.send_timeout)
        try:
            await write(what)
        except trio.Cancelled:
            # Not begun, it leaves no trace. Half-written, nothing may follow it.
            if self._stream is not None and self._stream.is_cut:
                self.end(Ending(reason="a send was cancelled midway"))
            raise
        finally:
            self.liveness.send_begun_at = None

    def _broken_by(self, exc: TransportError) -> ConnectionLostError:
        """Mark the connection broken; what was received before is still read."""
        self.is_broken = True
        self.inbox.release()
        failure = classify(exc, self._setup.policy.rules)
        if self.ending is not None and self.ending.failure is not None:
            failure = self.ending.failure
        return ConnectionLostError(failure, self.generation, maybe_sent=True)

    # --- heartbeat and watchdog ----------------------------------------------

    async def send_beat(self) -> None:
        """Send the beat that is due."""
        heartbeat, beats = self._setup.heartbeat, self.liveness.beats
        await self._acquire()
        try:
            beat = beats.begin(trio.current_time())
            self._rearm()
            try:
                if isinstance(heartbeat, PingHeartbeat):
                    self._beat_key = f"{self.generation}.{beat.number}"
                    await self._write(self.transport.ping, self._beat_key.encode())
                else:
                    message, self._beat_key = heartbeat.request(self._setup.rng)
                    await self._write(self.transport.send, message)
            except TransportError as exc:
                self._broken_by(exc)
                return
        finally:
            self._lock.release()
        beat.sent_at = trio.current_time()
        monitor = self._setup.journal.monitor
        monitor.counters.beats_sent += 1
        monitor.last_heartbeat_time = time.time()
        self._rearm()

    def next_deadline(self) -> float:
        """Tell when to judge next, in monotonic seconds."""
        journal, deadline = self._setup.journal, self.liveness.next_deadline()
        if journal.is_open(AnomalyKind.FLAPPING):
            deadline = min(deadline, journal.monitor.sound_at)
        return deadline

    def _rearm(self) -> None:
        self.alarm.move(self.next_deadline())

    def judge(self, late: float) -> None:
        """Let the core judge what is due, and obey."""
        now = trio.current_time()
        if self._stream is None:
            raise InternalError("a watchdog without a stream")
        verdicts = self.liveness.tick(
            now,
            traffic_at=self._stream.received_at,
            progress_at=self._stream.progress_at,
            late=late,
        )
        for verdict in verdicts:
            self._obey(verdict)
        if now >= self._setup.journal.monitor.sound_at:
            self._setup.journal.note(Recover(AnomalyKind.FLAPPING))

    def _obey(self, verdict: Verdict) -> None:
        if isinstance(verdict, SendBeat):
            self.beat_due.set()
        elif isinstance(verdict, PeerDead):
            failure = verdict.failure
            self.end(Ending(reason=str(failure), failure=failure))
        elif isinstance(verdict, RenewalDue):
            renewal = Ending(reason="max_age reached", close=(NORMAL_CLOSURE, ""), is_ours=True)
            self.end(renewal)
        else:
            if isinstance(verdict, Raise) and verdict.kind is AnomalyKind.HEARTBEAT_LOST:
                self._setup.journal.monitor.counters.beats_missed += 1
            self._setup.journal.note(verdict)

    def count_bytes(self) -> None:
        """Bring the guard's totals up to date with this connection's stream."""
        if self._stream is None:
            return
        counters = self._setup.journal.monitor.counters
        received, sent = self._stream.bytes_received, self._stream.bytes_sent
        counters.bytes_received += received - self._counted[0]
        counters.bytes_sent += sent - self._counted[1]
        self._counted = received, sent

    @property
    def silence(self) -> float:
        """Seconds since the last message."""
        return trio.current_time() - self.liveness.last_message_at

    @property
    def open_delay(self) -> float:
        """Seconds that the open beat has waited for its answer."""
        return self.liveness.open_delay(trio.current_time())


def check_message(message: object) -> Message:
    """Accept text and bytes-like messages.

    Raises:
        TypeError: It is neither.
        ValueError: The text cannot be sent as UTF-8 (a lone surrogate).
    """
    if isinstance(message, str):
        try:
            message.encode()
        except UnicodeEncodeError as exc:
            raise ValueError(f"the message is not valid Unicode: {exc.reason}") from None
        return message
    if isinstance(message, bytes):
        return message
    if isinstance(message, bytearray | memoryview):
        return bytes(message)
    raise TypeError(f"a message is str or bytes, not {type(message).__name__}")


def timed_out(phase: str, seconds: float) -> Failure:
    """The failure of an attempt that took too long."""
    message = f"{phase}: not done within {seconds:g} s (timeout)"
    return Failure(kind=FailureKind.TIMEOUT, message=message)
