"""The guard: one long-lived connection over many short-lived ones.

One task moves the state, by one method for each state; calls of the user only
leave a wish and wake it. So two wishes never race, and whoever reads the
state sees a legal one.
"""

from __future__ import annotations

import random
import time
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from trio_wsguard._core.events import AnomalyKind
from trio_wsguard._core.liveness import Raise
from trio_wsguard._core.monitor import GiveUp, Retry
from trio_wsguard._core.state import (
    CLOSED,
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    FAILED,
    RECONNECTING,
    ConnectionState,
)
from trio_wsguard._errors import (
    ConnectFailedError,
    ConnectionClosedError,
    ConnectionLostError,
    GuardFailedError,
    IllegalTransitionError,
    PolicyError,
)
from trio_wsguard._policy import GuardPolicy
from trio_wsguard._shell.attempt import Attempt, Opener
from trio_wsguard._shell.connection import (
    NORMAL_CLOSURE,
    Connection,
    Ending,
    Setup,
    check_message,
    timed_out,
)
from trio_wsguard._shell.dial import safe_url
from trio_wsguard._shell.heartbeats import Heartbeat, MessageHeartbeat, PingHeartbeat
from trio_wsguard._shell.journal import Journal
from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard._shell.queue import MessageQueue

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from trio_wsguard._core.failure import Failure
    from trio_wsguard._core.health import Health, Snapshot
    from trio_wsguard._shell.attempt import Dial, Headers, Url
    from trio_wsguard._shell.journal import EventStream
    from trio_wsguard._shell.transport import Message, TransportFactory

_REMEMBERED: Final = 16  # failures told when the guard gives up
_NOT_CONNECTED: Final = frozenset(ConnectionState) - {CONNECTED}
_SETTLED: Final = frozenset({CONNECTED, FAILED, CLOSED})


@attrs.frozen
class CloseReason:
    """Why a guard closed: the close code and the reason (RFC 6455, section 7.1)."""

    code: int
    reason: str = ""


@attrs.define
class Wishes:
    """What the user asked for and the guard's task has not done yet."""

    is_wanted: bool = True
    is_hurried: bool = False
    close: CloseReason | None = None
    woken: trio.Event = attrs.field(factory=trio.Event)


