"""The guard as its user holds it: one long-lived connection over many short-lived ones."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import trio

from trio_wsguard._core.state import (
    CLOSED,
    CONNECTED,
    CONNECTING,
    FAILED,
    ConnectionState,
)
from trio_wsguard._errors import ConnectionClosedError, IllegalTransitionError, PolicyError
from trio_wsguard._policy import GuardPolicy
from trio_wsguard._shell.attempt import Opener, name_of
from trio_wsguard._shell.connection import Connection, Setup
from trio_wsguard._shell.ending import NORMAL_CLOSURE, Ending
from trio_wsguard._shell.heartbeats import Heartbeat, MessageHeartbeat, PingHeartbeat
from trio_wsguard._shell.intake import make_intake, make_queue
from trio_wsguard._shell.journal import Journal
from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard._shell.observer import Observer
from trio_wsguard._shell.outgoing import make_outgoing
from trio_wsguard._shell.pace import make_pace
from trio_wsguard._shell.supervisor import CloseReason, Supervisor
from trio_wsguard._shell.transport import check_message
from trio_wsguard._shell.transports import find_transport

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence

    from trio_wsguard._core.alerts import AlertRaised
    from trio_wsguard._core.buffer import BufferPolicy
    from trio_wsguard._core.duplicates import DuplicateFilter
    from trio_wsguard._core.health import Health, Snapshot
    from trio_wsguard._core.pace import SendRate
    from trio_wsguard._shell.attempt import Dial, Headers, Url
    from trio_wsguard._shell.listeners import EventStream
    from trio_wsguard._shell.outbox import Outbox
    from trio_wsguard._shell.outgoing import Receipt, SendMode
    from trio_wsguard._shell.transport import Message, TransportFactory

_NOT_CONNECTED: Final = frozenset(ConnectionState) - {CONNECTED}
_SETTLED: Final = frozenset({CONNECTED, FAILED, CLOSED})
# One for all who bring none: it has no state, where a `Random` of its own would take
# 2.5 KiB of every guard, and forked processes would draw the same.
_CHANCE: Final = random.SystemRandom()


class GuardedWebSocket:
    """A WebSocket that stays open; made by `open_guarded_websocket`."""

    def __init__(self, setup: Setup, supervisor: Supervisor) -> None:
        self._journal = setup.journal
        self._queue = setup.queue
        self._supervisor = supervisor
        self._outgoing = setup.outgoing
        self._observer = setup.observer

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
        connection = self._supervisor.live
        return None if connection is None else connection.subprotocol

    @property
    def closed(self) -> CloseReason | None:
        """Why the guard is closed; ``None`` as long as it is not."""
        return self._supervisor.closed

    def snapshot(self) -> Snapshot:
        """Freeze all figures."""
        return self._observer.snapshot()

    def health(self) -> Health:
        """Tell the score, and what it is made of."""
        return self._journal.health()

    @property
    def open_alerts(self) -> tuple[AlertRaised, ...]:
        """The alerts raised and not yet resolved, in the order of the rules."""
        return self._observer.open_alerts

    # --- messages --------------------------------------------------------------

    async def get_message(self) -> Message:
        """Receive the next message, across reconnects.

        Cancelling it loses nothing.

        Raises:
            GuardFailedError: The guard is FAILED, and all messages are taken.
            ConnectionClosedError: The peer closed for good, likewise.
            trio.ClosedResourceError: This side closed the guard.
        """
        queue = self._queue
        if queue.count:
            await trio.lowlevel.checkpoint()
        while not queue.count:
            if queue.is_finished:
                self._check_more()
            await queue.wait_readable()
        return queue.pop()

    async def get_messages(self) -> list[Message]:
        """Receive all messages at hand, at least one; otherwise as `get_message`."""
        first = await self.get_message()
        batch = self._queue.pop_all()
        batch.insert(0, first)
        return batch

    def _check_more(self) -> None:
        """Refuse to wait for messages that can no longer come."""
        self._supervisor.check_open()
        self._supervisor.check_alive()

    def __aiter__(self) -> GuardedWebSocket:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.get_message()
        except (ConnectionClosedError, trio.ClosedResourceError):
            raise StopAsyncIteration from None

    async def send_message(self, message: Message) -> Receipt | None:
        """Send a message as soon as the guard is CONNECTED; or as `send_mode` says.

        In buffer mode and with an outbox it returns once the message is accepted,
        and cancelling it has no effect on that one any more.

        A cancelled send was either not begun or is finished; where it can be
        neither, the connection is dropped, so that no half-written frame stays
        on one that lives on.

        Args:
            message: Text, or bytes-like for a binary message.

        Returns:
            What becomes of it, in buffer mode and with an outbox; else ``None``.

        Raises:
            ConnectionLostError: The connection was lost under it; see `.maybe_sent`.
            GuardFailedError: The guard is FAILED.
            ConnectionClosedError: The peer closed for good.
            trio.ClosedResourceError: This side closed the guard.
            NotConnectedError: In mode "fail": it is not CONNECTED.
            BufferFullError: There is no room among those that wait.
            DuplicateKeyError: The outbox holds a message of that key.
            OutboxError: It could not be stored in the outbox's file.
        """
        checked = check_message(message)
        if self._outgoing is not None:
            return await self._outgoing.send(checked)
        while True:
            self._supervisor.check_open()
            self._supervisor.check_alive()
            connection = self._supervisor.live
            if connection is not None:
                if await connection.writer.try_send(checked):
                    return None
                await self._journal.wait_state(_NOT_CONNECTED)
            await self._journal.wait_state(_SETTLED)

    # --- waiting and listening ---------------------------------------------------

    async def wait_state(self, *states: ConnectionState) -> ConnectionState:
        """Wait for one of some states, and tell which one it was.

        A state passed through between two scheduler ticks is not missed.

        Raises:
            trio.ClosedResourceError: The guard closed without reaching one.
        """
        return await self._journal.wait_state(frozenset(states))

    async def wait_connected(self) -> None:
        """Wait until the guard is CONNECTED.

        Raises:
            GuardFailedError: It is FAILED.
            ConnectionClosedError: The peer closed for good.
            trio.ClosedResourceError: This side closed it.
        """
        self._supervisor.check_open()
        connection = self._supervisor.live
        if connection is not None and connection.ending is not None:
            await self._journal.wait_state(_NOT_CONNECTED)  # it is lost, and about to be told so
        while await self._journal.wait_state(_SETTLED) is not CONNECTED:
            self._supervisor.check_open()
            self._supervisor.check_alive()

    @asynccontextmanager
    async def events(self, max_queue: int = 1024) -> AsyncIterator[EventStream]:
        """Listen to state changes, gaps, anomalies, changes of health, and alerts.

        A slow reader never holds up the guard: it loses the oldest events and
        is told how many.

        Args:
            max_queue: Events held for the reader.
        """
        if isinstance(max_queue, bool) or not isinstance(max_queue, int) or max_queue < 1:
            raise PolicyError("max_queue", max_queue, "must be a whole number from 1 on")
        stream = self._journal.listeners.open(max_queue)
        try:
            yield stream
        finally:
            self._journal.listeners.close(stream)

    # --- wishes ------------------------------------------------------------------

    def _wake(self) -> None:
        self._supervisor.wishes.woken.set()

    def reconnect_now(self) -> None:
        """Cut the backoff short (the network came back); nothing in other states."""
        self._supervisor.check_open()
        self._supervisor.hurry()

    def force_reconnect(self, reason: str = "forced") -> None:
        """Drop the present connection or attempt and begin anew; no failure is counted."""
        self._supervisor.check_open()
        self._supervisor.begin_anew(reason)

    def reset(self) -> None:
        """Forget the failures; FAILED moves on to RECONNECTING."""
        self._supervisor.check_open()
        self._supervisor.reset()

    def disconnect(self) -> None:
        """Drop the connection and rest in DISCONNECTED until `connect`."""
        self._supervisor.check_open()
        self._supervisor.wishes.is_wanted = False
        self._wake()
        close = (NORMAL_CLOSURE, "")
        self._supervisor.end_connection(Ending(reason="disconnect()", close=close, is_ours=True))

    def connect(self) -> None:
        """Leave DISCONNECTED; nothing while connected or on the way.

        Raises:
            IllegalTransitionError: The guard is FAILED: `reset` it.
        """
        self._supervisor.check_open()
        if self.state is FAILED:
            raise IllegalTransitionError(FAILED, CONNECTING)
        self._supervisor.wishes.is_wanted = True
        self._wake()

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Close the guard for good, with a close handshake if it is CONNECTED.

        The handshake is bounded by `close_timeout`. Idempotent; afterwards
        every call raises `trio.ClosedResourceError`.

        Args:
            code: The close code.
            reason: At most 123 bytes of UTF-8.
        """
        if self._supervisor.wishes.close is None and not self._supervisor.is_over.is_set():
            _check_close(code, reason)
            self._supervisor.wishes.close = CloseReason(code, reason)
            self._wake()
            self._queue.pop_all()  # no call gets a message any more
            self._queue.finish()
            if self._outgoing is not None:
                self._outgoing.wake()
            close, why = (code, reason), "closed by this side"
            self._supervisor.end_connection(
                Ending(reason=why, close=close, is_ours=True, is_final=True)
            )
        await trio.lowlevel.checkpoint()
        await self._supervisor.is_over.wait()


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
    compression: str | None = None,
    dial: Dial | None = None,
    proxy: str | None = None,
    headers: Headers | None = None,
    subprotocols: Sequence[str] = (),
    ssl_context: ssl.SSLContext | None = None,
    on_connect: Callable[[Connection], Awaitable[Any]] | None = None,
    message_key: Callable[[Message], Hashable] | None = None,
    dedup: DuplicateFilter | None = None,
    wait: bool = True,
    name: str | None = None,
    rng: random.Random | None = None,
    send_mode: SendMode = "wait",
    buffer: BufferPolicy | None = None,
    outbox: Outbox | None = None,
    send_rate: SendRate | None = None,
) -> AsyncIterator[GuardedWebSocket]:
    """Open a WebSocket that stays open.

    Leaving the block closes it, with a close handshake bounded by
    `close_timeout`; cancelling the scope around it ends everything at once.

    Args:
        url: A ``ws://``, ``wss://`` or ``ws+unix:/path/to.sock:/resource`` URL;
            several, tried in turn after failures; or an (async) callable asked
            before every attempt.
        policy: The settings; ``None`` for `GuardPolicy()`.
        heartbeat: What a beat says; ``None`` for `PingHeartbeat()`.
        transport: ``"trio-websocket"``; ``"websockets"``, the faster one (extra
            `fast`); or a `TransportFactory`.
        compression: ``"deflate"`` to offer permessage-deflate (RFC 7692), which
            the faster transport can; ``None`` for none.
        dial: An async function from a `Target` to a byte stream, below TLS;
            ``None`` for our own. A `trio.SSLStream` is taken as it is.
        proxy: The URL of a proxy (extra `proxy`): ``http``, ``https``, ``socks4a`` and
            ``socks5h`` look up the host's name there, ``socks4`` and ``socks5`` here.
            ``"env"`` for what HTTPS_PROXY (wss), HTTP_PROXY (ws), ALL_PROXY and
            NO_PROXY say now; ``None`` for none.
        headers: A mapping, or an (async) callable asked before every attempt.
        subprotocols: In order of preference.
        ssl_context: For ``wss://`` and proxies; ``None`` for the system's defaults.
        on_connect: An async function run on every new connection before it
            counts as CONNECTED: log in, subscribe, resume.
        message_key: A function from a message to its place in the feed, for
            `Connection.last_key`; ``None`` for a message that has none. Left out,
            it is the key of `dedup`. Called once for each, in order; what it
            raises leaves the block.
        dedup: Drops repeats, across reconnects; ``None`` to drop none.
        wait: Whether entering waits until CONNECTED.
        name: For logs and figures; ``None`` for the URL without its secrets.
        rng: Where jitter and message ids are drawn from; ``None`` for the system's.
        send_mode: What `send_message` does while not CONNECTED: ``"wait"``, ``"fail"``
            with `NotConnectedError`, or ``"buffer"``.
        buffer: How much waits then, and how long; ``None`` for `BufferPolicy()`.
        outbox: Keeps messages until the peer acknowledges them, and sends them again
            until then; instead of a `send_mode`.
        send_rate: How fast to send; ``None`` for no limit.

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
        proxy=proxy,
        ssl_context=ssl_context,
        transport=find_transport(transport, compression),
    )
    journal = Journal(name_of(url) if name is None else name, policy)
    intake = make_intake(message_key, dedup, journal.monitor.counters)
    queue = make_queue(policy.max_queue, policy.max_queue_bytes, intake)
    outgoing = make_outgoing(send_mode, buffer, outbox)
    setup = Setup(
        policy=policy,
        rules=policy.rules,
        heartbeat=heartbeat,
        journal=journal,
        observer=Observer(policy, journal, queue, outgoing),
        queue=queue,
        intake=intake,
        rng=_CHANCE if rng is None else rng,
        on_connect=on_connect,
        outgoing=outgoing,
        pace=make_pace(send_rate),
    )
    supervisor = Supervisor(setup, opener)
    guard = GuardedWebSocket(setup, supervisor)
    with opener:
        async with open_flat_nursery() as nursery:
            if setup.outgoing is not None:
                setup.outgoing.start(nursery)
            nursery.start_soon(supervisor.run)
            setup.observer.start(nursery, supervisor.begin_anew)
            try:
                if wait:
                    await guard.wait_connected()
                yield guard
            finally:
                await guard.aclose()
                nursery.cancel_scope.cancel()