class GuardedWebSocket:
    """A WebSocket that stays open; made by `open_guarded_websocket`."""

    def __init__(self, setup: Setup, opener: Opener) -> None:
        self._setup = setup
        self._opener = opener
        self._journal = setup.journal
        self._queue = setup.queue
        self._connection: Connection | None = None
        self._wishes = Wishes()
        self._next: Retry | GiveUp = Retry(0.0)
        self._attempt_number = 0
        self._last_failure: Failure | None = None
        self._errors: deque[ConnectFailedError | ConnectionLostError] = deque(maxlen=_REMEMBERED)
        self._closed: CloseReason | None = None
        self._is_over = trio.Event()

    # --- facts -----------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """Where the guard stands."""
        return self._journal.state

    @property
    def name(self) -> str:
        """The name given, or else the URL without its secrets."""
        return self._journal.name

    @property
    def generation(self) -> int:
        """The number of the present or last connection; 0 before the first."""
        return self._journal.generation

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol of the present connection; ``None`` while there is none."""
        connection = self._connection
        return connection.subprotocol if connection is not None and connection.is_ready else None

    @property
    def closed(self) -> CloseReason | None:
        """Why the guard is closed; ``None`` as long as it is not."""
        return self._closed

    def snapshot(self) -> Snapshot:
        """Freeze all figures."""
        silence, delay = self._silence()
        return self._journal.monitor.snapshot(
            trio.current_time(),
            time.time(),
            name=self.name,
            generation=self.generation,
            queue_depth=len(self._queue),
            silence=silence,
            open_delay=delay,
        )

    def health(self) -> Health:
        """Tell the score, and what it is made of."""
        return self._journal.monitor.health(trio.current_time(), *self._silence())

    def _silence(self) -> tuple[float | None, float]:
        connection = self._connection
        if connection is None or self.state is not CONNECTED:
            return None, 0.0
        connection.count_bytes()
        return connection.silence, connection.open_delay

    # --- messages --------------------------------------------------------------

    async def get_message(self) -> Message:
        """Receive the next message, across reconnects.

        Cancelling it loses nothing.

        Raises:
            GuardFailedError: The guard is FAILED, and all messages are taken.
            ConnectionClosedError: The peer closed for good, likewise.
            trio.ClosedResourceError: This side closed the guard.
        """
        await self._wait_message()
        return self._queue.pop()

    async def get_messages(self) -> list[Message]:
        """Receive all messages at hand, at least one; otherwise as `get_message`."""
        await self._wait_message()
        return self._queue.pop_all()

    async def _wait_message(self) -> None:
        self._check_open()
        queue = self._queue
        if len(queue):
            await trio.lowlevel.checkpoint()
        while not len(queue):
            self._check_alive()
            await queue.wait_readable()
            self._check_open()

    def __aiter__(self) -> GuardedWebSocket:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.get_message()
        except (ConnectionClosedError, trio.ClosedResourceError):
            raise StopAsyncIteration from None

    async def send_message(self, message: Message) -> None:
        """Send a message as soon as the guard is CONNECTED.

        A cancelled send was either not begun or is finished; where it can be
        neither, the connection is dropped, so that no half-written frame stays
        on one that lives on.

        Args:
            message: Text, or bytes-like for a binary message.

        Raises:
            ConnectionLostError: The connection was lost under it; see `.maybe_sent`.
            GuardFailedError: The guard is FAILED.
            ConnectionClosedError: The peer closed for good.
            trio.ClosedResourceError: This side closed the guard.
        """
        checked = check_message(message)
        while True:
            self._check_open()
            self._check_alive()
            connection = self._connection
            if self.state is CONNECTED and connection is not None:
                if await connection.try_send(checked):
                    return
                await self._wait_state(_NOT_CONNECTED)
            await self._wait_state(_SETTLED)

    def _check_open(self) -> None:
        if self._wishes.close is not None or (self._is_over.is_set() and self.state is not CLOSED):
            raise trio.ClosedResourceError(f"{self.name} is closed")

    def _check_alive(self) -> None:
        """Refuse what can no longer happen."""
        if self.state is FAILED:
            raise self._failed_error()
        if self.state is CLOSED and self._closed is not None:
            raise ConnectionClosedError(self._closed.code, self._closed.reason)
        if self._is_over.is_set():
            raise trio.ClosedResourceError(f"{self.name} is closed")

    def _failed_error(self) -> GuardFailedError:
        failures = tuple(error.failure for error in self._errors if error.failure is not None)
        failed = GuardFailedError(failures)
        if self._errors:
            failed.__cause__ = ExceptionGroup("what was tried", list(self._errors))
        return failed

    # --- waiting and listening ---------------------------------------------------

    async def wait_state(self, *states: ConnectionState) -> ConnectionState:
        """Wait for one of some states, and tell which one it was.

        A state passed through between two scheduler ticks is not missed.

        Raises:
            trio.ClosedResourceError: The guard closed without reaching one.
        """
        return await self._wait_state(frozenset(states))

    async def _wait_state(self, states: frozenset[ConnectionState]) -> ConnectionState:
        return await self._journal.wait_state(states)

    async def wait_connected(self) -> None:
        """Wait until the guard is CONNECTED.

        Raises:
            GuardFailedError: It is FAILED.
            ConnectionClosedError: The peer closed for good.
            trio.ClosedResourceError: This side closed it.
        """
        self._check_open()
        if self.state is CONNECTED and self._connection is not None and self._connection.ending:
            await self._wait_state(_NOT_CONNECTED)
        state = await self._wait_state(_SETTLED)
        if state is not CONNECTED:
            self._check_open()
            self._check_alive()

    @asynccontextmanager
    async def events(self, max_queue: int = 1024) -> AsyncIterator[EventStream]:
        """Listen to state changes, gaps, anomalies and recoveries.

        A slow reader never holds up the guard: it loses the oldest events and
        is told how many.

        Args:
            max_queue: Events held for the reader.
        """
        if isinstance(max_queue, bool) or not isinstance(max_queue, int) or max_queue < 1:
            raise PolicyError("max_queue", max_queue, "must be a whole number from 1 on")
        stream = self._journal.open_stream(max_queue)
        try:
            yield stream
        finally:
            self._journal.close_stream(stream)

    # --- wishes ------------------------------------------------------------------

    def _wake(self) -> None:
        self._wishes.woken.set()

    def reconnect_now(self) -> None:
        """Cut the backoff short (the network came back); nothing in other states."""
        self._check_open()
        if self.state is RECONNECTING:
            self._wishes.is_hurried = True
            self._wake()

    def force_reconnect(self, reason: str = "forced") -> None:
        """Drop the present connection or attempt and begin anew; no failure is counted."""
        self._check_open()
        if self.state in (CONNECTING, CONNECTED) and self._connection is not None:
            self._connection.end(Ending(reason=reason))
        else:
            self.reconnect_now()

    def reset(self) -> None:
        """Forget the failures; FAILED moves on to RECONNECTING."""
        self._check_open()
        self._journal.monitor.reset()
        if self.state is FAILED:
            # Moved here, while the guard's task rests: who waits for CONNECTED
            # right after must not meet the old FAILED.
            self._start_over("reset()")
            self._wake()

    def disconnect(self) -> None:
        """Drop the connection and rest in DISCONNECTED until `connect`."""
        self._check_open()
        self._wishes.is_wanted = False
        self._wake()
        if self.state in (CONNECTING, CONNECTED) and self._connection is not None:
            close = (NORMAL_CLOSURE, "")
            self._connection.end(Ending(reason="disconnect()", close=close, is_ours=True))

    def connect(self) -> None:
        """Leave DISCONNECTED; nothing while connected or on the way.

        Raises:
            IllegalTransitionError: The guard is FAILED: `reset` it.
        """
        self._check_open()
        if self.state is FAILED:
            raise IllegalTransitionError(FAILED, CONNECTING)
        self._wishes.is_wanted = True
        self._wake()

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Close the guard for good, with a close handshake if it is CONNECTED.

        The handshake is bounded by `close_timeout`. Idempotent; afterwards
        every call raises `trio.ClosedResourceError`.

        Args:
            code: The close code.
            reason: At most 123 bytes of UTF-8.
        """
        if self._wishes.close is None and not self._is_over.is_set():
            _check_close(code, reason)
            self._wishes.close = CloseReason(code, reason)
            self._wake()
            self._queue.wake()
            if self._connection is not None:
                self._connection.end(
                    Ending(
                        reason="closed by this side",
                        close=(code, reason),
                        is_ours=True,
                        is_final=True,
                    )
                )
        await trio.lowlevel.checkpoint()
        await self._is_over.wait()

    # --- the guard's task ----------------------------------------------------------

    async def run(self) -> None:
        """Live through all connections, until closed or cancelled."""
        live = {
            DISCONNECTED: self._rest,
            CONNECTING: self._attempt,
            RECONNECTING: self._back_off,
            FAILED: self._stay_failed,
        }
        try:
            while self._wishes.close is None and self.state is not CLOSED:
                await live[self.state]()
        finally:
            self._leave()

    def _leave(self) -> None:
        close = self._wishes.close
        reason = "left" if close is None else "closed by this side"
        if self.state is CONNECTED:
            self._journal.move(CLOSED, reason)
        elif self.state is CONNECTING:
            self._journal.move(RECONNECTING, "abandoned")
        if self.state in (RECONNECTING, FAILED):
            self._journal.move(DISCONNECTED, reason)
        self._closed = self._closed or close or CloseReason(NORMAL_CLOSURE)
        self._is_over.set()
        self._journal.finish()
        self._queue.wake()

    async def _wait_wish(self, seconds: float = float("inf")) -> bool:
        """Wait for a wish; tell whether one came in time."""
        woken = self._wishes.woken = trio.Event()
        with trio.move_on_after(seconds):
            await woken.wait()
        # Not by what ended the wait: a wish of the last moment counts too.
        return woken.is_set()

    async def _rest(self) -> None:
        if not self._wishes.is_wanted:
            await self._wait_wish()
            return
        self._attempt_number = 0
        self._journal.move(CONNECTING, "connecting")

    async def _back_off(self) -> None:
        if not self._wishes.is_wanted:
            self._journal.move(DISCONNECTED, "disconnect()")
            return
        following = self._next
        if isinstance(following, GiveUp):
            self._journal.move(FAILED, following.reason, failure=self._last_failure)
            self._queue.wake()
            return
        hurried = self._wishes.is_hurried
        if not hurried and following.delay > 0 and await self._wait_wish(following.delay):
            # Woken by a wish: it is looked at again from the top, unless it was to hurry.
            if not self._wishes.is_hurried:
                return
            hurried = True
        self._wishes.is_hurried = False
        self._journal.move(CONNECTING, "reconnect_now()" if hurried else "backoff over")

    async def _stay_failed(self) -> None:
        cooldown = self._setup.policy.failed_cooldown
        if not self._wishes.is_wanted:
            self._journal.move(DISCONNECTED, "disconnect()")
        elif not await self._wait_wish(float("inf") if cooldown is None else cooldown):
            self._start_over("failed_cooldown over")

    def _start_over(self, reason: str) -> None:
        self._journal.monitor.reset()
        self._errors.clear()
        self._next, self._attempt_number = Retry(0.0), 0
        self._journal.move(RECONNECTING, reason, retry_in=0.0)

    async def _attempt(self) -> None:
        """Make one connection and live with it to its end."""
        self._attempt_number += 1
        self._journal.generation += 1
        self._journal.monitor.counters.attempts += 1
        attempt = Attempt(
            number=self._attempt_number,
            generation=self.generation,
            last_failure=self._last_failure,
        )
        connection = self._connection = Connection(self._setup, self.generation)
        try:
            await self._open(attempt, connection)
        finally:
            connection.count_bytes()
        self._conclude(attempt, connection)

    async def _open(self, attempt: Attempt, connection: Connection) -> None:
        seconds = self._setup.policy.open_timeout
        with trio.move_on_after(seconds) as opening:
            connection.run_in(opening)
            try:
                await self._opener.run(attempt, connection)
            except Exception as exc:
                if connection.is_ready:
                    raise  # of the user's own task
                connection.fail(exc)
        if opening.cancelled_caught and connection.ending is None:
            failure = timed_out("opening the connection", seconds)
            connection.end(Ending(reason=str(failure), failure=failure))

    def _conclude(self, attempt: Attempt, connection: Connection) -> None:
        """Draw the consequence of a connection's end."""
        ending = connection.ending or Ending(reason="ended")
        was_ready = self.state is CONNECTED
        if ending.is_final:
            if was_ready:
                self._closed = CloseReason(*(ending.close or (NORMAL_CLOSURE, "")))
                self._journal.move(CLOSED, ending.reason)
                self._queue.wake()
            return
        if was_ready:
            self._attempt_number = 0
            self._errors.clear()
            self._last_failure = None
        failure = ending.failure
        if failure is None:
            self._next = Retry(0.0)
            reason = ending.reason if was_ready else f"abandoned: {ending.reason}"
            self._journal.move(RECONNECTING, reason, retry_in=0.0)
            return
        failure = self._second_chance(failure)
        self._remember(failure, ending, attempt, connection, was_ready=was_ready)
        flaps = was_ready and self._count_loss()
        if not was_ready:
            self._journal.monitor.failed()
        self._next = self._journal.monitor.decide(failure, self._setup.rng)
        delay = self._next.delay if isinstance(self._next, Retry) else None
        self._journal.move(RECONNECTING, ending.reason, failure=failure, retry_in=delay)
        if flaps:
            flapping = self._setup.policy.flapping
            message = f"{flapping.limit} short-lived connections within {flapping.window:g} s"
            self._journal.note(Raise(AnomalyKind.FLAPPING, message, flapping.limit))

    def _count_loss(self) -> bool:
        now = trio.current_time()
        self._journal.monitor.settle(now)
        return self._journal.monitor.lost(now)

    def _second_chance(self, failure: Failure) -> Failure:
        # A token may have expired: headers that are asked for anew get one fresh try.
        last = self._last_failure
        is_first = last is None or last.http_status != 401
        if failure.http_status == 401 and self._opener.has_fresh_headers and is_first:
            return attrs.evolve(failure, transient=True)
        return failure

    def _remember(
        self,
        failure: Failure,
        ending: Ending,
        attempt: Attempt,
        connection: Connection,
        *,
        was_ready: bool,
    ) -> None:
        error: ConnectFailedError | ConnectionLostError
        if was_ready:
            error = ConnectionLostError(failure, connection.generation)
        else:
            error = ConnectFailedError(failure, attempt.number)
        error.__cause__ = ending.cause
        self._last_failure = failure
        self._errors.append(error)


def _check_close(code: int, reason: str) -> None:
    is_sendable = 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
    if not is_sendable:
        raise PolicyError("code", code, "is no close code that may be sent (RFC 6455, 7.4)")
    if len(reason.encode()) > 123:
        raise PolicyError("reason", reason, "is longer than 123 bytes")


@asynccontextmanager
async def open_guarded_websocket(
    url: Url,
    *,
    policy: GuardPolicy | None = None,
    heartbeat: Heartbeat | None = None,
    transport: str | TransportFactory = "trio-websocket",
    dial: Dial | None = None,
    headers: Headers | None = None,
    subprotocols: Sequence[str] = (),
    ssl_context: ssl.SSLContext | None = None,
    on_connect: Callable[[Connection], Awaitable[Any]] | None = None,
    wait: bool = True,
    name: str | None = None,
    rng: random.Random | None = None,
) -> AsyncIterator[GuardedWebSocket]:
    """Open a WebSocket that stays open.

    Leaving the block closes it, with a close handshake bounded by
    `close_timeout`; cancelling the scope around it ends everything at once.

    Args:
        url: A ``ws://`` or ``wss://`` URL; several, tried in turn after
            failures; or an (async) callable asked before every attempt.
        policy: The settings; ``None`` for `GuardPolicy()`.
        heartbeat: What a beat says; ``None`` for `PingHeartbeat()`.
        transport: ``"trio-websocket"``, or a `TransportFactory`.
        dial: An async function from a `Target` to a byte stream, below TLS;
            ``None`` for TCP. A stream that is an `trio.SSLStream` already is
            taken as it is.
        headers: A mapping, or an (async) callable asked before every attempt.
        subprotocols: In order of preference.
        ssl_context: For ``wss://``; ``None`` for the system's defaults.
        on_connect: An async function run on every new connection before it
            counts as CONNECTED: log in, subscribe, resume.
        wait: Whether entering waits until CONNECTED.
        name: For logs and figures; ``None`` for the URL without its secrets.
        rng: Where jitter and message ids are drawn from; ``None`` for a fresh one.

    Raises:
        PolicyError: A setting is wrong.
        GuardFailedError: With `wait`: the guard gave up before it was CONNECTED.
    """
    policy = GuardPolicy() if policy is None else policy
    heartbeat = PingHeartbeat() if heartbeat is None else heartbeat
    if not isinstance(policy, GuardPolicy):
        raise PolicyError("policy", policy, "must be a GuardPolicy")
    if not isinstance(heartbeat, PingHeartbeat | MessageHeartbeat):
        raise PolicyError("heartbeat", heartbeat, "must be a heartbeat")
    opener = Opener(
        policy,
        url=url,
        headers=headers,
        subprotocols=subprotocols,
        dial=dial,
        ssl_context=ssl_context,
        transport=_transport_factory(transport),
    )
    setup = Setup(
        policy=policy,
        heartbeat=heartbeat,
        journal=Journal(_name(name, url), policy),
        queue=MessageQueue(policy.max_queue),
        rng=random.Random() if rng is None else rng,  # noqa: S311 - jitter is no secret
        on_connect=on_connect,
    )
    guard = GuardedWebSocket(setup, opener)
    async with open_flat_nursery() as nursery:
        nursery.start_soon(guard.run)
        try:
            if wait:
                await guard.wait_connected()
            yield guard
        finally:
            await guard.aclose()


def _transport_factory(transport: str | TransportFactory) -> TransportFactory:
    if callable(transport):
        return transport
    if transport == "trio-websocket":
        from trio_wsguard._shell.transports.trio_websocket import open_transport

        return open_transport
    raise PolicyError("transport", transport, 'must be "trio-websocket" or a factory')


def _name(name: str | None, url: Url) -> str:
    if name is not None:
        return name
    first = url if isinstance(url, str) else "guard" if callable(url) else url[0]
    return safe_url(first)
